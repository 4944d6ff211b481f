"""MQTT's packets as far as a client needs them that connects, subscribes to one topic and leaves (3.1.1 and 5.0).

Numbers in the comments are chapters of MQTT 5.0; where 3.1.1 has the same thing, it stands there in the same chapter.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from healthd.check import CheckFailed, Reader, Reason, Step, shown

CONNACK, PUBLISH, SUBACK, DISCONNECT = 2, 3, 9, 14
_NAMES: Mapping[int, str] = MappingProxyType(
    {CONNACK: "CONNACK", PUBLISH: "PUBLISH", SUBACK: "SUBACK", DISCONNECT: "DISCONNECT"}
)
MOST = 65536
"""Bytes of one packet that are looked at."""

LONGEST = 1048576
"""Bytes of one message; what is more than `MOST` is passed over."""

RETURN_CODES: Mapping[int, str] = MappingProxyType(
    {
        1: "unacceptable protocol version",
        2: "client identifier rejected",
        3: "server unavailable",
        4: "bad user name or password",
        5: "not authorized",
    }
)
"""Of CONNACK in 3.1.1 (3.2.2.3 there)."""

_CODES = """
    unspecified error, malformed packet, protocol error, implementation specific error, unsupported protocol version,
    client identifier not valid, bad user name or password, not authorized, server unavailable, server busy, banned,
    server shutting down, bad authentication method, keep alive timeout, session taken over, topic filter invalid,
    topic name invalid, packet identifier in use, packet identifier not found, receive maximum exceeded,
    topic alias invalid, packet too large, message rate too high, quota exceeded, administrative action,
    payload format invalid, retain not supported, QoS not supported, use another server, server moved,
    shared subscriptions not supported, connection rate exceeded, maximum connect time,
    subscription identifiers not supported, wildcard subscriptions not supported
"""
REASON_CODES: Mapping[int, str] = MappingProxyType(
    {0x80 + place: " ".join(name.split()) for place, name in enumerate(_CODES.split(","))}
)
"""2.4, the failures: in order and without a gap from 0x80 on."""

_TEXTS, _BLOBS, _PAIR, _VARIABLE = (
    frozenset((0x03, 0x08, 0x12, 0x15, 0x1A, 0x1C, 0x1F)),
    frozenset((0x09, 0x16)),
    0x26,
    0x0B,
)
_SIZES: Mapping[int, int] = MappingProxyType(
    dict.fromkeys((0x01, 0x17, 0x19, 0x24, 0x25, 0x28, 0x29, 0x2A), 1)
    | dict.fromkeys((0x13, 0x21, 0x22, 0x23), 2)
    | dict.fromkeys((0x02, 0x11, 0x18, 0x27), 4)
)
REASON_STRING, SERVER_REFERENCE = 0x1F, 0x1C


# --- writing ----------------------------------------------------------------------------------------------------


def text(value: str) -> bytes:
    """A text with its length before it (1.5.4)."""
    data = value.encode()
    return len(data).to_bytes(2, "big") + data


def packet(first: int, body: bytes) -> bytes:
    """A packet. first: its type and flags."""
    length, left = bytearray(), len(body)
    while True:
        left, digit = divmod(left, 128)
        length.append(digit | (0x80 if left else 0))
        if not left:
            return bytes((first, *length)) + body


# --- reading ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Packet:
    """A packet that came. kind: its type. flags: the low half of its first byte. left_out: bytes missing of its end."""

    kind: int
    flags: int
    body: bytes
    left_out: int


def read_packet(reader: Reader, *wanted: int) -> Generator[Step, Any, Packet]:
    """The next packet, of one of these types, a long PUBLISH without its end. CheckFailed if it is none or too long."""
    first = (yield from reader.exactly(1))[0]
    if first >> 4 not in wanted or (first >> 4 != PUBLISH and first & 15):
        names = " or ".join(_NAMES[kind] for kind in wanted)
        raise CheckFailed(Reason.PROTOCOL, f"got a packet that begins with {shown(bytes((first,)))!r}, want {names}")
    length = 0
    for place in range(4):
        digit = (yield from reader.exactly(1))[0]
        length |= (digit & 0x7F) << 7 * place
        if digit < 0x80:
            break
    else:
        raise CheckFailed(Reason.PROTOCOL, "length of a packet has no end")
    longest = LONGEST if first >> 4 == PUBLISH else MOST
    if length > longest:
        raise CheckFailed(Reason.UNEXPECTED, f"{_NAMES[first >> 4]} of {length} bytes is longer than {longest}")
    body = yield from reader.exactly(min(length, MOST))
    for passed in range(MOST, length, MOST):
        yield from reader.exactly(min(length - passed, MOST))
    return Packet(first >> 4, first & 15, body, length - len(body))


class Body:
    """Cuts a packet's body into its fields. Every method raises CheckFailed(PROTOCOL) where it is too short."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        """So many bytes."""
        start, self._at = self._at, self._at + count
        if self._at > len(self._data):
            raise _malformed("is cut short")
        return self._data[start : self._at]

    def rest(self) -> bytes:
        """All that is left."""
        start, self._at = self._at, len(self._data)
        return self._data[start:]

    def number(self, size: int) -> int:
        """A number of so many bytes."""
        return int.from_bytes(self.take(size), "big")

    def blob(self) -> bytes:
        """Bytes with their length before them."""
        return self.take(self.number(2))

    def end(self) -> None:
        """Nothing may be left."""
        if self._at != len(self._data):
            raise _malformed("is too long")

    def properties(self) -> Mapping[int, bytes]:
        """The properties that are texts, by their identifiers (2.2.2); the others are only passed over."""
        told: dict[int, bytes] = {}
        end = self._variable() + self._at
        while self._at < end:
            identifier = self.number(1)
            if identifier in _TEXTS:
                told[identifier] = self.blob()
            elif not self._passed_over(identifier):
                raise _malformed(f"has a property {identifier:#04x} that does not exist")
        if self._at != end:
            raise _malformed("has properties of a wrong length")
        return told

    def _passed_over(self, identifier: int) -> bool:
        if identifier == _VARIABLE:
            self._variable()
        elif identifier == _PAIR:
            self.blob()
            self.blob()
        elif identifier in _BLOBS:
            self.blob()
        elif identifier in _SIZES:
            self.take(_SIZES[identifier])
        else:
            return False
        return True

    def _variable(self) -> int:
        """A number in pieces of seven bits (1.5.5)."""
        value = 0
        for place in range(4):
            digit = self.number(1)
            value |= (digit & 0x7F) << 7 * place
            if digit < 0x80:
                return value
        raise _malformed("has a number without an end")


def _malformed(how: str) -> CheckFailed:
    return CheckFailed(Reason.PROTOCOL, f"a packet of the server's {how}")
