"""What happened, and who wants to hear of it at once: the last events in memory, all of them in the state store.

A hook like any other: it takes each event and is back at once. What the store cannot take now is kept and tried again;
what is too much for that is counted as dropped.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import AsyncGenerator

from healthd.events import Event, Kind
from healthd.hooks import HookStats
from healthd.hooks.words import values
from healthd.state import Kept, StateStore, StateUnusable, Wanted

logger = logging.getLogger(__name__)

REMEMBERED = 2000
"""Events that are kept in memory."""
MOST_UNSAVED = 20_000
MOST_WAITING = 1000
"""Events that may wait for one who follows; who falls behind further is let go."""
MOST_SAVED = 200_000
PRUNE_EVERY = 3600.0
RETRY_FIRST, RETRY_LAST = 1.0, 60.0


class FellBehind(Exception):
    """Somebody did not take events as fast as they came; they may begin anew after the last one they had."""


class History:
    """The history of one daemon. `begin` it before the first event.

    counts, newest: how many events of each kind this daemon has seen, and the last of them.
    """

    name = "history"

    def __init__(self) -> None:
        self.counts: Counter[Kind] = Counter()
        self.newest: dict[Kind, Kept] = {}
        self._store: StateStore | None = None
        self._last = 0
        self._ring: deque[Kept] = deque(maxlen=REMEMBERED)
        self._unsaved: deque[Kept] = deque()
        self._dropped = self._saved = 0
        self._error = ""
        self._wake = asyncio.Event()
        self._followers: set[asyncio.Queue[Kept]] = set()
        self._writing: asyncio.Task[None] | None = None

    async def begin(self, store: StateStore | None, keep: float) -> None:
        """Go on where the store's history ends. keep: seconds that events are kept. None: there is no store.

        Of a store that cannot be read the last number is not known, so nothing is written to it either.
        """
        if store is None:
            return
        try:
            self._ring.extend(await store.events(Wanted(most=REMEMBERED)))
        except StateUnusable as error:
            self._error = str(error)
            logger.error("events are not kept: %s", error)
            return
        self._last = self._ring[-1].id if self._ring else 0
        self._store = store
        self._writing = asyncio.get_running_loop().create_task(self._write(store, keep), name="history")

    # --- a hook ------------------------------------------------------------------------------------------------

    def event(self, event: Event) -> None:
        """Take an event."""
        self._last += 1
        kept = Kept(self._last, event.at, values(event))
        self.counts[event.kind] += 1
        self.newest[event.kind] = kept
        self._ring.append(kept)
        if self._store is not None:
            self._keep_for_later(kept)
        for queue in list(self._followers):
            if queue.full():
                self._followers.discard(queue)
            else:
                queue.put_nowait(kept)

    def stats(self) -> HookStats:
        """How it fares."""
        waiting = len(self._unsaved)
        return HookStats(self.name, self._saved, dropped=self._dropped, queued=waiting, last_error=self._error)

    async def close(self, grace: float) -> None:
        """Keep what waits, if the store takes it within `grace` seconds."""
        if self._writing is None or self._store is None:
            return
        self._writing.cancel()
        await asyncio.gather(self._writing, return_exceptions=True)
        try:
            async with asyncio.timeout(grace):
                await self._save(self._store)
        except (StateUnusable, TimeoutError) as error:
            logger.error("%d events are not in the history: %s", len(self._unsaved), error or "the disk is too slow")

    def _keep_for_later(self, kept: Kept) -> None:
        if len(self._unsaved) >= MOST_UNSAVED:
            self._unsaved.popleft()
            self._dropped += 1
        self._unsaved.append(kept)
        self._wake.set()

    # --- the store ---------------------------------------------------------------------------------------------

    async def _write(self, store: StateStore, keep: float) -> None:
        pause, pruned_at = RETRY_FIRST, 0.0
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._save(store)
                if time.monotonic() >= pruned_at:
                    await store.forget_events(time.time() - keep, MOST_SAVED)
                    pruned_at = time.monotonic() + PRUNE_EVERY
            except StateUnusable as error:
                if not self._error:
                    logger.error("events are not kept for now: %s", error)
                self._error = str(error)
                self._wake.set()
                await asyncio.sleep(pause)
                pause = min(pause * 2, RETRY_LAST)
            else:
                self._error, pause = "", RETRY_FIRST

    async def _save(self, store: StateStore) -> None:
        batch = list(self._unsaved)
        if batch:
            await store.append(batch)
            self._saved += len(batch)
            while self._unsaved and self._unsaved[0].id <= batch[-1].id:
                self._unsaved.popleft()

    # --- for those who ask -------------------------------------------------------------------------------------

    async def find(self, wanted: Wanted) -> list[Kept]:
        """The newest of those wanted, oldest first: from memory as far as that goes back, else from the store."""
        here = [kept for kept in self._ring if wanted.includes(kept)]
        whole = bool(self._ring) and (wanted.after >= self._ring[0].id - 1 or self._ring[0].id == 1)
        if self._store is None or whole or len(here) >= wanted.most:
            return here[-wanted.most :]
        older = await self._store.events(wanted)
        known = {kept.id for kept in here}
        return ([kept for kept in older if kept.id not in known] + here)[-wanted.most :]

    async def follow(self, wanted: Wanted) -> AsyncGenerator[Kept]:
        """What is wanted, and then what happens, as it happens. Raises FellBehind."""
        queue: asyncio.Queue[Kept] = asyncio.Queue(MOST_WAITING)
        self._followers.add(queue)
        try:
            last = 0
            for kept in await self.find(wanted):
                last = kept.id
                yield kept
            while True:
                if queue.empty() and queue not in self._followers:
                    raise FellBehind
                kept = await queue.get()
                if kept.id > last and wanted.includes(kept):
                    yield kept
        finally:
            self._followers.discard(queue)
