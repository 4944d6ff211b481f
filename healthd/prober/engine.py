"""Drives conversations: one epoll set, one place for deadlines, no task, timer or stream object per probe.

The way of an attempt: `begin` -> the conversation says steps, each is done at once or waits for an edge -> `_finish`,
which reports it once. A deadline passes only after everything that has come in was read (`expire` after a complete
`reap`), so an answer that is there counts however late we are.

Deadlines: attempts of one timeout begin in the order in which they end, so each timeout has one ordered set and only
its front is looked at.
"""

from __future__ import annotations

import asyncio
import select
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from healthd.check import (
    CheckFailed,
    Inconclusive,
    Outcome,
    Passed,
    Reason,
    Step,
    Target,
    Verdict,
)
from healthd.prober import classify, steps, stream
from healthd.prober.attempt import WAIT, Attempt, Question, late_detail
from healthd.prober.base import Runner
from healthd.prober.bugs import Bugs
from healthd.prober.contexts import Contexts
from healthd.prober.echo import EchoPorts
from healthd.prober.shared import Shared
from healthd.prober.sockets import namespace_path
from healthd.prober.tasks import begin_task
from healthd.prober.tls import Secured
from healthd.prober.transcript import Recorder

EVENTS = 512
"""Most events read at once, so that a turn stays short."""

CROWD = 8
"""So many streams opened at once are worth a second look before they are registered."""

STEPS = 200
"""Most steps a conversation takes without waiting; then it is the others' turn."""

EXCUSED = 0.25
"""Part of its timeout that we may have slept through before a timeout says nothing about the server."""

CLOSING = 2.0
"""Seconds that `close` waits for checks with their own I/O to let their cancellation through."""

Result = str | Passed | Verdict


class Watched(Protocol):
    """What is behind a descriptor of the epoll set."""

    def ready(self, events: int) -> None:
        """The descriptor has events."""
        ...


class Engine:
    """Asks questions. report(attempt, result): called once for each attempt that ends by itself or by its deadline.

    clock: monotonic seconds. netns: the network namespace this process is in, None for the one it was started in.
    on_bug: called with a text once for each place where a check raised something it must not. forks: whether this
    process starts children.
    """

    def __init__(
        self,
        report: Callable[[Attempt, Result], None],
        *,
        clock: Callable[[], float],
        runner: Runner | None = None,
        netns: str | None = None,
        on_bug: Callable[[str], None],
        forks: bool = True,
    ) -> None:
        self.report = report
        self.clock = clock
        self.runner = runner
        self._netns = None if netns is None else namespace_path(netns)
        self.stalled = 0.0
        self.flying = 0
        self.bugs = Bugs(on_bug)
        self._forks = forks
        self._epoll = select.epoll()
        self._watched: dict[int, Watched] = {}
        self._fresh: dict[int, stream.Stream] = {}
        self._near: dict[int, stream.Stream] = {}
        self._flights: dict[float, dict[Attempt, None]] = {}
        self._tired: deque[tuple[Attempt, Any]] = deque()
        self.shared = Shared(self)
        self.echoes = EchoPorts(self)
        self.contexts = Contexts(clock)
        self.tasks: set[asyncio.Task[object]] = set()
        self._handlers = steps.HANDLERS

    # --- what the prober calls ---

    def fileno(self) -> int:
        """The epoll set, readable when `reap` has something to do."""
        return self._epoll.fileno()

    def begin(self, question: Question, timeout: float, owner: Any = None, trace: Recorder | None = None) -> Attempt:
        """Start asking; `report` may be called before this returns. timeout: seconds."""
        attempt = Attempt(question, timeout, owner, trace)
        attempt.started = now = self.clock()
        attempt.deadline = now + timeout
        attempt.stalled = self.stalled
        flight = self._flights.get(timeout)
        if flight is None:
            flight = self._flights[timeout] = {}
        flight[attempt] = None
        attempt.flight = flight
        self.flying += 1
        if question.check_is_task:
            begin_task(self, attempt, question.check)  # type: ignore[arg-type]
            return attempt
        try:
            attempt.conversation = conversation = question.check.converse(question.target)  # type: ignore[union-attr]
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a verdict, not the end of the prober
            self.finish(attempt, self.bugs.verdict(error, question.check))
        else:
            self._drive(attempt, conversation.send, None)
        return attempt

    def reap(self) -> bool:
        """Let every conversation go on for which something came; False if there may be more to read."""
        self.look()
        if self._near:
            self._look_again()
        for _ in range(len(self._tired)):
            attempt, value = self._tired.popleft()
            if attempt.conversation is not None:
                self._drive(attempt, attempt.conversation.send, value)
        events = self._epoll.poll(0, EVENTS)
        watched = self._watched
        for fd, bits in events:
            behind = watched.get(fd)
            if behind is not None:
                behind.ready(bits)
        return len(events) < EVENTS

    def look(self) -> None:
        """Look once at the streams opened since the last look, and register those that have to be waited for.

        A near server has answered by the time the probes begun with it have begun as well; then one poll(2) of them
        all replaces a registration and a wake-up for each. Of a crowd, those that have connected and wait for an
        answer are looked at once more, by the next `reap`.
        """
        fresh = self._fresh
        if not fresh:
            return
        self._fresh = {}
        self._look_at(fresh, stream.OPENING)
        crowd = len(fresh) >= CROWD
        for fd, opened in fresh.items():
            if opened.fd != fd:
                continue
            if crowd and opened.listens:
                self._near[fd] = opened
            else:
                self._register(opened)

    def _look_again(self) -> None:
        near, self._near = self._near, {}
        self._look_at(near, stream.INCOMING)
        for fd, opened in near.items():
            if opened.fd == fd:
                self._register(opened)

    def _look_at(self, streams: Mapping[int, stream.Stream], events: int) -> None:
        """Let those go on for which something came."""
        poll = select.poll()
        for fd in streams:
            poll.register(fd, events)
        for fd, bits in poll.poll(0):
            opened = streams[fd]
            if opened.fd == fd:
                opened.ready(bits)

    def _register(self, opened: stream.Stream) -> None:
        try:
            self.watch(opened.fd, opened, stream.EDGES)
        except OSError as error:
            if opened.attempt is None:
                opened.close(hard=True)  # kept for the next probe, which opens another
            else:
                self.throw(opened.attempt, classify.refused_here(error.errno or 0, "waiting for a connection"))

    def expire(self, now: float, why_stalled: str = "") -> None:
        """End every attempt whose deadline has passed. Call it only after `reap` gave True."""
        for flight in list(self._flights.values()):
            late = []
            for attempt in flight:
                if attempt.deadline > now:
                    break
                late.append(attempt)
            for attempt in late:
                verdict = self._too_late(attempt, now, why_stalled)
                if attempt.optional and verdict.outcome is Outcome.FAIL:
                    self._tell_silence(attempt)
                if attempt.flight is not None:
                    self.finish(attempt, verdict)

    def next_deadline(self) -> float | None:
        """The first deadline of all attempts in flight."""
        return min((next(iter(flight)).deadline for flight in self._flights.values() if flight), default=None)

    @property
    def curious(self) -> bool:
        """True while streams wait for their second look."""
        return bool(self._near)

    @property
    def busy(self) -> bool:
        """True while a conversation waits for its next turn, or for a look, and not for the network."""
        return bool(self._tired or self._fresh)

    def abandon(self, attempt: Attempt) -> None:
        """End an attempt without a report."""
        if attempt.flight is not None:
            self._release(attempt, hard=True)

    async def close(self) -> None:
        """Abandon everything and release every descriptor."""
        for flight in self._flights.values():
            for attempt in list(flight):
                self.abandon(attempt)
        if self.tasks:
            await asyncio.wait(self.tasks, timeout=CLOSING)
        self.shared.close()
        self.echoes.close()
        self._epoll.close()

    # --- what channels call ---

    def watch(self, fd: int, behind: Watched, events: int) -> None:
        """Have `behind.ready` called at events of a descriptor."""
        self._epoll.register(fd, events)
        self._watched[fd] = behind

    def watch_fresh(self, opened: stream.Stream) -> None:
        """The same for a stream whose connection has just been asked for, from the next `look` on."""
        self._fresh[opened.fd] = opened

    def unwatch(self, fd: int) -> None:
        """Forget a descriptor that is about to be closed.

        Closing takes it out of the set, except while a child of this process holds a copy between fork and exec: then
        its late events would be taken for those of the next socket with its number.
        """
        if self._watched.pop(fd, None) is not None and self._forks:
            self._epoll.unregister(fd)

    def check_namespace(self, target: Target) -> None:
        """Inconclusive if the target must be asked from another network namespace than this process is in."""
        if target.netns is not None and namespace_path(target.netns) != self._netns:
            raise Inconclusive(f"not in network namespace {target.netns}")

    def resume(self, attempt: Attempt, value: Any) -> None:
        """Let a conversation go on with what it waited for."""
        if attempt.conversation is not None:
            self._drive(attempt, attempt.conversation.send, value)

    def throw(self, attempt: Attempt, error: Exception) -> None:
        """Tell a conversation that what it waited for failed."""
        if attempt.conversation is not None:
            self._drive(attempt, attempt.conversation.throw, error)

    def hand_over(self, attempt: Attempt, grace: float) -> None:
        """Somebody else keeps the deadline, and is late himself only `grace` seconds behind it."""
        assert attempt.flight is not None
        del attempt.flight[attempt]
        attempt.deadline += grace
        attempt.overseen = True
        attempt.flight = self._flights.setdefault(-attempt.timeout, {})
        attempt.flight[attempt] = None

    # --- one attempt ---

    def _drive(self, attempt: Attempt, go: Callable[[Any], Step], value: Any) -> None:
        """Run a conversation until it waits or ends. go: its `send` or `throw`, called with `value`."""
        conversation, trace = attempt.conversation, attempt.trace
        assert conversation is not None
        for _ in range(STEPS):
            if type(value) is bytes:
                attempt.received += len(value)
            if trace is not None:
                trace.got(value)
            try:
                step = go(value)
            except StopIteration as stop:
                return self.finish(attempt, stop.value)
            except (CheckFailed, Inconclusive) as error:
                return self.finish(attempt, classify.verdict_of(error))
            except Exception as error:  # noqa: BLE001 - a mistake in a check must not end the prober
                return self.finish(attempt, self.bugs.verdict(error, attempt.question.check))
            if trace is not None:
                trace.wanted(step)
            try:
                value = self._handlers[type(step)](self, attempt, step)
            except (CheckFailed, Inconclusive) as error:
                go, value = conversation.throw, error
            except OSError as error:
                go, value = conversation.throw, stream.failure_of(error)
            except Exception as error:  # noqa: BLE001 - e.g. Send before Connect
                return self.finish(attempt, self.bugs.verdict(error, attempt.question.check))
            else:
                if value is WAIT:
                    return None
                go = conversation.send
        if go is not conversation.send:
            return self.finish(
                attempt, self.bugs.verdict(RuntimeError("it tries again for ever"), attempt.question.check)
            )
        self._tired.append((attempt, value))
        return None

    def finish(self, attempt: Attempt, result: Any) -> None:
        """End an attempt with what its check returned, or with a verdict, and report it."""
        if type(result) is not Verdict and type(result) is not str and type(result) is not Passed:
            error = TypeError(f"a conversation must return a text, not {result!r}")
            result = self.bugs.verdict(error, attempt.question.check)
        self._release(attempt, hard=type(result) is Verdict)
        self.report(attempt, result)

    def _release(self, attempt: Attempt, hard: bool) -> None:
        """Take an attempt out of everything it is in. hard: it did not pass, so its stream is reset."""
        assert attempt.flight is not None
        del attempt.flight[attempt]
        attempt.flight = None
        self.flying -= 1
        conversation, attempt.conversation = attempt.conversation, None
        if hard and conversation is not None:
            self._silence(attempt, conversation)
        if attempt.cancel is not None:
            attempt.cancel()
            attempt.cancel = None
        if attempt.beside is not None:
            attempt.leave_aside(hard)
        channel = attempt.channel
        if channel is None:
            return
        attempt.channel = None
        if attempt.keep and not hard and isinstance(channel, stream.Stream | Secured) and channel.keep():
            attempt.question.kept = channel
        else:
            channel.close(hard)

    def _silence(self, attempt: Attempt, conversation: Any) -> None:
        try:
            conversation.close()
        except Exception as error:  # noqa: BLE001 - its `finally` is as much ours as the rest of it
            self.bugs.verdict(error, attempt.question.check)

    def _tell_silence(self, attempt: Attempt) -> None:
        """At its deadline, tell a conversation to which silence is an answer; it ends now or is too late after all."""
        assert attempt.conversation is not None
        self._drive(attempt, attempt.conversation.send, None)

    def _too_late(self, attempt: Attempt, now: float, why_stalled: str) -> Verdict:
        if attempt.overseen:
            return Verdict(Outcome.INCONCLUSIVE, Reason.LOCAL, "the runner does not answer")
        slept = self.stalled - attempt.stalled
        if slept >= attempt.timeout * EXCUSED:
            return Verdict(Outcome.INCONCLUSIVE, Reason.LOCAL, f"{why_stalled or 'we were stalled'} for {slept:.1f} s")
        return Verdict(Outcome.FAIL, Reason.TIMEOUT, late_detail(attempt))
