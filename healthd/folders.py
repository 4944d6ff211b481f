"""Noticing that something changes in folders: at once by inotify(7), and by looking anew every so often.

Looking covers what inotify does not tell: folders that come later or are replaced, network file systems, a limit of
watches that is reached.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Collection
from pathlib import Path

from asyncinotify import Event, Inotify, Mask, Watch

from healthd.aside import aside

CHANGES = Mask.CREATE | Mask.DELETE | Mask.MOVE | Mask.CLOSE_WRITE | Mask.ATTRIB | Mask.DELETE_SELF | Mask.MOVE_SELF

SETTLE = 0.02
"""Seconds that a burst of changes may take to end before it is told; editors make several for one saving."""


async def changes(folders: Collection[Path], every: float) -> AsyncGenerator[None, None]:
    """Yield once at the start, then after each burst of changes in one of the folders, and at least `every` seconds."""
    with contextlib.ExitStack() as stack:
        watched = _Watched(folders, stack)
        await watched.renew()
        yield
        while True:
            await watched.renew()
            await watched.wait(every)
            yield


_Identity = tuple[int, int]


class _Watched:
    """The folders that inotify watches; none where it cannot be had."""

    def __init__(self, folders: Collection[Path], stack: contextlib.ExitStack) -> None:
        self._folders = folders
        self._inotify: Inotify | None = None
        self._watches: dict[Path, tuple[_Identity, Watch]] = {}
        with contextlib.suppress(OSError):
            self._inotify = stack.enter_context(Inotify())

    async def renew(self) -> None:
        """Watch folders that were not there before, or are others now."""
        if self._inotify is None:
            return
        before = {watch for _, watch in self._watches.values()}
        for folder, identity in (await aside(self._identities, "healthd-folders")).items():
            known = self._watches.get(folder)
            if known is None or known[0] != identity:
                with contextlib.suppress(OSError):  # not readable, no watch left: it is looked at anyway
                    self._watches[folder] = (identity, self._inotify.add_watch(folder, CHANGES))
        for watch in before - {watch for _, watch in self._watches.values()}:
            with contextlib.suppress(OSError):  # it went with its folder
                self._inotify.rm_watch(watch)

    def _identities(self) -> dict[Path, _Identity]:
        """Which folders are there now. It may block: that is for a disk to say."""
        found = {}
        for folder in self._folders:
            with contextlib.suppress(OSError):
                status = folder.stat()
                found[folder] = (status.st_dev, status.st_ino)
        return found

    async def wait(self, most: float) -> None:
        """Wait for a change and the end of its burst, or so many seconds."""
        if self._inotify is None:
            await asyncio.sleep(most)
            return
        try:
            async with asyncio.timeout(most):
                self._take(await self._inotify.get())
            async with asyncio.timeout(SETTLE):
                while True:
                    self._take(await self._inotify.get())
        except TimeoutError:
            return

    def _take(self, event: Event) -> None:
        """Forget a watch that the kernel has ended: its folder is gone, and the next one may have the same number."""
        if Mask.IGNORED in event.mask:
            self._watches = {folder: known for folder, known in self._watches.items() if known[1] is not event.watch}
