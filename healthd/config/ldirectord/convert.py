"""An ldirectord.cf as TOML: the very tables that loading it gives, with its comments and with what changes meaning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from healthd.config.decode import Report
from healthd.config.formats import Format, Reading
from healthd.config.ldirectord.comments import Comments, comments
from healthd.config.ldirectord.listing import Listing
from healthd.config.ldirectord.loading import sources
from healthd.config.load import load
from healthd.config.problems import Problem, Severity
from healthd.config.source import read_bytes

_BARE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")
_OWN_TABLES = ("mail", "check")


@dataclass(frozen=True, slots=True)
class Converted:
    """text: TOML, None if the file cannot be used. problems: all of the file's."""

    text: str | None
    problems: tuple[Problem, ...]


def convert(file: Path, *, strict: bool = False) -> Converted:
    """A file as TOML. strict: read to the letter, as ldirectord does. Files it executes are in the text, too."""
    loaded = load(file, strict_files=False, reading=Reading(Format.LDIRECTORD, strict))
    data = read_bytes(file)
    if loaded.config is None or isinstance(data, Problem):
        return Converted(None, loaded.problems)
    listings = sources(file, data, Report(strict_files=False), strict=strict)
    lines = [*_head(file, listings, loaded.problems), *_settings(listings[0])]
    for listing in listings:
        lines += _services(listing, executed=listing is not listings[0])
    return Converted("\n".join(lines).rstrip() + "\n", loaded.problems)


def _head(file: Path, listings: Sequence[Listing], problems: Sequence[Problem]) -> Iterator[str]:
    """What changes meaning, and the comments of the file that belong to nothing in particular."""
    yield f"# Made from {file.name} by `healthd convert`."
    told = [(p.file, p.span.line, p.text) for p in problems if p.severity is Severity.WARNING]
    told += [(listing.name, line, text) for listing in listings for line, text in listing.quiet]
    if told:
        yield from ("#", "# What changes meaning, or never meant what it seems to:")
    for name, line, text in sorted(set(told)):
        where = f"line {line}" if name == str(file) else f"{name}, line {line}"
        yield from _commented(f"  {where}: {text}" if line else f"  {text}")
    yield ""
    if texts := comments(listings[0].text).of_file:
        for text in texts:
            yield from _commented(text)
        yield ""


def _commented(text: str) -> Iterator[str]:
    shown = "".join(c if c.isprintable() or c == "\t" else "\ufffd" for c in text)
    yield f"# {shown}".rstrip()


def _settings(listing: Listing) -> Iterator[str]:
    """The tables that are not about services."""
    for name, value in listing.tree.items():
        if not isinstance(value, dict) and name != "service":
            yield f"{name} = {toml(value)}"
    for name, value in listing.tree.items():
        if isinstance(value, dict):
            yield from ("", f"[{name}]", *_pairs(value))


def _services(listing: Listing, *, executed: bool) -> Iterator[str]:
    said = comments(listing.text)
    if executed:
        yield from ("", f"# From {Path(listing.name).name}.")
    for text in said.of_file if executed else ():
        yield from _commented(text)
    for number, service in enumerate(listing.tree.get("service", [])):
        yield from _service(listing, number, service, said)


def _service(listing: Listing, number: int, service: Mapping[str, Any], said: Comments) -> Iterator[str]:
    """One [[service]] with its tables."""
    rows = [listing.place(("service", number, "real", row)).line for row in range(len(service["real"]))]
    first = {at: row for row, at in reversed(list(enumerate(rows)))}
    line = listing.place(("service", number)).line
    yield ""
    for text in said.of_virtual(line, but=first.keys()):
        yield from _commented(text)
    plain = {name: value for name, value in service.items() if name != "real" and name not in _OWN_TABLES}
    yield from ("[[service]]", *_pairs(plain if service["real"] else {**plain, "real": []}))
    for name in _OWN_TABLES:
        if name in service:
            yield from (f"[service.{name}]", *_pairs(service[name]))
    for row, (real, at) in enumerate(zip(service["real"], rows, strict=True)):
        for text in said.of_line.get(at, ()) if row == first[at] else ():
            yield from _commented(text)
        yield from _named(listing, at, real)
        yield from ("[[service.real]]", *_pairs(real))


def _named(listing: Listing, line: int, real: Mapping[str, Any]) -> Iterator[str]:
    """The line that a server comes from, where it names it in another way."""
    said = listing.line(line).strip()
    if real["address"] not in said and "->" not in said:
        yield from _commented(said)


def _pairs(table: Mapping[str, Any]) -> Iterator[str]:
    for name, value in table.items():
        yield f"{_key(name)} = {toml(value)}"


def _key(name: str) -> str:
    return name if name and set(name) <= _BARE else toml(name)


def toml(value: object) -> str:
    """A value of a tree as TOML, in one line."""
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case list():
            return "[" + ", ".join(map(toml, value)) + "]"
        case dict():
            return "{ " + ", ".join(f"{_key(name)} = {toml(one)}" for name, one in value.items()) + " }"
        case _:
            return _text(str(value))


def _text(text: str) -> str:
    """A text in quotes: literal ones where backslashes would otherwise have to be doubled."""
    if "\\" in text and "'" not in text and text.isprintable():
        return f"'{text}'"
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() or c == " " else _escape(c) for c in escaped) + '"'


def _escape(letter: str) -> str:
    short = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
    return short.get(letter) or (f"\\u{ord(letter):04x}" if ord(letter) < 0x10000 else f"\\U{ord(letter):08x}")
