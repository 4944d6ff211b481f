"""The thread that writes the log, so that nobody ever waits for a disk, a pipe or journald.

Whoever logs only puts an entry into a bounded outbox. When the outbox is full the oldest outdated entries are
forgotten, counted, and the count is logged once there is room again. When the place is away, lines go to standard
error as far as that takes them at once.
"""

from __future__ import annotations

import os
import select
import threading
import time
import traceback
from collections.abc import Hashable
from dataclasses import dataclass
from logging import WARNING

from healthd.log.entry import Entry
from healthd.log.places import Place, writable
from healthd.log.render import text
from healthd.outbox import Outbox

# A pipe that is writable takes this much without waiting (PIPE_BUF, pipe(7)).
AT_ONCE = select.PIPE_BUF


@dataclass(frozen=True, slots=True)
class LogStats:
    """For the status. spilled: lines that went to standard error instead. dropped: lines that went nowhere."""

    to: str
    written: int
    spilled: int
    dropped: int
    queued: int
    away: bool
    last_error: str


class Writer:
    """Owns a place and the thread that writes to it. room: entries that may wait. fallback: descriptor to spill to."""

    def __init__(self, place: Place, *, fallback: int = 2, room: int = 10_000) -> None:
        self._place = place
        self._fallback = fallback
        self._outbox: Outbox[Entry] = Outbox(room)
        self._changed = threading.Condition()
        self._next: Place | None = None
        self._reopen = False
        self._closing = False
        self._busy = False
        self._written = self._spilled = self._lost = 0
        self._told_dropped = 0
        self._missed = 0
        self._away = False
        self._last_error = ""
        self._thread = threading.Thread(target=self._run, name="healthd-log", daemon=True)
        self._thread.start()

    def put(self, entry: Entry, subject: Hashable = None) -> None:
        """Hand over an entry; returns at once. An entry is outdated by a newer one of the same subject."""
        with self._changed:
            if self._closing:
                self._lost += 1
                return
            self._outbox.put(entry, subject)
            self._changed.notify_all()

    def replace(self, place: Place) -> None:
        """Write to another place from the next entry on; the old one is closed."""
        with self._changed:
            if self._next is not None:
                self._next.close()
            self._next = place

    def reopen(self) -> None:
        """Before the next entry let the place open its file or socket again."""
        with self._changed:
            self._reopen = True

    def stats(self) -> LogStats:
        """Counts since the start."""
        with self._changed:
            dropped = self._outbox.dropped + self._lost
            name = (self._next or self._place).name
            return LogStats(
                name, self._written, self._spilled, dropped, len(self._outbox), self._away, self._last_error
            )

    def flush(self, grace: float) -> bool:
        """Wait until all is written, at most `grace` seconds; True if it is."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._outbox and not self._busy, grace)

    def close(self, grace: float) -> None:
        """Write what waits, at most for `grace` seconds, then release the place. What comes later is lost."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(grace)

    def _run(self) -> None:
        while (entry := self._take()) is not None:
            try:
                self._tell_dropped()
                self._write(entry)
            except Exception:  # noqa: BLE001 - a bug of ours in one line must not end the log; here is nobody to raise to
                self._last_error = traceback.format_exc()
                self._spill(_own(f"cannot render a line: {self._last_error}"))
                self._lost += 1
        self._tell_dropped()
        self._place.close()

    def _take(self) -> Entry | None:
        with self._changed:
            self._busy = False
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._outbox or self._closing)
            self._swap()
            if not self._outbox:
                return None
            self._busy = True
            return self._outbox.take()

    def _swap(self) -> None:
        if self._next is not None:
            self._place.close()
            self._place, self._next = self._next, None
        if self._reopen:
            self._place.reopen()
            self._reopen = False

    def _write(self, entry: Entry) -> None:
        try:
            self._place.write(entry)
        except OSError as error:
            self._went_away(error)
            self._spill(entry)
            return
        self._written += 1
        if self._away:
            self._came_back()

    def _went_away(self, error: OSError) -> None:
        self._last_error = f"{self._place.name}: {error.strerror or error}"
        if not self._away:
            self._away = True
            self._spill(_own(f"cannot write to {self._last_error}; lines go to standard error meanwhile"))
        self._missed += 1

    def _came_back(self) -> None:
        self._away = False
        missed, self._missed = self._missed, 0
        self._write(_own(f"{self._place.name} is back ({self._last_error}); {missed} lines are missing here"))

    def _tell_dropped(self) -> None:
        with self._changed:
            dropped = self._outbox.dropped - self._told_dropped
            self._told_dropped = self._outbox.dropped
        if dropped:
            self._write(_own(f"{self._place.name} was too slow: {dropped} lines were dropped"))

    def _spill(self, entry: Entry) -> None:
        line = text(entry)
        if len(line) > AT_ONCE:
            line = line[: AT_ONCE - 4] + b"...\n"
        try:
            if writable(self._fallback, 0.0):
                os.write(self._fallback, line)
                self._spilled += 1
                return
        except OSError as error:
            self._last_error = f"standard error: {error.strerror}"
        self._lost += 1


def _own(message: str) -> Entry:
    return Entry(time.time(), WARNING, "healthd.log", message)
