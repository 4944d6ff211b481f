"""Contract of an IPVS table: what a snapshot is, of all services or of some, with counters and without."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address

from healthd.ipvs.base import ServiceCounters
from healthd.model import (
    AddressKey,
    Connections,
    Counters,
    DestKey,
    DestSpec,
    Family,
    Forwarding,
    FwmarkKey,
    Protocol,
    ServiceSpec,
)
from healthd.ops import AddDest, AddService, DelDest, DelService

WEB = AddressKey(Protocol.TCP, ip_address("10.0.0.80"), 80)
WEB6 = AddressKey(Protocol.TCP, ip_address("fd00::80"), 80)
MARK = FwmarkKey(Family.IPV4, 7)
MISSING = AddressKey(Protocol.UDP, ip_address("10.0.0.80"), 80)
A, B = DestKey(ip_address("10.1.0.1"), 80), DestKey(ip_address("10.1.0.2"), 80)
RR = ServiceSpec("rr")
MASQ = DestSpec(Forwarding.MASQ, 1)
FILL = (*(AddService(key, RR) for key in (WEB, WEB6, MARK)), AddDest(WEB, A, MASQ), AddDest(MARK, B, MASQ))


async def test_some_services_can_be_read_and_those_missing_are_not_in_the_answer(place):
    await place.do(*FILL)
    whole = (await place.table.snapshot()).services
    for only in ([], [WEB], [MARK, WEB6], [MISSING], [WEB, MISSING, MARK]):
        some = (await place.table.snapshot(only)).services
        assert some == {key: whole[key] for key in only if key in whole}


async def test_a_service_that_cannot_exist_does_not_exist(place):
    await place.do(*FILL)
    impossible = [FwmarkKey(Family.IPV4, 0), AddressKey(Protocol.TCP, ip_address("10.0.0.1"), 70000)]
    assert set((await place.table.snapshot([*impossible, WEB])).services) == {WEB}


async def test_many_services_can_be_read_by_key(place):
    keys = [FwmarkKey(Family.IPV4, mark) for mark in range(1, 301)]
    await place.do(*(AddService(key, RR) for key in keys[::2]))
    assert list((await place.table.snapshot(keys)).services) == keys[::2]
    assert list((await place.table.snapshot()).services) == keys[::2]


async def test_a_part_of_the_table_still_has_timeouts_and_daemons(place):
    whole = await place.table.snapshot()
    some = await place.table.snapshot([])
    assert (some.timeouts, some.sync) == (whole.timeouts, whole.sync)


async def test_counters_come_when_asked_for_and_for_every_row(place):
    await place.do(*FILL)
    assert (await place.table.snapshot()).counters == {}
    counters = (await place.table.snapshot(counters=True)).counters
    assert counters == {
        WEB: ServiceCounters(Counters(), {A: Connections()}),
        WEB6: ServiceCounters(Counters(), {}),
        MARK: ServiceCounters(Counters(), {B: Connections()}),
    }
    assert (await place.table.snapshot([MARK], counters=True)).counters == {MARK: counters[MARK]}


async def test_a_snapshot_is_a_value_that_later_changes_do_not_touch(place):
    await place.do(*FILL)
    before = await place.table.snapshot()
    await place.do(DelDest(WEB, A), DelService(MARK))
    assert before.services[WEB].dests == {A: MASQ}
    assert MARK in before.services
    assert (await place.table.snapshot()).services[WEB].dests == {}


async def test_what_a_stranger_did_is_read(place):
    await place.stranger(*FILL)
    assert (await place.table.snapshot()).services[MARK].dests == {B: MASQ}
    await place.stranger(DelService(MARK), AddDest(WEB, B, MASQ))
    services = (await place.table.snapshot()).services
    assert (set(services), set(services[WEB].dests)) == ({WEB, WEB6}, {A, B})


async def test_nothing_to_do_is_done(place):
    assert await place.table.apply([]) == []


async def test_a_table_can_be_read_and_written_at_the_same_time(place):
    await place.do(AddService(WEB, RR))
    answers = await asyncio.gather(place.table.apply([AddDest(WEB, A, MASQ)]), place.table.snapshot())
    assert answers[0] == [None]
    assert set(answers[1].services[WEB].dests) <= {A}
