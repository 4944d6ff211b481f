"""Mail about servers that go down and come back: a hook that is always there and goes by the configuration."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace

from healthd.config.schema import Config, MailSettings, ServiceConfig, Stage
from healthd.events import Event, Kind
from healthd.hooks.base import HookStats, Shelf
from healthd.hooks.mail_words import About
from healthd.hooks.mailbag import Mailbag
from healthd.hooks.postbox import USUAL, Postbox, Way
from healthd.hooks.reminders import Missing, Reminders

logger = logging.getLogger(__name__)

KINDS = frozenset(
    {
        Kind.SERVER_UP,
        Kind.SERVER_DOWN,
        Kind.SERVER_WEIGHT,
        Kind.SERVER_ADMIN,
        Kind.FALLBACK_ON,
        Kind.FALLBACK_OFF,
        Kind.SERVICE_DOWN,
        Kind.SERVICE_UP,
        Kind.SERVICE_REMOVED,
        Kind.SERVER_REMOVED,
    }
)
"""What mail tells of."""
OF_ROWS = frozenset({Kind.SERVER_UP, Kind.SERVER_DOWN, Kind.SERVER_WEIGHT, Kind.SERVER_ADMIN})
"""Of these only what changed the table: a server that somebody drained may go down and come up unheard."""

RETIRED_GRACE = 60.0
LOOK_LEAST, LOOK_MOST = 0.05, 5.0
"""Bounds of the seconds between two looks for reminders that are due."""


class Rows:
    """What the table was last known to have for each server, to tell which events changed that."""

    def __init__(self) -> None:
        self._weights: dict[tuple[str, str, str], int | None] = {}

    def changed(self, event: Event) -> bool:
        """Whether a server's row changed: by us now, or in a plan that broke off before it could be told."""
        ref = (event.service, event.virtual, event.real)
        known = ref in self._weights
        before = self._weights.get(ref)
        self._weights[ref] = event.weight
        if event.effect:
            return True
        return before != event.weight if known else event.previous == "up" and not event.weight

    def keep(self, services: Collection[str]) -> None:
        """Forget the servers of all other services."""
        self._weights = {ref: weight for ref, weight in self._weights.items() if ref[0] in services}


class MailHook:
    """The mail of all services that want some. shelf: where what waits lives through a restart; None for nowhere."""

    name = "mail"

    def __init__(self, way: Way = USUAL, shelf: Shelf | None = None) -> None:
        self._way = way
        self._bag = Mailbag(shelf)
        self._restoring: asyncio.Task[None] | None = None
        self._stage: Callable[[], Stage] = lambda: Stage.STARTING
        self._missing: Callable[[], Iterable[Missing]] = tuple
        self._rows = Rows()
        self._reminders = Reminders()
        self._current: frozenset[str] = frozenset()
        self._services: dict[str, ServiceConfig] = {}
        self._boxes: dict[MailSettings, Postbox] = {}
        self._past = HookStats(self.name)
        self._looking: asyncio.Task[None] | None = None
        self._retiring: set[asyncio.Task[None]] = set()

    # --- set up ------------------------------------------------------------------------------------------------

    def attach(self, stage: Callable[[], Stage], missing: Callable[[], Iterable[Missing]]) -> None:
        """Learn whom to ask what the daemon is doing, and which servers are down."""
        self._stage = stage
        self._missing = missing

    def configure(self, config: Config) -> None:
        """Have these services' mail from now on. Services that go are known until they are gone from the table."""
        before, self._current = self._current, frozenset(service.name for service in config.services)
        wanted = {service.name: service for service in config.services if service.mail.to}
        going = {name: self._services[name] for name in self._services.keys() & before - self._current}
        self._services = going | wanted
        self._rows.keep(self._services.keys() | self._current)
        self._prune()
        self._look_if_needed()
        if self._restoring is None:
            self._restoring = asyncio.get_running_loop().create_task(self._restore(), name="mail of an earlier healthd")

    async def _restore(self) -> None:
        """Mail what an earlier healthd did not get rid of, where the service still has mail."""
        for event in await self._bag.restore():
            if event.service in self._services:
                self._mail(self._services[event.service], event)

    def _prune(self) -> None:
        routes = {_route(service.mail) for service in self._services.values()}
        for route in self._boxes.keys() - routes:
            self._retire(self._boxes.pop(route))

    def _retire(self, box: Postbox) -> None:
        task = asyncio.get_running_loop().create_task(self._ended(box, RETIRED_GRACE), name="retire mail")
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    async def _ended(self, box: Postbox, grace: float) -> None:
        try:
            await box.close(grace)
        finally:
            self._past = _total(self.name, [self._past, replace(box.stats(), queued=0)])

    # --- events ------------------------------------------------------------------------------------------------

    def event(self, event: Event) -> None:
        """Take an event; it is mailed if it is of a service with mail, at a stage in which it wants some."""
        if event.kind not in KINDS:
            return
        changed = event.kind not in OF_ROWS or self._rows.changed(event)
        service = self._services.get(event.service)
        if service is not None and changed:
            self._put(service, event)
        if event.kind is Kind.SERVICE_REMOVED and event.service not in self._current:
            self._services.pop(event.service, None)
            self._prune()

    def _put(self, service: ServiceConfig, event: Event) -> None:
        if self._stage() in service.mail.during:
            self._mail(service, event)

    def _mail(self, service: ServiceConfig, event: Event) -> None:
        self._bag.put(event)
        route = _route(service.mail)
        if route not in self._boxes:
            self._boxes[route] = Postbox(route, self._stage, self._way, self._bag.done)
        self._boxes[route].put(event, About(service.title, service.comment))

    # --- reminders ---------------------------------------------------------------------------------------------

    def _pause(self, service: str) -> float:
        """Seconds between two reminders of a service's servers; 0 for none, or none now."""
        known = self._services.get(service)
        wanted = known is not None and self._stage() in known.mail.during
        return known.mail.reminder if known is not None and wanted else 0.0

    def _look_if_needed(self) -> None:
        pauses = [service.mail.reminder for service in self._services.values() if service.mail.reminder > 0]
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None
        if pauses:
            every = min(max(min(pauses) / 10, LOOK_LEAST), LOOK_MOST)
            self._looking = asyncio.get_running_loop().create_task(self._look(every), name="mail reminders")

    async def _look(self, every: float) -> None:
        while True:
            await asyncio.sleep(every)
            try:
                for event in self._reminders.due(self._missing(), self._pause, time.monotonic()):
                    self._put(self._services[event.service], event)
            except Exception:
                logger.exception("mail: no reminders for now, because of a fault of healthd's own")

    # --- the rest of a hook ------------------------------------------------------------------------------------

    def stats(self) -> HookStats:
        """All mail together, counted in events."""
        return _total(self.name, [self._past, *(box.stats() for box in self._boxes.values())])

    async def close(self, grace: float) -> None:
        """Send what waits."""
        if self._looking is not None:
            self._looking.cancel()
        for task in self._retiring:
            task.cancel()
        await asyncio.gather(*self._retiring, return_exceptions=True)
        if self._restoring is not None:
            self._restoring.cancel()
            await asyncio.gather(self._restoring, return_exceptions=True)
        await asyncio.gather(*(box.close(grace) for box in self._boxes.values()))
        await self._bag.close()


def _route(mail: MailSettings) -> MailSettings:
    """What makes mail go the same way."""
    return replace(mail, reminder=0.0, during=frozenset())


def _total(name: str, each: Sequence[HookStats]) -> HookStats:
    """The counts of several together; the newest error of the last that has one."""
    return HookStats(
        name,
        delivered=sum(one.delivered for one in each),
        failed=sum(one.failed for one in each),
        dropped=sum(one.dropped for one in each),
        queued=sum(one.queued for one in each),
        retries=sum(one.retries for one in each),
        last_error=next((one.last_error for one in reversed(each) if one.last_error), ""),
    )
