"""Keeps what a hook must not forget on the shelf, as it comes and beside everything else."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from itertools import islice

from healthd.hooks.base import NotKept, Shelf, Shelved
from healthd.hooks.problems import Item
from healthd.hooks.waiting import packed, unpacked

logger = logging.getLogger(__name__)

RETRY_FIRST, RETRY_LAST = 1.0, 60.0
STEP = 500


class Shelving:
    """The part of the shelf that is one hook's. name: for the log. key: what it stands under. shelf: None for none."""

    def __init__(self, name: str, key: str, shelf: Shelf | None) -> None:
        self._name = name
        self._key = key
        self._shelf = shelf
        self._put: dict[int, Item] = {}
        self._drop: set[int] = set()
        self._changed = asyncio.Event()
        self._unsaved = False
        self._task: asyncio.Task[None] | None = None

    def put(self, items: Iterable[Item]) -> None:
        """Have these there."""
        if self._shelf is not None:
            for item in items:
                self._put[item.number] = item
                self._drop.discard(item.number)
            self._stir()

    def drop(self, items: Iterable[Item]) -> None:
        """Have these there no longer."""
        if self._shelf is not None:
            for item in items:
                self._put.pop(item.number, None)
                self._drop.add(item.number)
            self._stir()

    async def restore(self) -> list[Item]:
        """What is there, oldest first. What cannot be read is none of ours and goes."""
        if self._shelf is None:
            return []
        try:
            there = await self._shelf.shelved(self._key)
        except NotKept as error:
            logger.error("%s: what an earlier healthd left cannot be read: %s", self._name, error)
            return []
        found = [item for item in map(self._item, there) if item is not None]
        self._drop |= {one.number for one in there} - {item.number for item in found}
        return [item for item in found if item.number not in self._drop]

    async def close(self, grace: float) -> bool:
        """Save what is not saved yet, if that takes at most `grace` seconds. Returns whether all is on the shelf."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        try:
            async with asyncio.timeout(grace):
                await self._save()
        except (NotKept, TimeoutError) as error:
            logger.error("%s: what waits is not kept: %s", self._name, error or "the disk is too slow")
            return False
        return self._shelf is not None

    def _item(self, one: Shelved) -> Item | None:
        try:
            return Item(one.number, unpacked(one.text), one.group)
        except ValueError as error:
            logger.warning("%s: an event that an earlier healthd left is dropped: %s", self._name, error)
            return None

    def _stir(self) -> None:
        self._changed.set()
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._keep_saving(), name=f"shelf of {self._name}")

    async def _keep_saving(self) -> None:
        pause = RETRY_FIRST
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await self._save()
            except NotKept as error:
                self._changed.set()
                if not self._unsaved:
                    logger.error("%s: what waits is not kept for now: %s", self._name, error)
                self._unsaved = True
                await asyncio.sleep(pause)
                pause = min(pause * 2, RETRY_LAST)
            else:
                self._unsaved, pause = False, RETRY_FIRST

    async def _save(self) -> None:
        """Save all, in steps that let others have their turn."""
        while self._shelf is not None and (self._put or self._drop):
            put = dict(islice(self._put.items(), STEP))
            drop = set(self._drop)
            rows = [Shelved(one.number, one.event.at, one.group, packed(one.event)) for one in put.values()]
            await self._shelf.shelve(self._key, rows, sorted(drop))
            self._drop -= drop
            for number, item in put.items():
                if self._put.get(number) is item:
                    del self._put[number]
