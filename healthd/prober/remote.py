"""The prober as the director has it: processes of their own, each asked for a part of the probes.

All probes of one host are one process's (by a hash of the address), so that what is learnt of a host is learnt in one
place. Each network namespace has a process besides, which entered it at its start. A process that ends costs nobody
else anything: its servers keep their state, it is started again and told their healths as we know them.
"""

from __future__ import annotations

import asyncio
import os
import zlib
from collections import defaultdict
from collections.abc import Collection, Sequence

from healthd.check import Inconclusive
from healthd.children import Log, to_stderr
from healthd.config.schema import ProberSettings, RunnerSettings
from healthd.privileges import PROBER, Capability, marks_need_admin
from healthd.prober.base import Memories, Observation, Probe, Sink, Summary, Timings
from healthd.prober.place import Place
from healthd.prober.shard import Shard
from healthd.prober.totals import Totals
from healthd.prober.wire import RunnerWanted
from healthd.runner.client import Identity
from healthd.runner.process import RunnerProcesses

SILENCE = 10.0
"""Seconds after which a prober that says nothing, where it should once a second, is killed."""

ANSWER_PATIENCE = 3.0
SUMMARY_EVERY = 1.0


class RemoteProber:
    """A `Prober` whose probing is done by other processes, and whose scripts are run by yet others.

    Make it in a running loop, `close` it at the end. log: takes lines for people. user: whom the processes become, None
    for who we are. silence: seconds a process may say nothing.
    """

    def __init__(
        self,
        sink: Sink,
        settings: ProberSettings,
        runner: RunnerSettings,
        *,
        log: Log = to_stderr,
        user: str | None = None,
        silence: float = SILENCE,
    ) -> None:
        self._sink = sink
        self._settings = settings
        self._log = log
        self._user = user
        self._silence = silence
        self._runners = RunnerProcesses(runner, log=log)
        self._allowed: set[Identity] = set()
        self._fetching: dict[tuple[Shard, RunnerWanted], asyncio.Task[None]] = {}
        self._shards: dict[Place, Shard] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._totals = Totals()
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(SUMMARY_EVERY, self._summarise)

    # --- Prober ---

    async def assign(self, probes: Sequence[Probe]) -> None:
        """Replace the whole assignment. Returns at once; the processes are told as fast as they read."""
        parts: dict[Place, list[Probe]] = defaultdict(list)
        for probe in probes:
            parts[self._place(probe)].append(probe)
        self._allowed = {identity for probe in probes for identity in identities(probe)}
        for place in [place for place in self._shards if place not in parts]:
            self._end(place)
        for place, part in parts.items():
            shard = self._shard(place)
            shard.assign(part)
            self._totals.expect(shard, len(part))

    async def hurry(self, probes: Collection[int]) -> None:
        """Ask these as soon as possible, besides their schedule."""
        for shard in self._shards.values():
            shard.hurry(probes)

    async def latest(self) -> Sequence[Observation]:
        """The last observation of each probe that has one; without those of a process that does not answer."""
        answers = await asyncio.gather(*(shard.latest(ANSWER_PATIENCE) for shard in self._shards.values()))
        return [one for answer in answers for one in answer]

    async def timings(self) -> Timings:
        """Of each probe that has a last observation; without those of a process that does not answer."""
        answers = await asyncio.gather(*(shard.timings(ANSWER_PATIENCE) for shard in self._shards.values()))
        return {probe: timing for answer in answers for probe, timing in answer.items()}

    async def recall(self, probes: Collection[int]) -> Memories:
        """What is remembered of these; without those of a process that does not answer."""
        answers = await asyncio.gather(*(shard.recall(probes, ANSWER_PATIENCE) for shard in self._shards.values()))
        return {probe: past for answer in answers for probe, past in answer.items()}

    async def close(self) -> None:
        """End all processes."""
        self._timer.cancel()
        for task in self._fetching.values():
            task.cancel()
        await asyncio.gather(*self._fetching.values(), return_exceptions=True)
        for place in list(self._shards):
            self._end(place)
        await asyncio.gather(*self._ending)
        await self._runners.close()

    def pids(self) -> dict[str, int]:
        """Process ids of what is running now, probers and runners, by name."""
        probers = {place.name: shard.pid for place, shard in self._shards.items() if shard.pid is not None}
        runners = {f"runner of {user} in {netns}": pid for (user, netns), pid in self._runners.pids().items()}
        return probers | runners

    # --- shards ---

    def _place(self, probe: Probe) -> Place:
        target = probe.target
        keep = PROBER
        if target.mark is not None and marks_need_admin(os.uname().release):
            keep |= {Capability.NET_ADMIN}
        number = zlib.crc32(target.address.packed) % self._settings.processes if target.netns is None else 0
        return Place(target.netns, number, keep, self._user)

    def _shard(self, place: Place) -> Shard:
        shard = self._shards.get(place)
        if shard is None:
            in_flight = max(1, -(-self._settings.in_flight // self._settings.processes))
            shard = Shard(place, self, in_flight=in_flight, silence=self._silence, log=self._log)
            self._shards[place] = shard
        return shard

    def _end(self, place: Place) -> None:
        """End a process, which may take it a moment, meanwhile."""
        shard = self._shards.pop(place)
        self._totals.forget(shard)
        task = self._loop.create_task(shard.close())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    # --- what shards say ---

    def observed(self, batch: Sequence[Observation]) -> None:
        """As in `shard.Listener`."""
        self._sink.observed(batch)

    def summarised(self, shard: Shard, summary: Summary) -> None:
        """As in `shard.Listener`."""
        waited = self._totals.unasked
        self._totals.add(shard, summary)
        if waited and not self._totals.unasked:
            self._summarise()  # the first round has ended, which somebody waits for

    def lost(self, shard: Shard, why: str) -> None:
        """As in `shard.Listener`."""
        self._totals.forget(shard)
        self._totals.expect(shard, 0 if shard.unable else shard.probes)
        self._sink.lost(why)

    def runner_wanted(self, shard: Shard, wanted: RunnerWanted) -> None:
        """As in `shard.Listener`."""
        if (shard, wanted) not in self._fetching:
            task = self._loop.create_task(self._fetch(shard, wanted))
            self._fetching[shard, wanted] = task
            task.add_done_callback(lambda _: self._fetching.pop((shard, wanted), None))

    async def _fetch(self, shard: Shard, wanted: RunnerWanted) -> None:
        """Only for whom some check names: what has taken a prober over must not choose who it is next."""
        if (wanted.user, wanted.netns) not in self._allowed:
            shard.give_runner(wanted, f"no check runs anything as {wanted.user!r} in {wanted.netns!r}")
            return
        try:
            shard.give_runner(wanted, await self._runners.attach(wanted.user, wanted.netns))
        except Inconclusive as error:
            shard.give_runner(wanted, error.detail)

    def _summarise(self) -> None:
        self._timer.cancel()
        self._timer = self._loop.call_later(SUMMARY_EVERY, self._summarise)
        self._sink.summarised(self._totals.take() or Summary(self._loop.time(), unasked=self._totals.unasked))


def identities(probe: Probe) -> set[Identity]:
    """Whom, and where, the probe may want to run a program: what its check's `user` says, and its target.

    A check that is bound to a row has the one of the configuration as its `check`.
    """
    checks = (probe.check, getattr(probe.check, "check", None))
    users = {None, *(getattr(check, "user", None) for check in checks)}
    return {(user, netns) for user in users for netns in (None, probe.target.netns)}
