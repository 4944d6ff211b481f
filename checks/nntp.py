"""nntp: the server is ready for readers or peers (RFC 3977), over TLS if asked for (RFC 4642), logged in (RFC 4643).

Answers are a code of three digits and a text on one line; what CAPABILITIES lists follows in lines, up to one with a
dot alone.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, ClassVar

from checks.rules import between, exclusive, one_line
from healthd.check import (
    CheckFailed,
    Connect,
    Conversation,
    Reader,
    Reason,
    Send,
    StartTls,
    Step,
    Target,
    Tls,
    option,
    shown,
)

_MOST = 65536
"""Bytes of one answer. RFC 3977 allows 512 for a line; how long a list may be it does not say."""

_MOST_LINES = 1000
"""Lines of a list of capabilities."""

_LINE = re.compile(rb"([1-5][0-9][0-9])(?: (.*))?", re.DOTALL)
_UNKNOWN = (500, 501, 502, 503)  # a server older than RFC 3977 knows no CAPABILITIES
_LABEL = re.compile(r"[A-Za-z][A-Za-z0-9.-]{2,}")


def _one_word(text: str | None) -> str | None:
    """What stands in a command as one argument (RFC 3977, 3.1: nothing that is a space)."""
    if one_line(text) is not None and (not text or any(c.isspace() for c in text)):
        raise ValueError(f"must be one word, got {text!r}")
    return text


def _filled(text: str | None) -> str | None:
    if text is not None and not text.strip():
        raise ValueError("must not be empty")
    return one_line(text)


def _labels(texts: tuple[str, ...]) -> tuple[str, ...]:
    for text in texts:
        if not text.isascii() or not _LABEL.fullmatch(next(iter(text.split()), "")):
            raise ValueError(f"{text!r} is not a capability (RFC 3977, 9.5), such as READER or 'LIST ACTIVE'")
        one_line(text)
    return texts


@dataclass(frozen=True, slots=True)
class NntpCheck:
    """A news server that greets us and answers what it is asked.

    Without any option it is asked for its capabilities, which a server older than RFC 3977 may say it does not know.
    """

    kind: ClassVar[str] = "nntp"

    tls: Tls | None = option(None, "speak TLS from the start")
    starttls: Tls | None = option(None, "speak TLS after STARTTLS")
    mode_reader: bool = option(False, "say MODE READER first, for servers that serve peers unless told otherwise")
    posting: bool = option(False, "the server must allow posting (200, not 201)")
    user: str | None = option(None, "user to log in as (AUTHINFO USER)", rule=_filled)
    password: str | None = option(None, "password to log in with (AUTHINFO PASS)", rule=_filled, secret=True)
    capabilities: tuple[str, ...] = option(
        (), 'capabilities that the server must name, each with arguments if they matter ("LIST ACTIVE")', rule=_labels
    )
    group: str | None = option(None, "newsgroup that must be there", rule=_one_word)
    min_articles: int = option(0, "least number of articles the group must have", rule=between(0, 2**63 - 1))

    def __post_init__(self) -> None:
        """Look at what depends on two options."""
        exclusive(self, "tls", "starttls")
        if (self.user is None) != (self.password is None):
            raise ValueError("user and password need each other")
        if self.min_articles and self.group is None:
            raise ValueError("min_articles needs group")

    @property
    def usual_port(self) -> int:
        """The port where nobody names one."""
        return 563 if self.tls else 119

    def converse(self, target: Target) -> Conversation:
        """Hear the greeting, ask what is to be asked, and leave."""
        yield Connect(self.tls)
        reader = Reader(_MOST)
        greeting = yield from _answer(reader, 200, 201)
        if self.mode_reader:
            greeting = yield from _ask(reader, "MODE READER", 200, 201)
        if self.posting and greeting[0] != 200:
            raise CheckFailed(Reason.UNEXPECTED, f"got {_text(greeting)!r}, want 200")
        if self.starttls is not None:
            yield from _secure(reader, self.starttls)
        if self.user is not None and self.password is not None:
            yield from _log_in(reader, self.user, self.password)
        said = _text(greeting)
        if self.capabilities or self.group is None:
            yield from self._look_for_capabilities(reader)
        if self.group is not None:
            said = yield from self._look_for_group(reader, self.group)
        yield Send(b"QUIT\r\n")
        return said

    def _look_for_capabilities(self, reader: Reader) -> Generator[Step, Any, None]:
        answer = yield from _ask(reader, "CAPABILITIES", 101, *(() if self.capabilities else _UNKNOWN))
        if answer[0] != 101:
            return
        listed = yield from _list(reader)
        have = [line.upper().split() for line in listed]
        if next(iter(have), [])[:1] != [b"VERSION"]:
            raise CheckFailed(Reason.PROTOCOL, f"capabilities do not begin with VERSION: {_first(listed)}")
        for capability in self.capabilities:
            label, *arguments = capability.upper().encode().split()
            if not any(words[:1] == [label] and set(arguments) <= set(words[1:]) for words in have):
                got = shown(b", ".join(listed), 200)
                raise CheckFailed(Reason.UNEXPECTED, f"server is not capable of {capability}: got {got!r}")

    def _look_for_group(self, reader: Reader, group: str) -> Generator[Step, Any, str]:
        answer = yield from _ask(reader, f"GROUP {group}", 211)
        words = answer[1].split()
        if len(words) < 4 or not all(word.isdigit() and len(word) < 20 for word in words[:3]):
            raise CheckFailed(Reason.PROTOCOL, f"{_text(answer)!r} does not tell of a group")
        if words[3] != group.encode():
            raise CheckFailed(Reason.UNEXPECTED, f"got {_text(answer)!r}, want group {group}")
        if (count := int(words[0])) < self.min_articles:
            raise CheckFailed(Reason.UNEXPECTED, f"{group} has {count} articles, want {self.min_articles}")
        return f"{group} has {count} articles"


Answer = tuple[int, bytes]
"""Code and text of an answer."""


def _ask(reader: Reader, command: str, *want: int, hide: str = "") -> Generator[Step, Any, Answer]:
    yield Send(f"{command}\r\n".encode(), hide.encode())
    return (yield from _answer(reader, *want))


def _answer(reader: Reader, *want: int) -> Generator[Step, Any, Answer]:
    """One answer, which must be of a wanted code. CheckFailed(UNEXPECTED) for others, PROTOCOL if it is none."""
    line = yield from reader.line()
    match = _LINE.fullmatch(line)
    if match is None:
        raise CheckFailed(Reason.PROTOCOL, f"{shown(line)!r} is no answer of NNTP")
    code = int(match[1])
    if code not in want:
        wanted = " or ".join(map(str, want[:2]))
        raise CheckFailed(Reason.UNEXPECTED, f"got {shown(line)!r}, want {wanted}")
    return code, match[2] or b""


def _text(answer: Answer) -> str:
    return shown(str(answer[0]).encode() + b" " + answer[1])


def _list(reader: Reader) -> Generator[Step, Any, list[bytes]]:
    """The lines that follow an answer, up to the dot, a dot before each one's own taken away (RFC 3977, 3.1.1)."""
    lines: list[bytes] = []
    while (line := (yield from reader.line())) != b".":
        if len(lines) == _MOST_LINES:
            raise CheckFailed(Reason.PROTOCOL, f"list is longer than {_MOST_LINES} lines")
        lines.append(line.removeprefix(b"."))
    return lines


def _first(lines: list[bytes]) -> str:
    return repr(shown(lines[0])) if lines else "got none"


def _secure(reader: Reader, tls: Tls) -> Generator[Step, Any, None]:
    yield from _ask(reader, "STARTTLS", 382)
    if reader.buffer:  # it would be taken for what was said under TLS (CVE-2011-0411)
        raise CheckFailed(Reason.PROTOCOL, f"server said {shown(bytes(reader.buffer))!r} between STARTTLS and TLS")
    yield StartTls(tls)


def _log_in(reader: Reader, user: str, password: str) -> Generator[Step, Any, None]:
    code, _ = yield from _ask(reader, f"AUTHINFO USER {user}", 281, 381)
    if code == 381:
        yield from _ask(reader, f"AUTHINFO PASS {password}", 281, hide=password)
