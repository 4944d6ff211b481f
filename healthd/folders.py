"""Noticing that something changes in folders: at once by inotify(7), and by looking anew every so often.

Looking covers what inotify does not tell: folders that come later or are replaced, network file systems, a limit of
watches that is reached.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Collection
from pathlib import Path

from asyncinotify import Inotify, Mask, Watch

CHANGES = Mask.CREATE | Mask.DELETE | Mask.MOVE | Mask.CLOSE_WRITE | Mask.ATTRIB | Mask.DELETE_SELF | Mask.MOVE_SELF

SETTLE = 0.02
"""Seconds that a burst of changes may take to end before it is told; editors make several for one saving."""


async def changes(folders: Collection[Path], every: float) -> AsyncGenerator[None, None]:
    """Yield once at the start, then after each burst of changes in one of the folders, and at least `every` seconds."""
    with contextlib.ExitStack() as stack:
        watched = _Watched(folders, stack)
        yield
        while True:
            watched.renew()
            await watched.wait(every)
            yield


class _Watched:
    """The folders that inotify watches; none where it cannot be had."""

    def __init__(self, folders: Collection[Path], stack: contextlib.ExitStack) -> None:
        self._folders = folders
        self._inotify: Inotify | None = None
        self._watches: dict[Path, tuple[tuple[int, int], Watch]] = {}
        with contextlib.suppress(OSError):
            self._inotify = stack.enter_context(Inotify())
        self.renew()

    def renew(self) -> None:
        """Watch folders that were not there before, or are others now."""
        if self._inotify is None:
            return
        for folder in self._folders:
            with contextlib.suppress(OSError):  # not there, not readable, no watch left: it is looked at anyway
                status = folder.stat()
                identity = (status.st_dev, status.st_ino)
                known = self._watches.get(folder)
                if known is None or known[0] != identity:
                    self._watches[folder] = (identity, self._inotify.add_watch(folder, CHANGES))

    async def wait(self, most: float) -> None:
        """Wait for a change and the end of its burst, or so many seconds."""
        if self._inotify is None:
            await asyncio.sleep(most)
            return
        try:
            async with asyncio.timeout(most):
                await self._inotify.get()
            async with asyncio.timeout(SETTLE):
                while True:
                    await self._inotify.get()
        except TimeoutError:
            return
