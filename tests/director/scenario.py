"""A director over a memory table with a prober that says what the test tells it to, and time that the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from healthd.assignment import ServerRef
from healthd.check import Outcome, Verdict
from healthd.config.schema import Config, ServiceConfig
from healthd.director import Director
from healthd.events import Event, Kind
from healthd.health import Health, observe
from healthd.ipvs.memory import MemoryTable
from healthd.model import DestKey, ServiceKey
from healthd.ops import Op
from healthd.prober.base import Memories, Observation, Probe, Timings
from tests.support.builders import PASS, WWW, config, weights


class ScriptedProber:
    """Fulfils `healthd.prober.base.Prober`: keeps health as a prober does, and answers when the test says what."""

    def __init__(self) -> None:
        self.probes: dict[int, Probe] = {}
        self.healths: dict[int, Health] = {}
        self.verdicts: dict[int, Verdict] = {}
        self.hurried: list[int] = []
        self.timed: dict[int, tuple[float, float]] = {}

    async def assign(self, probes: Sequence[Probe]) -> None:
        """Take an assignment; what keeps its id keeps its health."""
        self.probes = {probe.id: probe for probe in probes}
        watches = [watch for probe in probes for watch in probe.watches]
        self.healths = {watch.id: self.healths.get(watch.id, watch.health) for watch in watches}
        self.verdicts = {number: verdict for number, verdict in self.verdicts.items() if number in self.probes}

    async def hurry(self, probes: Collection[int]) -> None:
        """Note what was hurried."""
        self.hurried += probes

    async def latest(self) -> Sequence[Observation]:
        """Nothing: no test asks."""
        return []

    async def timings(self) -> Timings:
        """What a test says."""
        return self.timed

    async def recall(self, probes: Collection[int]) -> Memories:
        """Nothing: no test asks."""
        return {}

    async def close(self) -> None:
        """Nothing to release."""

    def answer(self, number: int, verdict: Verdict, now: float) -> Observation | None:
        """Fold a verdict. What is to be told of it; None for a pass that changes nothing."""
        probe, last = self.probes[number], self.verdicts.get(number)
        before = {watch.id: self.healths[watch.id] for watch in probe.watches}
        after = {
            watch.id: observe(before[watch.id], verdict.outcome, watch.thresholds, now, verdict.weight)
            for watch in probe.watches
        }
        self.healths |= after
        self.verdicts[number] = verdict
        steady = verdict.outcome is Outcome.PASS and (last is None or last.outcome is Outcome.PASS)
        if steady and before == after:
            return None
        return Observation(number, verdict, now, 0.001, tuple(after.items()))


OF_SERVICES = (Kind.SERVICE_DOWN, Kind.SERVICE_UP)


class Scenario:
    """One director and its world. table: shared by directors that come one after the other."""

    def __init__(self, table: MemoryTable | None = None, now: float = 1000.0) -> None:
        self.table = table or MemoryTable()
        self.now = now
        self.events: list[Event] = []
        self.prober = ScriptedProber()
        self.director = Director(self.table, self.events.append, lambda: self.now, lambda: self.now + 1e9)
        self.director.attach(self.prober)
        self._written = len(self.table.writes)

    # --- what happens ------------------------------------------------------------------------------------------

    async def configure(self, config: Config) -> None:
        """Start with a configuration, or load another one."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.director.configure(config))
            await asyncio.sleep(0)
            await self.director.turn()

    async def hears(self, verdicts: Mapping[DestKey, Verdict], service: ServiceKey = WWW, times: int = 1) -> None:
        """All checks of these servers give this verdict and the director takes its turn, so many times."""
        for _ in range(times):
            for key, verdict in verdicts.items():
                self.say((service, key), verdict)
            await self.director.turn()

    def say(self, ref: ServerRef, verdict: Verdict, check: int | None = None) -> None:
        """Every check of a server (or one of them, by its place) gives a verdict; the director has not looked yet."""
        watches = self.director.roster.assignment.watches[ref]
        for watch in watches if check is None else (watches[check],):
            number = next(p.id for p in self.prober.probes.values() if watch in {each.id for each in p.watches})
            seen = self.prober.answer(number, verdict, self.now)
            if seen is not None:
                self.director.observed([seen])

    async def turn(self, later: float = 0.0) -> None:
        """Some seconds go by; then the director takes its turn."""
        self.now += later
        await self.director.turn()

    # --- what came of it ---------------------------------------------------------------------------------------

    async def rows(self, service: ServiceKey = WWW) -> dict[DestKey, int] | None:
        """The weights that the table has; None where there is no such service."""
        away, self.table.unavailable = self.table.unavailable, ""
        found = await self.table.snapshot([service])
        self.table.unavailable = away
        return weights(found.services.get(service))

    def writes(self) -> list[Op]:
        """Operations that the table took since this was last asked."""
        done = self.table.writes[self._written :]
        self._written = len(self.table.writes)
        return done

    def told(self) -> list[Event]:
        """Events since this was last asked."""
        events, self.events[:] = self.events[:], []
        return events

    def kinds(self) -> list[Kind]:
        """Kinds of the events since this was last asked, but for those of whole services (test_usable.py)."""
        return [event.kind for event in self.told() if event.kind not in OF_SERVICES]


async def started(*services: ServiceConfig, table: MemoryTable | None = None, **settings: Any) -> Scenario:
    """A director that has just started with these services. settings: of `tests.support.builders.config`."""
    scenario = Scenario(table)
    await scenario.configure(config(*services, **settings))
    return scenario


async def serving(*services: ServiceConfig, table: MemoryTable | None = None, **settings: Any) -> Scenario:
    """A director whose servers are all up, with what it wrote and told until then forgotten."""
    scenario = await started(*services, table=table, **settings)
    for each in services:
        await scenario.hears({server.key: PASS for server in each.reals if server.checks}, each.key, times=3)
    scenario.writes()
    scenario.told()
    return scenario
