"""Appends lines to files in a thread of its own, so that nobody ever waits for a disk.

A file is opened for each batch and closed again, so one that is moved away (logrotate) or comes later is found. What
cannot be written is said once, counted, and forgotten; so is what comes in faster than the disk takes it.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

logger = logging.getLogger(__name__)

ROOM = 10_000
"""Lines that may wait."""

# O_NONBLOCK: a pipe that nobody reads must not hold the thread; it says nothing to a file.
FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
MODE = 0o644


@dataclass(frozen=True, slots=True)
class Appended:
    """Counts of lines since the start. lost: those that could not be written. dropped: those that had no room."""

    written: int = 0
    lost: int = 0
    dropped: int = 0
    queued: int = 0
    last_error: str = ""


class Appender:
    """Takes lines for files. room: how many may wait. The thread is started with the first of them."""

    def __init__(self, room: int = ROOM) -> None:
        self._room = room
        self._changed = threading.Condition()
        self._waiting: dict[Path, list[str]] = {}
        self._counts = Appended()
        self._closing = False
        self._thread: threading.Thread | None = None
        self._away: dict[Path, int] = {}
        self._torn: set[Path] = set()

    def put(self, lines: Mapping[Path, list[str]]) -> None:
        """Append these lines, each without its end, to each of the files. Returns at once."""
        with self._changed:
            for path, some in lines.items():
                room = max(0, self._room - self._counts.queued) if not self._closing else 0
                self._waiting.setdefault(path, []).extend(some[:room])
                self._count(queued=len(some[:room]), dropped=len(some[room:]))
            if self._thread is None and self._waiting and not self._closing:
                self._thread = threading.Thread(target=self._run, name="healthd-appender", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def counts(self) -> Appended:
        """How it fares."""
        with self._changed:
            return self._counts

    def close(self, grace: float) -> None:
        """Write what waits, at most for `grace` seconds; blocks so long. What comes later is dropped."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(grace)

    def _count(self, **more: int) -> None:
        """Call it with the lock held."""
        self._counts = replace(self._counts, **{name: getattr(self._counts, name) + n for name, n in more.items()})

    def _run(self) -> None:
        while lines := self._take():
            for path, some in lines.items():
                self._append(path, some)

    def _take(self) -> dict[Path, list[str]]:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            lines, self._waiting = self._waiting, {}
            return lines

    def _append(self, path: Path, lines: list[str]) -> None:
        data = "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")
        try:
            self._write(path, data)
        except (OSError, ValueError) as error:
            self._failed(path, len(lines), error.strerror or str(error) if isinstance(error, OSError) else str(error))
        else:
            self._succeeded(path, len(lines))

    def _write(self, path: Path, data: bytes) -> None:
        """All of it, or an error; after one in the middle of a line, the next batch begins on a new one."""
        file = os.open(path, FLAGS, MODE)
        try:
            left = memoryview(b"\n" + data if path in self._torn else data)
            while left:
                written = os.write(file, left)
                whole = bytes(left[written - 1 : written]) == b"\n"
                left = left[written:]
                (self._torn.discard if whole else self._torn.add)(path)
        finally:
            os.close(file)

    def _failed(self, path: Path, lines: int, why: str) -> None:
        if path not in self._away:
            logger.warning("monitor file %s cannot be written: %s; its lines are lost until it can", path, why)
        self._away[path] = self._away.get(path, 0) + lines
        with self._changed:
            self._count(queued=-lines, lost=lines)
            self._counts = replace(self._counts, last_error=f"{path}: {why}")

    def _succeeded(self, path: Path, lines: int) -> None:
        lost = self._away.pop(path, 0)
        if lost:
            logger.warning("monitor file %s is written again; %d lines of it were lost", path, lost)
        with self._changed:
            self._count(queued=-lines, written=lines)
