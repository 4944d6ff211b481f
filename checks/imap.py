"""imap: a server of mailboxes greets, tells what it can do, and as far as asked speaks TLS, lets us in, has a mailbox.

RFC 9051 and RFC 3501, SASL-IR of RFC 4959; over TLS on port 993 by RFC 8314. Answers are known by the tag of their
question; what a server says besides is skipped, literals and all.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from checks import sasl
from checks.lines import Lines, filled, greeting_pattern, match_greeting, needs_user, offers, require, told, wanted_rule
from checks.rules import exclusive, one_line, regex
from healthd.check import CheckFailed, Connect, Connected, Conversation, Reason, Step, Target, Tls, option, shown

_STATUS = re.compile(rb"\* (OK|PREAUTH|BYE|NO|BAD)(?: .*)?", re.DOTALL | re.IGNORECASE)
_TAGGED = re.compile(rb"(h[0-9]+) (OK|NO|BAD)(?: .*)?", re.DOTALL | re.IGNORECASE)
_CAPABILITY = re.compile(rb"\* CAPABILITY (.*)", re.DOTALL | re.IGNORECASE)
_CODE = re.compile(rb"\A(\* [A-Za-z]+) \[[^\]]*\]")  # for programs, and often long
_LITERAL = re.compile(rb"\{([0-9]{1,9})\}\Z")
_QUOTABLE = re.compile(r"[ -~]*")
_SHIFTED = re.compile(r"&|[^ -~]+")


class _Talk(Lines):
    """A conversation in tagged commands; each waits for the answer to the last one."""

    __slots__ = ("_count",)

    def __init__(self) -> None:
        super().__init__()
        self._count = 0

    @property
    def tag(self) -> bytes:
        """Of the last command."""
        return b"h%d" % self._count

    def new_tag(self) -> bytes:
        """For the next command."""
        self._count += 1
        return self.tag

    def ask(self, command: bytes, *texts: str, secret: bool = False) -> Generator[Step, Any, list[bytes]]:
        """Send a command with texts after it, and wait for its answer; what the server said before that.

        secret: no transcript may show the last text.
        """
        line, written = self.new_tag() + b" " + command, b""
        for text in texts:
            if _QUOTABLE.fullmatch(text):
                written = b'"' + re.sub(rb'(["\\])', rb"\\\1", text.encode()) + b'"'
                line += b" " + written
            else:  # what is not ASCII is a literal: announced with its length, and sent when the server says so
                written = text.encode()
                yield from self.say(line + b" {%d}" % len(written))
                yield from self.challenge()
                line = written
        yield from self.say(line, written if secret else b"")
        return (yield from self.done())

    def done(self) -> Generator[Step, Any, list[bytes]]:
        """Wait for OK to the last command; what the server said before that. CheckFailed if it is NO or BAD."""
        said = []
        while (line := (yield from self._response())).startswith(b"* "):
            said.append(line)
        if self._status(line) != b"OK":
            raise CheckFailed(Reason.UNEXPECTED, f"got '{self.shown(line)}', want OK")
        return said

    def challenge(self) -> Generator[Step, Any, bytes]:
        """Wait for the server to ask for more; what it says with that. CheckFailed if it ends the command instead."""
        while not (line := (yield from self._response())).startswith(b"+"):
            if not line.startswith(b"* "):
                self._status(line)
                raise CheckFailed(Reason.UNEXPECTED, f"got '{self.shown(line)}', want +")
        return line[1:]

    def _status(self, line: bytes) -> bytes:
        """OK, NO or BAD of a line that answers the last command. CheckFailed(PROTOCOL) if it is no such line."""
        match = _TAGGED.fullmatch(line)
        if match is None or match[1] != self.tag:
            raise CheckFailed(Reason.PROTOCOL, f"got '{self.shown(line)}', which is no answer to {self.tag.decode()}")
        return match[2].upper()

    def _response(self) -> Generator[Step, Any, bytes]:
        """A line with the literals in it. Texts for people may end like the beginning of a literal, but have none."""
        response = rest = yield from self.line()
        status = _STATUS.fullmatch(response)
        if status is not None and status[1].upper() == b"BYE":
            raise CheckFailed(Reason.UNEXPECTED, f"got '{self.shown(response)}'")
        if status is not None or not response.startswith(b"* "):
            return response
        while match := _LITERAL.search(rest):
            literal = yield from self.exactly(int(match[1]))
            rest = yield from self.line()
            response += literal + rest
        return response


@dataclass(frozen=True, slots=True)
class ImapCheck:
    """A greeting of OK or PREAUTH and an answer to CAPABILITY.

    A login shows that the server knows its users; only opening a mailbox shows that it has their mail, too.
    `starttls` is never silently given up. A password goes out without TLS, if there is none. A server whose greeting is
    PREAUTH lets nobody log in or begin TLS; it fails where that is asked for.
    """

    kind: ClassVar[str] = "imap"

    tls: Tls | None = option(None, "speak TLS from the start")
    starttls: Tls | None = option(None, "begin TLS by STARTTLS")
    expect: str | None = option(None, "regular expression that must match in the greeting", rule=regex)
    capabilities: tuple[str, ...] = option(
        (),
        'what the server must be able to do, such as "IDLE" or "AUTH=PLAIN", asked before the login',
        rule=wanted_rule,
    )
    user: str | None = option(None, "user to log in as; default: no login", rule=filled)
    password: str = option("", "password to log in with", rule=one_line, secret=True)
    auth: Literal["auto", "plain", "login", "cram-md5"] = option(
        "auto",
        "how to log in, login being the command LOGIN; auto: the best that is offered, without TLS rather one that does"
        " not show the password",
    )
    mailbox: str | None = option(
        None, 'mailbox to open for reading (EXAMINE) once logged in, such as "INBOX"', rule=filled
    )

    _expect: re.Pattern[bytes] | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse what does not go together."""
        exclusive(self, "tls", "starttls")
        needs_user(self, "password", "auth")
        object.__setattr__(self, "_expect", greeting_pattern(self.expect))

    @property
    def usual_port(self) -> int:
        """The port where nobody names one."""
        return 993 if self.tls else 143

    def converse(self, target: Target) -> Conversation:
        """Read the greeting, secure, ask for capabilities, log in, open the mailbox, and leave."""
        connected: Connected = yield Connect(self.tls)
        talk, facts, done = _Talk(), connected.tls, []
        greeting = yield from self._greeting(talk)
        offered = yield from _capabilities(talk)
        if self.starttls is not None:
            require(("STARTTLS",), offered)
            yield from talk.ask(b"STARTTLS")
            facts = yield from talk.begin_tls(self.starttls)
            offered = yield from _capabilities(talk)
        require(self.capabilities, offered)
        if self.user is not None:
            done.append(f"logged in by {(yield from self._log_in(talk, self.user, offered, facts is not None))}")
        if self.mailbox is not None:
            yield from talk.ask(b"EXAMINE", _modified_utf7(self.mailbox))
            done.append("mailbox is there")
        yield from talk.leave(talk.new_tag() + b" LOGOUT")
        return told(shown(_CODE.sub(rb"\1", greeting)), facts, done)

    def _greeting(self, talk: _Talk) -> Generator[Step, Any, bytes]:
        greeting = yield from talk.line()
        status = _STATUS.fullmatch(greeting)
        match status and status[1].upper():
            case b"OK":
                pass
            case b"PREAUTH" if self.starttls is None and self.user is None:
                pass
            case b"PREAUTH":
                raise CheckFailed(Reason.UNEXPECTED, f"got '{shown(greeting)}', which rules out a login and STARTTLS")
            case b"BYE":
                raise CheckFailed(Reason.UNEXPECTED, f"got '{shown(greeting)}', want '* OK'")
            case _:
                raise CheckFailed(Reason.PROTOCOL, f"got '{shown(greeting)}', which is no greeting of IMAP")
        match_greeting(self._expect, greeting)
        return greeting

    def _log_in(self, talk: _Talk, user: str, offered: frozenset[str], encrypted: bool) -> Generator[Step, Any, str]:
        ways = {one.removeprefix("AUTH=") for one in offered if one.startswith("AUTH=")} - {"LOGIN"}
        if "LOGINDISABLED" not in offered:
            ways.add("LOGIN")
        way = sasl.chosen(self.auth, sasl.MECHANISMS, ways, encrypted)
        if way == "LOGIN":
            yield from talk.ask(b"LOGIN", user, self.password, secret=True)
        else:
            login = sasl.login(way, user, self.password)
            command = talk.new_tag() + b" AUTHENTICATE"
            yield from sasl.exchange(talk, command, login, at_once="SASL-IR" in offered)
            yield from talk.done()
        return way


def _capabilities(talk: _Talk) -> Generator[Step, Any, frozenset[str]]:
    found = [match[1] for line in (yield from talk.ask(b"CAPABILITY")) if (match := _CAPABILITY.fullmatch(line))]
    offered = offers(b" ".join(found).split())
    if not any(one.startswith("IMAP4") for one in offered):
        raise CheckFailed(Reason.PROTOCOL, f"has no capability of IMAP4: got '{shown(b' '.join(found))}'")
    return offered


def _modified_utf7(name: str) -> str:
    """The name of a mailbox as IMAP4rev1 has it (RFC 3501, 5.1.3)."""
    return _SHIFTED.sub(_shift, name)


def _shift(match: re.Match[str]) -> str:
    if match[0] == "&":
        return "&-"
    return "&" + b64encode(match[0].encode("utf-16-be")).decode().rstrip("=").replace("/", ",") + "-"
