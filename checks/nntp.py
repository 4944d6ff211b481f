"""nntp: a news server greets, answers, and as far as asked for speaks TLS, lets us in and has a group.

RFC 3977, STARTTLS of RFC 4642 and 8143, AUTHINFO of RFC 4643.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any, ClassVar

from checks.lines import Lines, greeting_pattern, match_greeting, needs_user, offers, require, wanted_rule
from checks.rules import between, exclusive, one_line, regex
from healthd.check import CheckFailed, Connect, Connected, Conversation, Reason, Step, Target, Tls, option, shown

_LINE = re.compile(rb"([1-5][0-9][0-9])(?: (.*))?", re.DOTALL)
_NO_CAPABILITIES = (500, 501, 502, 503)  # what a server older than RFC 3977 says to CAPABILITIES
_NUMBER = re.compile(rb"[0-9]{1,16}")  # RFC 3977, 9.8


def _group(text: str | None) -> str | None:
    if one_line(text) is not None and (not text or any(c.isspace() or c in "*?!,[]" for c in text)):
        raise ValueError(f"must be the name of one newsgroup, got {text!r}")
    return text


def _filled(text: str | None) -> str | None:
    if text is not None and not text.strip():
        raise ValueError("must not be empty")
    return one_line(text)


@dataclass(frozen=True, slots=True)
class _Answer:
    """code: 100 to 599. text: what stands after it. told: both, for people."""

    code: int
    text: bytes
    told: str

    def __str__(self) -> str:
        """For people."""
        return self.told


class _Talk(Lines):
    """A conversation in commands and answers."""

    __slots__ = ()

    def wait_for(self, *codes: int) -> Generator[Step, Any, _Answer]:
        """An answer with one of these codes. CheckFailed(UNEXPECTED) if it has another, PROTOCOL if it is none."""
        line = yield from self.line()
        match = _LINE.fullmatch(line)
        if match is None:
            raise CheckFailed(Reason.PROTOCOL, f"got {self.shown(line)!r}, which is no answer of NNTP")
        answer = _Answer(int(match[1]), match[2] or b"", self.shown(line).strip())
        if answer.code not in codes:
            raise CheckFailed(Reason.UNEXPECTED, f"got '{answer}', want {' or '.join(map(str, codes[:2]))}")
        return answer

    def ask(self, command: bytes, *codes: int, hide: bytes = b"") -> Generator[Step, Any, _Answer]:
        """Send a command and wait for its answer."""
        yield from self.say(command, hide)
        return (yield from self.wait_for(*codes))

    def capabilities(self, needed: bool) -> Generator[Step, Any, frozenset[str]]:
        """What the server says it can do; nothing if it may be too old to say, and is."""
        answer = yield from self.ask(b"CAPABILITIES", 101, *(() if needed else _NO_CAPABILITIES))
        if answer.code != 101:
            return frozenset()
        lines = []
        while (line := (yield from self.line())) != b".":
            lines.append(line)
        offered = offers(lines)
        if "VERSION" not in offered:  # RFC 3977, 5.2.2: the first of all
            raise CheckFailed(Reason.PROTOCOL, f"capabilities without VERSION: {shown(b', '.join(lines))!r}")
        return offered


@dataclass(frozen=True, slots=True)
class NntpCheck:
    """A greeting of 200 or 201 and an answer to CAPABILITIES, which may be that the server does not know it.

    With `group` only, the answer to GROUP stands for the one to CAPABILITIES. `starttls` is never silently given up. A
    password goes out without TLS, if there is none.
    """

    kind: ClassVar[str] = "nntp"

    tls: Tls | None = option(None, "speak TLS from the start")
    starttls: Tls | None = option(None, "begin TLS by STARTTLS")
    expect: str | None = option(None, "regular expression that must match in the greeting", rule=regex)
    mode_reader: bool = option(False, "say MODE READER first, to a server that serves its peers unless told otherwise")
    posting: bool = option(False, "the server must allow posting: 200, not 201")
    user: str | None = option(None, "user to log in as by AUTHINFO; default: no login", rule=_filled)
    password: str = option("", "password to log in with", rule=one_line, secret=True)
    capabilities: tuple[str, ...] = option(
        (),
        'what the server must be able to do, such as "READER" or "LIST ACTIVE", asked after the login',
        rule=wanted_rule,
    )
    group: str | None = option(None, "newsgroup that must be there", rule=_group)
    min_articles: int = option(0, "least number of articles the group must have", rule=between(0, 2**53))

    _expect: re.Pattern[bytes] | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse what does not go together."""
        exclusive(self, "tls", "starttls")
        needs_user(self, "password")
        if self.min_articles and self.group is None:
            raise ValueError("min_articles needs group")
        object.__setattr__(self, "_expect", greeting_pattern(self.expect))

    @property
    def usual_port(self) -> int:
        """The port where nobody names one."""
        return 563 if self.tls else 119

    def converse(self, target: Target) -> Conversation:
        """Read the greeting, secure, log in, ask what is to be asked, and leave."""
        connected: Connected = yield Connect(self.tls)
        talk, facts = _Talk(), connected.tls
        greeting = yield from self._begin(talk)
        if self.starttls is not None:
            yield from talk.ask(b"STARTTLS", 382)
            facts = yield from talk.begin_tls(self.starttls)
        done = yield from self._log_in(talk)
        if self.capabilities or self.group is None:
            require(self.capabilities, (yield from talk.capabilities(needed=bool(self.capabilities))))
        if self.group is not None:
            done += yield from self._look_for(talk, self.group)
        yield from talk.leave(b"QUIT")
        return f"{greeting}{f', {facts.version}' if facts else ''}{done}"

    def _begin(self, talk: _Talk) -> Generator[Step, Any, _Answer]:
        """The greeting, or MODE READER's, which comes first: TLS may not outlive the change to another server."""
        greeting = yield from talk.wait_for(200, 201)
        match_greeting(self._expect, greeting.text)
        if self.mode_reader:
            greeting = yield from talk.ask(b"MODE READER", 200, 201)
        if self.posting and greeting.code != 200:
            raise CheckFailed(Reason.UNEXPECTED, f"got '{greeting}', want 200")
        return greeting

    def _log_in(self, talk: _Talk) -> Generator[Step, Any, str]:
        if self.user is None:
            return ""
        answer = yield from talk.ask(b"AUTHINFO USER " + self.user.encode(), 281, 381)
        if answer.code == 381:
            password = self.password.encode()
            yield from talk.ask(b"AUTHINFO PASS " + password, 281, hide=password)
        return ", logged in"

    def _look_for(self, talk: _Talk, group: str) -> Generator[Step, Any, str]:
        answer = yield from talk.ask(b"GROUP " + group.encode(), 211)
        words = answer.text.split()
        if len(words) < 4 or not all(map(_NUMBER.fullmatch, words[:3])):
            raise CheckFailed(Reason.PROTOCOL, f"got '{answer}', which tells of no group")
        if words[3] != group.encode():
            raise CheckFailed(Reason.UNEXPECTED, f"got '{answer}', want {group}")
        if (count := int(words[0])) < self.min_articles:
            raise CheckFailed(Reason.UNEXPECTED, f"{group} has {count} articles, want {self.min_articles}")
        return f", {group} has {count} articles"
