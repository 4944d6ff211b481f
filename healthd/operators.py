"""What operators ask while the daemon runs: on the disk first, then in force, and undone when its time is over.

If the disk does not take it, it is in force all the same (somebody has a reason to drain that server now), whoever
asked is told that it would not live through a restart, and it is tried again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Mapping

from healthd.assignment import ServerRef
from healthd.config.schema import ServiceConfig
from healthd.events import Event
from healthd.overrides import Override, told_ended, told_set, wishes
from healthd.policy import Wish
from healthd.state import StateStore, StateUnusable

logger = logging.getLogger(__name__)

DISK_PATIENCE = 3.0
RETRY = 15.0
"""Seconds until the disk is tried again."""


class Operators:
    """The overrides in force.

    tell: takes all wishes at once, each time they may have changed. announce: takes events. wall: seconds since the
    epoch. patience: seconds that the disk has before what is asked for is in force without it. unsaved: why the
    overrides in force are not on the disk; empty if they are.
    """

    def __init__(
        self,
        tell: Callable[[Mapping[ServerRef, Wish]], None],
        announce: Callable[[Event], None],
        wall: Callable[[], float],
        patience: float = DISK_PATIENCE,
    ) -> None:
        self.overrides: tuple[Override, ...] = ()
        self.unsaved = ""
        self._tell = tell
        self._announce = announce
        self._wall = wall
        self._patience = patience
        self._store: StateStore | None = None
        self._services: tuple[ServiceConfig, ...] = ()
        self._changing = asyncio.Lock()
        self._wake = asyncio.Event()

    async def begin(self, store: StateStore | None) -> None:
        """Have what the store has in force again, but for what is over by now. None: there is no store.

        A store that cannot be read is not written to either: what it has is there for the next start.
        """
        if store is None:
            self.unsaved = "healthd has no state store"
            return
        try:
            self.overrides = tuple(await store.overrides())
        except StateUnusable as error:
            self.unsaved = str(error)
            logger.error("what operators asked for before the start is not known: %s", error)
            return
        self._store = store
        await self._end_what_is_over()

    def apply(self, services: Iterable[ServiceConfig]) -> None:
        """These are the services from now on."""
        self._services = tuple(services)
        self._tell(wishes(self.overrides, self._services))

    async def run(self) -> None:
        """End overrides whose time is over, and try a disk that was full again; until cancelled."""
        while True:
            await self._end_what_is_over()
            if self.unsaved and self._store is not None:
                async with self._changing:
                    await self._save()
            self._wake.clear()
            try:
                async with asyncio.timeout(self._pause()):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def put(self, override: Override) -> None:
        """Have an override in force; it takes the place of one of the same kind and scope."""
        async with self._changing:
            others = tuple(one for one in self.overrides if not one.replaces(override))
            await self._have((*others, override))
        self._announce(told_set(override, self._wall()))

    async def withdraw(self, gone: Collection[Override], who: str) -> None:
        """End some of those in force. who: the operator who wants that, empty if their time is over."""
        async with self._changing:
            ended = [one for one in self.overrides if one in gone]
            await self._have(tuple(one for one in self.overrides if one not in gone))
        for override in ended:
            self._announce(told_ended(override, who, self._wall()))

    async def _have(self, overrides: tuple[Override, ...]) -> None:
        self.overrides = overrides
        await self._save()
        self._tell(wishes(overrides, self._services))
        self._wake.set()

    async def _save(self) -> None:
        if self._store is None:
            return
        why = ""
        try:
            async with asyncio.timeout(self._patience):
                await self._store.keep(self.overrides)
        except TimeoutError:
            why = f"the disk of {self._store.path} has not answered within {self._patience:g} s"
        except StateUnusable as error:
            why = str(error)
        if why and not self.unsaved:
            logger.error("what operators ask would not live through a restart: %s", why)
        self.unsaved = why

    async def _end_what_is_over(self) -> None:
        now = self._wall()
        over = [one for one in self.overrides if one.is_over(now)]
        if over:
            await self.withdraw(over, "")

    def _pause(self) -> float | None:
        """Seconds until there is something to do; None: for ever."""
        ends = [one.until - self._wall() for one in self.overrides if one.until is not None]
        retry = [RETRY] if self.unsaved and self._store is not None else []
        return max(0.0, min([*ends, *retry])) if ends or retry else None
