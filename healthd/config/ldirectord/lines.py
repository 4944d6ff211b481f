"""Lines of a file of ldirectord and the part each plays: strictly as ldirectord cuts them, or as they are meant."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from enum import Enum

from healthd.model import Family

VIRTUAL = re.compile(r"virtual(6)?\s*=\s*(.*)", re.ASCII)
_INSIDE = re.compile(r" {4,}(.+)")
_COMMENT = re.compile(r"\s*#", re.ASCII)
_BLANK = re.compile(r"\s*$", re.ASCII)
_GLOBAL_COMMENT = re.compile(r"(?:(?<=\s)|^)#")
_INDENT = 4


class Part(Enum):
    """OPEN: a virtual begins. CLOSE: it is complete. ODD: nothing to be read, but something to be said."""

    OPEN = "open"
    INSIDE = "inside"
    CLOSE = "close"
    GLOBAL = "global"
    ODD = "odd"


@dataclass(frozen=True, slots=True)
class Item:
    """A line that says something. number counts from 1; column is where `text` begins in the line.

    text: the directive, or what stands behind `virtual=`. stock: what ldirectord would make of the line instead. odd:
    why it would not take the line at all, or what else is to be said of it. raw: the whole line.
    """

    part: Part
    number: int
    column: int = 1
    text: str = ""
    stock: str = ""
    odd: str = ""
    raw: str = ""
    family: Family = Family.IPV4


def strict(text: str) -> Iterator[Item]:
    """Items in the order in which ldirectord comes by them."""
    lines = text.split("\n")
    lines = lines if lines[-1] else lines[:-1]
    at = 0
    while at < len(lines):
        current: str | None = lines[at]
        at += 1
        while current is not None and (found := VIRTUAL.match(current)):
            yield _open(found, at, current)
            at, current, said = yield from _block(lines, at, current)
            yield Item(Part.CLOSE, at)
            if said:
                return
        if current is not None and not _BLANK.match(current) and not _COMMENT.match(current):
            yield Item(Part.GLOBAL, at, 1, current, current, raw=current)


def _open(found: re.Match[str], number: int, raw: str) -> Item:
    family = Family.IPV6 if found[1] else Family.IPV4
    return Item(Part.OPEN, number, found.start(2) + 1, found[2], found[2], raw=raw, family=family)


def _block(lines: list[str], at: int, current: str) -> Generator[Item, None, tuple[int, str | None, bool]]:
    """The directives of a block. Gives what ended it: the number of its line, the line, and whether the file ended.

    At the end of a file ldirectord reads the last line again if that was no directive; a virtual without any thus
    becomes its own duplicate.
    """
    last: str | None = current
    while at < len(lines):
        last = lines[at]
        at += 1
        if _COMMENT.match(last):
            continue
        found = _INSIDE.match(last.partition("#")[0].replace("\t", "    "))
        if found is None:
            return at, last, False
        yield Item(Part.INSIDE, at, _column(last), found[1], found[1], raw=last)
        last = None
    return at, last, last is None


def _column(line: str) -> int:
    return len(line) - len(line.lstrip(" \t")) + 1


def forgiving(text: str) -> Iterator[Item]:
    """Items as they are meant, each with what ldirectord would make of it."""
    if text.startswith("\ufeff"):
        text = text[1:]
        yield Item(Part.ODD, 1, odd="stock ldirectord refuses the byte order mark at the beginning of the file")
    if "\r\n" in text:
        number = text.count("\n", 0, text.index("\r\n")) + 1
        yield Item(
            Part.ODD, number, odd="lines end with CR LF; stock ldirectord takes the CR for a part of some values"
        )
        text = text.replace("\r\n", "\n")
    inside, gap = False, 0
    for number, line in enumerate(text.split("\n"), 1):
        if _BLANK.match(line):
            if inside and len(line.replace("\t", "    ")) > _INDENT:
                yield Item(Part.ODD, number, odd="stock ldirectord takes this line of blanks for an unknown directive")
            elif inside:
                gap = number
        elif not _COMMENT.match(line):
            opens = VIRTUAL.match(line.lstrip(" \t"))
            if inside and (opens or not line[0].isspace()):
                yield Item(Part.CLOSE, number)
                inside = False
            yield _meant(number, line, opens, gap, inside=inside)
            inside, gap = inside or bool(opens), 0
    if inside:
        yield Item(Part.CLOSE, text.count("\n") + 1)


def _meant(number: int, line: str, opens: re.Match[str] | None, gap: int, *, inside: bool) -> Item:
    """One line that is neither blank nor a comment."""
    column, odd = _column(line), ""
    body = line[column - 1 :]
    if opens:
        odd = "stock ldirectord takes virtual= only at the beginning of a line" if column > 1 else ""
        family = Family.IPV6 if opens[1] else Family.IPV4
        header = uncommented(opens[2])
        return Item(Part.OPEN, number, column + opens.start(2), header, opens[2], odd, line, family)
    if not inside:
        odd = "stock ldirectord takes a global directive only at the beginning of a line" if column > 1 else ""
        return Item(Part.GLOBAL, number, column, _uncommented_global(body), body, odd, line)
    if gap:
        odd = f"stock ldirectord ends the virtual at the blank line {gap} and refuses this one"
    elif len(line[: column - 1].replace("\t", "    ")) < _INDENT:
        odd = f"stock ldirectord wants {_INDENT} blanks or a tab before a directive of a virtual"
    stock = body.partition("#")[0].replace("\t", "    ")
    return Item(Part.INSIDE, number, column, uncommented(body).replace("\t", "    "), stock, odd, line)


def uncommented(text: str) -> str:
    """A line of a block without its comment and trailing blanks. A # between quotes begins none."""
    return _cut(text, lambda at: text[at] == "#")


def _uncommented_global(text: str) -> str:
    """A global line without its comment, which only begins behind a blank, and trailing blanks."""
    return _cut(text, lambda at: _GLOBAL_COMMENT.match(text, at) is not None)


def _cut(text: str, begins: Callable[[int], bool]) -> str:
    quoted = False
    for at, letter in enumerate(text):
        if letter == '"':
            quoted = not quoted
        elif letter == "#" and begins(at) and not (quoted and '"' in text[at:]):
            return text[:at].rstrip()
    return text.rstrip()
