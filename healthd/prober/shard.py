"""One prober process as the director sees it: started, told what to ask, heard, watched over, started again.

Neither side waits for the other. What the prober is to be told is kept as it should be, not as a list of what happened
(the assignment, who is to be hurried), so a prober that does not read costs nothing but its own place in it.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Protocol

from healthd.backoff import Backoff
from healthd.check import Outcome, Reason, Verdict
from healthd.children import Child, Log, start
from healthd.health import Health
from healthd.privileges import Capability, PrivilegeError, needed
from healthd.prober import orders, wire
from healthd.prober.base import Answer, Memories, Observation, Probe, Summary, Timings
from healthd.prober.line import Line
from healthd.prober.place import Place

TICK = 1.0
START_PATIENCE = 30.0
"""Seconds until a new process must have said its first word: a machine may be busy."""

MOST_ORDERS = 1000
_ABOUT_TO_END = 0.1
_END_PATIENCE = 2.0


class Listener(Protocol):
    """Whom a shard tells."""

    def observed(self, batch: Sequence[Observation]) -> None:
        """Observations of probes that are the shard's."""
        ...

    def summarised(self, shard: Shard, summary: Summary) -> None:
        """A summary."""
        ...

    def lost(self, shard: Shard, why: str) -> None:
        """The process is gone and is being started again."""
        ...

    def runner_wanted(self, shard: Shard, wanted: wire.RunnerWanted) -> None:
        """The process has scripts to run; answer with `give_runner`."""
        ...


@dataclass(slots=True)
class _Question:
    """What a process was asked, and its answer as far as it has come."""

    answered: asyncio.Future[None]
    seen: list[Observation] = field(default_factory=list)
    timings: dict[int, tuple[float, float]] = field(default_factory=dict)
    past: dict[int, tuple[Answer, ...]] = field(default_factory=dict)

    def end(self) -> None:
        """There is no more."""
        if not self.answered.done():
            self.answered.set_result(None)

    def forget(self) -> None:
        """Nobody is left to answer it; a part of an answer is none."""
        self.seen, self.timings, self.past = [], {}, {}
        self.end()


class Shard:
    """Keeps one prober process going; `close` it at the end. Needs a running loop.

    in_flight: most probes at once. silence: seconds that the process may say nothing. unable: the last process did not
    even take its assignment, so its probes cannot be asked; each has been given an inconclusive verdict that says why.
    """

    def __init__(self, place: Place, listener: Listener, *, in_flight: int, silence: float, log: Log) -> None:
        self.place = place
        self._listener = listener
        self._in_flight = in_flight
        self._silence = silence
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._backoff = Backoff()
        self._probes: Sequence[Probe] = ()
        self._serial = 0
        self._taken = 0
        self._told = ""
        self.unable = False
        self._watches: dict[int, frozenset[int]] = {}
        self._healths: dict[int, Health] = {}
        self._child: Child | None = None
        self._unheard = 0
        self._patience = silence
        self._gone: asyncio.Future[str] = self._loop.create_future()
        self._news = asyncio.Event()
        self._stale = False
        self._hurried: set[int] = set()
        self._orders: deque[tuple[orders.Order, socket.socket | None]] = deque()
        self._questions: dict[int, _Question] = {}
        self._asked = 0
        self._keeper = self._loop.create_task(self._keep())
        self._keeper.add_done_callback(_no_bug)

    # --- what the prober is told ---

    @property
    def pid(self) -> int | None:
        """Process id while there is a process."""
        return self._child.pid if self._child else None

    @property
    def probes(self) -> int:
        """How many it has to ask."""
        return len(self._probes)

    def assign(self, probes: Sequence[Probe]) -> None:
        """Replace the assignment. Healths of watches that it has already are kept."""
        self._serial += 1
        self.unable = False
        self._told = ""
        self._probes = probes
        self._watches = {probe.id: frozenset(watch.id for watch in probe.watches) for probe in probes}
        self._healths = {
            watch.id: self._healths.get(watch.id, watch.health) for probe in probes for watch in probe.watches
        }
        self._hurried &= self._watches.keys()
        self._stale = True
        self._news.set()

    def hurry(self, probes: Collection[int]) -> None:
        """Ask those of these that are ours soon."""
        self._hurried |= self._watches.keys() & set(probes)
        self._news.set()

    async def latest(self, patience: float) -> Sequence[Observation]:
        """The last observations; none from a process that does not answer within `patience` seconds."""
        question = await self._ask(orders.Tell, patience)
        return question.seen

    async def timings(self, patience: float) -> Timings:
        """The same with less to say."""
        question = await self._ask(orders.TellTimings, patience)
        return question.timings

    async def recall(self, probes: Collection[int], patience: float) -> Memories:
        """What is remembered of those of these that are ours."""
        ours = tuple(sorted(self._watches.keys() & set(probes)))
        if not ours:
            return {}
        question = await self._ask(lambda number: orders.Recall(number, ours), patience)
        return question.past

    async def _ask(self, order: Callable[[int], orders.Order], patience: float) -> _Question:
        """A question that was answered; without any answer if that took too long, or the process ended."""
        self._asked += 1
        number, question = self._asked, _Question(self._loop.create_future())
        self._questions[number] = question
        self._order(order(number))
        try:
            await asyncio.wait_for(question.answered, patience)
        except TimeoutError:
            return _Question(question.answered)
        finally:
            del self._questions[number]
        return question

    def give_runner(self, wanted: wire.RunnerWanted, runner: socket.socket | str) -> None:
        """Answer to `Listener.runner_wanted`: a socket to a runner, or why there is none."""
        if isinstance(runner, str):
            self._order(orders.TakeRunner(wanted.user, wanted.netns, runner))
        else:
            self._order(orders.TakeRunner(wanted.user, wanted.netns, None), runner)

    async def close(self) -> None:
        """End the process."""
        child, self._child = self._child, None
        self._keeper.cancel()
        with suppress(asyncio.CancelledError):
            await self._keeper
        if child is not None:
            await child.leave(_END_PATIENCE)

    def _order(self, order: orders.Order, sock: socket.socket | None = None) -> None:
        self._orders.append((order, sock))
        self._news.set()
        if len(self._orders) > MOST_ORDERS:
            self._lose("does not read what it is told")

    # --- its life ---

    async def _keep(self) -> None:
        """Have a process, for ever."""
        while True:
            await asyncio.sleep(max(0.0, self._backoff.remaining(self._loop.time())))
            why = await self._live()
            self._backoff.failed(self._loop.time())
            self.unable = not self._taken
            self._listener.lost(self, f"{self.place.name} {why}")
            if self.unable:
                self._excuse(f"{self.place.name} {why}")

    async def _live(self) -> str:
        """One process, from start to end. Returns how it ended."""
        try:
            self._child = child = self._start()
        except (OSError, PrivilegeError) as error:
            return f"cannot be started: {error}"
        self._gone = self._loop.create_future()
        self._taken = 0
        self._unheard = 0
        self._patience = max(START_PATIENCE, self._silence)
        self._stale = True
        self._news.set()
        line = Line(child.control, self._hear, self._lose)
        teller = self._loop.create_task(self._tell(line))
        watcher = self._loop.create_task(self._watch())
        try:
            why = await self._gone
        finally:
            line.close()
            teller.cancel()
            watcher.cancel()
            await asyncio.gather(teller, watcher, return_exceptions=True)
            self._drop_orders()
        self._child = None
        ended = child.end(0.0 if why else _ABOUT_TO_END)
        return why or ended

    def _excuse(self, why: str) -> None:
        """A process that did not even take its assignment: that is a verdict, of the kind that blames no server."""
        if why == self._told:
            return
        self._told = why
        now = self._loop.time()
        verdict = Verdict(Outcome.INCONCLUSIVE, Reason.LOCAL, why)
        healths = self._healths
        self._listener.observed(
            [
                Observation(one.id, verdict, now, 0.0, tuple((watch.id, healths[watch.id]) for watch in one.watches))
                for one in self._probes
            ]
        )

    def _start(self) -> Child:
        place = self.place
        lend = needed(user=place.user, netns=place.netns, keep=place.keep) | {Capability.SYS_NICE}
        keep = ",".join(sorted(capability.name for capability in place.keep))
        arguments = [place.user or "", place.netns or "", keep, str(self._in_flight), str(os.getpid())]
        return start("healthd.prober.process", arguments, name=place.name, lend=lend, small=False, log=self._log)

    def _drop_orders(self) -> None:
        """What was for that process alone."""
        while self._orders:
            _, sock = self._orders.popleft()
            if sock is not None:
                sock.close()
        for question in self._questions.values():
            question.forget()

    async def _watch(self) -> None:
        """Counted in ticks of ours, so that it is not blamed for a time in which we were stopped."""
        while self._unheard * TICK < self._patience:
            await asyncio.sleep(TICK)
            self._unheard += 1
        self._lose(f"did not answer for {self._patience:g} s")

    def _lose(self, why: str) -> None:
        if not self._gone.done():
            self._gone.set_result(why)

    # --- telling ---

    async def _tell(self, line: Line) -> None:
        try:
            while True:
                await self._news.wait()
                self._news.clear()
                await self._tell_all(line)
        except OSError:
            pass  # it has gone, which the line finds and says
        except Exception as error:  # noqa: BLE001 - a check that cannot be pickled raises what it likes
            self._lose(f"cannot be told what to ask: {error!r}")

    async def _tell_all(self, line: Line) -> None:
        while self._orders or self._stale or self._hurried:
            if self._orders:
                order, sock = self._orders.popleft()
                await line.send(order, sock)
            elif self._stale:
                await self._send_assignment(line)
            else:
                hurried, self._hurried = self._hurried, set()
                await line.send(orders.Hurry(tuple(sorted(hurried))))

    async def _send_assignment(self, line: Line) -> None:
        self._stale = False
        for part in orders.assignment(self._serial, self._probes, self._healths):
            await line.send(part)
            await asyncio.sleep(0)
            if self._stale:
                return  # there is a newer one already

    # --- hearing ---

    def _hear(self, message: wire.Message) -> None:
        self._unheard = 0
        self._patience = self._silence
        match message:
            case wire.Ready(kept):
                self._backoff.succeeded(self._loop.time())
                self._complain(kept)
            case wire.Refused(why):
                self._lose(f"cannot work: {why}")
            case wire.Assigned(number):
                self._taken = number
                self.unable = False
                self._told = ""
            case wire.Observed(batch):
                self._take(batch)
            case wire.Summarised(summary):
                current = self._taken == self._serial
                self._listener.summarised(self, summary if current else replace(summary, unasked=len(self._probes)))
            case wire.Latest(number, last, batch):
                self._collect(number, last, batch)
            case wire.Timed(number, last, part):
                self._collect_timings(number, last, part)
            case wire.Recalled(number, last, probe, past):
                self._collect_past(number, last, probe, past)
            case wire.RunnerWanted():
                self._listener.runner_wanted(self, message)

    def _complain(self, kept: Collection[str]) -> None:
        missing = sorted(f"CAP_{one.name}" for one in self.place.keep if one.name not in kept)
        if missing:
            self._log(
                f"{self.place.name} runs without {', '.join(missing)}: "
                "checks by ping, and probes with a mark or an interface, cannot be done"
            )

    def _take(self, batch: Sequence[Observation]) -> None:
        ours = [self._known(one) for one in batch if one.probe in self._watches]
        for one in ours:
            self._healths.update(one.healths)
        if ours:
            self._listener.observed(ours)

    def _known(self, one: Observation) -> Observation:
        """Without watches that we have taken from it meanwhile."""
        ours = self._watches[one.probe]
        if all(watch in ours for watch, _ in one.healths):
            return one
        return replace(one, healths=tuple(pair for pair in one.healths if pair[0] in ours))

    def _collect(self, number: int, last: bool, batch: Sequence[Observation]) -> None:
        question = self._questions.get(number)
        if question is None:
            return
        question.seen += (self._known(one) for one in batch if one.probe in self._watches)
        if len(question.seen) > len(self._watches):
            raise wire.Malformed("more answers than probes")
        if last:
            question.end()

    def _collect_timings(self, number: int, last: bool, part: Timings) -> None:
        question = self._questions.get(number)
        if question is None:
            return
        question.timings |= {probe: timing for probe, timing in part.items() if probe in self._watches}
        if last:
            question.end()

    def _collect_past(self, number: int, last: bool, probe: int, past: tuple[Answer, ...]) -> None:
        question = self._questions.get(number)
        if question is None:
            return
        if last:
            question.end()
        elif probe in self._watches:
            question.past[probe] = past


def _no_bug(task: asyncio.Task[None]) -> None:
    """Have the loop report what ended a task that must not end."""
    if not task.cancelled():
        task.result()
