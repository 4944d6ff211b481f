"""Mail that is not sent yet, as it lives through a restart: the newest event of each subject."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from healthd.events import Event
from healthd.hooks.base import Shelf
from healthd.hooks.problems import Item
from healthd.hooks.shelving import Shelving
from healthd.hooks.waiting import Waiting

logger = logging.getLogger(__name__)

KEY = "mail"
NEWS = 86400.0
"""Seconds until an event is no news any more."""
SAVING = 2.0


class Mailbag:
    """What waits to be mailed. shelf: where it is kept; None for nowhere."""

    def __init__(self, shelf: Shelf | None) -> None:
        self._shelving = Shelving("mail", KEY, shelf)
        self._waiting = Waiting()
        self._number = time.time_ns() // 1000  # above all that an earlier healthd gave

    def put(self, event: Event) -> None:
        """Keep an event until `done` is told of it; one that it outdates is not kept any longer."""
        self._number += 1
        item = Item(self._number, event)
        outdated = self._waiting.put(item)
        self._shelving.put([item])
        if outdated is not None:
            self._shelving.drop([outdated])

    def done(self, events: Sequence[Event]) -> None:
        """These were mailed, or given up for good."""
        gone = set(events)
        items = [item for item in self._waiting.first(len(self._waiting)) if item.event in gone]
        self._waiting.remove(items)
        self._shelving.drop(items)

    async def restore(self) -> list[Event]:
        """What an earlier healthd left and is still news; from now on it is kept only if it is put in again."""
        items = await self._shelving.restore()
        self._shelving.drop(items)
        return [item.event for item in items if item.event.at > time.time() - NEWS and not self._waiting.outdates(item)]

    async def close(self) -> None:
        """Keep what waits for the next start."""
        if await self._shelving.close(SAVING) and self._waiting:
            waits = "1 event waits" if len(self._waiting) == 1 else f"{len(self._waiting)} events wait"
            logger.info("mail: %s for the next start", waits)
