"""ICMP echo: one raw socket for each origin, for all targets.

A reply is matched by its source, our id and sequence number, and eight random bytes at the front of the payload that
nobody else knows. The kernel drops for us what is not an echo reply with our id, so several probers and every other
ping of this machine do not disturb each other. Where raw sockets are not allowed, the kernel's own ping sockets do the
same (net.ipv4.ping_group_range); there the kernel chooses the id. ICMP errors come through the error queue.
"""

from __future__ import annotations

import _socket
import array
import errno
import os
import struct
from select import EPOLLERR, EPOLLIN
from typing import TYPE_CHECKING

from healthd.check import Inconclusive
from healthd.prober import classify
from healthd.prober.attempt import WAIT, Attempt, Wait
from healthd.prober.errors import Peer, peer_of, prepare, send_past_errors, take_error
from healthd.prober.shared import DATAGRAMS
from healthd.prober.sockets import DGRAM, RAW, Origin

if TYPE_CHECKING:
    from healthd.prober.engine import Engine

HEADER = struct.Struct("!BBHHH")
COOKIE = 8

SOL_RAW = 255  # include/linux/socket.h
ICMP_FILTER = 1  # include/uapi/linux/icmp.h; the bits of types to drop
ICMP6_FILTER = 1  # include/uapi/linux/icmpv6.h; likewise, 256 of them
SO_ATTACH_FILTER = 26

REQUEST = {_socket.AF_INET: 8, _socket.AF_INET6: 128}
REPLY = {_socket.AF_INET: 0, _socket.AF_INET6: 129}
PROTOCOL = {_socket.AF_INET: _socket.IPPROTO_ICMP, _socket.AF_INET6: _socket.IPPROTO_ICMPV6}

NOT_ALLOWED = "ICMP needs CAP_NET_RAW, or our group in net.ipv4.ping_group_range"


class Echoing:
    """One attempt that waits for its reply; a `Channel` that neither sends nor receives more."""

    __slots__ = ("attempt", "cookie", "peer", "port", "sequence")

    def __init__(self, port: EchoPort, attempt: Attempt, peer: Peer, sequence: int) -> None:
        self.port = port
        self.attempt = attempt
        self.peer = peer
        self.sequence = sequence
        self.cookie = os.urandom(COOKIE)

    def send(self, data: bytes) -> Wait | None:
        """Nothing more can be sent."""
        raise TypeError("Send needs a stream or a datagram conversation")

    def receive(self, limit: int) -> bytes | Wait:
        """Nothing more can be received."""
        raise TypeError("Receive needs a stream or a datagram conversation")

    def close(self, hard: bool) -> None:
        """Wait no more."""
        self.port.leave(self)

    def waiting_for(self) -> str:
        """What has not come."""
        return "no echo reply"


class EchoPort:
    """One ICMP socket for many attempts. raw: false for the kernel's ping socket."""

    def __init__(self, engine: Engine, origin: Origin) -> None:
        self.engine = engine
        self._family = origin.family
        self._id = int.from_bytes(os.urandom(2), "big")
        self._sock, self._raw = _open(origin, self._id)
        self._waiting: dict[int, Echoing] = {}
        self._sequence = 0
        prepare(self._sock, origin.family)
        engine.watch(self._sock.fileno(), self, EPOLLIN)

    def ask(self, attempt: Attempt, payload: bytes) -> Wait:
        """Send a request."""
        _, address = attempt.question.where()
        bare = (address[0], 0, *address[2:])  # a raw socket takes the port for a protocol
        member = Echoing(self, attempt, peer_of(bare), self._free_sequence())
        self._waiting[member.sequence] = member
        attempt.channel = member
        packet = self._packet(member, payload)
        attempt.sent += len(payload)
        send_past_errors(self._sock, packet, bare, self._read_error)
        return WAIT

    def leave(self, member: Echoing) -> None:
        """An attempt has ended."""
        if self._waiting.get(member.sequence) is member:
            del self._waiting[member.sequence]

    def close(self) -> None:
        """Close the socket."""
        self.engine.unwatch(self._sock.fileno())
        self._sock.close()

    def ready(self, events: int) -> None:
        """Replies or errors have come."""
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
            self._reply(data, peer_of(sender))

    def _free_sequence(self) -> int:
        if len(self._waiting) >= 0xFFFF:
            raise Inconclusive("65535 echo requests are on their way already")
        while True:
            self._sequence = (self._sequence + 1) & 0xFFFF
            if self._sequence not in self._waiting:
                return self._sequence

    def _packet(self, member: Echoing, payload: bytes) -> bytes:
        body = member.cookie + payload
        kind = REQUEST[self._family]
        blank = HEADER.pack(kind, 0, 0, self._id, member.sequence)
        if not self._raw or self._family == _socket.AF_INET6:
            return blank + body  # the kernel sets the checksum
        return HEADER.pack(kind, 0, checksum(blank + body), self._id, member.sequence) + body

    def _reply(self, data: bytes, sender: Peer) -> None:
        if self._raw and self._family == _socket.AF_INET and data:
            data = data[(data[0] & 0xF) * 4 :]  # the IP header, which only IPv4's raw sockets give
        if len(data) < HEADER.size + COOKIE:
            return
        kind, _, _, number, sequence = HEADER.unpack_from(data)
        member = self._waiting.get(sequence)
        if member is None or kind != REPLY[self._family] or (self._raw and number != self._id):
            return
        body = data[HEADER.size :]
        if body.startswith(member.cookie) and sender[0] == member.peer[0]:
            del self._waiting[sequence]
            self.engine.resume(member.attempt, body[COOKIE:])

    def _read_error(self) -> bool:
        """Take one error off the queue; False if there is none."""
        error = take_error(self._sock)
        if error is None:
            return False
        code, sent, peer = error
        if code and len(sent) >= HEADER.size:
            _, _, _, number, sequence = HEADER.unpack_from(sent)
            member = self._waiting.get(sequence)
            ours = member is not None and member.peer[0] == peer[0] and (number == self._id or not self._raw)
            if member is not None and ours:
                del self._waiting[sequence]
                self.engine.throw(member.attempt, classify.came_back(code, "waiting for the echo reply"))
        return True


class EchoPorts:
    """The ICMP sockets of an engine, by origin; opened when first needed."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._ports: dict[Origin, EchoPort] = {}

    def ask(self, attempt: Attempt, payload: bytes) -> Wait:
        """Send an echo request. Inconclusive if we may not."""
        origin, _ = attempt.question.where()
        port = self._ports.get(origin)
        if port is None:
            port = self._ports[origin] = EchoPort(self._engine, origin)
        return port.ask(attempt, payload)

    def close(self) -> None:
        """Close all."""
        for port in self._ports.values():
            port.close()
        self._ports.clear()


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _open(origin: Origin, number: int) -> tuple[_socket.socket, bool]:
    """A raw socket that gets only replies with our id, or else a ping socket; and whether it is raw."""
    try:
        sock = origin.open(RAW, PROTOCOL[origin.family])
    except Inconclusive as refusal:
        return _open_ping(origin, refusal), False
    _only_replies(sock, origin.family, number)
    return sock, True


def _open_ping(origin: Origin, refusal: Inconclusive) -> _socket.socket:
    """The kernel's ping socket, which it gives to the groups of ping_group_range."""
    probe = None
    try:
        probe = _socket.socket(origin.family, DGRAM, PROTOCOL[origin.family])
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM):
            raise Inconclusive(NOT_ALLOWED) from None
        raise refusal from None
    finally:
        if probe is not None:
            probe.close()
    return origin.open(DGRAM, PROTOCOL[origin.family])


def _only_replies(sock: _socket.socket, family: int, number: int) -> None:
    if family == _socket.AF_INET:
        sock.setsockopt(SOL_RAW, ICMP_FILTER, struct.pack("=I", 0xFFFFFFFF ^ (1 << REPLY[family])))
        # ldxb 4*([0]&0xf); ldh [x+4]
        load = [(0xB1, 0, 0, 0), (0x48, 0, 0, 4)]
    else:
        words = [0xFFFFFFFF] * 8
        words[REPLY[family] // 32] ^= 1 << (REPLY[family] % 32)
        sock.setsockopt(_socket.IPPROTO_ICMPV6, ICMP6_FILTER, struct.pack("=8I", *words))
        load = [(0x28, 0, 0, 4)]  # ldh [4]
    # jeq #id, next, +1; ret #all; ret #0 (classic BPF, include/uapi/linux/filter.h)
    program = [*load, (0x15, 0, 1, number), (0x06, 0, 0, 0xFFFFFFFF), (0x06, 0, 0, 0)]
    code = array.array("B", b"".join(struct.pack("=HBBI", *step) for step in program))
    sock.setsockopt(_socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", len(program), code.buffer_info()[0]))
