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
        """Who holds a service. The kernel does not tell the number of a process that we could not see."""
        question = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, offset_of(key), 1, 0)
        kind, _, _, _, pid = _FLOCK.unpack(fcntl.fcntl(self._file, fcntl.F_GETLK, question))
        return "another process" if kind == fcntl.F_UNLCK or pid <= 0 else f"process {pid}"


def offset_of(key: ServiceKey) -> int:
    """The byte of the lock file that stands for a service."""
    return int.from_bytes(hashlib.blake2b(str(key).encode(), digest_size=7).digest(), "big")
