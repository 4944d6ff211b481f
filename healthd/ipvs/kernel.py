"""The kernel's IPVS table."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager

from healthd.ipvs.base import RowRefused, ServiceCounters, Snapshot, TableUnavailable
from healthd.ipvs.codec import UnknownToModel, encode_all
from healthd.ipvs.module import load_module
from healthd.ipvs.namespace import NamespaceMissing, namespace_identity
from healthd.ipvs.netlink import (
    AnswersLost,
    Channel,
    DumpRefused,
    FamilyMissing,
    NoAnswer,
    open_channel,
)
from healthd.ipvs.reading import (
    NeverStill,
    mapping,
    read_daemons,
    read_dests,
    read_missing,
    read_services,
    read_timeouts,
)
from healthd.ipvs.rows import Interned
from healthd.ipvs.rules import Fault, fault, hint
from healthd.ipvs.uapi import FAMILY_NAME, Command
from healthd.ipvs.wire import Malformed
from healthd.model import Service, ServiceKey
from healthd.ops import AddService, Op, SetService, StopSync

# Operations packed before the event loop gets a chance.
CHUNK = 160
MODULE = "ip_vs"
NO_PERMISSION = "no permission for the IPVS table: CAP_NET_ADMIN in the initial user namespace is needed"


class KernelTable:
    """`healthd.ipvs.base.IpvsTable` over netlink.

    netns: name below /run/netns, or path, of another network namespace. The kernel is first talked to at the first
    call, and anew at the next one after a TableUnavailable. Calls may overlap: they take turns.
    """

    def __init__(self, netns: str | None = None) -> None:
        self._netns = netns
        self._identity: tuple[int, int] | None = None
        self._channel: Channel | None = None
        self._turn = asyncio.Lock()
        self._interned = Interned()
        self._loaded: set[tuple[str, str | None]] = set()

    async def snapshot(self, only: Collection[ServiceKey] | None = None, *, counters: bool = False) -> Snapshot:
        """Read the table (or the services in `only`; those that do not exist are not in the answer).

        Raises TableUnavailable, also if somebody changes a list too fast to be read.
        """
        async with self._conversation() as channel:
            self._interned.trim()
            services = await read_services(channel, only, counters=counters)
            rows = {
                key: await read_dests(channel, key, self._interned, counters=counters)
                for key in sorted(services.specs, key=lambda each: each.rank)
            }
            for gone in await read_missing(channel, [key for key, each in rows.items() if not each.keys]):
                del rows[gone]
            return Snapshot(
                services={
                    key: Service(services.specs[key], await mapping(channel, each.keys, each.specs))
                    for key, each in rows.items()
                },
                timeouts=await read_timeouts(channel),
                sync=await read_daemons(channel),
                counters={
                    key: ServiceCounters(services.totals[key], await mapping(channel, each.keys, each.connections))
                    for key, each in rows.items()
                    if counters
                },
            )

    async def apply(self, ops: Sequence[Op]) -> list[RowRefused | None]:
        """Do all operations in order; one answer each, None for done. One refused does not stop the others.

        Raises TableUnavailable if the table is lost; what had been done then must be read again.
        """
        answers: list[RowRefused | None] = []
        async with self._conversation() as channel:
            for start in range(0, len(ops), CHUNK):
                answers += await self._apply(channel, ops[start : start + CHUNK])
        return answers

    async def close(self) -> None:
        """Close the socket; the table itself stays. A later call opens it again."""
        async with self._turn:
            self._drop()

    async def _apply(self, channel: Channel, ops: Sequence[Op]) -> list[RowRefused | None]:
        faults = [fault(op) for op in ops]
        accepted = [op for op, wrong in zip(ops, faults, strict=True) if wrong is None]
        codes = iter(await self._send(channel, accepted))
        return [_answer(op, wrong, 0 if wrong else next(codes)) for op, wrong in zip(ops, faults, strict=True)]

    async def _send(self, channel: Channel, ops: Sequence[Op]) -> list[int]:
        codes = await channel.batch(encode_all(ops), blocking=not _modules(ops) <= self._loaded)
        if errno.EPERM in codes:
            raise TableUnavailable(NO_PERMISSION)
        if errno.ENOENT in codes:
            await _check(channel)  # a family that is gone says ENOENT to everything
        done = [op for op, code in zip(ops, codes, strict=True) if code == 0]
        self._loaded |= _modules(done)
        return codes

    @asynccontextmanager
    async def _conversation(self) -> AsyncIterator[Channel]:
        """The channel, for one call at a time. After a failure it is closed: answers may be left in it."""
        async with self._turn:
            try:
                yield await self._opened()
            except BaseException as error:
                self._drop()
                meaning = _unavailable(error)
                if meaning is error:
                    raise
                raise meaning from error

    async def _opened(self) -> Channel:
        identity = namespace_identity(self._netns) if self._netns is not None else None
        if self._channel is not None and identity != self._identity:
            self._drop()
        if self._channel is None:
            self._identity = identity
            self._channel = await _open(self._netns)
        return self._channel

    def _drop(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None


async def _open(netns: str | None) -> Channel:
    try:
        channel = await open_channel(FAMILY_NAME, netns)
    except FamilyMissing:
        channel = await _open_after_loading(netns)
    try:
        await _check(channel)
    except BaseException:
        channel.close()
        raise
    return channel


async def _open_after_loading(netns: str | None) -> Channel:
    said = await load_module(MODULE)
    try:
        return await open_channel(FAMILY_NAME, netns)
    except FamilyMissing:
        raise TableUnavailable(f"the kernel has no IPVS: run modprobe {MODULE} as root ({said})") from None


async def _check(channel: Channel) -> None:
    """Ask the family something harmless, to see if it is there and if we may."""
    (answer,) = await channel.query([(Command.GET_INFO, b"")])
    if isinstance(answer, int):
        raise DumpRefused(answer)


def _unavailable(error: BaseException) -> BaseException:
    """What to raise for a failure of a conversation."""
    match error:
        case DumpRefused(code=errno.EPERM) | PermissionError():
            return TableUnavailable(NO_PERMISSION)
        case DumpRefused(code=errno.ENOENT):
            return TableUnavailable(f"the kernel's IPVS module was unloaded: run modprobe {MODULE} as root")
        case AnswersLost():
            return TableUnavailable("the kernel dropped answers (ENOBUFS): the table must be read again")
        case NamespaceMissing() | NeverStill() | NoAnswer():
            return TableUnavailable(str(error))
        case UnknownToModel():
            return TableUnavailable(f"the kernel's table holds {error}, which is newer than this program")
        case DumpRefused() | OSError() | Malformed():
            return TableUnavailable(f"the kernel's IPVS table cannot be read or written: {error}")
        case _:
            return error


def _modules(ops: Sequence[Op]) -> set[tuple[str, str | None]]:
    """Schedulers and engines that operations name: the kernel may have to load them, which takes its time."""
    return {(op.spec.scheduler, op.spec.engine) for op in ops if isinstance(op, AddService | SetService)}


def _answer(op: Op, wrong: Fault | None, code: int) -> RowRefused | None:
    if wrong is not None:
        return RowRefused(op, wrong.code, wrong.hint)
    if code == errno.EINTR and isinstance(op, StopSync):
        return None  # the daemon's thread was stopped before it first ran (kthread_stop)
    return RowRefused(op, code, hint(op, code)) if code else None
