"""The prober inside a process: schedule, engine and folding in one asyncio loop.

A turn of the loop, always in this order: see whether we were stalled, read all that came, only then let deadlines pass,
start what is due and look at it once, tell the sink, sleep until the next slot that is not empty.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Sequence

from healthd.check import Outcome, Verdict
from healthd.prober.attempt import Attempt
from healthd.prober.base import Memories, Observation, Probe, Runner, Sink, Timings
from healthd.prober.engine import Engine, Result
from healthd.prober.fold import IDLE, Entry, pass_of
from healthd.prober.pulse import GATHER, Pulse, asleep
from healthd.prober.rhythms import rhythms_for
from healthd.prober.tally import Tally
from healthd.prober.transcript import Recorder
from healthd.prober.wheel import Wheel

BURST = 256
"""Most probes started in one turn; the rest wait for the next, so that answers are read in between."""

HEARTBEAT = 0.1
"""Longest sleep in seconds while a probe is in flight, so that a stall of ours cannot hide in it."""

LATE = 100
"""Milliseconds of lateness after which due probes are spread anew and not started in a burst."""

TOLD_AT_ONCE = 250
"""Probes looked at for who asks, before it is the turn of those that are due: a third of a millisecond."""

ROUNDS = 16
"""Most times the epoll set is read in one turn before deadlines are put off to the next."""


class LocalProber:
    """A `Prober` in the running asyncio loop; make it inside one.

    in_flight: most probes at once; more wait their turn. seed: of the spread of probes, drawn if None. clock: monotonic
    seconds. suspended: seconds this machine has slept so far. netns: network namespace this process is in, None for the
    one it was started in. on_bug: called with a text when a check raised what it must not. freeze: take the assignment
    out of the garbage collector's sight. forks: whether this process starts children; if it never does, a probe costs
    one call less.
    """

    def __init__(
        self,
        sink: Sink,
        *,
        runner: Runner | None = None,
        in_flight: int = 4096,
        seed: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        suspended: Callable[[], float] = asleep,
        netns: str | None = None,
        on_bug: Callable[[str], None] | None = None,
        freeze: bool = True,
        forks: bool = True,
    ) -> None:
        self._sink = sink
        self._most = in_flight
        self._seed = random.getrandbits(63) if seed is None else seed
        self._clock = clock
        self._freeze = freeze
        self._engine = Engine(
            self._report,
            clock=clock,
            runner=runner,
            netns=netns,
            on_bug=on_bug or logging.getLogger(__name__).error,
            forks=forks,
        )
        self._entries: dict[int, Entry] = {}
        self._wheel: Wheel[Entry] = Wheel()
        self._waiting: deque[Entry] = deque()
        self._unasked: list[Entry] = []
        self._batch: list[Observation] = []
        self._tally = Tally(clock())
        self._why_stalled = ""
        self._open = True
        self._pulse = Pulse(self._engine.fileno(), self._turn, clock, suspended)
        self._pulse.wake_by(self._tally.due)

    # --- Prober ---

    async def assign(self, probes: Sequence[Probe]) -> None:
        """Replace the whole assignment; ids it has keep their schedule and health."""
        kept = {probe.id: entry for probe in probes if (entry := self._kept(probe)) is not None}
        for entry in self._entries.values():
            if kept.get(entry.probe.id) is not entry:
                self._drop(entry)
        rhythms = rhythms_for([probe for probe in probes if probe.id not in kept], kept.values(), self._seed)
        now = self._now()
        entries = {}
        for probe in probes:
            entry = kept.get(probe.id) or Entry(probe, rhythms[probe.id])
            entries[probe.id] = entry
            if probe.id in kept:
                entry.take(probe)
            else:
                self._unasked.append(entry)
                self._schedule(entry, entry.rhythm.soon(now))
        self._entries = entries
        self._engine.contexts.recheck()
        self._collect()
        self._rest()

    async def hurry(self, probes: Collection[int]) -> None:
        """Ask these now; one that is being asked is asked again when that is done."""
        now = self._now()
        for number in probes:
            entry = self._entries.get(number)
            if entry is None:
                continue
            if entry.at == IDLE:
                entry.again = True
            else:
                self._schedule(entry, min(entry.at, now))
        self._rest()

    async def latest(self) -> Sequence[Observation]:
        """The last observation of each probe that has one; the loop gets its turns meanwhile."""
        return [last async for entry in self._unhurried() if (last := entry.last()) is not None]

    async def timings(self) -> Timings:
        """Of each probe that has a last observation."""
        return {entry.probe.id: (entry.reached, entry.took) async for entry in self._unhurried() if entry.reached}

    async def recall(self, probes: Collection[int]) -> Memories:
        """What is remembered of these."""
        return {number: self._entries[number].past for number in probes if number in self._entries}

    async def _unhurried(self) -> AsyncIterator[Entry]:
        for number, entry in enumerate(tuple(self._entries.values())):
            if number % TOLD_AT_ONCE == 0:
                await asyncio.sleep(0)
            yield entry

    async def close(self) -> None:
        """Stop asking, end what is in flight without verdicts, release everything."""
        if not self._open:
            return
        self._open = False
        self._pulse.close()
        for entry in self._entries.values():
            self._drop(entry)
        self._entries.clear()
        self._waiting.clear()
        self._wheel.clear()
        await self._engine.close()

    # --- a turn ---

    def _turn(self) -> None:
        pulse, clock = self._pulse, self._clock
        self._excuse(*pulse.gap(clock()))
        drained = self._read()
        now = clock()
        self._excuse(*pulse.lap(now))
        if drained:
            self._engine.expire(now, self._why_stalled)
        self._queue_due()
        self._start_waiting()
        self._engine.look()
        self._tell()
        if self._open:
            self._excuse(*pulse.lap(clock()))
            self._rest()

    def _excuse(self, lost: float, why: str) -> None:
        """Remember that we were not there for `lost` seconds, so that nobody's timeout is held against him."""
        if lost:
            self._engine.stalled += lost
            self._why_stalled = why
            self._tally.stalls += 1

    def _read(self) -> bool:
        """Read until nothing is left; False if there was too much for one turn."""
        return any(self._engine.reap() for _ in range(ROUNDS))

    def _queue_due(self) -> None:
        now = self._now()
        for at, slot in self._wheel.take(now):
            late = now - at > LATE
            for entry in slot:
                if entry.at != at or entry.gone:
                    continue  # asked sooner meanwhile, or no longer ours
                if late and not entry.moved:
                    entry.moved = True
                    self._put_off(entry, now)
                    continue
                entry.moved = False
                entry.at = IDLE
                entry.due = at
                self._waiting.append(entry)

    def _put_off(self, entry: Entry, now: int) -> None:
        """We were stalled: what has piled up is spread again, and what is due again before that is a missed tick."""
        at = entry.rhythm.soon(now)
        self._tally.missed += 1
        self._schedule(entry, at)

    def _start_waiting(self) -> None:
        engine, waiting, clock = self._engine, self._waiting, self._clock
        for _ in range(min(BURST, len(waiting), self._most - engine.flying)):
            entry = waiting.popleft()
            if entry.gone:
                continue
            now = clock()
            self._tally.lateness.append(now - entry.due / 1000)
            question = entry.question if entry.knocks is None else entry.next_question()
            trace = Recorder(clock) if entry.doubted or now >= entry.remember_at else None
            attempt = engine.begin(question, entry.probe.cadence.timeout, entry, trace)
            if attempt.flight is not None:
                entry.attempt = attempt

    def _report(self, attempt: Attempt, result: Result) -> None:
        entry: Entry = attempt.owner
        entry.attempt = None
        now = self._clock()
        took = now - attempt.started
        if entry.knocks is not None:
            result = entry.count_knock(result)
        if type(result) is str and entry.fold_pass(result, None, now, took):
            self._tally.passed += 1
        else:
            self._take(entry, result, now, took)
        if attempt.trace is not None or type(result) is Verdict:
            entry.remember(attempt, entry.verdict, now, took)
        at = entry.due + entry.rhythm.interval
        if entry.steady and not entry.again and at > now * 1000 and entry.rhythm.has(at):
            self._schedule(entry, at)  # the common case of what `_schedule_next` works out
        else:
            self._schedule_next(entry, int(now * 1000), int(attempt.started * 1000))

    def _take(self, entry: Entry, result: Result, now: float, took: float) -> None:
        """Fold any result."""
        passed = pass_of(result)
        if passed is not None:
            self._tally.passed += 1
            if not entry.fold_pass(*passed, now, took):
                self._fold(entry, Verdict(Outcome.PASS, detail=passed[0], weight=passed[1]), now, took)
        elif isinstance(result, Verdict):
            self._tally.count(result.outcome)
            self._fold(entry, result, now, took)

    def _fold(self, entry: Entry, verdict: Verdict, now: float, took: float) -> None:
        observation = entry.fold(verdict, now, took)
        if observation is not None:
            self._batch.append(observation)

    def _schedule_next(self, entry: Entry, now: int, started: int) -> None:
        at = entry.next_after(now, started)
        skipped = entry.rhythm.between(max(entry.due, started), now)
        self._tally.missed += skipped
        entry.again = False
        self._schedule(entry, at)

    def _tell(self) -> None:
        if self._batch:
            batch, self._batch = self._batch, []
            self._sink.observed(batch)
        now = self._clock()
        if now >= self._tally.due or self._first_round_ended():
            self._unasked = [entry for entry in self._unasked if not (entry.reached or entry.gone)]
            self._sink.summarised(self._tally.summary(now, self._engine.flying, len(self._unasked)))

    def _first_round_ended(self) -> bool:
        """True once when every probe has its first verdict; somebody waits for that."""
        if not self._unasked:
            return False
        while self._unasked and (self._unasked[-1].reached or self._unasked[-1].gone):
            self._unasked.pop()
        return not self._unasked

    def _rest(self) -> None:
        """Sleep until the next thing that is due."""
        now = self._clock()
        when = self._tally.due
        slot = self._wheel.next()
        if slot is not None:
            when = min(when, slot / 1000)
        if self._engine.curious:
            when = min(when, now + GATHER)
        if self._engine.flying:
            when = min(when, now + HEARTBEAT, self._engine.next_deadline() or when)
        if self._engine.busy or (self._waiting and self._engine.flying < self._most):
            when = now
        self._pulse.wake_by(when)

    # --- entries ---

    def _now(self) -> int:
        return int(self._clock() * 1000)

    def _schedule(self, entry: Entry, at: int) -> None:
        entry.at = at
        self._wheel.add(at, entry)

    def _kept(self, probe: Probe) -> Entry | None:
        entry = self._entries.get(probe.id)
        if entry is None:
            return None
        old = entry.probe
        same = old.check == probe.check and old.target == probe.target and old.cadence == probe.cadence
        return entry if same else None

    def _drop(self, entry: Entry) -> None:
        entry.gone = True
        if entry.attempt is not None:
            self._engine.abandon(entry.attempt)
            entry.attempt = None
        entry.question.forget()

    def _collect(self) -> None:
        """Entries live long and are many: keep them out of every full collection (measured: 2 ms per 10,000)."""
        if self._freeze:
            gc.unfreeze()
            gc.collect()
            gc.freeze()
