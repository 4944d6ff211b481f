"""Contract of an IPVS table: virtual services of every kind are written and read back as they were meant."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from healthd.ipvs.memory import SCHEDULERS
from healthd.model import (
    AddressKey,
    DestKey,
    DestSpec,
    Family,
    Forwarding,
    FwmarkKey,
    Persistence,
    Protocol,
    SchedulerFlag,
    ServiceSpec,
)
from healthd.ops import AddDest, AddService, DelService, SetService

WEB = AddressKey(Protocol.TCP, ip_address("10.0.0.80"), 80)
WEB6 = AddressKey(Protocol.TCP, ip_address("fd00::80"), 80)


async def _read(place):
    return {key: service.spec for key, service in (await place.table.snapshot()).services.items()}


async def test_a_table_is_empty_at_first(place):
    assert (await place.table.snapshot()).services == {}


async def test_services_of_every_protocol_and_family_and_by_mark_are_read_back(place):
    addresses = (ip_address("10.0.0.1"), ip_address("fd00::1"))
    keys = [AddressKey(protocol, address, 53) for protocol in Protocol for address in addresses]
    keys += [FwmarkKey(family, mark) for family in Family for mark in (1, 0xFFFFFFFF)]
    await place.do(*(AddService(key, ServiceSpec("rr")) for key in keys))
    assert await _read(place) == dict.fromkeys(keys, ServiceSpec("rr"))


async def test_services_are_listed_in_sorted_order(place):
    keys = [WEB6, WEB, FwmarkKey(Family.IPV6, 1), AddressKey(Protocol.UDP, ip_address("10.0.0.80"), 80)]
    await place.do(*(AddService(key, ServiceSpec("rr")) for key in keys))
    assert list(await _read(place)) == sorted(keys, key=lambda key: key.rank)


@pytest.mark.timeout(600)
async def test_every_scheduler_is_known_by_name(place):
    specs = {FwmarkKey(Family.IPV4, mark): ServiceSpec(name) for mark, name in enumerate(sorted(SCHEDULERS), 1)}
    assert len(specs) == 13
    await place.do(*(AddService(key, spec) for key, spec in specs.items()))
    assert await _read(place) == specs


async def test_flags_of_schedulers_are_kept_one_by_one_and_together(place):
    flags = [SchedulerFlag.SCHED1, SchedulerFlag.SCHED2, SchedulerFlag.SCHED3, SchedulerFlag(0x38)]
    names = ("sh", "mh")
    specs = {
        FwmarkKey(Family.IPV4, 10 * at + each): ServiceSpec(name, flag)
        for at, name in enumerate(names, 1)
        for each, flag in enumerate(flags)
    }
    await place.do(*(AddService(key, spec) for key, spec in specs.items()))
    assert await _read(place) == specs


async def test_persistence_keeps_its_timeout_and_the_clients_network(place):
    wanted = {
        WEB: Persistence(1, 1),
        FwmarkKey(Family.IPV4, 1): Persistence(300, 32),
        FwmarkKey(Family.IPV4, 2): Persistence(86400, 24),
        WEB6: Persistence(2_000_000, 128),
        FwmarkKey(Family.IPV6, 1): Persistence(60, 1),
        FwmarkKey(Family.IPV6, 2): Persistence(60, 56),
    }
    await place.do(*(AddService(key, ServiceSpec("rr", persistence=each)) for key, each in wanted.items()))
    assert {key: spec.persistence for key, spec in (await _read(place)).items()} == wanted


async def test_a_persistence_engine_is_kept(place):
    sip = AddressKey(Protocol.UDP, ip_address("10.0.0.5"), 5060)
    spec = ServiceSpec("rr", persistence=Persistence(60, 32), engine="sip")
    await place.do(AddService(sip, spec))
    assert await _read(place) == {sip: spec}


async def test_an_edit_without_an_engine_takes_it_away(place):
    sip = AddressKey(Protocol.UDP, ip_address("10.0.0.5"), 5060)
    before = ServiceSpec("rr", persistence=Persistence(60, 32), engine="sip")
    after = ServiceSpec("rr", persistence=Persistence(60, 32))
    await place.do(AddService(sip, before), SetService(sip, after))
    assert await _read(place) == {sip: after}


async def test_one_packet_scheduling_is_kept_beside_other_flags(place):
    dns = AddressKey(Protocol.UDP, ip_address("10.0.0.53"), 53)
    spec = ServiceSpec("sh", flags=SchedulerFlag.SCHED2, one_packet=True)
    await place.do(AddService(dns, spec))
    assert await _read(place) == {dns: spec}


async def test_all_ports_of_an_address_are_a_service_of_port_0(place):
    key = AddressKey(Protocol.TCP, ip_address("10.0.0.1"), 0)
    spec = ServiceSpec("rr", persistence=Persistence(60, 32))
    await place.do(AddService(key, spec))
    assert await _read(place) == {key: spec}


async def test_an_edit_replaces_everything_and_merges_nothing(place):
    rich = ServiceSpec("sh", SchedulerFlag(0x18), Persistence(300, 24), one_packet=True)
    plain = ServiceSpec("wlc")
    await place.do(AddService(WEB, rich), SetService(WEB, plain))
    assert await _read(place) == {WEB: plain}
    await place.do(SetService(WEB, rich))
    assert await _read(place) == {WEB: rich}


async def test_an_edit_keeps_the_destinations(place):
    dest = DestKey(ip_address("10.1.0.1"), 80)
    await place.do(AddService(WEB, ServiceSpec("rr")), AddDest(WEB, dest, DestSpec(Forwarding.MASQ, 7)))
    await place.do(SetService(WEB, ServiceSpec("wlc")))
    assert (await place.table.snapshot()).services[WEB].dests == {dest: DestSpec(Forwarding.MASQ, 7)}


async def test_a_deleted_service_takes_its_destinations_with_it(place):
    dest = DestKey(ip_address("10.1.0.1"), 80)
    await place.do(
        AddService(WEB, ServiceSpec("rr")),
        AddDest(WEB, dest, DestSpec(Forwarding.MASQ, 1)),
        DelService(WEB),
        AddService(WEB, ServiceSpec("rr")),
    )
    assert (await place.table.snapshot()).services[WEB].dests == {}
