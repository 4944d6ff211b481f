"""One owner per virtual service: a second daemon over the same services of the same table is refused.

Each service is one byte of a lock file, at an offset that its key decides; the kernel locks it for the process and
lets it go when the process ends, however it ends. Daemons with different services share a table in peace.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import struct
from collections.abc import Collection
from pathlib import Path

from healthd.ipvs.namespace import namespace_identity
from healthd.model import ServiceKey

_FLOCK = struct.Struct("hhqqi")


class AlreadyClaimed(Exception):
    """Another daemon keeps one of these services. The text names it."""


class ClaimsImpossible(Exception):
    """The lock file cannot be had. One sentence for people, with the remedy."""


class Claims:
    """The services that this process keeps. path: lock file of one table; it and its directory are made if missing.

    The locks are POSIX's, because they tell who holds them. They have one trap: they are gone when the process closes
    *any* descriptor of the file, so nothing else may ever open it, and one process has one `Claims` of a table.
    Raises ClaimsImpossible.
    """

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise ClaimsImpossible(
                f"cannot open the lock file {path}: {error.strerror}; it keeps two daemons off the same services. "
                "Run as its owner, or give all daemons of this table another folder with --locks"
            ) from None
        self._path = path
        self._held: frozenset[ServiceKey] = frozenset()

    def take(self, keys: Collection[ServiceKey]) -> None:
        """Hold these besides those held already. Raises AlreadyClaimed; then exactly those are still held."""
        taken: list[ServiceKey] = []
        for key in sorted(frozenset(keys) - self._held, key=lambda key: key.rank):
            try:
                self._lock(key)
            except (BlockingIOError, PermissionError):
                text = f"{key} is already kept by {self._holder(key)} (lock file {self._path})"
                for mine in taken:
                    self._unlock(mine)
                raise AlreadyClaimed(text) from None
            taken.append(key)
        self._held |= frozenset(taken)

    def keep(self, keys: Collection[ServiceKey]) -> None:
        """Let go of all others."""
        for key in self._held.difference(keys):
            self._unlock(key)
        self._held = self._held.intersection(keys)

    def close(self) -> None:
        """Let everything go."""
        os.close(self._file)

    def _lock(self, key: ServiceKey) -> None:
        fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, offset_of(key))

    def _unlock(self, key: ServiceKey) -> None:
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, offset_of(key))

    def _holder(self, key: ServiceKey) -> str:
        """Who holds a service, in words."""
        return f"process {pid}" if (pid := _asked(self._file, key)) else "another process"


def lock_file(netns: str | None, folder: Path) -> Path:
    """The lock file of one table: tables are told apart by the network namespace they live in.

    Raises NamespaceMissing.
    """
    _, inode = namespace_identity(netns or "/proc/self/ns/net")
    return folder / f"table-{inode}.lock"


def holders(path: Path, keys: Collection[ServiceKey]) -> frozenset[int] | None:
    """The processes that keep these services, 0 for one that cannot be seen from here; None if we may not ask.

    Not for a process that has `Claims` of the same table: it would lose them.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return frozenset()
    except OSError:
        return None
    try:
        return frozenset(pid for key in keys if (pid := _asked(file, key)) is not None)
    finally:
        os.close(file)


def _asked(file: int, key: ServiceKey) -> int | None:
    """Who holds a service, None if nobody does. Of a process that we cannot see the kernel tells no number: 0."""
    question = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, offset_of(key), 1, 0)
    kind, _, _, _, pid = _FLOCK.unpack(fcntl.fcntl(file, fcntl.F_GETLK, question))
    return None if kind == fcntl.F_UNLCK else max(0, pid)


def offset_of(key: ServiceKey) -> int:
    """The byte of the lock file that stands for a service."""
    return int.from_bytes(hashlib.blake2b(str(key).encode(), digest_size=7).digest(), "big")
