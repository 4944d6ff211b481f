"""Noticing that the configuration changes on disk: it is read again by itself, and the operator's program is run.

It is ldirectord's `autoreload` and `callback`. What counts is content, not times: folders are watched and files
compared, so it does not matter how they were saved (in place, by a rename, by a link that is turned elsewhere). A
configuration with a mistake is refused as it is by a reload on a signal, told once, and tried again when it changes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from healthd.aside import aside
from healthd.config.disk import ABSENT, EMPTY, Files, Seen
from healthd.config.formats import AS_IT_IS, Reading
from healthd.config.schema import Config
from healthd.folders import changes
from healthd.hooks.base import DeliveryFailed
from healthd.hooks.exec import run

logger = logging.getLogger(__name__)

CALLBACK_DEADLINE = 60.0
MOST_NAMED = 3

Reload = Callable[[str], Awaitable[Mapping[str, Any]]]
Ignored = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast to be, in seconds. every: between two looks where inotify says nothing.

    quiet: for so long the files must stay as they are before they count; several may be saved one after the other.
    patience: after that they count though they never rest, or though one is empty that was not: it may be half saved.
    clocks: by so much the times of files may lag behind ours; it must be less than `quiet`.
    """

    every: float = 1.0
    quiet: float = 0.25
    patience: float = 5.0
    clocks: float = 0.05


USUAL = Pace()


class Watching:
    """Watches the configuration at a path.

    reload: gets what has changed; its answer's `ok` says if it was taken. ignored: gets it where it is not to be read.
    """

    def __init__(
        self, path: Path, reload: Reload, ignored: Ignored, reading: Reading = AS_IT_IS, pace: Pace = USUAL
    ) -> None:
        self._files = Files(path, reading)
        self._reload = reload
        self._ignored = ignored
        self._pace = pace
        self._config = Config()
        self._read_at = 0.0
        self._applied = asyncio.Event()
        self._also: frozenset[str] = frozenset()
        self._more: frozenset[str] = frozenset()
        self._seen: Seen | None = None
        self._outcome = ""
        self._due = asyncio.Event()

    def apply(self, config: Config, read_at: float) -> None:
        """Watch the files of this configuration. read_at: seconds since the epoch when reading them began."""
        self._config = config
        self._read_at = read_at
        self._also = frozenset()
        self._applied.set()

    def mind(self, files: Iterable[str], read_at: float) -> None:
        """Watch these files, too: a configuration that was refused has mistakes in them. read_at: as of `apply`."""
        self._also = frozenset(filter(None, files))
        self._read_at = read_at

    async def run(self) -> None:
        """Watch until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch())
            group.create_task(self._call_back())

    async def _watch(self) -> None:
        while True:
            if self._wanted():
                await self._watch_folders((await self._look()).folders)
            else:
                self._seen = None
                self._applied.clear()
                await self._applied.wait()

    def _wanted(self) -> bool:
        settings = self._config.settings
        if settings.log.style == "ldirectord":  # whose log has also the changes that it does not read
            return True
        return settings.reload.watch or settings.reload.callback is not None

    async def _watch_folders(self, folders: frozenset[Path]) -> None:
        """Look after each change in these folders, until it is others that matter."""
        async with contextlib.aclosing(changes(folders, self._pace.every)) as bursts:
            async for _ in bursts:
                seen = await self._compare()
                if seen.folders != folders or not self._wanted():
                    return
                await asyncio.sleep(self._pace.quiet)  # others may write into these folders all the time

    async def _look(self) -> Seen:
        """The files as they are; disks may be slow, or hang."""
        read = sorted(self._read())
        return await aside(lambda: self._files.look(read), "healthd-watching")

    def _read(self) -> frozenset[str]:
        """The files that were read last, by what reading them said."""
        return self._also | frozenset(self._config.files)

    async def _compare(self) -> Seen:
        read = self._read()
        found = await self._look()
        before = self._expected(found, read)
        if found != before:
            found = await self._settled(found, before)
        self._seen, self._more = found, read
        if found != before:
            await self._changed(changed_names(before, found))
        return found

    def _expected(self, found: Seen, read: frozenset[str]) -> Seen:
        """How the files are if nobody changed anything. A reload in between is no change, whichever files it read."""
        since = (
            found.changed >= self._read_at - self._pace.clocks
        )  # something has changed since, and has to be read still
        if self._seen is None:
            return Seen({}) if since else found
        gone = self._more - read - found.digests.keys()
        kept = {name: digest for name, digest in self._seen.digests.items() if name not in gone}
        new = {} if since else {name: found.digests[name] for name in read - self._more if name in found.digests}
        return Seen({**new, **kept})

    async def _settled(self, found: Seen, before: Seen) -> Seen:
        """The files once nobody is writing them any more."""
        late = time.monotonic() + self._pace.patience
        while True:
            await asyncio.sleep(self._pace.quiet)
            again = await self._look()
            if time.monotonic() >= late or (again == found and not self._half_saved(again, before)):
                return again
            found = again

    def _half_saved(self, now: Seen, before: Seen) -> bool:
        if now.digests[str(self._files.main)] == ABSENT:
            return True
        return any(digest == EMPTY != before.digests.get(name, EMPTY) for name, digest in now.digests.items())

    async def _changed(self, names: list[str]) -> None:
        told = ", ".join(names[:MOST_NAMED]) + (f" and {len(names) - MOST_NAMED} more" if names[MOST_NAMED:] else "")
        if self._config.settings.reload.watch:
            logger.debug("changed on disk: %s; the configuration is read again", told)
            answer = await self._reload(told)
            self._outcome = "reloaded" if answer["ok"] else "refused"
        else:
            self._ignored(told)
            self._outcome = "ignored"
        self._due.set()

    async def _call_back(self) -> None:
        """Run the operator's program after changes; what changes while it runs makes it run once more."""
        while True:
            await self._due.wait()
            self._due.clear()
            callback = self._config.settings.reload.callback
            if callback is None:
                continue
            words = (str(callback), str(self._files.main.absolute()))
            try:
                await run(words, {"HEALTHD_RELOAD": self._outcome}, b"", CALLBACK_DEADLINE)
            except DeliveryFailed as failure:
                logger.warning("[reload] callback %s: %s", callback, failure, extra={"output": failure.output})


def changed_names(before: Seen, now: Seen) -> list[str]:
    """Names of the files that came, went or changed."""
    names = sorted(before.digests.keys() | now.digests.keys())
    return [name for name in names if before.digests.get(name) != now.digests.get(name)]
