"""What only the kernel's own table can show: permission, namespaces, large batches, strangers and traffic."""

from __future__ import annotations

import asyncio
import errno
import subprocess
import sys
from contextlib import suppress
from functools import partial
from ipaddress import ip_address
from pathlib import Path

import pytest

from healthd.ipvs import netlink
from healthd.ipvs.base import TableUnavailable
from healthd.ipvs.codec import select_service
from healthd.ipvs.kernel import KernelTable
from healthd.ipvs.namespace import in_namespace
from healthd.ipvs.netlink import Channel
from healthd.ipvs.reading import read_dests
from healthd.ipvs.rows import DestRows, Interned
from healthd.ipvs.uapi import FAMILY_NAME, Command
from healthd.model import AddressKey, DestKey, DestSpec, Forwarding, Protocol, ServiceSpec
from healthd.ops import AddDest, AddService, DelDest, SetDest
from tests.rig import ipvsadm, traffic
from tests.rig.namespace import Namespace
from tests.rig.patience import SLOW, seconds

WEB = AddressKey(Protocol.TCP, ip_address("10.0.0.80"), 80)
MASQ = DestSpec(Forwarding.MASQ, 1)
RR = ServiceSpec("rr")


def _dests(count, first="10.20.0.0"):
    return [DestKey(ip_address(first) + at, 80) for at in range(1, count + 1)]


@pytest.fixture
async def table(namespace):
    made = KernelTable(namespace.name)
    yield made
    await made.close()


# --- batches -------------------------------------------------------------------------------------------------------


async def test_thousands_of_operations_in_one_call_have_an_answer_each(table):
    dests = _dests(3000)
    assert await table.apply([AddService(WEB, RR)]) == [None]
    assert await table.apply([AddDest(WEB, dest, MASQ) for dest in dests]) == [None] * 3000
    answers = await table.apply([AddDest(WEB, dest, MASQ) for dest in dests])
    assert [answer and answer.code for answer in answers] == [errno.EEXIST] * 3000
    assert [answer.op.dest for answer in answers] == dests
    assert len((await table.snapshot()).services[WEB].dests) == 3000


async def test_calls_that_overlap_take_turns(table):
    dests = _dests(200)
    await table.apply([AddService(WEB, RR)])
    results = await asyncio.gather(
        *(table.apply([AddDest(WEB, dest, MASQ)]) for dest in dests), *(table.snapshot() for _ in range(5))
    )
    assert results[:200] == [[None]] * 200
    counts = [len(snapshot.services[WEB].dests) for snapshot in results[200:]]
    assert counts == sorted(counts)


async def _write_for_ever(table, dests):
    while True:
        await table.apply([AddDest(WEB, dest, MASQ) for dest in dests])


async def test_a_call_that_is_cancelled_leaves_the_table_usable(table):
    dests = _dests(2000)
    await table.apply([AddService(WEB, RR)])
    for delay in (0, 0.01, 0.05):
        writing = asyncio.create_task(_write_for_ever(table, dests))
        await asyncio.wait([writing], timeout=delay * SLOW)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        assert await table.apply([SetDest(WEB, DestKey(ip_address("10.99.0.1"), 80), MASQ)]) != [None]
        assert WEB in (await table.snapshot()).services


# --- permission and namespaces -------------------------------------------------------------------------------------

ASK = """
import asyncio, sys
from healthd.ipvs.kernel import KernelTable
from healthd.ipvs.base import TableUnavailable
from healthd.ops import SetTimeouts
from healthd.model import Timeouts
async def main():
    for call in (KernelTable().snapshot, lambda: KernelTable().apply([SetTimeouts(Timeouts(tcp=5))])):
        try:
            await call()
        except TableUnavailable as error:
            print(error)
asyncio.run(main())
"""


@pytest.mark.parametrize("wrapper", [["setpriv", "--bounding-set=-net_admin"], ["unshare", "-Urn"]])
def test_without_permission_the_capability_is_named(namespace, wrapper):
    said = namespace.run(*wrapper, sys.executable, "-c", ASK).splitlines()
    assert len(said) == 2
    assert all("CAP_NET_ADMIN in the initial user namespace" in line for line in said)


async def test_a_table_of_one_namespace_is_not_seen_in_another(table, namespace):
    other = Namespace.create(f"{namespace.name}b")
    theirs, ours = KernelTable(str(other.path)), KernelTable()
    try:
        await table.apply([AddService(WEB, RR)])
        assert WEB in (await table.snapshot()).services
        assert (await theirs.snapshot()).services == {}
        assert WEB not in (await ours.snapshot()).services
    finally:
        await theirs.close()
        await ours.close()
        other.delete()


async def test_a_namespace_that_was_made_anew_is_entered_anew(namespace):
    name = f"{namespace.name}c"
    first = Namespace.create(name)
    table = KernelTable(name)
    await table.apply([AddService(WEB, RR)])
    assert WEB in (await table.snapshot()).services
    first.delete()
    with pytest.raises(TableUnavailable, match=f"no network namespace '{name}'"):
        await table.snapshot()
    second = Namespace.create(name)
    try:
        assert (await table.snapshot()).services == {}
        await table.apply([AddService(WEB, RR)])
        assert ipvsadm.saved(second) == ["-A -t 10.0.0.80:80 -s rr"]
    finally:
        await table.close()
        second.delete()


async def test_a_closed_table_opens_again(table):
    await table.apply([AddService(WEB, RR)])
    await table.close()
    assert WEB in (await table.snapshot()).services


def _open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_no_file_stays_open(namespace):
    before = _open_files()
    for _ in range(5):
        table = KernelTable(namespace.name)
        await table.snapshot()
        await table.close()
    assert _open_files() == before


# --- strangers -----------------------------------------------------------------------------------------------------


async def test_rows_that_nobody_touches_are_never_missed_while_others_come_and_go(table, namespace):
    stay, go = _dests(1000), _dests(1000, "10.30.0.0")
    await table.apply([AddService(WEB, RR)])
    await table.apply([AddDest(WEB, dest, MASQ) for pair in zip(stay, go, strict=True) for dest in pair])
    lines = "".join(f"{verb} -t 10.0.0.80:80 -r {dest}\n" for dest in go for verb in ("-d", "-a"))
    read_enough = False

    def meddle():
        while not read_enough:
            stranger = namespace.popen(["ipvsadm", "-R"], stdin=subprocess.PIPE)
            stranger.communicate(lines.encode())
            assert stranger.returncode == 0

    writing = asyncio.create_task(asyncio.to_thread(meddle))
    readings = 0
    try:
        async with asyncio.timeout(120):
            while readings < 3 and not writing.done():
                with suppress(TableUnavailable):  # too busy to be read: that is allowed, a row too few is not
                    assert set(stay) <= (await table.snapshot()).services[WEB].dests.keys()
                    readings += 1
    finally:
        read_enough = True
        await writing
    assert readings == 3
    assert set((await table.snapshot()).services[WEB].dests) == {*stay, *go}


class Meddled(Channel):
    """A channel of which a stranger makes use: before the n-th datagram is read, something happens."""

    def __init__(self, sock, family, events):
        super().__init__(sock, family)
        self._events = events
        self._reads = 0

    async def breathe(self):
        """Called before each read."""
        self._reads += 1
        event = self._events.pop(self._reads, None)
        if event is not None:
            await event


async def test_one_listing_misses_rows_without_a_word_and_a_reading_does_not(table, namespace):
    dests = _dests(400)
    await table.apply([AddService(WEB, RR), *(AddDest(WEB, dest, MASQ) for dest in dests)])
    listed = await _listed(namespace, {2: table.apply([DelDest(WEB, dests[-1])])})
    missed = set(dests) - listed
    assert len(missed) == 1
    assert dests[-1] not in missed  # it was there when the list began

    sock, family = await in_namespace(namespace.name, partial(netlink._open, FAMILY_NAME))
    channel = Meddled(sock, family, {2: table.apply([DelDest(WEB, dests[-2])])})
    rows = await read_dests(channel, WEB, Interned(), counters=False)
    channel.close()
    assert set(rows.keys) == set(dests[:-2])


async def _listed(namespace, events):
    """What one listing alone says, with a stranger in between."""
    sock, family = await in_namespace(namespace.name, partial(netlink._open, FAMILY_NAME))
    channel = Meddled(sock, family, events)
    listing = await channel.dump(Command.GET_DEST, select_service(WEB))
    channel.close()
    rows = DestRows(WEB.family, Interned(), counters=False)
    for datagram in listing.datagrams:
        rows.take(datagram)
    return set(rows.keys)


# --- traffic -------------------------------------------------------------------------------------------------------


async def test_connections_and_bytes_are_counted(network, director, client, web, virtual):
    address = virtual.masq()
    service = AddressKey(Protocol.TCP, address, 80)
    dests = [DestKey(server.address, 80) for server in network.servers]
    table = KernelTable(director.name)
    await table.apply([AddService(service, RR), *(AddDest(service, dest, MASQ) for dest in dests)])
    for _ in range(6):
        assert (await asyncio.to_thread(traffic.who, client, address)).startswith("server")
    async with asyncio.timeout(seconds(20)):
        counters = (await table.snapshot(counters=True)).counters[service]
        while counters.totals.connections < 6 or counters.totals.out_bytes == 0:
            await asyncio.sleep(0.2)
            counters = (await table.snapshot([service], counters=True)).counters[service]
    await table.close()
    assert {dest: each.totals.connections for dest, each in counters.dests.items()} == dict.fromkeys(dests, 2)
    assert all(each.totals.in_bytes > 0 and each.totals.out_packets > 0 for each in counters.dests.values())
    assert sum(each.active + each.inactive for each in counters.dests.values()) == 6
