"""Metrics of which there are as many series as servers: lines of text, made quickly and in small steps.

The client library takes 6 microseconds for each series, which for ten thousand servers is more than a second; a line
made here takes a twentieth of that. What stands above the lines is left to the library.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from healthd.assignment import Assignment
from healthd.metrics.families import Family

STEP = 250
"""Rows that are made lines of at a time: less than a millisecond."""

Values = tuple[float | None, ...]


class Labels:
    """The labels of series as they are written. They are the same from scrape to scrape, until there is a reload."""

    def __init__(self) -> None:
        self._assignment = Assignment()
        self._texts: dict[tuple[object, ...], str] = {}

    def keep(self, assignment: Assignment) -> None:
        """Begin a scrape; after a reload, which brings another assignment, all are made anew."""
        if assignment is not self._assignment:
            self._assignment = assignment
            self._texts.clear()

    def of(self, family: Family, *values: object) -> str:
        """The labels of one series of a family. values: in the order of its labels."""
        text = self._texts.get(values)
        if text is None:
            text = self._texts[values] = labelled(family.labels, values)
        return text


def labelled(names: Sequence[str], values: Sequence[object]) -> str:
    """Names and values of labels as they are written."""
    return "{" + ",".join(f'{name}="{_escaped(str(value))}"' for name, value in zip(names, values, strict=True)) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


class Grid:
    """Series of several metrics that have the same labels."""

    def __init__(self, families: Sequence[Family]) -> None:
        self._lines: dict[Family, list[bytes]] = {family: [] for family in families}
        self._rows: list[tuple[str, Values]] = []

    def add(self, labels: str, values: Values) -> None:
        """One more row. values: one for each family; None for no such series."""
        self._rows.append((labels, values))
        if len(self._rows) >= STEP:
            self._write()

    def bodies(self) -> Iterator[tuple[Family, bytes]]:
        """The lines of each family."""
        self._write()
        for family, lines in self._lines.items():
            yield family, b"".join(lines)

    def _write(self) -> None:
        rows, self._rows = self._rows, []
        for column, (family, lines) in enumerate(self._lines.items()):
            name = family.name
            text = [f"{name}{labels} {row[column]}\n" for labels, row in rows if row[column] is not None]
            lines.append("".join(text).encode())
