"""Where each key and value of a TOML text stands.

The parser gives values without positions. This scanner gives positions without values: it walks a text that has been
parsed already, so it may take every bracket and quote at its word and knows nothing of types. It accepts TOML 1.1
(line ends in inline tables, new escapes) as the parser does. It runs only when there is a problem to be shown.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from contextlib import suppress
from dataclasses import dataclass, field

import tomli

from healthd.config.problems import Path, Span

_SPACE = re.compile(r"[ \t]*")
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_FORMS = (
    r'"""(?:\\.|[^\\])*?"{3,5}(?!")',
    r"'''.*?'{3,5}(?!')",
    r'"(?:\\.|[^"\\\n])*"',
    r"'[^'\n]*'",
)
_STRING = re.compile("|".join(_FORMS), re.DOTALL)
_SCALAR = re.compile(r"\d{4}-\d\d-\d\d \d\d:[0-9:.+Zz-]*|[^\s,\]}#]+")

Range = tuple[int, int]


class _Lost(Exception):
    """The text is not what the scanner expects; what was found until here stands."""


@dataclass(slots=True)
class Positions:
    """Spans of the keys and values of one text, by path."""

    text: str
    keys: dict[Path, Range] = field(default_factory=dict)
    values: dict[Path, Range] = field(default_factory=dict)
    lines: list[int] = field(default_factory=list)

    def span(self, path: Path, *, key: bool = False) -> Span:
        """Where a value (or its key) stands; where the nearest thing around it does if it stands nowhere itself."""
        first, second = (self.keys, self.values) if key else (self.values, self.keys)
        while path:
            found = first.get(path) or second.get(path)
            if found is not None:
                return self.place(*found)
            path = path[:-1]
        return Span()

    def place(self, start: int, end: int) -> Span:
        """Line and column of a range of the text; no wider than its first line."""
        line = bisect_right(self.lines, start)
        stop = self.text.find("\n", start)
        end = end if stop < 0 else min(end, stop)
        return Span(line, start - self.lines[line - 1] + 1, max(1, end - start))


def positions(text: str) -> Positions:
    """Scan a text that is valid TOML."""
    found = Positions(text, lines=[0, *(match.end() for match in re.finditer("\n", text))])
    scanner = _Scanner(text, found)
    with suppress(_Lost):
        scanner.document()
    return found


class _Scanner:
    """One walk over a text. at: offset of what comes next. items: how many tables each array of tables has so far."""

    def __init__(self, text: str, found: Positions) -> None:
        self.text = text
        self.found = found
        self.at = 0
        self.items: dict[Path, int] = {}

    def document(self) -> None:
        table: Path = ()
        self.skip(_BLANK)
        while self.at < len(self.text):
            if self.text[self.at] == "[":
                table = self.header()
            else:
                self.pair(table)
            self.skip(_BLANK)

    def header(self) -> Path:
        start, array = self.at, self.text.startswith("[[", self.at)
        self.at += 2 if array else 1
        parts = self.key()
        self.expect("]]" if array else "]")
        path = self.enter((), [name for name, _ in parts[:-1]], (start, self.at))
        path = (*path, parts[-1][0])
        if array:
            index = self.items[path] = self.items.get(path, -1) + 1
            self.note(path, (start, self.at))
            path = (*path, index)
        elif path in self.items:
            path = (*path, self.items[path])
        self.note(path, (start, self.at))
        return path

    def enter(self, path: Path, names: list[str], where: Range) -> Path:
        for name in names:
            path = (*path, name)
            self.note(path, where)
            if path in self.items:
                path = (*path, self.items[path])
        return path

    def note(self, path: Path, where: Range) -> None:
        self.found.keys.setdefault(path, where)
        self.found.values.setdefault(path, where)

    def pair(self, table: Path) -> None:
        path = table
        for name, where in self.key():
            path = (*path, name)
            self.found.keys.setdefault(path, where)
        self.expect("=")
        self.skip(_SPACE)
        self.value(path)

    def key(self) -> list[tuple[str, Range]]:
        """A dotted key up to what follows it."""
        parts = [self.part()]
        while self.text.startswith(".", self.at):
            self.at += 1
            parts.append(self.part())
        return parts

    def part(self) -> tuple[str, Range]:
        self.skip(_SPACE)
        start = self.at
        raw = self.take(_STRING if self.text[start : start + 1] in {'"', "'"} else _BARE)
        self.skip(_SPACE)
        return self.name(raw), (start, start + len(raw))

    def name(self, raw: str) -> str:
        """What a part of a key says, quotes and escapes undone."""
        if raw[0] not in "\"'":
            return raw
        try:
            return next(iter(tomli.loads(f"{raw} = 0")))
        except tomli.TOMLDecodeError:
            raise _Lost from None

    def value(self, path: Path) -> None:
        start = self.at
        match self.text[start : start + 1]:
            case "[":
                self.array(path)
            case "{":
                self.inline(path)
            case '"' | "'":
                self.take(_STRING)
            case _:
                self.take(_SCALAR)
        self.found.values[path] = (start, self.at)

    def array(self, path: Path) -> None:
        self.at += 1
        index = 0
        while not self.closed("]"):
            self.value((*path, index))
            index += 1
            self.comma()

    def inline(self, path: Path) -> None:
        self.at += 1
        while not self.closed("}"):
            self.pair(path)
            self.comma()

    def comma(self) -> None:
        self.skip(_BLANK)
        if self.text.startswith(",", self.at):
            self.at += 1

    def closed(self, bracket: str) -> bool:
        self.skip(_BLANK)
        if self.text.startswith(bracket, self.at):
            self.at += 1
            return True
        return False

    def skip(self, pattern: re.Pattern[str]) -> None:
        found = pattern.match(self.text, self.at)
        self.at = found.end() if found else self.at

    def take(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self.text, self.at)
        if found is None:
            raise _Lost
        self.at = found.end()
        return found.group()

    def expect(self, mark: str) -> None:
        if not self.text.startswith(mark, self.at):
            raise _Lost
        self.at += len(mark)
