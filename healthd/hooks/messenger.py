"""Tells a receiver of events in messages: what comes together goes together, and nothing is lost but what is no news.

All that waits goes into the next message, so a receiver that was away hears how things stand and not how they came
about. What waits, and which problems the receiver knows of, is kept on the shelf as it comes: a healthd that is killed
leaves it to the next one.
"""

from __future__ import annotations

import asyncio
import logging
import math
import socket
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from healthd.config.schema import Config, Template, Webhook
from healthd.events import Event
from healthd.hooks.base import DeliveryFailed, HookStats, Shelf
from healthd.hooks.problems import ENDS, Item, Problems
from healthd.hooks.shelving import Shelving
from healthd.hooks.templates import LINGER, News, kinds
from healthd.hooks.waiting import Waiting

logger = logging.getLogger(__name__)

Send = Callable[[Webhook, News], Awaitable[None]]
Stands = Callable[[Event], bool | None]

MOST_TOGETHER = 1000
DAY = 86400.0
SAVING = 2.0
"""Seconds that the shelf may take at the end."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds. first, most: of the pauses between attempts, which double. minute: of `per_minute`.

    again: after which a receiver that wants so hears again of all that goes on. news: until an event is none any more.
    look: from one look at what an earlier healthd told to the next.
    """

    first: float = 1.0
    most: float = 300.0
    minute: float = 60.0
    again: float = LINGER / 4
    news: float = DAY
    look: float = 5.0


def nobody_knows(event: Event) -> bool | None:
    """Whether the problem that an event began is still there: nobody can tell."""
    return None


class Messenger:
    """A hook for one receiver. send: delivers news, or raises DeliveryFailed within a deadline of its own.

    stands: whether a problem of which an earlier healthd told is still there; None while nobody knows.
    """

    def __init__(
        self,
        settings: Webhook,
        send: Send,
        shelf: Shelf | None = None,
        pace: Pace = Pace(),
        stands: Stands = nobody_knows,
    ) -> None:
        self._settings = settings
        self._kinds = kinds(settings.template, settings.on)
        self._send = send
        self._pace = pace
        self._waiting = Waiting()
        self._problems = Problems()
        self._shelving = Shelving(self.name, self.name, shelf)
        self._number = time.time_ns() // 1000  # above all that an earlier healthd gave
        self._tries: dict[int, int] = {}
        self._sent: deque[float] = deque()
        self._again_at = 0.0
        self._failures = 0
        self._delivered = self._failed = self._retried = self._left = 0
        self._last_error = ""
        self._stands = stands
        self._came, self._stirred, self._closing = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    # --- a hook ------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """What the status and the log call it."""
        return f"webhook {self._settings.name}"

    def configure(self, config: Config) -> None:
        """Go by these settings from now on; what waits goes their way, and at once if an attempt is due later."""
        settings = next((one for one in config.settings.hooks if isinstance(one, Webhook) and self._is(one)), None)
        if settings is not None and settings != self._settings:
            self._settings, self._kinds = settings, kinds(settings.template, settings.on)
            self._stirred.set()
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name=self.name)
            self._task.add_done_callback(self._tell_fault)

    def event(self, event: Event) -> None:
        """Take one event if the receiver may be told of it."""
        if event.kind not in self._kinds and not self._problems.ends([event]):
            return
        if self._closing.is_set() and (self._task is None or self._task.done()):
            self._left += 1
            return
        self._number += 1
        self._put(Item(self._number, event))

    def stats(self) -> HookStats:
        """How the hook fares, counted in events."""
        waiting, left = len(self._waiting), self._left
        return HookStats(self.name, self._delivered, self._failed, left, waiting, self._retried, self._last_error)

    async def close(self, grace: float) -> None:
        """Try what waits once more within `grace` seconds; then it is kept for the next start, or dropped."""
        self._closing.set()
        self._stirred.set()
        self._came.set()
        if self._task is not None:
            try:
                await asyncio.wait({self._task}, timeout=grace)
            finally:
                self._task.cancel()
                await asyncio.wait({self._task})
        kept = await self._shelving.close(SAVING)
        if self._waiting and kept:
            logger.info("%s: %s for the next start", self.name, _events(len(self._waiting), "waits", "wait"))
        elif self._waiting:
            self._left += len(self._waiting)
            logger.warning("%s: %s left undelivered", self.name, _events(len(self._waiting), "is", "are"))
            self._waiting = Waiting()

    def _is(self, other: Webhook) -> bool:
        return other.name == self._settings.name

    def _put(self, item: Item) -> None:
        outdated = self._waiting.put(item)
        if outdated is not item:
            self._shelving.put([item])
        if outdated is not None:
            self._forget([outdated])
        self._came.set()

    def _forget(self, items: Sequence[Item]) -> None:
        """They are done with, one way or another."""
        self._waiting.remove(items)
        self._shelving.drop(items)
        for item in items:
            self._tries.pop(item.number, None)

    # --- its task ----------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        looking = asyncio.get_running_loop().create_task(
            self._look_after(await self._restore()), name=f"{self.name} look"
        )
        try:
            while not self._closing.is_set():
                await self._due()
                await self._pause(self._settings.group if self._waiting and not self._failures else 0.0)
                await self._turn()
                await self._attempt()
            if self._waiting:
                await self._attempt()
        finally:
            looking.cancel()

    def _tell_fault(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            logger.error("%s ended because of a fault of healthd's own; please report it", self.name, exc_info=error)

    async def _restore(self) -> list[Item]:
        """Take over what an earlier healthd left. Returns the problems that it told."""
        for item in await self._shelving.restore():
            if item.group:
                self._problems.restore(item)
            else:
                self._put(item)
        return list(self._problems)

    async def _look_after(self, told: Sequence[Item]) -> None:
        """Problems that an earlier healthd told may have ended unseen: tell the end of those that are not there."""
        while told:
            known = set(self._problems)
            over = {item for item in told if self._stands(item.event) is False}
            for item in over & known:
                self._end(item.event)
            told = [item for item in told if item in known - over]
            await asyncio.sleep(self._pace.look)

    def _end(self, event: Event) -> None:
        kind, what = ENDS[event.kind], f"no longer so: {event.message}"
        self.event(Event(kind, time.time(), what, event.service, event.virtual, event.real))

    async def _due(self) -> None:
        """Wait until there is something to say."""
        while not self._waiting and not self._closing.is_set():
            self._came.clear()
            pause = self._again_at - time.monotonic() if self._repeats() else None
            try:
                async with asyncio.timeout(pause):
                    await self._came.wait()
            except TimeoutError:
                return

    def _repeats(self) -> bool:
        return self._settings.template is Template.ALERTMANAGER and len(self._problems) > 0

    def _again(self) -> bool:
        """Whether it is time to tell again of all that goes on."""
        return self._repeats() and time.monotonic() >= self._again_at

    async def _turn(self) -> None:
        """Wait while there were as many messages within a minute as there may be."""
        while len(self._sent) >= self._settings.per_minute and not self._closing.is_set():
            await self._pause(self._sent[0] + self._pace.minute - time.monotonic())
            while self._sent and self._sent[0] + self._pace.minute <= time.monotonic():
                self._sent.popleft()

    async def _pause(self, seconds: float) -> None:
        """Wait; closing and other settings end the wait early."""
        if seconds > 0:
            try:
                async with asyncio.timeout(seconds):
                    await self._stirred.wait()
            except TimeoutError:
                return
            if not self._closing.is_set():
                self._stirred.clear()

    # --- one message -------------------------------------------------------------------------------------------

    async def _attempt(self) -> None:
        """Tell all that waits, as far as it is news."""
        items = self._worth_telling()
        if not items and not self._again():
            return
        news = self._news(items)
        self._sent.append(time.monotonic())
        self._retried += any(item.number in self._tries for item in items)
        try:
            await self._send(self._settings, news)
        except DeliveryFailed as failure:
            await self._refused(items, failure)
        except Exception as error:
            logger.exception("%s: a bug of the hook itself", self.name)
            await self._refused(items, DeliveryFailed(repr(error)))
        else:
            self._taken(items, news)

    def _worth_telling(self) -> tuple[Item, ...]:
        items = self._waiting.first(MOST_TOGETHER)
        since = time.time() - self._pace.news
        old = [item for item in items if item.event.at < since]
        if old:
            self._failed += len(old)
            logger.error("%s: %s given up, too old to be news", self.name, _events(len(old), "is", "are"))
        young = [item for item in items if item.event.at >= since]
        news = young if self._tells_all() else self._problems.news(young)
        told = {item.number for item in news}
        self._forget([item for item in items if item.number not in told])
        return tuple(news)

    def _tells_all(self) -> bool:
        """Whether recoveries count whose problem the receiver was not told of."""
        template = self._settings.template
        chosen = bool(self._settings.on) and template in (Template.SLACK, Template.NTFY)
        return template is Template.JSON or chosen

    def _news(self, items: Sequence[Item]) -> News:
        events = tuple(item.event for item in items)
        host, over = socket.gethostname(), self._problems.ends(events)
        about = " ".join([host, *(str(item.number) for item in items)])
        name = f"msg_{sha256(about.encode()).hexdigest()[:32]}"
        return News(name, host, time.time(), events, tuple(self._problems), over, self._again())

    def _taken(self, items: Sequence[Item], news: News) -> None:
        if self._failures:
            logger.warning("%s takes messages again, after %d failed", self.name, self._failures)
        self._failures = 0
        if news.again or not self._repeats():
            self._again_at = time.monotonic() + self._pace.again
        self._delivered += len(items)
        self._forget(items)
        if not self._tells_all():
            remembered, over = self._problems.tell(items, news.id)
            self._shelving.drop(over)
            self._shelving.put(remembered)

    async def _refused(self, items: Sequence[Item], failure: DeliveryFailed) -> None:
        self._failures += 1
        self._last_error = str(failure)
        if self._failures == 1:
            logger.warning("%s does not take messages: %s", self.name, failure)
        for item in items:
            self._tries[item.number] = self._tries.get(item.number, 0) + 1
        most = math.inf if self._settings.retries is None else self._settings.retries
        lost = [item for item in items if failure.final or self._tries[item.number] > most]
        if lost:
            self._failed += len(lost)
            self._forget(lost)
            logger.error("%s: %s given up: %s", self.name, _events(len(lost), "is", "are"), failure)
        doubled = min(self._pace.first * 2.0 ** min(self._failures - 1, 30), self._pace.most)
        await self._pause(max(doubled, failure.after))


def _events(number: int, one: str, more: str) -> str:
    return f"{number} event{f' {one}' if number == 1 else f's {more}'}"
