"""A file of ldirectord as a source of configuration: its lines, and where each key of our tables comes from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from healthd.config.ldirectord.directives import OF_VIRTUAL
from healthd.config.ldirectord.globals import OF_FILE
from healthd.config.positions import Positions
from healthd.config.problems import Path, Problem, Severity, Span, nearest
from healthd.config.schema import Place
from healthd.config.source import Source

SECRETS = ("passwd", "secret")
_VALUE = re.compile(r"\s*([A-Za-z_]*)\s*[=:]?\s*(.*)")


@dataclass(slots=True)
class Spans(Positions):
    """Spans of what our tables were made from, by path of the table."""

    spans: Mapping[Path, Span] = field(default_factory=dict)

    def span(self, path: Path, *, key: bool = False) -> Span:
        """Where a value was said; where the nearest thing around it was if it was said nowhere itself."""
        while path:
            if path in self.spans:
                return self.spans[path]
            path = path[:-1]
        return Span()


@dataclass(slots=True)
class Listing(Source):
    """A file of ldirectord, which runs though a program of a check is missing. tree: our tables, once they are made.

    spans: where what they say stands.

    quiet: lines with what changes meaning there, which is only told to who converts the file.
    """

    needs_files: bool = False
    spans: Mapping[Path, Span] = field(default_factory=dict)
    quiet: tuple[tuple[int, str], ...] = ()
    _split: list[str] = field(default_factory=list)

    @property
    def positions(self) -> Positions:
        """Where every key and value stands."""
        return Spans(self.text, spans=self.spans)

    def line(self, number: int) -> str:
        """One line of the text, counted from 1, without its end; passwords are masked."""
        self._split = self._split or self.text.split("\n")
        if not 1 <= number <= len(self._split):
            return ""
        line = self._split[number - 1].rstrip("\r")
        found = _VALUE.match(line)
        if found and secret(found[1]):
            return line[: found.start(2)] + "*" * len(found[2])
        return line

    def place(self, path: Path) -> Place:
        """File and line of a service or a real server."""
        return Place(self.name, self.positions.span(path).line)

    def problem(self, severity: Severity, span: Span, text: str, **parts: Any) -> Problem:
        """Something that is wrong in this file."""
        return Problem(severity, text, self.name, span, self.line(span.line), **parts)


def secret(name: str) -> bool:
    """Whether a directive's value is not to be shown, also if its name is misspelt."""
    return nearest(name, (*OF_VIRTUAL, *OF_FILE, "real")) in SECRETS
