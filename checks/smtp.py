"""smtp: a mail server greets, answers EHLO, and as far as asked for speaks TLS, lets us in and takes a recipient.

RFC 5321, STARTTLS of RFC 3207, AUTH of RFC 4954. Submission (RFC 6409, port 587) and SMTP over TLS (RFC 8314, port 465)
are the same conversation.
"""

from __future__ import annotations

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
from healthd.check import CheckFailed, Connect, Connected, Conversation, Reason, Step, Target, Tls, option

_REPLY = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(.*))?", re.DOTALL)
_NO_EHLO = (500, 501, 502, 504, 550)  # what a server says to EHLO that knows HELO only (RFC 5321, 3.2 and 4.1.1.1)
_HELLO = re.compile(r"[A-Za-z0-9._-]+|\[[A-Za-z0-9.:-]+\]")
_PATH = re.compile(r"[!-;=?-~]*")


def _hello(text: str) -> str:
    if not _HELLO.fullmatch(text):
        raise ValueError(f"must be a host name or an address in brackets, such as [192.0.2.1], got {text!r}")
    return text


def _path(text: str | None) -> str | None:
    if text is not None and not _PATH.fullmatch(text):
        raise ValueError(f"must be an address in ASCII without spaces and < >, got {text!r}")
    return text


def _somebody(text: str | None) -> str | None:
    if text == "":
        raise ValueError("must not be empty")
    return _path(text)


@dataclass(frozen=True, slots=True)
class _Reply:
    """code: 200 to 599. lines: the texts after it. told: its first line, for people."""

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
        """One reply, of all its lines (RFC 5321, 4.2). CheckFailed(PROTOCOL) if it is none."""
        code, lines, more = b"", [], True
        while more:
            line = yield from self.line()
            match = _REPLY.fullmatch(line)
            if match is None or match[1] != (code or match[1]):
                raise CheckFailed(Reason.PROTOCOL, f"got '{self.shown(line)}', which is no reply of SMTP")
            code, more = match[1], match[2] == b"-"
            lines.append(match[3] or b"")
        told = self.shown(b"%b %b" % (code, lines[0])).strip()
        return _Reply(int(code), tuple(lines), told)

    def wait_for(self, *codes: int) -> Generator[Step, Any, _Reply]:
        """A reply with one of these codes. CheckFailed(UNEXPECTED) if it has another."""
        reply = yield from self.reply()
        if reply.code not in codes:
            raise CheckFailed(Reason.UNEXPECTED, f"got '{reply}', want {' or '.join(map(str, codes))}")
        return reply

    def ask(self, command: str, *codes: int) -> Generator[Step, Any, _Reply]:
        """Send a command and wait for its reply."""
        yield from self.say(command.encode())
        return (yield from self.wait_for(*codes))

    def challenge(self) -> Generator[Step, Any, bytes]:
        """The next challenge of a login (RFC 4954, 4)."""
        return (yield from self.wait_for(334)).lines[0]


@dataclass(frozen=True, slots=True)
class SmtpCheck:
    """A greeting of 220 and an answer to EHLO, or to HELO where EHLO is not known and nothing asked for needs it.

    Nothing is ever delivered: with `recipient` the server is asked whether it would take a message, and is then left
    before there is one. `starttls` is never silently given up. A password goes out without TLS, if there is none.
    """

    kind: ClassVar[str] = "smtp"

    tls: Tls | None = option(None, "speak TLS from the start")
    starttls: Tls | None = option(None, "begin TLS by STARTTLS")
    hello: str = option("localhost.localdomain", "name to greet with, or an address in brackets", rule=_hello)
    expect: str | None = option(None, "regular expression that must match in the text of the greeting", rule=regex)
    capabilities: tuple[str, ...] = option(
        (),
        'what the answer to EHLO must offer, such as "SIZE" or "AUTH PLAIN", with TLS if there is any',
        rule=wanted_rule,
    )
    user: str | None = option(None, "user to log in as; default: no login", rule=filled)
    password: str = option("", "password to log in with", rule=one_line, secret=True)
    auth: Literal["auto", "plain", "login", "cram-md5"] = option(
        "auto", "how to log in; auto: the best that is offered, without TLS rather one that does not show the password"
    )
    recipient: str | None = option(None, "address that the server must be ready to take mail for", rule=_somebody)
    sender: str | None = option(None, "sender of that mail; default: the empty one of bounces", rule=_path)

    _expect: re.Pattern[bytes] | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse what does not go together."""
        exclusive(self, "tls", "starttls")
        needs_user(self, "password", "auth")
        if self.sender is not None and self.recipient is None:
            raise ValueError("sender needs recipient")
        object.__setattr__(self, "_expect", greeting_pattern(self.expect))

    @property
    def usual_port(self) -> int:
        """The port where nobody names one."""
        return 465 if self.tls else 25

    def converse(self, target: Target) -> Conversation:
        """Greet, secure, log in, ask for the recipient, and leave."""
        connected: Connected = yield Connect(self.tls)
        talk, facts, done = _Talk(), connected.tls, []
        greeting = yield from talk.wait_for(220)
        match_greeting(self._expect, b"\n".join(greeting.lines))
        offered = yield from self._greet(talk)
        if self.starttls is not None:
            require(("STARTTLS",), offered)
            yield from talk.ask("STARTTLS", 220)
            facts = yield from talk.begin_tls(self.starttls)
            offered = yield from self._greet(talk)
        require(self.capabilities, offered)
        if self.user is not None:
            mechanism = sasl.chosen(self.auth, sasl.MECHANISMS, words_after("AUTH", offered), facts is not None)
            login = sasl.login(mechanism, self.user, self.password)
            yield from sasl.exchange(talk, b"AUTH", login, at_once=True)
            yield from talk.wait_for(235)
            done.append(f"logged in by {mechanism}")
        if self.recipient is not None:
            yield from talk.ask(f"MAIL FROM:<{self.sender or ''}>", 250)
            yield from talk.ask(f"RCPT TO:<{self.recipient}>", 250, 251, 252)
            done.append("recipient is taken")
        yield from talk.leave(b"QUIT")
        return told(str(greeting), facts, done)

    def _greet(self, talk: _Talk) -> Generator[Step, Any, frozenset[str]]:
        """What the server offers: nothing, if it knows only HELO."""
        yield from talk.say(f"EHLO {self.hello}".encode())
        reply = yield from talk.reply()
        if reply.code == 250:
            return offers(reply.lines[1:])
        if reply.code not in _NO_EHLO:
            raise CheckFailed(Reason.UNEXPECTED, f"got '{reply}' to EHLO, want 250")
        yield from talk.ask(f"HELO {self.hello}", 250)
        return frozenset()
