"""Adding up summaries: of several probers, or of several seconds."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import fields, replace
from itertools import zip_longest

from healthd.prober.base import Summary

_OF_THE_LATER = {"at", "in_flight", "unasked"}
_THE_WORSE = {"lateness_p50", "lateness_p99"}


def add(one: Summary, later: Summary) -> Summary:
    """Both together: counts are added, of lateness the worse is kept, the others are the later's."""
    changed: dict[str, float | tuple[int, ...]] = {"late": _sums(one.late, later.late)}
    for field in fields(Summary):
        mine, its = getattr(one, field.name), getattr(later, field.name)
        if field.name not in _OF_THE_LATER | changed.keys():
            changed[field.name] = max(mine, its) if field.name in _THE_WORSE else mine + its
    return replace(later, **changed)  # type: ignore[arg-type]


def _sums(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(mine + its for mine, its in zip_longest(one, other, fillvalue=0))


class Totals:
    """Summaries of several sources since they were last taken."""

    def __init__(self) -> None:
        self._sum: Summary | None = None
        self._in_flight: dict[Hashable, int] = {}
        self._unasked: dict[Hashable, int] = {}

    def expect(self, source: Hashable, probes: int) -> None:
        """The source has so many probes, and has not said yet that it asked any."""
        self._unasked[source] = probes

    def add(self, source: Hashable, summary: Summary) -> None:
        """One more summary."""
        self._in_flight[source] = summary.in_flight
        self._unasked[source] = summary.unasked
        self._sum = add(self._sum, summary) if self._sum else summary

    def forget(self, source: Hashable) -> None:
        """The source is gone, and what it had in flight."""
        self._in_flight.pop(source, None)
        self._unasked.pop(source, None)

    @property
    def unasked(self) -> int:
        """Probes of all sources that have no verdict yet."""
        return sum(self._unasked.values())

    def take(self) -> Summary | None:
        """What was added since the last time, None if nothing was."""
        taken, self._sum = self._sum, None
        if taken is None:
            return None
        return replace(taken, in_flight=sum(self._in_flight.values()), unasked=self.unasked)
