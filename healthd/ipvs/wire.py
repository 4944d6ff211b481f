"""Generic netlink on the wire: messages, attributes and errors, by `struct` alone.

Pure: bytes in, values out. Layouts are those of the kernel's include/uapi/linux/netlink.h and genetlink.h; everything
is in host byte order and padded to four bytes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct

REQUEST, MULTI, ACK, DUMP_INTERRUPTED, DUMP = 0x01, 0x02, 0x04, 0x10, 0x300
NOOP, ERROR, DONE, OVERRUN, FIRST_FAMILY = 1, 2, 3, 4, 16
NESTED = 0x8000
TYPE_MASK = 0x3FFF

HEADER = Struct("=IHHIIBBH")
_NLMSG = Struct("=IHHII")
_ATTRIBUTE = Struct("=HH")
_U16, _U32 = Struct("=HHHxx"), Struct("=HHI")
_ERRNO, _SIZE = Struct("=i"), Struct("=I")
NLMSG_SIZE = _NLMSG.size
GENL_SIZE = HEADER.size
_VERSION = 1
_SEQUENCE_MASK = 0xFFFFFFFF


class Malformed(Exception):
    """Bytes that are no netlink message."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a family as received: its command and its attributes."""

    command: int
    payload: bytes


def attribute(kind: int, payload: bytes) -> bytes:
    """One attribute: length, type, payload, padding."""
    return _ATTRIBUTE.pack(4 + len(payload), kind) + payload + bytes(-len(payload) % 4)


def nested(kind: int, *attributes: bytes) -> bytes:
    """An attribute made of attributes."""
    payload = b"".join(attributes)
    return _ATTRIBUTE.pack(4 + len(payload), kind | NESTED) + payload


def u16(kind: int, value: int) -> bytes:
    """A 16-bit number in host order."""
    return _U16.pack(6, kind, value)


def u32(kind: int, value: int) -> bytes:
    """A 32-bit number in host order."""
    return _U32.pack(8, kind, value)


def text(kind: int, value: str) -> bytes:
    """ASCII text with a zero behind it."""
    return attribute(kind, value.encode("ascii") + b"\0")


def number(data: bytes) -> int:
    """A number of any size in host order; nothing is 0."""
    return int.from_bytes(data, sys.byteorder)


def string(data: bytes) -> str:
    """Text up to the first zero."""
    return data.split(b"\0", 1)[0].decode("ascii", "backslashreplace")


def message(family: int, command: int, flags: int, sequence: int, payload: bytes) -> bytes:
    """A whole request to a generic netlink family."""
    size = GENL_SIZE + len(payload)
    return HEADER.pack(size, family, flags | REQUEST, sequence & _SEQUENCE_MASK, 0, command, _VERSION, 0) + payload


def noop(sequence: int) -> bytes:
    """A request for nothing, which the kernel acknowledges whatever the family."""
    return _NLMSG.pack(NLMSG_SIZE, NOOP, REQUEST | ACK, sequence & _SEQUENCE_MASK, 0)


def sequence_of(datagram: bytes) -> int:
    """Number of the request that a datagram answers: the kernel never mixes answers in one. Raises Malformed."""
    if len(datagram) < NLMSG_SIZE:
        raise Malformed(f"a datagram of {len(datagram)} bytes")
    return int(_NLMSG.unpack_from(datagram)[3])


def headers(datagram: bytes, start: int = 0) -> Iterator[tuple[int, int, int]]:
    """Type, flags and offset of every message of a datagram. Raises Malformed if one is cut off."""
    length = len(datagram)
    while start < length:
        if start + NLMSG_SIZE > length:
            raise Malformed(f"netlink header at {start} in a datagram of {length}")
        size, kind, flags, _, _ = _NLMSG.unpack_from(datagram, start)
        if size < NLMSG_SIZE or start + size > length:
            raise Malformed(f"netlink message of {size} bytes at {start} in a datagram of {length}")
        yield kind, flags, start
        start += (size + 3) & ~3


def kinds(datagram: bytes) -> Iterator[tuple[int, int, int]]:
    """As `headers`, but one stands for all if all messages are of one size, type and flags, as rows mostly are."""
    size = _SIZE.unpack_from(datagram)[0] if len(datagram) >= NLMSG_SIZE else 0
    count = len(datagram) // size if size >= NLMSG_SIZE and size % 4 == 0 else 0
    if count * size == len(datagram) and all(datagram[at::size] == datagram[at : at + 1] * count for at in range(8)):
        return headers(datagram[:size])
    return headers(datagram)


def messages(datagram: bytes, start: int = 0) -> Iterator[Message]:
    """The messages of a family in a datagram, without the protocol's own (errors, ends). Raises Malformed."""
    for kind, _, at in headers(datagram, start):
        if kind >= FIRST_FAMILY:
            size = _NLMSG.unpack_from(datagram, at)[0]
            yield Message(datagram[at + NLMSG_SIZE], datagram[at + GENL_SIZE : at + size])


def errno_at(datagram: bytes, start: int) -> int:
    """The errno in an answer or at the end of a list, 0 for none. Raises Malformed if it is cut off."""
    if start + NLMSG_SIZE + _ERRNO.size > len(datagram):
        raise Malformed(f"netlink error at {start} in a datagram of {len(datagram)}")
    return -int(_ERRNO.unpack_from(datagram, start + NLMSG_SIZE)[0])


def attributes(data: bytes) -> dict[int, bytes]:
    """The attributes of a message or of a nested attribute, by type. Raises Malformed if one is cut off."""
    return {kind: data[start:end] for kind, start, end in positions(data, 0, len(data))}


def positions(data: bytes, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """Type, start and end of the payload of each attribute between two offsets."""
    while start + _ATTRIBUTE.size <= stop:
        size, kind = _ATTRIBUTE.unpack_from(data, start)
        if size < _ATTRIBUTE.size or start + size > stop:
            raise Malformed(f"netlink attribute of {size} bytes at {start} in {stop}")
        yield kind & TYPE_MASK, start + _ATTRIBUTE.size, start + size
        start += (size + 3) & ~3
