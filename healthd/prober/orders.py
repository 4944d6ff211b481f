"""What the director tells a prober, as pickles. An assignment is large and goes in parts.

Its values (checks, targets, cadences, thresholds) are sent once each, and rows refer to them by position, so equal ones
are one object on the other side. Between two parts the director's loop does other things, and a newer assignment may
take the place of one that is only half sent.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from healthd.health import Health, Phase
from healthd.prober.base import Probe, Watch

PART = 250

_WatchRow = tuple[int, int, str, int, float, int | None]
_Row = tuple[int, int, int, int, bool, tuple[_WatchRow, ...]]


@dataclass(frozen=True, slots=True)
class Assign:
    """One part of an assignment. first: forget the parts before it. values: these follow those of the parts before.

    number: of the assignment; the prober says it when it has taken the whole of it.
    """

    number: int
    first: bool
    last: bool
    values: tuple[Any, ...]
    rows: tuple[_Row, ...]


@dataclass(frozen=True, slots=True)
class Hurry:
    """For `Prober.hurry`."""

    probes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Tell:
    """For `Prober.latest`; the answer bears the number."""

    number: int


@dataclass(frozen=True, slots=True)
class TellTimings:
    """For `Prober.timings`; the answer bears the number."""

    number: int


@dataclass(frozen=True, slots=True)
class Recall:
    """For `Prober.recall`; the answer bears the number."""

    number: int
    probes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TakeRunner:
    """A runner's socket comes with this, or there is none: why."""

    user: str | None
    netns: str | None
    why: str | None


Order = Assign | Hurry | Tell | TellTimings | Recall | TakeRunner


def dump(order: Order) -> bytes:
    """The order as bytes."""
    return pickle.dumps(order, pickle.HIGHEST_PROTOCOL)


def load(data: bytes) -> Order:
    """The order of these bytes. Only for what comes from the director: a pickle may do anything."""
    order: Order = pickle.loads(data)
    return order


class _Numbering:
    """Gives each distinct value a number; `fresh` are those that were not sent yet."""

    def __init__(self) -> None:
        self._numbers: dict[Any, int] = {}
        self.fresh: list[Any] = []

    def of(self, value: Any) -> int:
        number = self._numbers.get(value)
        if number is None:
            number = self._numbers[value] = len(self._numbers)
            self.fresh.append(value)
        return number

    def take(self) -> tuple[Any, ...]:
        fresh, self.fresh = tuple(self.fresh), []
        return fresh


def assignment(number: int, probes: Sequence[Probe], healths: Mapping[int, Health]) -> Iterator[Assign]:
    """The parts of assignment `number`. healths: of watches, where they are known better than in the probes."""
    numbers = _Numbering()
    for start in range(0, max(1, len(probes)), PART):
        rows = tuple(_row(probe, numbers, healths) for probe in probes[start : start + PART])
        yield Assign(number, not start, start + PART >= len(probes), numbers.take(), rows)


def _row(probe: Probe, numbers: _Numbering, healths: Mapping[int, Health]) -> _Row:
    watches = tuple(
        _watch_row(watch, numbers.of(watch.thresholds), healths.get(watch.id, watch.health)) for watch in probe.watches
    )
    check, target, cadence = (numbers.of(value) for value in (probe.check, probe.target, probe.cadence))
    return probe.id, check, target, cadence, probe.told, watches


def _watch_row(watch: Watch, thresholds: int, health: Health) -> _WatchRow:
    return watch.id, thresholds, health.phase.value, health.streak, health.since, health.weight


class Assignment:
    """Puts the parts of an assignment together."""

    def __init__(self) -> None:
        self._values: list[Any] = []
        self._probes: list[Probe] = []

    def add(self, part: Assign) -> list[Probe] | None:
        """All probes once the last part is there."""
        if part.first:
            self._values, self._probes = [], []
        self._values += part.values
        self._probes += map(self._probe, part.rows)
        if not part.last:
            return None
        probes = self._probes
        self._values, self._probes = [], []
        return probes

    def _probe(self, row: _Row) -> Probe:
        number, check, target, cadence, told, watches = row
        values = self._values
        return Probe(number, values[check], values[target], values[cadence], tuple(map(self._watch, watches)), told)

    def _watch(self, row: _WatchRow) -> Watch:
        number, thresholds, phase, streak, since, weight = row
        return Watch(number, self._values[thresholds], Health(Phase(phase), streak, since, weight))
