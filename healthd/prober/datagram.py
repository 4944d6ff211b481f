"""Datagrams with a port of their own: a connected UDP socket, so the kernel drops what is not from the target.

What comes back by ICMP is an error of the socket, which no other conversation shares.
"""

from __future__ import annotations

import _socket
import errno
from select import EPOLLERR, EPOLLET, EPOLLHUP, EPOLLIN
from typing import TYPE_CHECKING

from healthd.prober import classify
from healthd.prober.attempt import WAIT, Attempt, Wait
from healthd.prober.errors import want_errors
from healthd.prober.sockets import DGRAM

if TYPE_CHECKING:
    from healthd.prober.engine import Engine


class OwnPort:
    """One UDP socket of one attempt."""

    __slots__ = ("_limit", "_readable", "_receiving", "attempt", "engine", "fd", "sock")

    def __init__(self, engine: Engine, attempt: Attempt, sock: _socket.socket) -> None:
        self.engine = engine
        self.attempt: Attempt | None = attempt
        self.sock = sock
        self.fd = sock.fileno()
        self._readable = self._receiving = False
        self._limit = 0

    def ready(self, events: int) -> None:
        """A datagram or an ICMP error has come."""
        if events & (EPOLLIN | EPOLLERR | EPOLLHUP):
            self._readable = True
        if not self._receiving or self.attempt is None:
            return
        try:
            value = self._read(self._limit)
        except OSError as error:
            self.engine.throw(self.attempt, classify.came_back(error.errno or 0, "receiving"))
        else:
            if value is not WAIT:
                self.engine.resume(self.attempt, value)

    def send(self, data: bytes) -> Wait | None:
        """Send one datagram. One that came back by ICMP before is raised here."""
        try:
            self.sock.send(data)
        except OSError as error:
            if error.errno != errno.EMSGSIZE:
                raise
            self.sock.send(data)  # the first may have been path MTU discovery's news of an earlier datagram
        return None

    def receive(self, limit: int) -> bytes | Wait:
        """The next datagram."""
        self._limit = limit
        if self._readable:
            return self._read(limit)
        self._receiving = True
        return WAIT

    def _read(self, limit: int) -> bytes | Wait:
        try:
            data = self._next(limit)
        except BlockingIOError:
            self._readable = False
            self._receiving = True
            return WAIT
        self._receiving = False
        return data

    def _next(self, limit: int) -> bytes:
        try:
            return self.sock.recv(limit)
        except OSError as error:
            if error.errno != errno.EMSGSIZE:
                raise
            return self.sock.recv(limit)

    def close(self, hard: bool) -> None:
        """Close."""
        self.attempt = None
        self.engine.unwatch(self.fd)
        self.sock.close()

    def waiting_for(self) -> str:
        """What has not come."""
        return "no answer"


def open_datagram(engine: Engine, attempt: Attempt) -> None:
    """Open a socket for this attempt alone."""
    origin, address = attempt.question.where()
    sock = origin.open(DGRAM)
    want_errors(sock, origin.family)
    code = sock.connect_ex(address)
    if code:
        sock.close()
        raise classify.refused_here(code, "opening a datagram socket")
    port = OwnPort(engine, attempt, sock)
    attempt.channel = port
    engine.watch(port.fd, port, EPOLLIN | EPOLLET)
