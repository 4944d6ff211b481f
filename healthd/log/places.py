"""Where a line can go. Each place raises OSError when it is away; the writer then keeps the line from being lost."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import socket
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from healthd.log import render
from healthd.log.entry import Entry

# A healthy but busy receiver gets this long (seconds) to take one datagram; one that failed gets nothing.
PATIENCE = 1.0
# rsyslog and journald cut a message of syslog at 8 KiB or a little below.
SYSLOG_LIMIT = 8000
TOO_LARGE = frozenset({errno.EMSGSIZE, errno.ENOBUFS})


class Place(Protocol):
    """A destination. Used by one thread only."""

    @property
    def name(self) -> str:
        """What messages call it."""
        ...

    def write(self, entry: Entry) -> None:
        """Hand over one entry whole, or raise OSError."""
        ...

    def reopen(self) -> None:
        """Let go of what may have been replaced; the next write opens it again."""
        ...

    def close(self) -> None:
        """Release everything."""
        ...


def writable(fd: int, wait: float | None) -> bool:
    """True once a descriptor takes PIPE_BUF bytes or says why not; waits so many seconds, without end for None."""
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    return bool(poll.poll(None if wait is None else wait * 1000))


class StreamPlace:
    """A descriptor that is open already, such as standard error. May wait for a slow reader, without end."""

    def __init__(self, fd: int, rendered: Callable[[Entry], bytes], name: str = "standard error") -> None:
        self.name = name
        self._fd = fd
        self._rendered = rendered

    def write(self, entry: Entry) -> None:
        """Write the whole line; waits where the descriptor is full, whether it blocks by itself or not."""
        rest = memoryview(self._rendered(entry))
        while rest:
            try:
                rest = rest[os.write(self._fd, rest) :]
            except BlockingIOError:
                writable(self._fd, None)

    def reopen(self) -> None:
        """Nothing: whoever gave us the descriptor owns it."""

    def close(self) -> None:
        """Nothing: whoever gave us the descriptor owns it."""


class FilePlace:
    """A file, appended to. Opened again when it was renamed or deleted (logrotate), created where it is missing."""

    def __init__(self, path: Path, rendered: Callable[[Entry], bytes]) -> None:
        self.name = str(path)
        self._path = path
        self._rendered = rendered
        self._fd = -1
        self._torn = False

    def write(self, entry: Entry) -> None:
        """Append the whole line. After a line that was cut by a full disk, the next one begins on its own."""
        if self._fd < 0 or self._replaced():
            self._open()
        data = self._rendered(entry)
        rest = memoryview(b"\n" + data if self._torn else data)
        whole = len(rest)
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        finally:
            self._torn = 0 < len(rest) < whole or (self._torn and len(rest) == whole)

    def _replaced(self) -> bool:
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return True
        ours = os.fstat(self._fd)
        return (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino)

    def _open(self) -> None:
        self.close()
        self._fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY, 0o640)

    def reopen(self) -> None:
        """Close the file; the next line opens it again."""
        self.close()

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1
        self._torn = False


class _Datagrams:
    """A connected unix datagram socket that is opened when needed, and again after every failure."""

    def __init__(self, path: Path, patience: float) -> None:
        self.path = path
        self._patience = patience
        self._failed = False
        self._socket: socket.socket | None = None

    def send(self, data: bytes, *, passing: int | None = None) -> None:
        """Send one datagram, with a descriptor if one is given. Follows a receiver that was started again at once."""
        try:
            self._send(data, passing)
        except ConnectionError:
            self._send(data, passing)

    def _send(self, data: bytes, passing: int | None) -> None:
        try:
            connected = self._connected()
            connected.settimeout(0.0 if self._failed else self._patience)
            connected.sendmsg([data], [] if passing is None else [_rights(passing)])
        except OSError as error:
            # A receiver that does not want this one is not away.
            if error.errno not in TOO_LARGE:
                self.close()
                self._failed = True
            raise
        self._failed = False

    def _connected(self) -> socket.socket:
        if self._socket is None:
            made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            try:
                made.connect(str(self.path))
            except OSError:
                made.close()
                raise
            self._socket = made
        return self._socket

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = None


def _rights(fd: int) -> tuple[int, int, bytes]:
    return (socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [fd]).tobytes())


class JournalPlace:
    """journald, by its native protocol, with a field for everything."""

    name = "journald"

    def __init__(
        self,
        path: Path,
        facility: int,
        headline: Callable[[Entry], str] = render.headline,
        tag: str = render.IDENTIFIER,
        patience: float = PATIENCE,
    ) -> None:
        self._facility = facility
        self._headline = headline
        self._tag = tag
        self._datagrams = _Datagrams(path, patience)

    def write(self, entry: Entry) -> None:
        """Send one entry; one too large for a datagram goes in a sealed memory file, as the protocol says."""
        data = render.journal(entry, self._facility, self._headline(entry), self._tag)
        try:
            self._datagrams.send(data)
        except OSError as error:
            if error.errno not in TOO_LARGE:
                raise
            self._send_sealed(data)

    def _send_sealed(self, data: bytes) -> None:
        fd = os.memfd_create("healthd-log", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            with open(fd, "wb", closefd=False) as file:
                file.write(data)
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE)
            self._datagrams.send(b"", passing=fd)
        finally:
            os.close(fd)

    def reopen(self) -> None:
        """Connect again at the next entry."""
        self._datagrams.close()

    def close(self) -> None:
        """Close the socket."""
        self._datagrams.close()


class SyslogPlace:
    """syslog, by the socket the C library uses too. content: the text of a datagram's message. tag: who we are."""

    name = "syslog"

    def __init__(
        self,
        path: Path,
        facility: int,
        content: Callable[[Entry], str],
        tag: str = render.IDENTIFIER,
        patience: float = PATIENCE,
    ) -> None:
        self._facility = facility
        self._content = content
        self._tag = tag
        self._datagrams = _Datagrams(path, patience)

    def write(self, entry: Entry) -> None:
        """Send one entry, cut to what receivers take."""
        data = render.syslog(entry, self._facility, self._content(entry), self._tag)
        self._datagrams.send(data[:SYSLOG_LIMIT])

    def reopen(self) -> None:
        """Connect again at the next entry."""
        self._datagrams.close()

    def close(self) -> None:
        """Close the socket."""
        self._datagrams.close()
