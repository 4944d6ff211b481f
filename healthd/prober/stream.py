"""Streams on the engine's epoll set: connect, send with partial writes, receive, keep for the next probe.

At most one edge-triggered registration per stream and no change of it; none if the first look finds it done
(`Engine.look`). So every edge is remembered (`readable`) and nothing is read on suspicion: a whole HTTP probe is
socket, connect, send, epoll_ctl, recv, close.
`wait` is what to do at the next edge, a plain function of the class and not a bound method, which would be a reference
cycle and work for the garbage collector at every probe.
"""

from __future__ import annotations

import _socket
import errno
import ssl
from collections.abc import Callable
from contextlib import suppress
from select import EPOLLERR, EPOLLET, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP
from typing import TYPE_CHECKING, Any

from healthd.check import CheckFailed, Connected, Inconclusive
from healthd.prober import classify
from healthd.prober.attempt import WAIT, Attempt, Wait
from healthd.prober.sockets import HARD, SocketAddress

if TYPE_CHECKING:
    from healthd.prober.engine import Engine
    from healthd.prober.tls import Secured

EDGES = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET
OPENING = EPOLLIN | EPOLLOUT | EPOLLRDHUP
BROKEN = EPOLLERR | EPOLLHUP
INCOMING = EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR
ENDED = EPOLLRDHUP | EPOLLHUP | EPOLLERR

CONNECTED = Connected()
REUSED = Connected(reused=True)


class Stream:
    """One TCP connection. attempt: whose it is, None while it is kept between two probes."""

    __slots__ = (
        "_unsent",
        "attempt",
        "ended",
        "engine",
        "fd",
        "layer",
        "limit",
        "on_open",
        "readable",
        "sends",
        "sock",
        "wait",
    )

    def __init__(self, engine: Engine, attempt: Attempt, sock: _socket.socket) -> None:
        self.engine = engine
        self.attempt: Attempt | None = attempt
        self.sock = sock
        self.fd = sock.fileno()
        self.wait: Callable[[Stream, int], Any] = Stream._connecting
        self.readable = False
        self.ended = False
        self.limit = 0
        self.sends = 0
        self._unsent: memoryview | None = None
        self.layer: Secured | None = None
        self.on_open: Callable[[Stream], Any] | None = None

    @property
    def listens(self) -> bool:
        """True while it waits for nothing but data."""
        return self.wait is Stream._receiving

    def ready(self, events: int) -> None:
        """The epoll set has events: do what was waited for, and let the conversation go on with it."""
        attempt = self.attempt
        try:
            value = self.wait(self, events)
        except OSError as error:
            if attempt is not None:
                self.engine.throw(attempt, failure_of(error))
        except (CheckFailed, Inconclusive) as error:
            if attempt is not None:
                self.engine.throw(attempt, error)
        else:
            if value is not WAIT and attempt is not None:
                self.engine.resume(attempt, value)

    # --- what may be waited for ---

    def _connecting(self, events: int) -> Any:
        if events & BROKEN:
            code = self.sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_ERROR)
            if not code:
                return WAIT  # an event of an earlier socket with this number
            if self.attempt is not None:
                self.attempt.leave_aside(hard=True)
            raise OSError(code, "")
        if events & INCOMING:
            self.idle(events)
        self.wait = Stream.idle
        attempt = self.attempt
        assert attempt is not None
        if attempt.beside is None:
            attempt.connected = self.engine.clock()
            if attempt.trace is not None:
                attempt.trace.stream_open()
        if self.on_open is None:
            return CONNECTED
        on_open, self.on_open = self.on_open, None
        return on_open(self)

    def idle(self, events: int) -> Wait:
        """Only remember what has come."""
        if events & INCOMING:
            self.readable = True
            if events & ENDED:
                self.ended = True
        return WAIT

    def _receiving(self, events: int) -> Any:
        self.idle(events)
        if not events & INCOMING:
            return WAIT
        return self._read(self.limit)

    def _sending(self, events: int) -> Any:
        self.idle(events)
        if not events & (EPOLLOUT | BROKEN):
            return WAIT
        assert self._unsent is not None
        return self._write(self._unsent)

    def _kept(self, events: int) -> Any:
        """The peer closed a kept stream, or said something that nobody asked for."""
        if events & INCOMING:
            self.close(hard=True)
        return WAIT

    # --- Channel ---

    def send(self, data: bytes) -> Wait | None:
        """Send all of `data`, waiting for room where there is none."""
        self.sends += 1
        if self.sends == 2:  # one write never waits for an ACK; the second might, for the server's delayed one
            self.sock.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
        return self._write(data)

    def _write(self, data: bytes | memoryview) -> Wait | None:
        try:
            count = self.sock.send(data)
        except BlockingIOError:
            count = 0
        if count == len(data):
            self._unsent = None
            self.wait = Stream.idle
            return None
        self._unsent = memoryview(data)[count:]
        self.wait = Stream._sending
        return WAIT

    def finish(self) -> None:
        """Send FIN once all is sent. What is broken says so when it is read."""
        with suppress(OSError):
            self.sock.shutdown(_socket.SHUT_WR)

    def receive(self, limit: int) -> bytes | Wait:
        """What is there, up to `limit` bytes; b"" at the end."""
        return self._read(limit)

    def _read(self, limit: int) -> bytes | Wait:
        data = self.fetch(limit)
        if data is None:
            self.limit = limit
            self.wait = Stream._receiving
            return WAIT
        self.wait = Stream.idle
        return data

    def fetch(self, limit: int) -> bytes | None:
        """What has come, up to `limit` bytes; b"" at the end, None if there is nothing."""
        if not self.readable:
            return None
        try:
            data = self.sock.recv(limit)
        except BlockingIOError:
            self.readable = False
            return None
        if len(data) < limit and not self.ended:
            self.readable = False  # a short read has emptied it (epoll(7), question 9)
        return data

    def close(self, hard: bool) -> None:
        """Close without waiting, with a reset if `hard`, or if the peer has closed already.

        A peer that closed waits for our end, and a reset frees it of that at once.
        """
        if self.attempt is not None:
            self.attempt.channel = None
            self.attempt = None
        self.engine.unwatch(self.fd)
        self.fd = -1
        if hard or self.ended:
            self.sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_LINGER, HARD)
        self.sock.close()

    def waiting_for(self) -> str:
        """What has not come."""
        if self.wait is Stream._connecting:
            return "no connection"
        return "the server did not take what was sent" if self.wait is Stream._sending else "no answer"

    # --- between two probes ---

    def keep(self) -> bool:
        """Stay open for the next probe; False if the stream is at its end or has unread data."""
        if self.readable or self.ended:
            return False
        self.attempt = None
        self.wait = Stream._kept
        return True

    def take(self, attempt: Attempt) -> None:
        """Serve another probe."""
        self.attempt = attempt
        self.wait = Stream.idle


def begin(engine: Engine, attempt: Attempt, sock: _socket.socket, address: SocketAddress) -> Stream:
    """A stream that begins to connect; the attempt goes on when it has. `sock` is closed if it cannot."""
    code = sock.connect_ex(address)
    if code and code != errno.EINPROGRESS:
        sock.close()
        raise classify.refused_here(code, "connecting")
    stream = Stream(engine, attempt, sock)
    engine.watch_fresh(stream)
    return stream


def failure_of(error: OSError) -> Exception:
    """What an error of an open stream means to its conversation."""
    if isinstance(error, ssl.SSLError):
        return classify.tls_failure(error)
    return classify.came_back(error.errno or 0, "talking")
