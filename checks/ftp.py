"""ftp: a server greets, lets us in, and as far as asked for speaks TLS, has a directory and hands out a file.

RFC 959 and its corrections in RFC 1123, 4.1; EPSV of RFC 2428; TLS of RFC 4217. Files are retrieved in passive mode:
nobody connects to us.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeVar

from checks.lines import Lines, greeting_pattern, match_greeting
from checks.rules import between, exclusive, one_line, pattern, regex, want
from healthd.check import (
    Aside,
    CheckFailed,
    Connect,
    Connected,
    Conversation,
    Inconclusive,
    Reason,
    Receive,
    StartTls,
    Step,
    Target,
    Tls,
    Turn,
    option,
)

T = TypeVar("T")

_REPLY = re.compile(rb"([1-5][0-9][0-9])([ -])(.*)", re.DOTALL)
_EPSV = re.compile(rb"\(([!-~])\1\1([0-9]{1,5})\1\)")  # RFC 2428, 3
_PASV = re.compile(rb"(?:[0-9]{1,3},){4}([0-9]{1,3}),([0-9]{1,3})")  # RFC 1123, 4.1.2.6: wherever it stands
_NO_EPSV = (*range(500, 530), *range(531, 560))  # EPSV is not known, or not allowed; 530 is about our login
_BEGINS, _ENDS = (125, 150), (226, 250)


def _filled(text: str | None) -> str | None:
    if text is not None and not text.strip():
        raise ValueError("must not be empty")
    return one_line(text)


@dataclass(frozen=True, slots=True)
class _Reply:
    """code: 100 to 599. lines: as they came. told: the last one, for people."""

    code: int
    lines: tuple[bytes, ...]
    told: str

    def __str__(self) -> str:
        """For people."""
        return self.told


class _Talk(Lines):
    """A conversation in commands and replies."""

    __slots__ = ()

    def reply(self) -> Generator[Step, Any, _Reply]:
        """One reply of any number of lines (RFC 959, 4.2). CheckFailed(PROTOCOL) if it is none.

        The lines between the first, "220-...", and the last, "220 ...", may look like anything.
        """
        line = yield from self.line()
        match = _REPLY.fullmatch(line) or _REPLY.fullmatch(line + b" ")
        if match is None:
            raise CheckFailed(Reason.PROTOCOL, f"got {self.shown(line)!r}, which is no reply of FTP")
        code, lines = match[1], [line]
        while match[2] == b"-" and line[:4] not in (code, code + b" "):
            line = yield from self.line()
            lines.append(line)
        return _Reply(int(code), tuple(lines), self.shown(line).strip())

    def wait_for(self, *codes: int) -> Generator[Step, Any, _Reply]:
        """A reply with one of these codes. CheckFailed(UNEXPECTED) if it has another."""
        reply = yield from self.reply()
        if reply.code not in codes:
            raise CheckFailed(Reason.UNEXPECTED, f"got '{reply}', want {' or '.join(map(str, codes[:2]))}")
        return reply

    def ask(self, command: str, *codes: int, hide: str = "") -> Generator[Step, Any, _Reply]:
        """Send a command and wait for its reply."""
        yield from self.say(command.encode(), hide.encode())
        return (yield from self.wait_for(*codes))


@dataclass(frozen=True, slots=True)
class FtpCheck:
    """A login, and with `file` a file: it must come whole, or `max_bytes` of it, and match `expect`.

    The file's connection goes to the server's own address, whichever one PASV names (RFC 2577 tells why). With TLS
    the file comes over TLS too, unless `clear_data`. TLS is never silently given up; a password goes out without it, if
    there is none.
    """

    kind: ClassVar[str] = "ftp"

    tls: Tls | None = option(None, "speak TLS from the start")
    starttls: Tls | None = option(None, "begin TLS by AUTH TLS")
    user: str = option("anonymous", "user to log in as", rule=_filled)
    password: str = option(
        "healthd@", "password to log in with, if the server asks for one", rule=one_line, secret=True
    )
    greeting: str | None = option(None, "regular expression that must match in the greeting", rule=regex)
    directory: str | None = option(None, "directory to change to (CWD) once logged in", rule=_filled)
    file: str | None = option(None, "file to retrieve; default: the login is enough", rule=_filled)
    expect: str | None = option(None, "regular expression that must match somewhere in the file", rule=regex)
    max_bytes: int = option(
        65536, "bytes of the file to look at; what follows is not read", rule=between(1, 64 * 1024 * 1024)
    )
    passive: Literal["auto", "epsv", "pasv"] = option(
        "auto", "how to ask for the file's port; auto: EPSV, and PASV over IPv4 if the server refuses EPSV"
    )
    clear_data: bool = option(False, "with TLS, retrieve the file without it (PROT C)")

    _greeting: re.Pattern[bytes] | None = field(init=False, repr=False, compare=False)
    _expect: re.Pattern[bytes] | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse what does not go together."""
        exclusive(self, "tls", "starttls")
        if self.expect is not None and self.file is None:
            raise ValueError("expect needs file")
        if self.clear_data and (self.file is None or (self.tls or self.starttls) is None):
            raise ValueError("clear_data needs file, and tls or starttls")
        object.__setattr__(self, "_greeting", greeting_pattern(self.greeting))
        object.__setattr__(self, "_expect", None if self.expect is None else pattern(self.expect))

    @property
    def usual_port(self) -> int:
        """The port where nobody names one."""
        return 990 if self.tls else 21

    def converse(self, target: Target) -> Conversation:
        """Read the greeting, secure, log in, retrieve, and leave."""
        connected: Connected = yield Connect(self.tls)
        talk, facts = _Talk(), connected.tls
        match_greeting(self._greeting, b"\n".join((yield from talk.wait_for(220)).lines))
        if self.starttls is not None:
            yield from talk.ask("AUTH TLS", 234)
            facts = yield from talk.begin_tls(self.starttls)
        yield from self._log_in(talk)
        done = f"logged in as {self.user}{f', {facts.version}' if facts else ''}"
        if self.directory is not None:
            yield from talk.ask(f"CWD {self.directory}", 250, 200)
        if self.file is not None:
            done += yield from self._retrieve(talk, self.file, target)
        yield from talk.leave(b"QUIT")
        return done

    def _log_in(self, talk: _Talk) -> Generator[Step, Any, None]:
        """USER, and PASS if the server wants one; there is nobody to give an account (ACCT) to it."""
        reply = yield from talk.ask(f"USER {self.user}", 230, 232, 331, 332)
        if reply.code == 331:
            reply = yield from talk.ask(f"PASS {self.password}", 230, 202, 232, 332, hide=self.password)
        if reply.code == 332:
            raise CheckFailed(Reason.UNEXPECTED, f"server wants an account (ACCT): got '{reply}', want 230")

    def _retrieve(self, talk: _Talk, file: str, target: Target) -> Generator[Step, Any, str]:
        """The file, over a stream of its own; the talk goes on beside it."""
        tls = yield from self._protect(talk)
        yield from talk.ask("TYPE I", 200)
        port = yield from self._port(talk, target)
        yield from _named(port, _connect(port))
        yield Turn()
        yield from talk.ask(f"RETR {file}", *_BEGINS)
        yield Turn()
        content, whole = yield from _named(port, self._read(tls))
        yield Turn(close=True)
        if whole:
            yield from talk.wait_for(*_ENDS)
        if self._expect is not None:
            want(self._expect.search(content) is not None, content, expect=self.expect)
        return f", {'' if whole else 'the first '}{len(content)} bytes of {file}"

    def _protect(self, talk: _Talk) -> Generator[Step, Any, Tls | None]:
        """Agree on how files come over TLS (RFC 4217); what they need for it."""
        tls = self.tls or self.starttls
        if tls is None:
            return None
        yield from talk.ask("PBSZ 0", 200)
        yield from talk.ask("PROT C" if self.clear_data else "PROT P", 200)
        return None if self.clear_data else tls

    def _port(self, talk: _Talk, target: Target) -> Generator[Step, Any, int]:
        """Where the server waits for us to fetch the file."""
        four = target.address.version == 4
        if self.passive != "pasv":
            reply = yield from talk.ask("EPSV", 229, *(_NO_EPSV if four and self.passive == "auto" else ()))
            if reply.code == 229:
                match = _EPSV.search(reply.lines[-1])
                return _checked(reply, int(match[2]) if match else 0)
        elif not four:
            raise Inconclusive("passive = 'pasv' is for IPv4 only")
        reply = yield from talk.ask("PASV", 227)
        match = _PASV.search(reply.lines[-1][4:])
        high, low = (int(match[1]), int(match[2])) if match else (0, 0)
        return _checked(reply, high * 256 + low if high < 256 > low else 0)

    def _read(self, tls: Tls | None) -> Generator[Step, Any, tuple[bytes, bool]]:
        """What comes on the stream aside, up to `max_bytes`, and whether that is all."""
        if tls is not None:
            yield StartTls(tls)
        content = bytearray()
        while len(content) < self.max_bytes:
            data: bytes = yield Receive(self.max_bytes - len(content))
            if not data:
                return bytes(content), True
            content += data
        return bytes(content), False


def _checked(reply: _Reply, port: int) -> int:
    if not 0 < port < 65536:
        raise CheckFailed(Reason.PROTOCOL, f"got '{reply}', which names no port")
    return port


def _connect(port: int) -> Generator[Step, Any, None]:
    yield Aside(port)


def _named(port: int, steps: Generator[Step, Any, T]) -> Generator[Step, Any, T]:
    """Steps of which a failure says that it is the file's connection that failed."""
    try:
        return (yield from steps)
    except CheckFailed as failure:
        raise CheckFailed(failure.reason, f"{failure.detail}, on port {port} for the file") from None
