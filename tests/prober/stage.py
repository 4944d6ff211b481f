"""A `LocalProber` and a sink that remembers, for the prober's tests."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence

from healthd.check import Target, Verdict
from healthd.health import Health, Thresholds
from healthd.prober.base import Cadence, Observation, Probe, Summary, Watch
from healthd.prober.local import LocalProber

UNKNOWN = Health()

BOUND = 30.0
"""Seconds after which a condition that has not come is a failure."""


class Book:
    """A sink that keeps everything."""

    def __init__(self) -> None:
        self.observations: list[Observation] = []
        self.batches: list[Sequence[Observation]] = []
        self.summaries: list[Summary] = []
        self.reasons: list[str] = []

    def observed(self, batch: Sequence[Observation]) -> None:
        """Keep them."""
        self.batches.append(batch)
        self.observations += batch

    def summarised(self, summary: Summary) -> None:
        """Keep it."""
        self.summaries.append(summary)

    def lost(self, why: str) -> None:
        """Keep it."""
        self.reasons.append(why)

    def of(self, probe: int) -> list[Observation]:
        """What was observed of one probe."""
        return [one for one in self.observations if one.probe == probe]

    def total(self, field: str) -> int:
        """Sum of a field of all summaries."""
        return sum(getattr(one, field) for one in self.summaries)


class Stage:
    """A prober with its book."""

    def __init__(self, prober: LocalProber, book: Book) -> None:
        self.prober = prober
        self.book = book
        self._next = 1000

    async def once(self, check: object, target: Target, number: int, within: float = 20.0) -> Verdict:
        """Assign this one probe and wait for its first verdict."""
        await self.prober.assign([probe(number, check, target, timeout=within)])
        return (await self.until(lambda: self.book.of(number)))[0].verdict

    async def all(self, checks: Sequence[tuple[object, Target]], within: float = 20.0) -> list[Verdict]:
        """Assign all of these and wait for the first verdict of each."""
        await self.prober.assign([probe(n, *one, timeout=within, interval=1.0) for n, one in enumerate(checks)])
        await self.until(lambda: len({one.probe for one in self.book.observations}) == len(checks))
        return [self.book.of(n)[0].verdict for n in range(len(checks))]

    async def until(self, condition: Callable[[], object]) -> object:
        """Wait until `condition()` is true; what it gave."""
        async with asyncio.timeout(BOUND):
            while not (value := condition()):  # noqa: ASYNC110 - conditions of every kind, few of which could notify
                await asyncio.sleep(0.005)
        return value


def probe(
    number: int,
    check: object,
    target: Target,
    *,
    interval: float = 0.2,
    timeout: float = 20.0,
    fast: float | None = None,
    rise: int = 1,
    fall: int = 1,
    health: Health = UNKNOWN,
) -> Probe:
    """A probe with one watch of the same number."""
    watch = Watch(number, Thresholds(rise, fall), health)
    return Probe(number, check, target, Cadence(interval, timeout, fast), (watch,))  # type: ignore[arg-type]


@contextlib.asynccontextmanager
async def stage(**options: object) -> AsyncIterator[Stage]:
    """A prober for the length of an `async with` block."""
    book = Book()
    prober = LocalProber(book, seed=7, freeze=False, **options)  # type: ignore[arg-type]
    try:
        yield Stage(prober, book)
    finally:
        await prober.close()
