"""The files of a configuration as they are on disk at a moment, by content: whether anything of it has changed."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from healthd.config.decode import At, Report
from healthd.config.formats import AS_IT_IS, Format, Reading
from healthd.config.includes import folders, included, main_file
from healthd.config.problems import Problem
from healthd.config.recognise import format_of
from healthd.config.source import Source, parse, read_bytes

EMPTY = hashlib.sha256().hexdigest()
ABSENT = "not there"

FRESH = 2_000_000_000
"""Nanoseconds after a change in which the next one may leave all times of the file as they are (coarse clocks)."""

_Signature = tuple[int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class Seen:
    """What was found. digests: of every file by name; where it cannot be read, why. changed: latest, since the epoch.

    folders: those in which a change of these files, or a further one, shows.
    """

    digests: Mapping[str, str]
    changed: float = field(default=0.0, compare=False)
    folders: frozenset[Path] = field(default=frozenset(), compare=False)


class Files:
    """The files of the configuration at a path. reading: how it is taken. Looking may block; one thread at a time."""

    def __init__(self, path: Path, reading: Reading = AS_IT_IS) -> None:
        self.main = main_file(path)
        self._reading = reading
        self._known: dict[str, tuple[_Signature, int, str]] = {}
        self._root: tuple[str, At | None] = ("", None)
        self._last = Seen({})

    def look(self, more: Iterable[str] = ()) -> Seen:
        """How they are now. more: names of files that belong to it besides those that the main file includes."""
        main = str(self.main)
        root = self._tree(self._digest(main))
        names = dict.fromkeys([main, *map(str, self._included(root)), *more])
        digests = {name: self._digest(name) for name in names}
        self._known = {name: known for name, known in self._known.items() if name in names}
        where = self._last.folders if digests == self._last.digests else self._folders(root, names)
        changed = max((signature[4] / 1e9 for signature, _, _ in self._known.values()), default=0.0)
        self._last = Seen(digests, changed, where)
        return self._last

    def _tree(self, digest: str) -> At | None:
        """The tree of the main file, read again when that is another; None if it is of a format without `include`."""
        if self._root[0] != digest:
            data = read_bytes(self.main)
            found = data if isinstance(data, Problem) else self._parsed(data)
            # what cannot be read is taken for an empty file, as it is in loading
            root = At(Source(str(self.main), "", {}) if isinstance(found, Problem) else found) if found else None
            self._root = (digest, root)
        return self._root[1]

    def _parsed(self, data: bytes) -> Source | Problem | None:
        if format_of(self._reading, self.main.name, data) is Format.LDIRECTORD:
            return None
        return parse(str(self.main), data)

    def _included(self, root: At | None) -> list[Path]:
        if root is None:
            return []
        try:
            return included(root, self.main.parent, Report(strict_files=False))
        except (OSError, ValueError):  # loading says what is wrong with it
            return []

    def _folders(self, root: At | None, names: Iterable[str]) -> frozenset[Path]:
        """Both that of a name and, where the name is a link, that of the file itself."""
        found = set() if root is None else set(folders(root, self.main.parent))
        for name in map(Path, names):
            found.add(name.parent)
            with contextlib.suppress(OSError, ValueError, RuntimeError):  # links in a circle
                found.add(name.resolve().parent)
        return frozenset(found)

    def _digest(self, name: str) -> str:
        try:
            status = Path(name).stat()
        except (OSError, ValueError):
            self._known.pop(name, None)
            return ABSENT
        signature = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        known = self._known.get(name)
        if known is not None and known[0] == signature and status.st_ctime_ns + FRESH < known[1]:
            return known[2]
        at = time.time_ns()
        data = read_bytes(Path(name))
        digest = data.text if isinstance(data, Problem) else hashlib.sha256(data).hexdigest()
        self._known[name] = (signature, at, digest)
        return digest
