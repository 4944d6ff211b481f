"""What a request asks for, taken apart: every mistake is told, nothing is guessed."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from healthd.api.actions import Order
from healthd.model import MAX_WEIGHT
from healthd.overrides import OverrideKind
from healthd.state import Wanted

T = TypeVar("T")

MOST_EVENTS = 10_000
LONGEST_TEXT = 200
NO_NAMES: tuple[str, ...] = ()
LONGEST_TIME = 10 * 366 * 86400.0


class BadRequest(ValueError):
    """What was sent makes no sense. One sentence for people."""


def body(data: bytes) -> Mapping[str, Any]:
    """The JSON object of a request; an empty one if nothing was sent."""
    try:
        document = json.loads(data) if data else {}
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"the request's body is no JSON: {error}") from None
    if not isinstance(document, dict):
        raise BadRequest("the request's body must be an object of JSON")
    return document


class Fields:
    """The fields of a body, or of a query; each is taken once, and `end` tells of those that nobody knows."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._left = dict(values)
        self._known: list[str] = []

    def take(self, name: str, read: Callable[[Any], T], missing: T) -> T:
        """The value of a field; `missing` if it is not there. read: raises ValueError with what is wanted."""
        self._known.append(name)
        if name not in self._left:
            return missing
        value = self._left.pop(name)
        try:
            return read(value)
        except (ValueError, TypeError) as error:
            raise BadRequest(f"{name}: want {error}, got {json.dumps(value)[:LONGEST_TEXT]}") from None

    def end(self) -> None:
        """Nothing more is expected."""
        if self._left:
            raise BadRequest(f"unknown {', '.join(sorted(self._left))}; there is {', '.join(self._known) or 'nothing'}")


def order(values: Mapping[str, Any], who: str) -> Order:
    """An override that is asked for. who: unless root says for whom it asks."""
    fields = Fields(values)
    names = fields.take("names", names_of, NO_NAMES)
    kind: OverrideKind | None = fields.take("kind", _kind, None)
    who = fields.take("who", _text, "") if who == "root" else who
    given = Order(
        names,
        kind or OverrideKind.DRAIN,
        who or "root",
        fields.take("why", _text, ""),
        fields.take("weight", _weight, None),
        fields.take("lasting", _seconds, None),
        fields.take("force", _flag, False),
    )
    fields.end()
    if kind is None or not names:
        raise BadRequest("names and kind are needed")
    if (given.weight is None) is (kind is OverrideKind.WEIGHT):
        raise BadRequest("weight belongs to kind weight, and to no other")
    return given


def withdrawal(values: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[OverrideKind, ...]]:
    """Which overrides are to end: names, and kinds; without kinds, all."""
    fields = Fields(values)
    names, kinds = fields.take("names", names_of, NO_NAMES), fields.take("kinds", _kinds, tuple(OverrideKind))
    fields.end()
    if not names:
        raise BadRequest("names are needed")
    return names, kinds


def wanted(query: Mapping[str, Any]) -> tuple[tuple[str, ...], Wanted]:
    """Which events a query is about: names, if any, and the rest."""
    fields = Fields(query)
    names = fields.take("name", names_of, NO_NAMES)
    found = Wanted(
        after=fields.take("after", _count, 0),
        since=fields.take("since", _number, 0.0),
        most=fields.take("limit", lambda value: max(1, min(_count(value), MOST_EVENTS)), 1000),
    )
    fields.end()
    return names, found


def names_of(value: Any) -> tuple[str, ...]:
    """One or two words."""
    if not isinstance(value, list) or not 1 <= len(value) <= 2 or not all(isinstance(one, str) for one in value):
        raise ValueError("a list of one or two names")
    return tuple(map(_text, value))


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > LONGEST_TEXT or not all(map(str.isprintable, value)):
        raise ValueError(f"a line of at most {LONGEST_TEXT} printable letters")
    return value


def _kind(value: Any) -> OverrideKind:
    try:
        return OverrideKind(value)
    except ValueError:
        raise ValueError(f"one of {', '.join(kind.value for kind in OverrideKind)}") from None


def _kinds(value: Any) -> tuple[OverrideKind, ...]:
    if not isinstance(value, list) or not value:
        raise ValueError(f"a list of {', '.join(kind.value for kind in OverrideKind)}")
    return tuple(map(_kind, value))


def _weight(value: Any) -> int | None:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_WEIGHT:
        raise ValueError(f"a whole number from 0 to {MAX_WEIGHT}")
    return value


def _seconds(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= LONGEST_TIME:
        raise ValueError("seconds, more than 0")
    return float(value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def _count(value: Any) -> int:
    if not (isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19):
        raise ValueError("a whole number")
    return int(value)


def _number(value: Any) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError("seconds since the epoch")
    return number
