"""One TOML file: its text, its tree, and where things stand in it."""

from __future__ import annotations

import re
import stat
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path as File
from typing import Any

import tomli

from healthd.config.positions import Positions, positions
from healthd.config.problems import Path, Problem, Severity, Span
from healthd.config.schema import Place

MAX_BYTES = 64 * 1024 * 1024

_AGAIN = re.compile(r"[Cc]annot (?:overwrite|declare|mutate)")
_HEADER = re.compile(r"^[ \t]*\[\[[ \t]*service[ \t]*(\.[ \t]*real[ \t]*)?\]\]", re.MULTILINE)


@dataclass(slots=True)
class Source:
    """A file that was read and is valid TOML. Positions are looked for when they are first asked for.

    secrets: paths of values that are never to be shown. needs_files: a file it names that cannot be used is an error.
    """

    name: str
    text: str
    tree: Mapping[str, Any]
    secrets: set[Path] = field(default_factory=set)
    needs_files: bool = True
    _positions: Positions | None = field(default=None, repr=False)
    _lines: dict[Path, int] | None = field(default=None, repr=False)

    @property
    def positions(self) -> Positions:
        """Where every key and value stands."""
        if self._positions is None:
            self._positions = positions(self.text)
        return self._positions

    def line(self, number: int) -> str:
        """One line of the text, counted from 1, without its end, secrets masked; empty for 0."""
        lines = self.positions.lines
        if not 1 <= number <= len(lines):
            return ""
        start, end = lines[number - 1], lines[number] if number < len(lines) else len(self.text)
        line = self.text[start:end]
        for first, last in (self.positions.values.get(path, (0, 0)) for path in self.secrets):
            low, high = max(first - start, 0), min(last - start, len(line))
            if low < high:
                line = line[:low] + "*" * (high - low) + line[high:]
        return line.rstrip("\r\n")

    def place(self, path: Path) -> Place:
        """File and line of a service or a real server, cheaply."""
        if self._lines is None:
            self._lines = _header_lines(self.text, self.tree)
        line = self._lines.get(path)
        return Place(self.name, self.positions.span(path).line if line is None else line)


def _header_lines(text: str, tree: Mapping[str, Any]) -> dict[Path, int]:
    """Lines of [[service]] and [[service.real]]; nothing if headers alone do not tell, as with inline tables."""
    starts = [match.end() for match in re.finditer("\n", text)]
    lines: dict[Path, int] = {}
    service = real = -1
    for match in _HEADER.finditer(text):
        service, real = (service, real + 1) if match[1] else (service + 1, -1)
        path: Path = ("service", service, "real", real) if match[1] else ("service", service)
        lines[path] = bisect_right(starts, match.start()) + 1
    return lines if lines.keys() == set(_declared(tree)) else {}


def _declared(tree: Mapping[str, Any]) -> list[Path]:
    found: list[Path] = []
    services = tree.get("service")
    for number, service in enumerate(services if isinstance(services, list) else []):
        found.append(("service", number))
        reals = service.get("real") if isinstance(service, dict) else None
        found += [("service", number, "real", n) for n in range(len(reals) if isinstance(reals, list) else 0)]
    return found


def read(file: File) -> Source | Problem:
    """Read and parse one file of TOML, or say why that is not possible."""
    data = read_bytes(file)
    return data if isinstance(data, Problem) else parse(str(file), data)


def read_bytes(file: File) -> bytes | Problem:
    """The bytes of a file, or why they cannot be had."""
    name = str(file)
    try:
        status = file.stat()
        if not stat.S_ISREG(status.st_mode):
            return Problem(Severity.ERROR, f"cannot read: it is {_nature(status.st_mode)}, not a file", name)
        if status.st_size > MAX_BYTES:
            return Problem(Severity.ERROR, f"cannot read: it is larger than {MAX_BYTES >> 20} MiB", name)
        return file.read_bytes()
    except OSError as error:
        return Problem(Severity.ERROR, f"cannot read: {error.strerror}", name)
    except ValueError as error:
        return Problem(Severity.ERROR, f"cannot read: {error}", name)


def parse(name: str, data: bytes) -> Source | Problem:
    """Parse the bytes of a file. A byte order mark at the start is skipped."""
    try:
        text = data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        return _not_utf8(name, data, error)
    try:
        return Source(name, text, tomli.loads(text))
    except tomli.TOMLDecodeError as error:
        return _not_toml(name, text, error)
    except RecursionError:
        return Problem(Severity.ERROR, "arrays or tables are nested too deeply", name)
    except ValueError as error:
        return Problem(Severity.ERROR, f"not valid TOML: {error}", name)


def _nature(mode: int) -> str:
    kinds = {stat.S_IFDIR: "a directory", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a device")


def _not_utf8(name: str, data: bytes, error: UnicodeDecodeError) -> Problem:
    bad = error.object[error.start]
    start = data.rfind(b"\n", 0, error.start) + 1
    line = data[start:].split(b"\n", 1)[0].decode("utf-8", "replace").rstrip("\r")
    column = len(data[start : error.start].decode("utf-8", "replace")) + 1
    span = Span(data.count(b"\n", 0, error.start) + 1, column)
    return Problem(Severity.ERROR, f"not UTF-8 text: byte 0x{bad:02x}", name, span, line)


def _not_toml(name: str, text: str, error: tomli.TOMLDecodeError) -> Problem:
    lines = text.split("\n")
    number = min(error.lineno, len(lines))
    line = lines[number - 1]
    span = Span(number, min(error.colno, len(line) + 1))
    match error.msg:
        case "Invalid value":
            missing = not line[span.column - 1 :].strip()
            why = "a value is missing here" if missing else "not a value; texts stand in quotes"
        case r"Illegal character '\n'":
            why = "the text is not closed on its line"
        case message if _AGAIN.search(message):
            why, span = "it is declared already", _whole(number, line)
        case message:
            why = message[:1].lower() + message[1:]
    return Problem(Severity.ERROR, f"not valid TOML: {why}", name, span, line)


def _whole(number: int, line: str) -> Span:
    return Span(number, len(line) - len(line.lstrip()) + 1, len(line.strip()))
