"""Asks one server again and again, as the daemon does, for checks that keep something between probes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from healthd.check import Check, Outcome, Target
from healthd.health import Health, Phase, Thresholds
from healthd.prober.base import Cadence, Observation, Probe, Summary, Watch
from healthd.prober.local import LocalProber


class Counter:
    """Adds up what a prober says. enough: set at `most` passes."""

    def __init__(self, most: int) -> None:
        self.passed, self.most = 0, most
        self.enough = asyncio.Event()
        self.bad: list[Observation] = []

    def observed(self, batch: Sequence[Observation]) -> None:
        """Take what is not a steady pass."""
        self.bad += [one for one in batch if one.verdict.outcome is not Outcome.PASS]

    def summarised(self, summary: Summary) -> None:
        """Take totals."""
        self.passed += summary.passed
        if self.passed >= self.most:
            self.enough.set()

    def lost(self, why: str) -> None:
        """Never: it is in this process."""
        raise AssertionError(why)


async def asked_steadily(check: Check, target: Target, times: int) -> list[Observation]:
    """Probe until `times` probes have passed; what failed meanwhile."""
    counter = Counter(times)
    prober = LocalProber(counter, freeze=False)
    cadence = Cadence(interval=0.02, timeout=10.0, jitter=0.0)
    try:
        await prober.assign([Probe(1, check, target, cadence, (Watch(1, Thresholds(), Health(Phase.UP)),))])
        await asyncio.wait_for(counter.enough.wait(), 60)
    finally:
        await prober.close()
    return [one for one in counter.bad if one.verdict.outcome is Outcome.FAIL]
