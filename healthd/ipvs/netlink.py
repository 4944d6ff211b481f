"""One generic netlink socket to the kernel's IPVS family, read by asyncio.

What makes it safe to send many requests at once: the kernel carries out every message of one `send` before it returns
and queues the answers on our socket. So at most `WINDOW` requests are under way, their answers fit into the receive
buffer even where it cannot be enlarged, and each answer carries the number of its request. If the kernel says all the
same that it had to drop something (ENOBUFS), nobody guesses: `AnswersLost` is raised and the table is read again.

One answer the kernel never gives: a request that ended in EINTR is not acknowledged (net/netlink/af_netlink.c,
netlink_rcv_skb). So if an answer is missing when `send` has returned, a NOOP follows, which is always acknowledged:
when that answer is there, those still missing will never come.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from healthd.ipvs.namespace import in_namespace
from healthd.ipvs.wire import (
    ACK,
    DONE,
    DUMP,
    DUMP_INTERRUPTED,
    ERROR,
    OVERRUN,
    errno_at,
    headers,
    kinds,
    message,
    messages,
    noop,
    sequence_of,
)

# Numbers that Python's socket module does not name.
NETLINK_GENERIC, SOL_NETLINK, CAP_ACK = 16, 270, 10
SO_SNDBUFFORCE, SO_RCVBUFFORCE = 32, 33
BUFFER = 8 << 20
# The answer to GET_SERVICE takes 4.4 kB of socket memory, an ack 0.8 kB: 40 of them fit into Linux's default 208 kB.
WINDOW = 40
# Dumps come in buffers of at most 32 kB; a larger read also allows the kernel its largest.
READ_SIZE = 1 << 16
# The loop is given back after this long.
SLICE = 0.002
MAX_SEQUENCE = 0x7FFFFFFF


class AnswersLost(Exception):
    """The kernel dropped answers; what was asked for may or may not have happened."""


class NoAnswer(Exception):
    """The kernel did not answer in time."""


class DumpRefused(Exception):
    """The kernel refused to list; code: errno."""

    def __init__(self, code: int) -> None:
        self.code = code
        super().__init__(os.strerror(code))


class FamilyMissing(Exception):
    """The kernel does not know the generic netlink family."""


@dataclass(frozen=True, slots=True)
class Listing:
    """One reading of a list: the datagrams that hold its rows, and the number of the request they answer."""

    sequence: int
    datagrams: tuple[bytes, ...]


class Channel:
    """A socket bound to one generic netlink family.

    One conversation at a time: its methods must not overlap (the owner holds a lock), and after an exception other
    than DumpRefused it must be closed, since answers may be left in it. patience: seconds to wait for an answer; the
    kernel normally has it ready when `send` returns.
    """

    def __init__(self, sock: socket.socket, family: int, patience: float = 10.0) -> None:
        self._socket = sock
        self._family = family
        self._patience = patience
        self._sequence = 0
        self._yielded = time.monotonic()

    async def batch(self, requests: Sequence[tuple[int, bytes]], *, blocking: bool = False) -> list[int]:
        """Carry out requests in order; the errno of each, 0 for done, EINTR if the kernel gave no answer to it.

        blocking: one of them may make the kernel load a module, so `send` must not hold up the event loop.
        Raises AnswersLost, NoAnswer, OSError.
        """
        codes: list[int] = []
        for start in range(0, len(requests), WINDOW):
            window = requests[start : start + WINDOW]
            answers = await self._window(window, ACK, blocking)
            codes += [answer if isinstance(answer, int) else 0 for answer in answers]
        return codes

    async def query(self, requests: Sequence[tuple[int, bytes]]) -> list[int | bytes]:
        """Ask; one answer each: the attributes of the reply, or the errno of the refusal. Raises like `batch`."""
        answers: list[int | bytes] = []
        for start in range(0, len(requests), WINDOW):
            answers += await self._window(requests[start : start + WINDOW], 0, blocking=False)
        return answers

    async def dump(self, command: int, body: bytes, again: Listing | None = None) -> Listing:
        """Read a list.

        again: an earlier reading of the same list, whose number is used once more: then the two readings are equal,
        byte by byte, if nothing has changed. Raises DumpRefused, AnswersLost (also if the kernel says that the list
        changed meanwhile), NoAnswer, OSError.
        """
        sequence = self._reserve(1) if again is None else again.sequence
        await self._send(message(self._family, command, DUMP, sequence, body), blocking=False)
        datagrams: list[bytes] = []
        ended = False
        while not ended:
            datagram = await self._receive()
            if sequence_of(datagram) == sequence:
                rows, ended = _inspect(datagram)
                datagrams += [datagram] if rows else []
        return Listing(sequence, tuple(datagrams))

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    async def _window(self, requests: Sequence[tuple[int, bytes]], flags: int, blocking: bool) -> list[int | bytes]:
        first = self._reserve(len(requests))
        await self._send(
            b"".join(message(self._family, each[0], flags, first + at, each[1]) for at, each in enumerate(requests)),
            blocking,
        )
        return await self._answers(first, len(requests))

    async def _answers(self, first: int, count: int) -> list[int | bytes]:
        """Collect the answers. Where the kernel keeps silent, a fence behind the requests shows that it is done."""
        answers: dict[int, int | bytes] = {}
        fence = 0
        while len(answers) < count:
            datagram = await self._queued()
            at = -1 if datagram is None else sequence_of(datagram) - first
            if datagram is not None and 0 <= at < count:
                answers[at] = _answer(datagram)
            elif datagram is not None and fence and at == fence - first:
                break
            elif datagram is None and fence:
                await self._readable()
            elif datagram is None:
                fence = self._reserve(1)
                await self._send(noop(fence), blocking=False)
        return [answers.get(at, errno.EINTR) for at in range(count)]

    def _reserve(self, count: int) -> int:
        if self._sequence + count > MAX_SEQUENCE:
            self._sequence = 0
        first = self._sequence + 1
        self._sequence += count
        return first

    async def _send(self, data: bytes, blocking: bool) -> None:
        if blocking:
            await asyncio.get_running_loop().run_in_executor(None, self._socket.send, data)
        else:
            self._socket.send(data)

    async def _receive(self) -> bytes:
        while True:
            datagram = await self._queued()
            if datagram is not None:
                return datagram
            await self._readable()

    async def _queued(self) -> bytes | None:
        """The next datagram that is there already."""
        await self.breathe()
        try:
            return self._socket.recv(READ_SIZE)
        except BlockingIOError:
            return None
        except OSError as error:
            raise AnswersLost if error.errno == errno.ENOBUFS else error from error

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        loop.add_reader(self._socket, ready.set)
        try:
            await asyncio.wait_for(ready.wait(), self._patience)
        except TimeoutError as error:
            raise NoAnswer(f"no answer within {self._patience:g} s") from error
        finally:
            loop.remove_reader(self._socket)

    async def breathe(self) -> None:
        """Let the event loop run if it has not for `SLICE` seconds."""
        if time.monotonic() - self._yielded > SLICE:
            await asyncio.sleep(0)
            self._yielded = time.monotonic()


def _answer(datagram: bytes) -> int | bytes:
    """The errno that a datagram says (0: done), or the attributes of a reply."""
    for kind, _, start in headers(datagram):
        if kind == ERROR:
            return errno_at(datagram, start)
        if kind == OVERRUN:
            raise AnswersLost
    return next(messages(datagram)).payload


def _inspect(datagram: bytes) -> tuple[bool, bool]:
    """Whether a datagram of a list has rows, and whether the list ends with it."""
    rows = False
    for kind, flags, start in kinds(datagram):
        if flags & DUMP_INTERRUPTED or kind == OVERRUN:
            raise AnswersLost
        if kind in (DONE, ERROR):
            code = errno_at(datagram, start)
            if code:
                raise DumpRefused(code)
            return rows, True
        rows = True
    return rows, False


async def open_channel(name: str, netns: str | None = None) -> Channel:
    """A channel to the generic netlink family of that name, in a network namespace (None: this one).

    Raises FamilyMissing, and what `in_namespace` raises.
    """
    sock, family = await in_namespace(netns, partial(_open, name))
    return Channel(sock, family)


def _open(name: str) -> tuple[socket.socket, int]:
    family = _resolve(name)
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, NETLINK_GENERIC)
    try:
        sock.bind((0, 0))
        sock.setsockopt(SOL_NETLINK, CAP_ACK, 1)
        for option in (SO_SNDBUFFORCE, SO_RCVBUFFORCE):
            with contextlib.suppress(PermissionError):  # WINDOW fits into the default buffers
                sock.setsockopt(socket.SOL_SOCKET, option, BUFFER)
    except BaseException:
        sock.close()
        raise
    return sock, family


def _resolve(name: str) -> int:
    """Number of a family. The kernel loads the module on this question where it is allowed to."""
    from pyroute2.netlink import genlmsg
    from pyroute2.netlink.exceptions import NetlinkError
    from pyroute2.netlink.generic import GenericNetlinkSocket

    with GenericNetlinkSocket() as control:
        control.asyncore.module_err_level = "debug"
        try:
            control.bind(name, genlmsg)
        except NetlinkError as error:
            if error.code == errno.ENOENT:
                raise FamilyMissing(name) from error
            raise OSError(error.code, os.strerror(error.code)) from error
        return int(control.prid)
