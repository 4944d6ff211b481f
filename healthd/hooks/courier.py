"""Carries events to one slow and unreliable receiver: in order, one at a time, with retries, beside everything else.

The order holds even through retries: a later event never overtakes one that is still being tried. What falls behind
loses the way there, never where things stand (see `healthd.outbox`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from healthd.events import Event
from healthd.hooks.base import DeliveryFailed, HookStats
from healthd.hooks.words import subject
from healthd.outbox import Outbox

logger = logging.getLogger(__name__)

Deliver = Callable[[Event], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Retries:
    """How often to try again, and the pause before it: `first` seconds, doubled each time, `most` at most."""

    count: int = 2
    first: float = 1.0
    most: float = 60.0

    def pause(self, attempt: int) -> float:
        """Seconds to wait after the failed attempt of that number, counted from 1."""
        return min(self.first * 2.0 ** (attempt - 1), self.most)


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
        self._delivered = self._failed = self._retried = self._left = 0
        self._told_dropped = 0
        self._last_error = ""

    def event(self, event: Event) -> None:
        """Queue one event if it is of a kind this hook wants."""
        if self._on and event.kind.value not in self._on:
            return
        if self._closing.is_set():
            self._left += 1
            return
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
        task = self._task
        if task is not None:
            try:
                await asyncio.wait({task}, timeout=grace)
            finally:
                task.cancel()
                await asyncio.wait({task})
        self._leave()

    def _leave(self) -> None:
        if self._outbox:
            self._left += len(self._outbox)
            logger.warning("hook %s: %d events are left undelivered", self.name, len(self._outbox))
        while self._outbox:
            self._outbox.take()

    async def _run(self) -> None:
        try:
            while self._outbox:
                await self._carry(self._outbox.take())
        finally:
            self._task = None
            self._tell_caught_up()

    async def _carry(self, event: Event) -> None:
        attempt = 1
        while not await self._attempt(event, attempt):
            if attempt > self._retries.count or self._closing.is_set():
                self._failed += 1
                return
            await self._pause(self._retries.pause(attempt))
            self._retried += 1
            attempt += 1
        self._delivered += 1

    async def _attempt(self, event: Event, attempt: int) -> bool:
        try:
            await self._deliver(event)
        except DeliveryFailed as failure:
            self._last_error = str(failure)
            self._tell_failed(event, attempt, failure)
            return False
        except asyncio.CancelledError:
            self._left += 1
            raise
        except Exception as error:
            self._last_error = repr(error)
            logger.exception("hook %s: a bug of the hook itself, with %s", self.name, event.kind.value)
            return False
        return True

    async def _pause(self, seconds: float) -> None:
        """Wait; closing ends the wait early."""
        try:
            async with asyncio.timeout(seconds):
                await self._closing.wait()
        except TimeoutError:
            return

    def _tell_failed(self, event: Event, attempt: int, failure: DeliveryFailed) -> None:
        tries = self._retries.count + 1
        logger.warning(
            "hook %s failed for %s (attempt %d of %d): %s",
            self.name,
            event.kind.value,
            attempt,
            tries,
            failure,
            extra={"service": event.service, "real": event.real, "output": failure.output},
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
