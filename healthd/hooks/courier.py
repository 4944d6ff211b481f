"""Carries events to one slow and unreliable receiver: in order, one at a time, with retries, beside everything else.

The order holds even through retries: a later event never overtakes one that is still being tried. What falls behind
loses the way there, never where things stand (see `healthd.outbox`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import count

from healthd.events import Event
from healthd.hooks.base import DeliveryFailed, HookStats
from healthd.hooks.words import subject
from healthd.outbox import Outbox

logger = logging.getLogger(__name__)

Deliver = Callable[[Event], Awaitable[None]]
DeliverAll = Callable[[Sequence[Event]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Retries:
    """How often to try again, and the pause before it: `first` seconds, doubled each time, `most` at most."""

    count: int = 2
    first: float = 1.0
    most: float = 60.0

    def pause(self, attempt: int) -> float:
        """Seconds to wait after the failed attempt of that number, counted from 1."""
        return min(self.first * 2.0 ** (attempt - 1), self.most)


class _Outcome(Enum):
    DELIVERED = "delivered"
    FAILED = "failed"
    HOPELESS = "hopeless"


class Courier:
    """A hook around a coroutine that delivers one event.

    deliver: ends within a deadline of its own, raises DeliveryFailed if the receiver did not take the event, and gives
    up at once when cancelled. on: values of events.Kind to carry, empty for all. room: events that may wait.
    """

    def __init__(
        self,
        name: str,
        deliver: Deliver,
        *,
        on: frozenset[str] = frozenset(),
        retries: Retries = Retries(),
        room: int = 1000,
    ) -> None:
        self.name = name
        self._deliver = deliver
        self._on = on
        self._retries = retries
        self._outbox: Outbox[Event] = Outbox(room)
        self._task: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()
        self._came = self._delivered = self._failed = self._retried = self._left = 0
        self._told_dropped = 0
        self._last_error = ""

    def event(self, event: Event) -> None:
        """Queue one event if it is of a kind this hook wants."""
        if self._on and event.kind.value not in self._on:
            return
        if self._closing.is_set():
            self._left += 1
            return
        self._came += 1
        if not self._outbox.put(event, subject(event)):
            self._tell_behind()
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name=f"hook {self.name}")

    def stats(self) -> HookStats:
        """How the hook fares."""
        dropped = self._outbox.dropped + self._left
        return HookStats(
            self.name, self._delivered, self._failed, dropped, len(self._outbox), self._retried, self._last_error
        )

    async def close(self, grace: float) -> None:
        """Try each waiting event once more within `grace` seconds; what is left then is dropped and counted."""
        self._closing.set()
        left_before, task = self._left, self._task
        if task is not None:
            try:
                await asyncio.wait({task}, timeout=grace)
            finally:
                task.cancel()
                await asyncio.wait({task})
        while self._outbox:
            self._outbox.take()
            self._left += 1
        left = self._left - left_before
        if left:
            logger.warning("hook %s: %d event%s left undelivered", self.name, left, " is" if left == 1 else "s are")

    async def _run(self) -> None:
        try:
            while self._outbox:
                await self._carry(await self._next())
        finally:
            self._task = None
            self._tell_caught_up()

    async def _next(self) -> Sequence[Event]:
        """What is delivered next, together."""
        return (self._outbox.take(),)

    async def _hand_over(self, events: Sequence[Event]) -> None:
        await self._deliver(events[0])

    async def _carry(self, events: Sequence[Event]) -> bool:
        """Try until it is decided. False if the end of the hook decided it, and not the receiver."""
        for attempt in count(1):
            outcome = await self._attempt(events, attempt)
            if outcome is _Outcome.DELIVERED:
                self._delivered += len(events)
                return True
            decided = outcome is _Outcome.HOPELESS or attempt > self._retries.count
            if decided or self._closing.is_set():
                self._failed += len(events)
                return decided
            await self._pause(self._retries.pause(attempt))
            self._retried += 1
        raise AssertionError("attempts never end by themselves")

    async def _attempt(self, events: Sequence[Event], attempt: int) -> _Outcome:
        try:
            await self._hand_over(events)
        except DeliveryFailed as failure:
            self._last_error = str(failure)
            self._tell_failed(events, attempt, failure)
            return _Outcome.HOPELESS if failure.final else _Outcome.FAILED
        except asyncio.CancelledError:
            self._left += len(events)
            raise
        except Exception as error:
            self._last_error = repr(error)
            logger.exception("hook %s: a bug of the hook itself, with %s", self.name, _kinds(events))
            return _Outcome.FAILED
        return _Outcome.DELIVERED

    async def _pause(self, seconds: float) -> None:
        """Wait; closing ends the wait early."""
        try:
            async with asyncio.timeout(seconds):
                await self._closing.wait()
        except TimeoutError:
            return

    def _tell_failed(self, events: Sequence[Event], attempt: int, failure: DeliveryFailed) -> None:
        tries = self._retries.count + 1
        logger.warning(
            "hook %s failed for %s (attempt %d of %d%s): %s",
            self.name,
            _kinds(events),
            attempt,
            tries,
            ", given up" if failure.final else "",
            failure,
            extra={"service": events[0].service, "real": events[0].real, "output": failure.output},
        )

    def _tell_behind(self) -> None:
        """Say once per backlog that events are being forgotten."""
        if self._told_dropped == 0:
            logger.warning(
                "hook %s is behind: %d events wait, outdated ones are dropped from now on",
                self.name,
                len(self._outbox),
            )
        self._told_dropped += 1

    def _tell_caught_up(self) -> None:
        if self._told_dropped and not self._outbox:
            logger.warning("hook %s has caught up; it missed %d outdated events", self.name, self._told_dropped)
            self._told_dropped = 0


class Collector(Courier):
    """A courier that delivers together what happens together, and all that waits when the receiver is back.

    deliver: as for a courier, of one or more events. quiet: it goes once nothing came for so many seconds, at most
    `longest` after the first. done: is told of events that were delivered or given up for good.
    """

    def __init__(
        self,
        name: str,
        deliver: DeliverAll,
        *,
        quiet: float,
        longest: float,
        done: Callable[[Sequence[Event]], None] = lambda events: None,
        retries: Retries = Retries(),
        room: int = 1000,
    ) -> None:
        super().__init__(name, self._one, retries=retries, room=room)
        self._deliver_all = deliver
        self._done = done
        self._quiet = quiet
        self._longest = longest
        self._under_way = 0

    def stats(self) -> HookStats:
        """How the hook fares; what is being tried is counted as waiting, for it may be many events for long."""
        stats = super().stats()
        return replace(stats, queued=stats.queued + self._under_way)

    async def _one(self, event: Event) -> None:
        await self._deliver_all((event,))

    async def _hand_over(self, events: Sequence[Event]) -> None:
        await self._deliver_all(events)

    async def _carry(self, events: Sequence[Event]) -> bool:
        self._under_way = len(events)
        try:
            decided = await super()._carry(events)
        finally:
            self._under_way = 0
        if decided:
            self._done(events)
        return decided

    async def _next(self) -> Sequence[Event]:
        seen, spent = 0, 0.0
        while seen < self._came and spent < self._longest and not self._closing.is_set():
            seen = self._came
            await self._pause(self._quiet)
            spent += self._quiet
        return tuple(self._outbox.take() for _ in range(len(self._outbox)))


def _kinds(events: Sequence[Event]) -> str:
    """What events are about, for a line of log."""
    kinds = ", ".join(dict.fromkeys(event.kind.value for event in events))
    return kinds if len(events) == 1 else f"{len(events)} events ({kinds})"
