"""What crosses the sockets of a runner: one packet of AF_UNIX SOCK_SEQPACKET is one message.

A client sends RUN and KILL and is sent RAN (after PARTs of long output) or FAILED, by numbers of its own choice. The
process that started the runner has one more socket, for control: it sends ATTACH (with the runner's end of a client's
socket as SCM_RIGHTS) and PING, and is sent READY once, or CANNOT with the reason, and PONG. Text is UTF-8 with
surrogate escapes.
"""

from __future__ import annotations

import array
import os
import socket
import struct
from collections.abc import Iterable

RUN, KILL, ATTACH, PING = b"R", b"K", b"A", b"P"
RAN, PART, FAILED, READY, CANNOT, PONG = b"r", b"o", b"f", b"y", b"c", b"p"

MAX_PACKET = 1 << 18
MAX_OUTPUT = 1 << 20
_PART = 1 << 16

_RUN = struct.Struct("!IdIH")
_NUMBER = struct.Struct("!I")
_RAN = struct.Struct("!Ii")


class Malformed(Exception):
    """A packet that is no message."""


def pack_run(number: int, timeout: float, limit: int, argv: Iterable[str], env: Iterable[tuple[str, str]]) -> bytes:
    """RUN. timeout: seconds. limit: bytes of output to keep. Raises ValueError for a NUL byte in a text."""
    words = [os.fsencode(word) for word in argv]
    settings = [os.fsencode(f"{name}={value}") for name, value in env]
    if any(b"\0" in word for word in (*words, *settings)):
        raise ValueError("a NUL byte in the command or its environment")
    head = _RUN.pack(number, timeout, min(limit, MAX_OUTPUT), len(words))
    return RUN + head + b"".join(word + b"\0" for word in (*words, *settings))


def unpack_run(packet: bytes) -> tuple[int, float, int, list[bytes], list[bytes]]:
    """Number, timeout, limit, argv, and the settings of the environment as NAME=VALUE."""
    try:
        number, timeout, limit, count = _RUN.unpack_from(packet, 1)
    except struct.error as error:
        raise Malformed(str(error)) from None
    words = packet[1 + _RUN.size :].split(b"\0")
    if words.pop() or not 1 <= count <= len(words) or not 0 <= timeout < 1e9 or limit > MAX_OUTPUT:
        raise Malformed("a request that cannot be")
    if not all(b"=" in word for word in words[count:]):
        raise Malformed("a setting without a value")
    return number, timeout, limit, words[:count], words[count:]


def pack_kill(number: int) -> bytes:
    """KILL: nobody waits for this run any more."""
    return KILL + _NUMBER.pack(number)


def unpack_kill(packet: bytes) -> int:
    """The number of the run."""
    try:
        (number,) = _NUMBER.unpack_from(packet, 1)
    except struct.error as error:
        raise Malformed(str(error)) from None
    return int(number)


def pack_ran(number: int, status: int, output: bytes) -> list[bytes]:
    """RAN, with PARTs before it for what does not fit into one packet. status: exit code, or minus the signal."""
    head = _RAN.pack(number, status)
    *parts, last = [output[start : start + _PART] for start in range(0, max(1, len(output)), _PART)]
    return [*(PART + head + part for part in parts), RAN + head + last]


def pack_failed(number: int, why: str) -> list[bytes]:
    """FAILED: could not be run."""
    return [FAILED + _RAN.pack(number, 0) + os.fsencode(why)[:_PART]]


def unpack_answer(packet: bytes) -> tuple[int, int, bytes]:
    """Number, status and rest of a RAN, PART or FAILED."""
    try:
        number, status = _RAN.unpack_from(packet, 1)
    except struct.error as error:
        raise Malformed(str(error)) from None
    return number, status, packet[1 + _RAN.size :]


def receive_with_fds(sock: socket.socket, size: int, most: int = 4) -> tuple[bytes, list[int]]:
    """One packet and the descriptors that came with it, none of which survives an exec. Does not wait: BlockingIOError.

    `socket.recv_fds` ignores its flags (CPython 3.11 to 3.13), so it can do neither.
    """
    flags = socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC
    fds = array.array("i")
    packet, ancillary, _, _ = sock.recvmsg(size, socket.CMSG_LEN(most * fds.itemsize), flags)
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    return packet, list(fds)
