"""The columns of the list: what stands in them, what they sort by, and which of them fit. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from healthd.show import ago
from healthd.top.cells import Line, Span, Style, cells, fitted
from healthd.top.rows import Row, age_of, answer_of, is_failed, state_of, streak_of, style_of

ANSWER_SHARE = 0.2
"""Part of the screen's width that the last column should have before others are left out."""
STATES = ("down", "not configured", "fallback in use", "unknown", "up", "fallback")


@dataclass(frozen=True, slots=True)
class Column:
    """One column. key: what it sorts by, None where there is nothing; falls: whether the greatest comes first.

    share: the part of the screen's width that it may have; spare: the greater, the sooner it is left out.
    """

    title: str
    text: Callable[[Row], str]
    key: Callable[[Row], Any]
    least: int = 0
    share: float = 1.0
    right: bool = False
    falls: bool = False
    spare: int = 0
    style: Callable[[Row], Style] = lambda _: Style.PLAIN


def _server(row: Row) -> str:
    name = row.real["name"]
    return f"{row.real['address']} ({name})" if name else str(row.real["address"])


@lru_cache(maxsize=8192)
def _natural(text: str) -> tuple[tuple[int, str], ...]:
    """10.0.0.9 comes before 10.0.0.11."""
    return tuple((int(digits or -1), other) for digits, other in re.findall(r"([0-9]+)|([^0-9]+)", text))


def _state_rank(row: Row) -> tuple[int, str]:
    phase = row.real["phase"]
    return STATES.index(phase) if phase in STATES else len(STATES), state_of(row)


def _streak(row: Row) -> str:
    found = streak_of(row)
    return f"{found[0]}/{found[1]}" if found else ""


def _nearness(row: Row) -> float | None:
    found = streak_of(row)
    return found[0] / found[1] if found else None


def _weight(row: Row) -> str:
    has, configured = row.real["weight"], row.real["configured_weight"]
    shown = "-" if has is None else str(has)
    return shown if configured in (None, has) else f"{shown}/{configured}"


def _since(seconds: float | None) -> str:
    return "-" if seconds is None else ago(seconds)


def _connections(row: Row, name: str) -> int | None:
    return row.real["connections"][name] if row.real["connections"] else None


def _count(number: int | None) -> str:
    return "-" if number is None else str(number)


def _change(row: Row, which: int) -> float | None:
    return row.change[which] if row.change else None


def _per_second(change: float | None) -> str:
    """Whole above ten: nobody reads tenths of hundreds."""
    if change is None or not change:
        return "" if change is None else "0"
    return f"{change:+.0f}" if abs(change) >= 10 else f"{change:+.1f}"


def _answer_style(row: Row) -> Style:
    return Style.BAD if is_failed(row) and row.real["checks"] else Style.PLAIN


COLUMNS = (
    Column("SERVICE", lambda row: row.service["name"], lambda row: _natural(row.service["name"]), share=0.2),
    Column("SERVER", _server, lambda row: _natural(row.real["address"]), least=14, share=0.35),
    Column("STATE", state_of, _state_rank, least=12, share=0.25, style=style_of),
    Column("STREAK", _streak, _nearness, right=True, falls=True, spare=3),
    Column("FOR", lambda row: _since(row.real["for"]), lambda row: row.real["for"], least=4, right=True, spare=4),
    Column("WEIGHT", _weight, lambda row: row.real["weight"], right=True, falls=True),
    Column(
        "ACT",
        lambda row: _count(_connections(row, "active")),
        lambda row: _connections(row, "active"),
        least=4,
        right=True,
        falls=True,
    ),
    Column(
        "ACT/S", lambda row: _per_second(_change(row, 0)), lambda row: _change(row, 0), right=True, falls=True, spare=1
    ),
    Column(
        "INACT",
        lambda row: _count(_connections(row, "inactive")),
        lambda row: _connections(row, "inactive"),
        right=True,
        falls=True,
        spare=5,
    ),
    Column(
        "INACT/S",
        lambda row: _per_second(_change(row, 1)),
        lambda row: _change(row, 1),
        right=True,
        falls=True,
        spare=6,
    ),
    Column("AGO", lambda row: _since(age_of(row)), age_of, least=4, right=True, falls=True, spare=2),
    Column("LAST ANSWER", answer_of, lambda row: answer_of(row) or None, style=_answer_style),
)
ANSWER = COLUMNS[-1]


def ordered(rows: Sequence[Row], column: Column, *, turned: bool) -> tuple[Row, ...]:
    """The rows by a column, the greatest first where that is what people look for. What has nothing comes last."""
    keyed = [(column.key(row), row) for row in rows]
    there = [pair for pair in keyed if pair[0] is not None]
    there.sort(key=lambda pair: pair[0], reverse=column.falls is not turned)
    return tuple(row for _, row in there) + tuple(row for key, row in keyed if key is None)


@dataclass(frozen=True, slots=True)
class Table:
    """Columns with their widths. mark: what stands behind the title of the one that is sorted by."""

    widths: tuple[tuple[Column, int], ...]
    sorted_by: Column
    mark: str

    def head(self) -> Line:
        """The titles."""
        texts = [fitted(self._title(column), width, right=column.right) for column, width in self.widths]
        return Line((Span(" ".join(texts), Style.BAR),))

    def row(self, row: Row, *, marked: bool) -> Line:
        """A server."""
        spans = []
        for column, width in self.widths:
            spans += [Span(fitted(column.text(row), width, right=column.right), column.style(row)), Span(" ")]
        return Line(tuple(spans[:-1]), marked)

    def _title(self, column: Column) -> str:
        return column.title + (self.mark if column is self.sorted_by else "")


def table(everything: Sequence[Row], visible: Sequence[Row], width: int, sorted_by: Column, *, turned: bool) -> Table:
    """The columns that fit into a width.

    Names are as wide as the widest of all rows, so that the columns stand still while one scrolls.
    """
    mark = "▼" if sorted_by.falls is not turned else "▲"
    widest = {}
    for column in COLUMNS[:-1]:
        rows = everything if column in COLUMNS[:2] else visible
        longest = max((cells(column.text(row)) for row in rows), default=0)
        title = cells(column.title) + (column is sorted_by)
        widest[column] = max(title, column.least, min(longest, int(width * column.share)))
    kept = list(COLUMNS[:-1])
    by_spare = sorted((column for column in kept if column.spare and column is not sorted_by), key=lambda c: c.spare)
    while by_spare and sum(widest[column] + 1 for column in kept) > width * (1 - ANSWER_SHARE):
        kept.remove(by_spare.pop())
    left = max(0, width - sum(widest[column] + 1 for column in kept))
    return Table((*((column, widest[column]) for column in kept), (ANSWER, left)), sorted_by, mark)
