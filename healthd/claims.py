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


class Claims:
    """The services that this process keeps. path: lock file of one table; it and its directory are made if missing."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        self._path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._held: frozenset[ServiceKey] = frozenset()

    def hold(self, keys: Collection[ServiceKey]) -> None:
        """Hold exactly these services. Raises AlreadyClaimed; what was held before is then still held."""
        wanted = frozenset(keys)
        taken: list[ServiceKey] = []
        for key in sorted(wanted - self._held, key=lambda key: key.rank):
            try:
                self._lock(key)
            except BlockingIOError:
                holder = self._holder(key)
                for mine in taken:
                    self._unlock(mine)
                raise AlreadyClaimed(f"{key} is already kept by process {holder} (lock file {self._path})") from None
            taken.append(key)
        for key in self._held - wanted:
            self._unlock(key)
        self._held = wanted

    def close(self) -> None:
        """Let everything go."""
        os.close(self._file)

    def _lock(self, key: ServiceKey) -> None:
        fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, offset_of(key))

    def _unlock(self, key: ServiceKey) -> None:
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, offset_of(key))

    def _holder(self, key: ServiceKey) -> int:
        """The process that holds a service; 0 if it just let go."""
        question = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, offset_of(key), 1, 0)
        kind, _, _, _, pid = _FLOCK.unpack(fcntl.fcntl(self._file, fcntl.F_GETLK, question))
        return 0 if kind == fcntl.F_UNLCK else int(pid)


def offset_of(key: ServiceKey) -> int:
    """The byte of the lock file that stands for a service."""
    return int.from_bytes(hashlib.blake2b(str(key).encode(), digest_size=7).digest(), "big")
