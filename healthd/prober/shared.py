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
from healthd.prober.attempt import WAIT, Attempt, Question, Wait
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

    __slots__ = ("_inbox", "_receiving", "address", "attempt", "last", "peer", "port")

    def __init__(self, port: SharedPort, attempt: Attempt, address: SocketAddress, peer: Peer) -> None:
        self.port = port
        self.address = address
        self.peer = peer
        self.attempt: Attempt | None = attempt
        self.last = b""
        self._inbox: list[bytes] | None = None
        self._receiving = False

    def send(self, data: bytes) -> Wait | None:
        """Send one datagram."""
        self.last = data
        self.port.send(data, self.address)
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
            self.port.leave(self)
            self.attempt = None

    def waiting_for(self) -> str:
        """What has not come."""
        return "no answer"


class SharedPort:
    """One UDP socket for many conversations. `_peers` has one of each peer; `_others` the rest, which are rare."""

    def __init__(self, engine: Engine, origin: Origin) -> None:
        self.engine = engine
        self._sock = origin.open(DGRAM)
        self._peers: dict[Peer, Conversing] = {}
        self._others: dict[Peer, list[Conversing]] = {}
        prepare(self._sock, origin.family)
        engine.watch(self._sock.fileno(), self, EPOLLIN)

    def join(self, attempt: Attempt, address: SocketAddress, peer: Peer) -> None:
        """Let an attempt converse here."""
        attempt.channel = member = Conversing(self, attempt, address, peer)
        first = self._peers.setdefault(peer, member)
        if first is not member:
            self._others.setdefault(peer, []).append(member)

    def leave(self, member: Conversing) -> None:
        """An attempt has ended."""
        others = self._others.get(member.peer)
        if others is None:
            del self._peers[member.peer]
            return
        if self._peers[member.peer] is member:
            self._peers[member.peer] = others.pop()
        else:
            others.remove(member)
        if not others:
            del self._others[member.peer]

    def send(self, data: bytes, address: SocketAddress) -> None:
        """Send a datagram; what is in the way of it and not its own is read first."""
        try:
            self._sock.sendto(data, address)
        except OSError:
            send_past_errors(self._sock, data, address, self._read_error)

    def ready(self, events: int) -> None:
        """Datagrams or errors have come."""
        if events & EPOLLERR:
            while self._read_error():
                pass
        receive, peers = self._sock.recvfrom, self._peers
        for _ in range(DATAGRAMS):
            try:
                data, sender = receive(65536)
            except BlockingIOError:
                return
            except OSError:
                continue  # an error whose details are in the error queue
            peer = sender if len(sender) == 2 else peer_of(sender)
            if peer in self._others:
                for member in self._members(peer):
                    member.deliver(data)
            elif peer in peers:
                peers[peer].deliver(data)

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
        for member in self._members(peer):
            member.fail(code, sent)
        return True

    def _members(self, peer: Peer) -> list[Conversing]:
        """All that converse with a peer."""
        first = self._peers.get(peer)
        return [] if first is None else [first, *self._others.get(peer, ())]


class Shared:
    """The shared sockets of an engine, by origin; opened when first needed."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._ports: list[SharedPort] = []
        self._next: dict[Origin, Callable[[], SharedPort]] = {}

    def join(self, attempt: Attempt) -> None:
        """Let an attempt converse on the next socket of its origin. Inconclusive if there can be none."""
        question = attempt.question
        if question.shared is None:
            self._introduce(question)
        address, peer, take = question.shared
        take().join(attempt, address, peer)

    def _introduce(self, question: Question) -> None:
        """Note in a question all that its attempts need to join, which is the same for each."""
        origin, address = question.where()
        take = self._next.get(origin)
        if take is None:
            take = self._next[origin] = self._open(origin)
        question.shared = (address, peer_of(address), take)

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
