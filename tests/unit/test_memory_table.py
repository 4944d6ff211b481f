"""What the table in memory can do that no kernel can: refuse on demand, be away, remember what it did.

Everything else about it is in the contract (tests/contract), which it shares with the kernel's table.
"""

from __future__ import annotations

import errno
from ipaddress import ip_address

import pytest

from healthd.ipvs.base import RowRefused, TableUnavailable
from healthd.ipvs.memory import MemoryTable
from healthd.model import AddressKey, DestKey, DestSpec, Forwarding, Protocol, Service, ServiceSpec
from healthd.ops import AddDest, AddService, DelDest, SetDest

WEB = AddressKey(Protocol.TCP, ip_address("10.0.0.80"), 80)
A, B = DestKey(ip_address("10.1.0.1"), 80), DestKey(ip_address("10.1.0.2"), 80)
MASQ = DestSpec(Forwarding.MASQ, 1)
FILLED = {WEB: Service(ServiceSpec("rr"), {A: MASQ})}


async def test_it_begins_with_what_it_is_given_and_leaves_that_alone():
    table = MemoryTable(FILLED)
    assert await table.apply([DelDest(WEB, A)]) == [None]
    assert FILLED[WEB].dests == {A: MASQ}
    assert (await table.snapshot()).services[WEB].dests == {}


async def test_it_refuses_what_it_is_told_to_and_goes_on():
    table = MemoryTable(FILLED, refuse=lambda op: errno.ENOMEM if isinstance(op, SetDest) else 0)
    refused, done = await table.apply([SetDest(WEB, A, DestSpec(Forwarding.MASQ, 9)), AddDest(WEB, B, MASQ)])
    assert isinstance(refused, RowRefused)
    assert refused.code == errno.ENOMEM
    assert done is None
    assert (await table.snapshot()).services[WEB].dests == {A: MASQ, B: MASQ}


async def test_it_remembers_what_was_done_and_nothing_else():
    table = MemoryTable(FILLED)
    ops = [AddDest(WEB, A, MASQ), AddDest(WEB, B, MASQ), DelDest(WEB, A)]
    await table.apply(ops)
    assert table.writes == ops[1:]


async def test_a_stranger_edits_without_a_trace():
    table = MemoryTable(FILLED, refuse=lambda op: errno.EIO)
    table.edit(AddDest(WEB, B, MASQ))
    assert table.writes == []
    assert set((await table.snapshot()).services[WEB].dests) == {A, B}
    with pytest.raises(RowRefused, match="File exists"):
        table.edit(AddService(WEB, ServiceSpec("rr")))


async def test_it_can_be_away_and_come_back():
    table = MemoryTable(FILLED, unavailable="no permission")
    for call in (table.snapshot(), table.apply([DelDest(WEB, A)])):
        with pytest.raises(TableUnavailable, match="no permission"):
            await call
    table.unavailable = ""
    assert (await table.snapshot()).services == FILLED
