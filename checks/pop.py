"""pop: a server of POP3 greets, and as far as asked for tells what it can do, speaks TLS and opens a mailbox.

RFC 1939, CAPA of RFC 2449, STLS of RFC 2595, AUTH of RFC 5034; over TLS on port 995 by RFC 8314.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from checks import sasl
from checks.lines import (
    Lines,
    filled,
    greeting_pattern,
    match_greeting,
    needs_user,
    offers,
    require,
    told,
    wanted_rule,
    words_after,
)
from checks.rules import exclusive, one_line, regex
from healthd.check import CheckFailed, Connect, Connected, Conversation, Reason, Step, Target, Tls, option, shown

_OK = re.compile(rb"\+OK(?:[ \t].*)?", re.DOTALL)
_NOT_OK = re.compile(rb"-ERR(?:[ \t].*)?", re.DOTALL)
_STAT = re.compile(rb"\+OK [0-9]+ [0-9]+(?: .*)?", re.DOTALL)
_CHALLENGE = re.compile(rb"\+(?: (.*))?", re.DOTALL)
_STAMP = re.compile(rb"<[!-;=?-~]+@[!-;=?-~]+>")  # nothing else may be hashed (CVE-2007-1558)

_WAYS = ("USER", *(name for name in sasl.MECHANISMS if name != "LOGIN"))
"""Ways to log in, from the best to the worst where the connection is encrypted."""


class _Talk(Lines):
    """A conversation in commands and status lines."""

    __slots__ = ()

    def status(self) -> Generator[Step, Any, bytes]:
        """A line that begins with +OK. CheckFailed(UNEXPECTED) if it is -ERR, PROTOCOL if it is anything else."""
        return self._positive((yield from self.line()), _OK, "+OK")

    def challenge(self) -> Generator[Step, Any, bytes]:
        """The next challenge of a login (RFC 5034, 4)."""
        line = self._positive((yield from self.line()), _CHALLENGE, "+")
        return line[1:]

    def _positive(self, line: bytes, wanted: re.Pattern[bytes], want: str) -> bytes:
        if wanted.fullmatch(line):
            return line
        if _NOT_OK.fullmatch(line):
            raise CheckFailed(Reason.UNEXPECTED, f"got '{self.shown(line)}', want '{want}'")
        raise CheckFailed(Reason.PROTOCOL, f"got '{self.shown(line)}', which is no answer of POP3")

    def ask(self, command: bytes, hide: bytes = b"") -> Generator[Step, Any, bytes]:
        """Send a command and wait for its status."""
        yield from self.say(command, hide)
        return (yield from self.status())

    def capabilities(self) -> Generator[Step, Any, frozenset[str] | None]:
        """What the server offers; None if it does not know CAPA, which is not required of it."""
        yield from self.say(b"CAPA")
        line = yield from self.line()
        if _NOT_OK.fullmatch(line):
            return None
        self._positive(line, _OK, "+OK")
        lines = []
        while (line := (yield from self.line())) != b".":
            lines.append(line.removeprefix(b"."))
        return offers(lines)


@dataclass(frozen=True, slots=True)
class PopCheck:
    """A greeting of +OK and an answer to CAPA, which may be that the server does not know CAPA.

    A login is followed by STAT, because servers let people in whose mailbox they then cannot open. It locks the mailbox
    for as long as it takes, so take one that nobody else reads. `starttls` is never silently given up. A password goes
    out without TLS, if there is none.
    """

    kind: ClassVar[str] = "pop"

    tls: Tls | None = option(None, "speak TLS from the start")
    starttls: Tls | None = option(None, "begin TLS by STLS")
    expect: str | None = option(None, "regular expression that must match in the greeting", rule=regex)
    capabilities: tuple[str, ...] = option(
        (),
        'what the server must be able to do, such as "UIDL" or "SASL PLAIN", asked before the login',
        rule=wanted_rule,
    )
    user: str | None = option(None, "user to log in as; default: no login", rule=filled)
    password: str = option("", "password to log in with", rule=one_line, secret=True)
    auth: Literal["auto", "user", "apop", "plain", "cram-md5"] = option(
        "auto",
        "how to log in, user being USER and PASS; auto: the best that is offered, without TLS rather one that does not"
        " show the password, and never apop",
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
        return 995 if self.tls else 110

    def converse(self, target: Target) -> Conversation:
        """Read the greeting, ask for capabilities, secure, log in, and leave."""
        connected: Connected = yield Connect(self.tls)
        talk, facts, done = _Talk(), connected.tls, []
        greeting = yield from talk.status()
        match_greeting(self._expect, greeting)
        offered = yield from talk.capabilities()
        if self.starttls is not None:
            require(("STLS",), offered or frozenset())
            yield from talk.ask(b"STLS")
            facts = yield from talk.begin_tls(self.starttls)
            offered = yield from talk.capabilities()
        require(self.capabilities, offered or frozenset())
        if self.user is not None:
            way = self._way(offered, facts is not None)
            yield from self._log_in(talk, way, self.user, greeting)
            yield from self._look(talk)
            done.append(f"logged in by {way}")
        yield from talk.leave(b"QUIT")
        return told(shown(greeting), facts, done)

    def _way(self, offered: frozenset[str] | None, encrypted: bool) -> str:
        """How to log in. A server that does not know CAPA may know USER; nor does CAPA tell of APOP."""
        if self.auth in ("user", "apop"):
            return self.auth.upper()
        ways = {"USER"} if offered is None or "USER" in offered else set()
        return sasl.chosen(self.auth, _WAYS, ways | words_after("SASL", offered or ()), encrypted)

    def _log_in(self, talk: _Talk, way: str, user: str, greeting: bytes) -> Generator[Step, Any, None]:
        name, password = user.encode(), self.password.encode()
        match way:
            case "USER":
                yield from talk.ask(b"USER " + name)
                yield from talk.ask(b"PASS " + password, password)
            case "APOP":
                digest = _apop(greeting, password)
                yield from talk.ask(b"APOP " + name + b" " + digest, digest)
            case _:
                yield from sasl.exchange(talk, b"AUTH", sasl.login(way, user, self.password), at_once=False)
                yield from talk.status()

    def _look(self, talk: _Talk) -> Generator[Step, Any, None]:
        """Ask for the size of the mailbox: some servers say +OK to a login before they have found out it is gone."""
        line = yield from talk.ask(b"STAT")
        if _STAT.fullmatch(line) is None:
            raise CheckFailed(Reason.PROTOCOL, f"got '{shown(line)}', which is no answer to STAT")


def _apop(greeting: bytes, password: bytes) -> bytes:
    """The digest of the greeting's stamp and the password (RFC 1939, 7)."""
    stamp = _STAMP.search(greeting)
    if stamp is None:
        raise CheckFailed(Reason.UNEXPECTED, f"got '{shown(greeting)}', want a time stamp in it for APOP")
    return hashlib.md5(stamp[0] + password, usedforsecurity=False).hexdigest().encode()
