"""What single values may be: numbers, durations, words, names of things of the system."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, TypeVar

from healthd.config import shape
from healthd.config.decode import NOTHING, At, Kind, Report, Told, Unfit, plain, take

T = TypeVar("T")
E = TypeVar("E", bound=Enum)

_UNITS: Mapping[str, float] = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|[smhd]))+")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhd])")

DAY = 86400.0
MAX_SECONDS = 1e12
MAX_U32 = 0xFFFFFFFF
INTERFACE_LENGTH = 15  # IFNAMSIZ without its zero byte
SOCKET_LENGTH = 107  # sun_path without its zero byte, unix(7)


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise Unfit
    if "\0" in value:
        raise Unfit("it contains a NUL character")
    return value


def _title(value: object) -> str:
    if not isinstance(value, str) or not value.isprintable() or value != value.strip() or not 0 < len(value) <= 100:
        raise Unfit
    return value


def _any_text(value: object) -> str:
    if not isinstance(value, str):
        raise Unfit
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise Unfit
    return value


text = plain("a text that is not empty", _text, schema=shape.text(least=1))
title = plain("a name of 1 to 100 printable characters", _title, schema=shape.text(least=1, most=100))
any_text = plain("a text", _any_text, schema=shape.text())
flag = plain("true or false", _flag, schema=shape.FLAG)


def whole(least: int, most: int) -> Kind[int]:
    """A whole number between two bounds."""

    def convert(value: object) -> int:
        if type(value) is not int or not least <= value <= most:
            raise Unfit
        return value

    return plain(f"a whole number from {least} to {most}", convert, schema=shape.whole(least, most))


def number(least: float, most: float) -> Kind[float]:
    """A number between two bounds."""

    def convert(value: object) -> float:
        if type(value) not in (int, float) or not least <= value <= most:  # type: ignore[operator]
            raise Unfit
        return float(value)  # type: ignore[arg-type]

    return plain(f"a number from {least:g} to {most:g}", convert, schema=shape.number(least, most))


def seconds(value: object) -> float:
    """Seconds of "2s", "500ms", "1h30m" or a number of seconds. Raises Unfit."""
    match value:
        case bool():
            raise Unfit
        case int() | float():
            if not -MAX_SECONDS < value < MAX_SECONDS:
                raise Unfit
            return float(value)
        case str() if _DURATION.fullmatch(value) and len(value) < 60:
            return math.fsum(float(amount) * _UNITS[unit] for amount, unit in _PART.findall(value))
        case _:
            raise Unfit


def spoken(value: float) -> str:
    """Seconds as a duration of the configuration: 0.5 is "500ms", 300 is "5m"."""
    for unit in ("d", "h", "m", "s"):
        if value >= _UNITS[unit] and value % _UNITS[unit] == 0:
            return f"{value / _UNITS[unit]:g}{unit}"
    return f"{value:g}s" if value >= 1 else f"{value * 1000:g}ms"


def duration(least: float, most: float = DAY) -> Kind[float]:
    """A duration between two bounds in seconds."""

    def convert(value: object) -> float:
        found = seconds(value)
        if not least <= found <= most:
            raise Unfit
        return found

    expects = f'a duration from {spoken(least)} to {spoken(most)} such as "2s", "500ms" or a number of seconds'
    return plain(expects, convert, schema=_duration_shape(least, most))


def _duration_shape(least: float, most: float) -> shape.Schema:
    return shape.one_of(shape.text(_DURATION.pattern), shape.number(least, most))


def whole_seconds(least: int, most: int) -> Kind[int]:
    """A duration of whole seconds, because the kernel takes no other."""

    def convert(value: object) -> int:
        found = seconds(value)
        if not least <= found <= most:
            raise Unfit
        if found != int(found):
            raise Unfit("the kernel takes whole seconds only")
        return int(found)

    expects = f'a duration from {spoken(least)} to {spoken(most)} in whole seconds such as "5m" or 300'
    return plain(expects, convert, schema=_duration_shape(least, most))


def words(meanings: Mapping[str, T]) -> Kind[T]:
    """One of a few words, each with what it means."""

    def convert(value: object) -> T:
        if not isinstance(value, str) or value not in meanings:
            raise Unfit
        return meanings[value]

    names = tuple(meanings)
    return plain(_one_of(names), convert, names, shape.words(names))


def members(enum: type[E]) -> Kind[E]:
    """One of the values of an Enum of texts."""
    return words({member.value: member for member in enum})


def _one_of(names: tuple[str, ...]) -> str:
    quoted = [f'"{name}"' for name in names]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} or {quoted[-1]}"


def matching(expects: str, pattern: str, most: int) -> Kind[str]:
    """A text of a form."""
    form = re.compile(pattern)

    def convert(value: object) -> str:
        if not isinstance(value, str) or not form.fullmatch(value):
            raise Unfit
        if len(value) > most:
            raise Unfit(f"it is {len(value)} characters long")
        return value

    return plain(expects, convert, schema=shape.text(pattern, most=most))


interface = matching(
    f"the name of a network interface of at most {INTERFACE_LENGTH} characters", r"[^\s/:]+", INTERFACE_LENGTH
)
netns = matching("the name or absolute path of a network namespace", r"/[^\0]+|[^\s/\0.][^\s/\0]*", 4095)


def absolute(value: object) -> str:
    """An absolute path. Raises Unfit."""
    if not isinstance(value, str) or not value.startswith("/") or "\0" in value or len(value) > 4095:
        raise Unfit
    return value


def _socket_path(value: object) -> str:
    if len(os.fsencode(absolute(value))) > SOCKET_LENGTH:
        raise Unfit(f"it is longer than {SOCKET_LENGTH} bytes")
    return str(value)


socket_path = plain(
    f"an absolute path of at most {SOCKET_LENGTH} bytes", _socket_path, schema=shape.PATH | {"maxLength": SOCKET_LENGTH}
)
kernel_name = matching("a name of at most 15 letters, digits and marks", r"[!-~]+", 15)
account = matching("the name of a user or group", r"[A-Za-z0-9_][A-Za-z0-9_.-]*\$?", 256)


def _path_or_none(value: object) -> str:
    return "" if value == "" else absolute(value)


path = plain("an absolute path", absolute, schema=shape.PATH)
path_or_none = plain('an absolute path or ""', _path_or_none, schema=shape.one_of(shape.PATH, shape.words(("",))))
_MAILBOX = r"(?!-)[\w.!#$%&'*+/=?^`{|}~-]+(@([\w.-]+|\[[0-9A-Za-z:.]+\]))?"  # RFC 5322, 3.4.1, without its quoted forms
mailbox = matching("a mail address", _MAILBOX, 254)
sender = matching('a mail address, also as in "Name <name@example.org>"', rf"{_MAILBOX}|[\w .'-]+ <{_MAILBOX}>", 350)
server = matching(
    'a host with or without a port such as "mail.example.org:25"', r"(\[[0-9A-Fa-f:.]+\]|[^\s:]+)(:\d{1,5})?", 260
)


def many(item: Kind[T], expects: str, *, least: int = 0, alone: bool = True) -> Kind[tuple[T, ...]]:
    """A list of values of one kind. alone: a single value stands for a list of one. least: how many there must be."""

    def convert(value: object, at: At, report: Report) -> tuple[T, ...]:
        if not isinstance(value, list):
            if not alone or isinstance(value, dict):
                raise Unfit
            return (item.take(value, at, report),)
        if len(value) < least:
            raise Unfit
        return tuple(_each(item, value, at, report))

    several = shape.many(item.schema, least)
    return Kind(expects, convert, item.choices, shape.one_of(several, item.schema) if alone else several)


def _each(item: Kind[T], values: list[Any], at: At, report: Report) -> list[T]:
    """All items, or Told after every wrong one has been reported."""
    found: list[T] = []
    for index, value in enumerate(values):
        try:
            found.append(take(item, value, at, index, report))
        except Told:
            continue
    if len(found) < len(values):
        raise Told
    return found


def tables(expects: str) -> Kind[tuple[tuple[At, Mapping[str, Any]], ...]]:
    """Tables to be decoded later: `[[x]]`, or `[x]` for a single one."""

    def convert(value: object, at: At, report: Report) -> tuple[tuple[At, Mapping[str, Any]], ...]:
        match value:
            case dict():
                return ((at, value),)
            case list() if all(isinstance(item, dict) for item in value):
                return tuple((at / index, item) for index, item in enumerate(value))
            case _:
                raise Unfit

    return Kind(expects, convert)


def table(expects: str) -> Kind[tuple[At, Mapping[str, Any]]]:
    """One table to be decoded later."""

    def convert(value: object, at: At, report: Report) -> tuple[At, Mapping[str, Any]]:
        if not isinstance(value, dict):
            raise Unfit
        return at, value

    return Kind(expects, convert)


def either(
    expects: str,
    forms: Callable[[Any, At, Report], T],
    choices: tuple[str, ...] = (),
    schema: Mapping[str, Any] = NOTHING,
) -> Kind[T]:
    """A kind with several forms: the function tells them apart."""
    return Kind(expects, forms, choices, schema)
