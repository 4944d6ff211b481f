"""What is wrong with a configuration: values for programs, text for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum

Path = tuple[str | int, ...]


class Severity(Enum):
    """ERROR: the configuration cannot be used. WARNING: it can, but is hardly what was meant."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of one line; line and column count from 1, 0 is unknown. Columns and width are in characters."""

    line: int = 0
    column: int = 0
    width: int = 1


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    text: one line, complete by itself. path: keys and indexes (from 0) from the root of the file. source: the line the
    span lies in. expected, found, suggestion: parts of the text for programs, empty where they make no sense.
    """

    severity: Severity
    text: str
    file: str = ""
    span: Span = Span()
    source: str = ""
    path: Path = ()
    expected: str = ""
    found: str = ""
    suggestion: str = ""

    @property
    def rank(self) -> tuple[str, int, int, str]:
        """Position in a sorted list: by file, then by place in it."""
        return (self.file, self.span.line, self.span.column, self.text)

    def __str__(self) -> str:
        """The line of compilers: www.toml:12:5: error: text."""
        place = [self.file] if self.file else []
        if self.span.line:
            place += [str(self.span.line), str(self.span.column)]
        return ": ".join(filter(None, [":".join(place), self.severity.value, self.text]))


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word that was probably meant, empty if none is near. Hyphen and underscore are the same here."""
    spelt = {name.replace("-", "_"): name for name in known}
    said = word.lower().replace("-", "_")
    near = get_close_matches(said, spelt, n=1, cutoff=0.6)
    near = near or [name for name in spelt if len(name) > 2 and said.startswith(name)]
    return spelt[near[0]] if near else ""


def as_json(problem: Problem) -> Mapping[str, object]:
    """A problem as a mapping of JSON types."""
    return {
        "severity": problem.severity.value,
        "file": problem.file,
        "line": problem.span.line,
        "column": problem.span.column,
        "width": problem.span.width,
        "path": list(problem.path),
        "text": problem.text,
        "expected": problem.expected,
        "found": problem.found,
        "suggestion": problem.suggestion,
        "source": problem.source,
    }


def render(problems: Sequence[Problem], *, color: bool = False) -> str:
    """Problems as text for people: each with its line of source and a caret, then a count. Empty text for none."""
    if not problems:
        return ""
    blocks = [_block(problem, _COLORS if color else {}) for problem in problems]
    return "\n".join([*blocks, _count(problems)]) + "\n"


_WIDTH = 160  # characters of a line of source to show
_COLORS: Mapping[str, str] = {"error": "\x1b[1;31m", "warning": "\x1b[1;33m", "caret": "\x1b[1;32m", "end": "\x1b[0m"}


def _block(problem: Problem, colors: Mapping[str, str]) -> str:
    word, end = problem.severity.value, colors.get("end", "")
    head = str(problem).replace(f"{word}: ", f"{colors.get(word, '')}{word}:{end} ", 1)
    if not (problem.span.line and problem.source.strip()):
        return head
    number = str(problem.span.line)
    source, column = _window(problem.source, problem.span.column)
    before = "".join("\t" if c == "\t" else " " for c in source[: column - 1])
    carets = "^" * max(1, min(problem.span.width, len(source) - len(before)))
    gutter = " " * len(number)
    return f"{head}\n  {number} | {source}\n  {gutter} | {before}{colors.get('caret', '')}{carets}{end}"


def _window(source: str, column: int) -> tuple[str, int]:
    """A line as it can be shown: printable, and of a long one the part around a column. And the column in that."""
    line = "".join(c if c.isprintable() or c == "\t" else "\ufffd" for c in source)
    if len(line) <= _WIDTH:
        return line, column
    start = max(0, min(column - 1 - _WIDTH // 3, len(line) - _WIDTH))
    part = line[start : start + _WIDTH]
    head, tail = "..." if start else "", "..." if start + _WIDTH < len(line) else ""
    return f"{head}{part}{tail}", column - start + len(head)


def _count(problems: Sequence[Problem]) -> str:
    counts = [(sum(p.severity is severity for p in problems), severity.value) for severity in Severity]
    return ", ".join(f"{count} {word}{'' if count == 1 else 's'}" for count, word in counts if count)
