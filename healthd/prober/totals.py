"""Adding up summaries: of several probers, or of several seconds."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import fields, replace

from healthd.prober.base import Summary

_OF_THE_LATER = {"at", "in_flight"}
_THE_WORSE = {"lateness_p50", "lateness_p99"}


def add(one: Summary, later: Summary) -> Summary:
    """Both together: counts are added, of lateness the worse is kept, `at` and `in_flight` are the later's."""
    changed: dict[str, float] = {}
    for field in fields(Summary):
        mine, its = getattr(one, field.name), getattr(later, field.name)
        if field.name not in _OF_THE_LATER:
            changed[field.name] = max(mine, its) if field.name in _THE_WORSE else mine + its
    return replace(later, **changed)  # type: ignore[arg-type]


class Totals:
    """Summaries of several sources since they were last taken."""

    def __init__(self) -> None:
        self._sum: Summary | None = None
        self._in_flight: dict[Hashable, int] = {}

    def add(self, source: Hashable, summary: Summary) -> None:
        """One more summary."""
        self._in_flight[source] = summary.in_flight
        self._sum = add(self._sum, summary) if self._sum else summary

    def forget(self, source: Hashable) -> None:
        """The source is gone, and what it had in flight."""
        self._in_flight.pop(source, None)

    def take(self) -> Summary | None:
        """What was added since the last time, None if nothing was."""
        taken, self._sum = self._sum, None
        return replace(taken, in_flight=sum(self._in_flight.values())) if taken else None
