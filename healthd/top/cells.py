"""Styled text that is measured in cells of a terminal. Pure.

Whatever is shown goes through `Line.cut`, so nothing of a stranger's text reaches a terminal as more than letters.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

from healthd.log.printable import printable

ELLIPSIS = "…"


class Style(Enum):
    """What a text means; how that looks is up to the screen."""

    PLAIN = auto()
    DIM = auto()
    STRONG = auto()
    BAR = auto()
    GOOD = auto()
    WARNING = auto()
    BAD = auto()
    OUT = auto()


@dataclass(frozen=True, slots=True)
class Span:
    """A text in one style."""

    text: str
    style: Style = Style.PLAIN


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the screen. marked: the one that is selected."""

    spans: tuple[Span, ...] = ()
    marked: bool = False

    def cut(self, width: int) -> Line:
        """The line in so many cells at most; one that is marked fills them."""
        spans, left = [], width
        for span in self.spans:
            text = clipped(printable(span.text), left)
            spans.append(Span(text, span.style))
            left -= cells(text)
        if self.marked:
            spans.append(Span(" " * left))
        return Line(tuple(span for span in spans if span.text), self.marked)

    def faded(self) -> Line:
        """The line as one of the past."""
        return Line(tuple(Span(span.text, Style.DIM) for span in self.spans), self.marked)


def line(text: str, style: Style = Style.PLAIN) -> Line:
    """A line in one style."""
    return Line((Span(text, style),))


def cells(text: str) -> int:
    """How many cells a text takes: two for wide letters (UAX 11), none for marks upon other letters."""
    return len(text) if text.isascii() else sum(map(_cells, text))


def _cells(letter: str) -> int:
    if unicodedata.category(letter) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def clipped(text: str, width: int) -> str:
    """The text, or as much of it as fits with a sign that there is more."""
    if cells(text) <= width:
        return text
    return _start(text, width - 1) + ELLIPSIS if width > 0 else ""


def fitted(text: str, width: int, *, right: bool = False) -> str:
    """The text in exactly so many cells."""
    text = clipped(printable(text), width)
    blank = " " * (width - cells(text))
    return blank + text if right else text + blank


def folded(text: str, width: int) -> Iterator[str]:
    """The lines of a text, those that are too long broken between words; what goes on is indented below."""
    for whole in text.split("\n"):
        left = printable(whole)
        indent = " " * min(len(left) - len(left.lstrip()) + 2, max(0, width - 8))
        while cells(left) > width:
            head = _start(left, width) or left[:1]
            at = head.rfind(" ") if head.rfind(" ") > len(indent) else len(head)
            yield left[:at]
            rest = left[at:].lstrip()
            left = indent + rest if cells(indent) + 2 <= width else rest
        yield left


def _start(text: str, width: int) -> str:
    taken = 0
    for at, letter in enumerate(text):
        taken += _cells(letter)
        if taken > width:
            return text[:at]
    return text
