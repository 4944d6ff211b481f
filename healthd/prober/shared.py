"""Datagram conversations that share a few sockets, which costs a sixth of a socket for each.

The kernel does not tell whose an answer is: it goes to every conversation with that address and port on the socket it
came in by. A closed port is reported through the socket's error queue with the address and the bytes that were sent, so
it reaches the conversation that sent them.

Several sockets take turns, so that a forged answer has to guess the port too, and a burst has more buffer space.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle
from select import EPOLLERR, EPOLLIN
from typing import TYPE_CHECKING

from healthd.check import Inconclusive
from healthd.prober import classify
from healthd.prober.attempt import WAIT, Attempt, Wait
from healthd.prober.errors import Peer, peer_of, prepare, send_past_errors, take_error
from healthd.prober.sockets import DGRAM, Origin, SocketAddress

if TYPE_CHECKING:
    from healthd.prober.engine import Engine

PORTS = 4
"""Sockets for each origin."""

DATAGRAMS = 256
"""Most datagrams read from one socket in one go."""


class Conversing:
    """The part of one attempt in a shared socket."""

    __slots__ = ("_inbox", "_receiving", "attempt", "last", "port")

    def __init__(self, port: SharedPort, attempt: Attempt) -> None:
        self.port = port
        self.attempt: Attempt | None = attempt
        self.last = b""
        self._inbox: list[bytes] | None = None
        self._receiving = False

    def send(self, data: bytes) -> Wait | None:
        """Send one datagram."""
        assert self.attempt is not None
        self.last = data
        self.port.send(data, self.attempt.question.where()[1])
        return None

    def receive(self, limit: int) -> bytes | Wait:
        """The next datagram from the target; its tail is cut off at `limit`."""
        if self._inbox:
            return self._inbox.pop(0)[:limit]
        self._receiving = True
        return WAIT

    def deliver(self, data: bytes) -> None:
        """A datagram of the target has come."""
        if self._receiving and self.attempt is not None:
            self._receiving = False
            self.port.engine.resume(self.attempt, data)
        elif self._inbox is None:
            self._inbox = [data]
        elif len(self._inbox) < DATAGRAMS:
            self._inbox.append(data)

    def fail(self, code: int, sent: bytes) -> None:
        """An ICMP error came for a datagram that began with `sent`."""
        if code and self.attempt is not None and self.last.startswith(sent):
            self.port.engine.throw(self.attempt, classify.came_back(code, "receiving"))

    def close(self, hard: bool) -> None:
        """Leave the socket."""
        if self.attempt is not None:
            self.port.leave(self, peer_of(self.attempt.question.where()[1]))
            self.attempt = None

    def waiting_for(self) -> str:
        """What has not come."""
        return "no answer"


class SharedPort:
    """One UDP socket for many conversations."""

    def __init__(self, engine: Engine, origin: Origin) -> None:
        self.engine = engine
        self._sock = origin.open(DGRAM)
        self._peers: dict[Peer, list[Conversing]] = {}
        prepare(self._sock, origin.family)
        engine.watch(self._sock.fileno(), self, EPOLLIN)

    def join(self, attempt: Attempt) -> None:
        """Let an attempt converse here."""
        member = Conversing(self, attempt)
        self._peers.setdefault(peer_of(attempt.question.where()[1]), []).append(member)
        attempt.channel = member

    def leave(self, member: Conversing, peer: Peer) -> None:
        """An attempt has ended."""
        members = self._peers[peer]
        members.remove(member)
        if not members:
            del self._peers[peer]

    def send(self, data: bytes, address: SocketAddress) -> None:
        """Send a datagram; what is in the way of it and not its own is read first."""
        send_past_errors(self._sock, data, address, self._read_error)

    def ready(self, events: int) -> None:
        """Datagrams or errors have come."""
        if events & EPOLLERR:
            while self._read_error():
                pass
        for _ in range(DATAGRAMS):
            try:
                data, sender = self._sock.recvfrom(65536)
            except BlockingIOError:
                return
            except OSError:
                continue  # an error whose details are in the error queue
            for member in tuple(self._peers.get(peer_of(sender), ())):
                member.deliver(data)

    def close(self) -> None:
        """Close the socket."""
        self.engine.unwatch(self._sock.fileno())
        self._sock.close()

    def _read_error(self) -> bool:
        """Take one error off the queue; False if there is none."""
        error = take_error(self._sock)
        if error is None:
            return False
        code, sent, peer = error
        for member in tuple(self._peers.get(peer, ())):
            member.fail(code, sent)
        return True


class Shared:
    """The shared sockets of an engine, by origin; opened when first needed."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._ports: list[SharedPort] = []
        self._next: dict[Origin, Callable[[], SharedPort]] = {}

    def join(self, attempt: Attempt) -> None:
        """Let an attempt converse on the next socket of its origin. Inconclusive if there can be none."""
        origin, _ = attempt.question.where()
        take = self._next.get(origin)
        if take is None:
            take = self._next[origin] = self._open(origin)
        take().join(attempt)

    def _open(self, origin: Origin) -> Callable[[], SharedPort]:
        opened: list[SharedPort] = []
        try:
            for _ in range(PORTS):
                opened.append(SharedPort(self._engine, origin))  # noqa: PERF401 - those before a failure are closed
        except Inconclusive:
            for port in opened:
                port.close()
            raise
        self._ports += opened
        return cycle(opened).__next__

    def close(self) -> None:
        """Close all."""
        for port in self._ports:
            port.close()
        self._ports.clear()
        self._next.clear()
