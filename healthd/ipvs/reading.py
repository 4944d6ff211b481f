"""Reading rows of the kernel's table so that none is missed.

Why what is missing in the answer was missing in the table. The kernel lists rows by an index into a list that it
locks anew for each datagram (net/netfilter/ipvs/ip_vs_ctl.c, ip_vs_genl_dump_dests). So a row can only be skipped if,
between two datagrams, a row *already listed* is deleted; the kernel does not tell (NLM_F_DUMP_INTR stays unset).
Therefore:

* Services wanted by key are not listed at all but asked for one by one: exact.
* A list that came in one datagram with room to spare was made under one lock: exact. Buffers of dumps are powers of
  two less the kernel's bookkeeping, so what ends at least `SLACK` below one was not cut off by it.
* Any other list is read until one reading is contained, in the same order, in the next. Then nothing that the first
  had listed was gone afterwards, so the first had skipped nothing, and the second has at least as much. A reading in
  which a row comes twice never counts. A destination that was deleted and added again meanwhile is now first in the
  list, so out of order, and does not count either.
* Our own writes and readings take turns.

A key that is missing in the answer was therefore absent at some moment while it was read. (What could still deceive:
somebody deletes, adds and again deletes the newest row, both times between the same two datagrams of two readings in
a row. The row skipped is then planned again, refused with EEXIST, and read again.)
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from typing import TypeVar

from healthd.ipvs.codec import select_service
from healthd.ipvs.codec_globals import parse_daemon, parse_timeouts
from healthd.ipvs.netlink import Channel, DumpRefused, Listing
from healthd.ipvs.rows import DestRows, Interned, ServiceRows
from healthd.ipvs.rules import key_fault
from healthd.ipvs.uapi import Command
from healthd.ipvs.wire import messages
from healthd.model import DestKey, ServiceKey, SyncDaemon, Timeouts

READINGS = 10
SLACK = 1536
SMALLEST_BUFFER = 4096
# Rows put into a dict before the event loop is given a chance: hashing addresses is what costs.
STEP = 500


class NeverStill(Exception):
    """A list changed during each of several readings; the text says which."""


R = TypeVar("R", ServiceRows, DestRows)
V = TypeVar("V")


async def read_services(
    channel: Channel, only: Collection[ServiceKey] | None, *, counters: bool = False
) -> ServiceRows:
    """All services, or those of `only` that exist. Raises NeverStill and what the channel raises."""
    if only is None:
        empty = partial(ServiceRows, counters)
        return await _settled(channel, Command.GET_SERVICE, b"", empty, "the services")
    rows = ServiceRows(counters)
    possible = [key for key in only if key_fault(key) is None]
    for answer in await channel.query([(Command.GET_SERVICE, select_service(key)) for key in possible]):
        if isinstance(answer, bytes):
            rows.row(answer)
        elif answer != errno.ESRCH:
            raise DumpRefused(answer)
    return rows


async def read_dests(channel: Channel, service: ServiceKey, interned: Interned, *, counters: bool) -> DestRows:
    """All destinations of a service; none if there is no such service. Raises like `read_services`."""
    empty = partial(DestRows, service.family, interned, counters=counters)
    return await _settled(channel, Command.GET_DEST, select_service(service), empty, f"the destinations of {service}")


async def read_missing(channel: Channel, services: Sequence[ServiceKey]) -> set[ServiceKey]:
    """Those services that do not exist now: a list of no destinations does not tell that its service is gone."""
    there = await read_services(channel, services)
    return {key for key in services if key not in there.specs}


async def read_timeouts(channel: Channel) -> Timeouts:
    """The table's timeouts."""
    (answer,) = await channel.query([(Command.GET_CONFIG, b"")])
    if isinstance(answer, int):
        raise DumpRefused(answer)
    return parse_timeouts(answer)


async def read_daemons(channel: Channel) -> tuple[SyncDaemon, ...]:
    """The running synchronisation daemons: two at most, so always one datagram."""
    listing = await channel.dump(Command.GET_DAEMON, b"")
    return tuple(parse_daemon(each.payload) for datagram in listing.datagrams for each in messages(datagram))


async def mapping(channel: Channel, keys: Sequence[DestKey], values: Sequence[V]) -> dict[DestKey, V]:
    """Keys to values, made in steps that do not hold up the event loop."""
    made: dict[DestKey, V] = {}
    for start in range(0, len(keys), STEP):
        stop = start + STEP
        made.update(zip(keys[start:stop], values[start:stop], strict=True))
        await channel.breathe()
    return made


async def _settled(channel: Channel, command: Command, body: bytes, empty: Callable[[], R], what: str) -> R:
    earlier = await channel.dump(command, body)
    if _made_at_once(earlier):
        return await _taken(channel, earlier, empty())
    known: R | None = None
    for _ in range(READINGS - 1):
        later = await channel.dump(command, body, earlier)
        rows = await _taken(channel, later, empty())
        if not rows.repeated:
            if later == earlier:
                return rows
            known = known or await _taken(channel, earlier, empty())
            if not known.repeated and contained(known.keys, rows.keys):
                return rows
        earlier, known = later, rows
    raise NeverStill(f"{what} changed during each of {READINGS} readings")


async def _taken(channel: Channel, listing: Listing, rows: R) -> R:
    for datagram in listing.datagrams:
        rows.take(datagram)
        await channel.breathe()
    return rows


def _made_at_once(listing: Listing) -> bool:
    """True if a list was surely made under one lock of the kernel."""
    datagrams = listing.datagrams
    return not datagrams or (len(datagrams) == 1 and _room(len(datagrams[0])) >= SLACK)


def _room(size: int) -> int:
    return max(SMALLEST_BUFFER, 1 << (size - 1).bit_length()) - size


def contained(earlier: Iterable[object], later: Iterable[object]) -> bool:
    """True if all of `earlier` is in `later` in the same order. Linear; equal objects are mostly identical."""
    rest = iter(later)
    return all(any(one is other or one == other for other in rest) for one in earlier)
