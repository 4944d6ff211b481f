"""Where the reading of a Perl pattern stands, and the flags that hold there."""

from __future__ import annotations

import re
from dataclasses import dataclass

from healthd.config.ldirectord.perl_nodes import PatternRefused


@dataclass(frozen=True, slots=True)
class Flags:
    """What the inline flags say: (?i), (?m), (?s), (?x) once or twice, (?n), and Unicode rules or ASCII rules."""

    fold: bool = False
    lines: bool = False
    dotall: bool = False
    spaced: int = 0
    bare: bool = False
    rules: str = "d"


class Cursor:
    """A place in a pattern, of which each character stands for one byte."""

    __slots__ = ("_positions", "at", "text")

    def __init__(self, text: str) -> None:
        raw = [_raw(char, position) for position, char in enumerate(text)]
        self.text = b"".join(raw).decode("latin-1")
        self.at = 0
        self._positions = [position for position, part in enumerate(raw) for _ in part]

    def wrong(self, construct: str, at: int | None = None) -> PatternRefused:
        """What to raise because of what stands at `at`, or here, and what Perl does not take either."""
        return PatternRefused(f"is not a regular expression of Perl's: {construct}", self._position(at))

    def refuse(self, construct: str, at: int | None = None) -> PatternRefused:
        """What to raise because of what stands at `at`, or here, and what Python has no counterpart for."""
        return PatternRefused(
            f"is a Perl regular expression that cannot be translated: {construct}", self._position(at)
        )

    def _position(self, at: int | None) -> int:
        place, known = self.at if at is None else at, self._positions
        return known[place] if place < len(known) else known[-1] + 1 if known else 0

    @property
    def done(self) -> bool:
        """True at the end of the pattern."""
        return self.at >= len(self.text)

    def peek(self) -> str:
        """The next character; empty at the end."""
        return self.text[self.at : self.at + 1]

    def next(self) -> str:
        """The next character, which is then behind us; empty at the end."""
        char = self.peek()
        self.at += len(char)
        return char

    def sees(self, expression: re.Pattern[str]) -> re.Match[str] | None:
        """What of `expression` stands here."""
        return expression.match(self.text, self.at)

    def take(self, expression: re.Pattern[str]) -> re.Match[str] | None:
        """The same, and goes behind it."""
        found = self.sees(expression)
        if found:
            self.at = found.end()
        return found

    def take_text(self, text: str) -> bool:
        """Goes behind `text` if it stands here."""
        here = self.text.startswith(text, self.at)
        self.at += len(text) if here else 0
        return here


def _raw(char: str, position: int) -> bytes:
    try:
        return char.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise PatternRefused(f"is not text: {char!a} is no character", position) from None
