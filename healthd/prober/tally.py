"""What the prober did in the last second."""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise

from healthd.check import Outcome
from healthd.prober.base import LATENESS_BOUNDS, Summary

EVERY = 1.0
"""Seconds between two summaries."""


class Tally:
    """Counts until the next summary. due: monotonic seconds when that is. lateness: seconds, one for each start."""

    __slots__ = ("due", "failed", "inconclusive", "lateness", "missed", "passed", "stalls")

    def __init__(self, now: float) -> None:
        self._reset(now)

    def _reset(self, now: float) -> None:
        self.due = now + EVERY
        self.passed = self.failed = self.inconclusive = self.missed = self.stalls = 0
        self.lateness: list[float] = []

    def count(self, outcome: Outcome) -> None:
        """Count a verdict."""
        match outcome:
            case Outcome.PASS:
                self.passed += 1
            case Outcome.FAIL:
                self.failed += 1
            case Outcome.INCONCLUSIVE:
                self.inconclusive += 1

    def summary(self, now: float, in_flight: int, unasked: int) -> Summary:
        """The totals; begins the next. unasked: probes without any verdict yet."""
        late = sorted(self.lateness)
        summary = Summary(
            now,
            self.passed,
            self.failed,
            self.inconclusive,
            self.missed,
            in_flight,
            _quantile(late, 0.5),
            _quantile(late, 0.99),
            self.stalls,
            unasked,
            _late(late),
            sum(seconds for seconds in late if seconds > 0),
        )
        self._reset(now)
        return summary


def _late(ordered: list[float]) -> tuple[int, ...]:
    """As `Summary.late`; counted once a second in what is sorted already, so that it costs a probe nothing."""
    within = [0, *(bisect_right(ordered, bound) for bound in LATENESS_BOUNDS), len(ordered)]
    return tuple(there - before for before, there in pairwise(within)) if ordered else ()


def _quantile(ordered: list[float], part: float) -> float:
    return max(0.0, ordered[int(len(ordered) * part)]) if ordered else 0.0
