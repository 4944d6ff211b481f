"""The state store: what must live through a restart. One SQLite file, used by one thread.

What operators asked for (overrides) is on the disk before it is in force. Events are kept for some time. A file that
is no database any more is put aside under another name, never deleted, and a new one is begun.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

from healthd.aside import Worker
from healthd.hooks.base import NotKept, Shelved
from healthd.overrides import Override, OverrideKind, Scope

LAST_WORK = 2.0
"""Seconds that the disk has at the end."""
VERSION = 2
SCHEMA = (
    """CREATE TABLE override (
        service TEXT NOT NULL, server TEXT NOT NULL, kind TEXT NOT NULL, weight INTEGER,
        who TEXT NOT NULL, why TEXT NOT NULL, since REAL NOT NULL, until REAL,
        PRIMARY KEY (service, server, kind)) STRICT""",
    """CREATE TABLE event (
        id INTEGER PRIMARY KEY, at REAL NOT NULL, service TEXT NOT NULL, real TEXT NOT NULL, event TEXT NOT NULL)
        STRICT""",
    "CREATE INDEX event_at ON event (at)",
    "CREATE INDEX event_service ON event (service, real)",
)
SHELF = (
    """CREATE TABLE shelf (
        hook TEXT NOT NULL, number INTEGER NOT NULL, at REAL NOT NULL, told TEXT NOT NULL, event TEXT NOT NULL,
        PRIMARY KEY (hook, number)) STRICT, WITHOUT ROWID""",
)
STEPS = (SCHEMA, SHELF)
"""What makes each version of the one before."""

COLUMNS = "service, server, kind, weight, who, why, since, until"

T = TypeVar("T")


class StateUnusable(NotKept):
    """The state cannot be read or written. One sentence for people, with its path."""


@dataclass(frozen=True, slots=True)
class Kept:
    """An event as it is kept. id: grows with time, also over restarts. at: seconds. event: as a hook gets it."""

    id: int
    at: float
    event: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events to give. after: an id. since: seconds. most: the newest so many.

    service: its name. real: ADDRESS:PORT, or ADDRESS for all ports. Both are empty for any.
    """

    service: str = ""
    real: str = ""
    after: int = 0
    since: float = 0.0
    most: int = 1000

    def includes(self, kept: Kept) -> bool:
        """Whether an event is one of them."""
        service, real = kept.event["service"], kept.event["real"]
        if kept.id <= self.after or kept.at < self.since:
            return False
        return self.service in ("", service) and (not self.real or real == self.real or real.startswith(self.ports))

    @property
    def ports(self) -> str:
        """What a server of this host begins with."""
        return f"[{self.real}]:" if ":" in self.real else f"{self.real}:"


class StateStore:
    """The state in a file. Open it by `open`; every call may raise StateUnusable and leaves what was there as it was.

    put_aside: where a file went that was no database; None if all was well.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.put_aside: Path | None = None
        self._worker = Worker("state")
        self._db: sqlite3.Connection | None = None
        self._lock: int | None = None
        self._closed = False

    @classmethod
    async def open(cls, path: Path) -> StateStore:
        """The state in this file, which is made if it is not there, with its folder."""
        store = cls(path)
        try:
            await store._do(store._open)
        except BaseException:
            await store.close()
            raise
        return store

    async def close(self) -> None:
        """End; a second time does nothing. What was promised is on the disk already, so a disk that hangs may."""
        if not self._closed:
            self._closed = True
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_WORK):
                    await self._worker.do(self._close)
            self._worker.end()

    # --- overrides ---------------------------------------------------------------------------------------------

    async def overrides(self) -> list[Override]:
        """All that are kept, oldest first, those that have run out as well."""
        rows = await self._do(lambda: self._rows("SELECT * FROM override ORDER BY since, service, server, kind"))
        return [_override(row) for row in rows]

    async def keep(self, overrides: Iterable[Override]) -> None:
        """Keep exactly these; on the disk when this returns."""
        rows = [
            (one.scope.service, one.scope.server, one.kind.value, one.weight, one.who, one.why, one.since, one.until)
            for one in overrides
        ]

        def work() -> None:
            with self._database() as db:
                db.execute("DELETE FROM override")
                db.executemany(f"INSERT INTO override ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)

        await self._do(work)

    # --- events ------------------------------------------------------------------------------------------------

    async def append(self, events: Sequence[Kept]) -> None:
        """Keep events under their ids."""
        rows = [
            (one.id, one.at, one.event["service"], one.event["real"], json.dumps(one.event, separators=(",", ":")))
            for one in events
        ]

        def work() -> None:
            with self._database() as db:
                db.executemany(
                    "INSERT OR IGNORE INTO event (id, at, service, real, event) VALUES (?, ?, ?, ?, ?)", rows
                )

        await self._do(work)

    async def events(self, wanted: Wanted) -> list[Kept]:
        """The newest of those wanted, oldest first."""
        query = (
            "SELECT id, at, event FROM event"
            " WHERE id > ? AND at >= ? AND (? = '' OR service = ?)"
            " AND (? = '' OR real = ? OR substr(real, 1, length(?)) = ?)"
            " ORDER BY id DESC LIMIT ?"
        )
        where = (*[wanted.service] * 2, *[wanted.real] * 2, *[wanted.ports] * 2)
        values = (wanted.after, wanted.since, *where, wanted.most)
        rows = await self._do(lambda: self._rows(query, values))
        return [Kept(row["id"], row["at"], json.loads(row["event"])) for row in reversed(rows)]

    async def forget_events(self, before: float, most: int) -> None:
        """Delete events older than a time, and all but the newest `most`; one stays, for its id is not used again."""

        def work() -> None:
            with self._database() as db:
                (last,) = db.execute("SELECT max(id) FROM event").fetchone()
                db.execute("DELETE FROM event WHERE (at < ? OR id <= ?) AND id < ?", (before, (last or 0) - most, last))

        await self._do(work)

    # --- what hooks have not got rid of --------------------------------------------------------------------------

    async def shelved(self, hook: str) -> list[Shelved]:
        """All that a hook has here, oldest first."""
        query = "SELECT number, at, told, event FROM shelf WHERE hook = ? ORDER BY number"
        rows = await self._do(lambda: self._rows(query, (hook,)))
        return [Shelved(*row) for row in rows]

    async def shelve(self, hook: str, put: Sequence[Shelved], drop: Sequence[int]) -> None:
        """Put some here, in the place of those of the same number, and take others away. Then it is on the disk."""
        rows = [(hook, one.number, one.at, one.group, one.text) for one in put]

        def work() -> None:
            with self._database() as db:
                db.executemany("DELETE FROM shelf WHERE hook = ? AND number = ?", [(hook, number) for number in drop])
                db.executemany("INSERT OR REPLACE INTO shelf VALUES (?, ?, ?, ?, ?)", rows)

        await self._do(work)

    # --- in the thread -----------------------------------------------------------------------------------------

    async def _do(self, work: Callable[[], T]) -> T:
        if self._closed:
            raise StateUnusable(f"the state in {self.path} is closed")
        try:
            return await self._worker.do(work)
        except (sqlite3.Error, OSError) as error:
            raise StateUnusable(f"the state in {self.path} cannot be used: {_said(error)}") from None

    def _database(self) -> sqlite3.Connection:
        """The database; as a context, a transaction that is undone if anything fails."""
        assert self._db is not None, "opened before anything else is done in the thread"
        return self._db

    def _rows(self, query: str, values: Sequence[object] = ()) -> list[sqlite3.Row]:
        return self._database().execute(query, values).fetchall()

    def _open(self) -> None:
        self.path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        self._lock = _locked(self.path.with_name(f"{self.path.name}.lock"))
        try:
            self._db = _opened(self.path)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise
            self.put_aside = _aside(self.path)
            self._db = _opened(self.path)

    def _close(self) -> None:
        if self._db is not None:
            with suppress(sqlite3.Error):
                self._db.close()
            self._db = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _locked(path: Path) -> int:
    """A lock that ends with this process. Raises OSError where another one has it."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise OSError("another healthd uses it") from None
    return lock


def _opened(path: Path) -> sqlite3.Connection:
    """An open database of our version. Raises DatabaseError where the file is none, or is broken."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    db = sqlite3.connect(path, check_same_thread=False)
    try:
        db.row_factory = sqlite3.Row
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        if db.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            raise sqlite3.DatabaseError("the file is damaged")
        _prepare(db)
    except BaseException:
        db.close()
        raise
    return db


def _prepare(db: sqlite3.Connection) -> None:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise sqlite3.OperationalError(f"it was written by a newer healthd (version {version}, ours is {VERSION})")
    if version < VERSION:
        with db:
            db.execute("BEGIN IMMEDIATE")  # else each statement that makes a table stands by itself
            for statement in chain.from_iterable(STEPS[version:]):
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {VERSION}")


def _aside(path: Path) -> Path:
    """Put a broken database out of the way, with what belongs to it."""
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        with suppress(FileNotFoundError):
            part.rename(path.with_name(f"{path.name}.broken-{stamp}{suffix}"))
    return path.with_name(f"{path.name}.broken-{stamp}")


def _said(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) and error.strerror else str(error)) or type(error).__name__


def _override(row: sqlite3.Row) -> Override:
    scope = Scope(row["service"], row["server"])
    kind = OverrideKind(row["kind"])
    return Override(scope, kind, row["who"], row["why"], row["since"], row["until"], row["weight"])
