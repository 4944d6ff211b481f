"""What smtp, imap and pop share of a conversation in lines: what a server offers, TLS in the middle, and leaving."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable
from contextlib import suppress
from typing import Any

from checks.rules import one_line, pattern, want, without
from healthd.check import CheckFailed, Reader, Reason, Send, StartTls, Step, Tls, TlsFacts, shown

MOST = 65536
"""Bytes that a server may say in answer to one line of ours."""


class Lines:
    """The lines of one conversation. What comes between two lines of ours is bounded by `MOST`."""

    __slots__ = ("_left", "_reader", "_secret")

    def __init__(self) -> None:
        self._reader = Reader(MOST)
        self._left = MOST
        self._secret = b""

    def say(self, line: bytes, hide: bytes = b"") -> Generator[Step, Any, None]:
        """Send a line. hide: the part of it that nobody may be shown, even if the server repeats it."""
        self._left, self._secret = MOST, hide
        yield Send(line + b"\r\n", hide)

    def line(self) -> Generator[Step, Any, bytes]:
        """The next line, without its end. CheckFailed(PROTOCOL) if the stream ends before, or goes on for too long."""
        line = yield from self._reader.line()
        self._spend(len(line) + 2)
        return line

    def exactly(self, count: int) -> Generator[Step, Any, bytes]:
        """The next bytes, whatever they are. CheckFailed(PROTOCOL) as above."""
        self._spend(count)
        return (yield from self._reader.exactly(count))

    def shown(self, said: bytes) -> str:
        """What the server said, for a detail."""
        return shown(without(self._secret, said))

    def _spend(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise CheckFailed(Reason.PROTOCOL, f"answer is longer than {MOST} bytes")

    def begin_tls(self, tls: Tls) -> Generator[Step, Any, TlsFacts]:
        """Speak TLS from here on.

        What came after the answer that allowed it may be anybody's: it must not be taken for what is said within TLS
        (CVE-2011-0411 and its like), so it fails the server.
        """
        if self._reader.buffer:
            raise CheckFailed(Reason.PROTOCOL, "more came than the answer to the command that begins TLS")
        facts: TlsFacts = yield StartTls(tls)
        return facts

    def leave(self, farewell: bytes) -> Generator[Step, Any, None]:
        """Say good-bye and do not wait for the answer; the verdict stands even if the server is gone already."""
        with suppress(CheckFailed):
            yield from self.say(farewell)


def offers(lines: Iterable[bytes]) -> frozenset[str]:
    """What lines such as b"AUTH PLAIN LOGIN" offer, in capitals: {"AUTH", "AUTH PLAIN", "AUTH LOGIN"}."""
    found = set()
    for line in lines:
        word, *rest = line.decode("ascii", "replace").upper().split() or [""]
        found |= {word, *(f"{word} {one}" for one in rest)}
    return frozenset(found - {""})


def words_after(word: str, offered: Iterable[str]) -> frozenset[str]:
    """What is offered with a word, such as the mechanisms after AUTH."""
    return frozenset(one.removeprefix(f"{word} ") for one in offered if one.startswith(f"{word} "))


def require(wanted: Iterable[str], offered: frozenset[str]) -> None:
    """CheckFailed(UNEXPECTED) unless all that is wanted is offered."""
    missing = [text for text in wanted if not offers([text.encode()]) <= offered]
    if missing:
        raise CheckFailed(Reason.UNEXPECTED, f"does not offer {', '.join(missing)}")


def filled(text: str | None) -> str | None:
    """A rule for a name in one line that is not empty; None is left alone."""
    if text == "":
        raise ValueError("must not be empty")
    return one_line(text)


def wanted_rule(texts: tuple[str, ...]) -> tuple[str, ...]:
    """A rule for an option that lists what a server must offer."""
    for text in texts:
        one_line(text)
        if not text.strip() or not text.isascii():
            raise ValueError(f"must name what is offered in ASCII, such as STARTTLS, got {text!r}")
    return texts


def match_greeting(expect: re.Pattern[bytes] | None, greeting: bytes) -> None:
    """CheckFailed(UNEXPECTED) unless the greeting matches, if it has to."""
    if expect is not None:
        want(expect.search(greeting) is not None, greeting, expect=expect.pattern.decode())


def told(greeting: str, facts: TlsFacts | None, done: Iterable[str]) -> str:
    """What people read of a server that passed."""
    return ", ".join((greeting, *([facts.version] if facts else []), *done))


def greeting_pattern(expect: str | None) -> re.Pattern[bytes] | None:
    """The option `expect`, compiled."""
    return None if expect is None else pattern(expect)


def needs_user(check: Any, *options: str) -> None:
    """ValueError if one of these options is not at its default although there is no user to log in."""
    fields = type(check).__dataclass_fields__
    for name in options:
        if check.user is None and getattr(check, name) != fields[name].default:
            raise ValueError(f"{name} needs user")
