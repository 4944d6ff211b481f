"""Ties `logging` to one writer, as the configuration says."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field
from pathlib import Path

from healthd.config.schema import LogSettings
from healthd.log.entry import entry_of
from healthd.log.looks import Lines, looks
from healthd.log.places import FilePlace, JournalPlace, Place, StreamPlace, SyslogPlace
from healthd.log.render import FACILITIES
from healthd.log.writer import LogStats, Writer

# Libraries that tell of every request below WARNING; that is no news of ours. They are filtered where lines come in,
# because one of them sets its own level whenever it is imported.
CHATTY = ("aiohttp.access", "asyncio", "pyroute2")


@dataclass(frozen=True, slots=True)
class Outlets:
    """Where the machine's log services are.

    stderr: a descriptor, also what is spilled to. journal_stream: DEVICE:INODE of what journald reads as our standard
    error or output, as systemd says it in the environment (systemd.exec(5)).
    """

    stderr: int = 2
    journal_stream: str = field(default_factory=lambda: os.environ.get("JOURNAL_STREAM", ""))
    journal: Path = Path("/run/systemd/journal/socket")
    syslog: Path = Path("/dev/log")
    stdout: int = 1


def is_news(record: logging.LogRecord) -> bool:
    """False for what a chatty library says of its ordinary work."""
    return record.levelno >= logging.WARNING or not record.name.startswith(CHATTY)


class _Handler(logging.Handler):
    """Makes an entry of each record and hands it to the writer."""

    def __init__(self, writer: Writer) -> None:
        super().__init__()
        self.addFilter(is_news)
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        self._writer.put(entry_of(record), getattr(record, "_subject", None))


class Log:
    """The log of this process, from `configure` until `close`."""

    def __init__(self, settings: LogSettings, outlets: Outlets, root: logging.Logger, room: int, instance: str) -> None:
        level, place = level_of(settings), place_of(settings, outlets, instance)
        self._outlets = outlets
        self._instance = instance
        self._root = root
        self._settings = settings
        self._writer = Writer(place, fallback=outlets.stderr, room=room)
        self._handler = _Handler(self._writer)
        root.addHandler(self._handler)
        root.setLevel(level)

    def apply(self, settings: LogSettings) -> None:
        """Go on as other settings say; no line is lost. ValueError if they make no sense, and then nothing changes."""
        level, place = level_of(settings), place_of(settings, self._outlets, self._instance)
        self._root.setLevel(level)
        if settings != self._settings:
            self._writer.replace(place)
        self._settings = settings

    def reopen(self) -> None:
        """Open the file (or the socket) again before the next line."""
        self._writer.reopen()

    def stats(self) -> LogStats:
        """Counts since the start."""
        return self._writer.stats()

    def flush(self, grace: float) -> bool:
        """Wait at most `grace` seconds until all is written; True if it is."""
        return self._writer.flush(grace)

    def close(self, grace: float) -> None:
        """Write what waits, at most for `grace` seconds; later lines go nowhere."""
        self._root.removeHandler(self._handler)
        self._writer.close(grace)


def configure(
    settings: LogSettings,
    *,
    outlets: Outlets = Outlets(),
    root: logging.Logger | None = None,
    room: int = 10_000,
    instance: str = "healthd",
) -> Log:
    """Send all lines of log of this process where the settings say.

    root: whose records to take, the root logger if it is None. room: lines that may wait for a slow place. instance:
    what lines in ldirectord's style call the configuration. ValueError if the settings make no sense.
    """
    return Log(settings, outlets, root if root is not None else logging.getLogger(), room, instance)


def level_of(settings: LogSettings) -> int:
    """The level of `logging` the settings name. ValueError for what does not exist."""
    levels = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
    if settings.level not in levels:
        raise ValueError(f"unknown level {settings.level!r}; known are {', '.join(levels)}")
    return levels[settings.level]


def place_of(settings: LogSettings, outlets: Outlets, instance: str = "healthd") -> Place:
    """The place the settings name. Nothing is opened yet. ValueError for what does not exist."""
    look = looks(settings.style, settings.format, instance)
    facility = FACILITIES.get(settings.facility)
    if facility is None:
        raise ValueError(f"unknown facility {settings.facility!r}; known are {', '.join(FACILITIES)}")

    def stream(fd: int, lines: Lines, name: str) -> Place:
        return StreamPlace(fd, look.to_journald if _read_by_journald(fd, outlets) else lines, name)

    match settings.to:
        case "stderr":
            return stream(outlets.stderr, look.stderr, "standard error")
        case "stdout":
            return stream(outlets.stdout, look.stdout, "standard output")
        case "journald":
            return JournalPlace(outlets.journal, facility, look.headline, look.tag)
        case "syslog":
            return SyslogPlace(outlets.syslog, facility, look.syslog, look.tag)
    if not settings.to.startswith("/"):
        raise ValueError(f"log to {settings.to!r}: want stderr, journald, syslog or an absolute path")
    return FilePlace(Path(settings.to), look.file)


def _read_by_journald(fd: int, outlets: Outlets) -> bool:
    status = os.fstat(fd)
    return outlets.journal_stream == f"{status.st_dev}:{status.st_ino}"
