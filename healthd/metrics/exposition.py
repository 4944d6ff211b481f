"""The text of a scrape, in the format that the scraper prefers.

What is gathered serves everybody who asks within a second. Gathering goes on in the loop, in slices of a millisecond:
beside a thread the loop would wait for the interpreter's lock for longer than that, again and again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from healthd.ipvs.base import ServiceCounters, TableUnavailable
from healthd.metrics.families import Family
from healthd.metrics.grid import Labels
from healthd.metrics.overview import Overview
from healthd.metrics.slices import in_slices
from healthd.metrics.sweep import Moment, Sweep
from healthd.model import ServiceKey
from healthd.parts import Parts

FRESH = 1.0
"""Seconds for which what was gathered is good; so the kernel's counters are read once a second at most."""
END = b"# EOF\n"

Encoder = Callable[[Collector], bytes]
Made = tuple[Family, bytes]


@dataclass(frozen=True, slots=True)
class Gathered:
    """What one scrape tells. small: for the library. large: metrics whose lines are made already."""

    small: tuple[Metric, ...]
    large: tuple[Made, ...]


class _Given(Collector):
    """A collector of what is there already."""

    def __init__(self, *metrics: Metric) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        return iter(self._metrics)


def monotonic_zero() -> float:
    """Seconds since the epoch when this machine's monotonic clock was at zero."""
    return time.time() - time.monotonic()


class Exposition:
    """Answers scrapes. epoch: seconds since the epoch at the director's zero. Needs a running loop."""

    def __init__(self, parts: Parts, epoch: Callable[[], float] = monotonic_zero) -> None:
        self._parts = parts
        self._epoch = epoch
        self._labels = Labels()
        self._gathering = asyncio.Lock()
        self._gathered: Gathered | None = None

    async def scrape(self, accept: str) -> tuple[str, Sequence[bytes]]:
        """Content type, and the text in pieces. accept: the scraper's header, empty if there is none."""
        encoder, content_type = choose_encoder(accept)
        async with self._gathering:
            gathered = self._gathered or await self._gather()
        return content_type, pieces(gathered, encoder)

    async def _gather(self) -> Gathered:
        counters = await self._counters()
        timings = await self._parts.prober.timings()
        self._labels.keep(self._parts.director.roster.assignment)
        sweep = Sweep(self._parts, Moment(timings, counters, self._epoch()), self._labels)
        await in_slices(sweep.steps())
        small = tuple(Overview(self._parts, sweep.tallies).collect())
        large: list[Made] = []
        await in_slices(map(large.append, chain.from_iterable(grid.bodies() for grid in sweep.grids)))
        self._gathered = Gathered(small, tuple(large))
        asyncio.get_running_loop().call_later(FRESH, self.forget)
        return self._gathered

    async def _counters(self) -> Mapping[ServiceKey, ServiceCounters]:
        """The kernel's counters; none while there is no table, which the metrics tell."""
        director = self._parts.director
        if director.table_error is not None:
            return {}
        try:
            return (await self._parts.table.snapshot(director.roster.services.keys(), counters=True)).counters
        except TableUnavailable:
            return {}  # the director finds that, too, and tells it

    def forget(self) -> None:
        """Gather anew for the next scrape."""
        self._gathered = None


def pieces(gathered: Gathered, encoder: Encoder) -> list[bytes]:
    """The text in pieces: what servers have, each below the heading that the library gives it, then all the rest."""
    large = ((encoder(_Given(family.metric())).removesuffix(END), lines) for family, lines in gathered.large)
    return [*chain.from_iterable(large), encoder(_Given(*gathered.small))]
