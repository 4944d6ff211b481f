"""Contract of an IPVS table: destinations of every kind are written and read back as they were meant."""

from __future__ import annotations

from ipaddress import ip_address

from healthd.model import (
    AddressKey,
    Checksum,
    DestKey,
    DestSpec,
    Encapsulation,
    Family,
    Forwarding,
    FwmarkKey,
    Protocol,
    ServiceSpec,
    Tunnel,
)
from healthd.ops import AddDest, AddService, DelDest, SetDest

WEB = AddressKey(Protocol.TCP, ip_address("10.0.0.80"), 80)
WEB6 = AddressKey(Protocol.TCP, ip_address("fd00::80"), 80)
MARK = FwmarkKey(Family.IPV4, 7)
MARK6 = FwmarkKey(Family.IPV6, 7)
TUNNELS = (
    Tunnel(),
    Tunnel(Encapsulation.GUE, 6080),
    Tunnel(Encapsulation.GUE, 1, Checksum.CSUM),
    Tunnel(Encapsulation.GUE, 65535, Checksum.REMCSUM),
    Tunnel(Encapsulation.GRE),
    Tunnel(Encapsulation.GRE, 0, Checksum.CSUM),
)


async def _written_and_read(place, service, dests):
    """Add a service with destinations and read them back."""
    await place.do(
        AddService(service, ServiceSpec("rr")), *(AddDest(service, key, spec) for key, spec in dests.items())
    )
    return (await place.table.snapshot()).services[service].dests


def _numbered(specs, base="10.1.0.0"):
    first = ip_address(base)
    return {DestKey(first + at, 80): spec for at, spec in enumerate(specs, 1)}


async def test_every_forwarding_method_is_kept_in_both_families(place):
    specs = [DestSpec(how, 1) for how in Forwarding]
    for service, base in ((WEB, "10.1.0.0"), (WEB6, "fd01::"), (MARK, "10.2.0.0"), (MARK6, "fd02::")):
        dests = _numbered(specs, base)
        assert await _written_and_read(place, service, dests) == dests


async def test_every_tunnel_is_kept_with_port_and_checksum(place):
    dests = _numbered([DestSpec(Forwarding.IPIP, 1, tunnel=tunnel) for tunnel in TUNNELS])
    assert await _written_and_read(place, WEB, dests) == dests


async def test_a_tunnel_leads_to_the_other_ip_version(place):
    for service, base in ((WEB, "fd01::"), (WEB6, "10.1.0.0"), (MARK, "fd02::"), (MARK6, "10.2.0.0")):
        dests = _numbered([DestSpec(Forwarding.IPIP, 1, tunnel=tunnel) for tunnel in TUNNELS], base)
        assert await _written_and_read(place, service, dests) == dests


async def test_weights_from_0_to_65535_are_kept(place):
    dests = _numbered([DestSpec(Forwarding.GATE, weight) for weight in (0, 1, 255, 256, 65535)])
    assert await _written_and_read(place, WEB, dests) == dests


async def test_thresholds_are_kept(place):
    pairs = ((0, 0), (1, 0), (1, 1), (100, 50), (0x7FFFFFFF, 0x7FFFFFFF))
    dests = _numbered([DestSpec(Forwarding.MASQ, 1, upper, lower) for upper, lower in pairs])
    assert await _written_and_read(place, WEB, dests) == dests


async def test_one_address_serves_on_many_ports(place):
    address = ip_address("10.1.0.1")
    dests = {DestKey(address, port): DestSpec(Forwarding.MASQ, port) for port in (1, 80, 443, 65535)}
    assert await _written_and_read(place, WEB, dests) == dests


async def test_a_destination_of_port_0_keeps_the_port_of_the_packet(place):
    dests = {DestKey(ip_address("10.1.0.1"), 0): DestSpec(Forwarding.GATE, 1)}
    assert await _written_and_read(place, MARK, dests) == dests


async def test_an_edit_replaces_everything(place):
    key = DestKey(ip_address("10.1.0.1"), 80)
    steps = [
        DestSpec(Forwarding.IPIP, 5, 100, 50, Tunnel(Encapsulation.GUE, 6080, Checksum.CSUM)),
        DestSpec(Forwarding.IPIP, 5, 100, 50, Tunnel(Encapsulation.GRE)),
        DestSpec(Forwarding.IPIP, 5),
        DestSpec(Forwarding.GATE, 0),
        DestSpec(Forwarding.MASQ, 65535, 3, 2),
        DestSpec(Forwarding.IPIP, 1, tunnel=Tunnel(Encapsulation.GUE, 7)),
    ]
    assert await _written_and_read(place, WEB, {key: steps[0]}) == {key: steps[0]}
    for spec in steps[1:]:
        await place.do(SetDest(WEB, key, spec))
        assert (await place.table.snapshot()).services[WEB].dests == {key: spec}


async def test_a_deleted_destination_is_gone_and_its_neighbours_stay(place):
    dests = _numbered([DestSpec(Forwarding.MASQ, weight) for weight in range(5)])
    await _written_and_read(place, WEB, dests)
    gone = sorted(dests, key=lambda key: key.rank)[2]
    await place.do(DelDest(WEB, gone))
    del dests[gone]
    assert (await place.table.snapshot()).services[WEB].dests == dests


async def test_a_destination_that_comes_back_is_as_it_was_asked_for_now(place):
    key = DestKey(ip_address("10.1.0.1"), 80)
    await _written_and_read(place, WEB, {key: DestSpec(Forwarding.MASQ, 5, 10, 2)})
    await place.do(DelDest(WEB, key), AddDest(WEB, key, DestSpec(Forwarding.GATE, 1)))
    assert (await place.table.snapshot()).services[WEB].dests == {key: DestSpec(Forwarding.GATE, 1)}


async def test_hundreds_of_destinations_of_several_services_are_read_back(place):
    wanted = {}
    for service, base in ((WEB, "10.1.0.0"), (WEB6, "fd01::"), (MARK, "10.2.0.0")):
        dests = _numbered([DestSpec(Forwarding.MASQ, weight) for weight in range(300)], base)
        wanted[service] = dests
        assert await _written_and_read(place, service, dests) == dests
    assert {key: each.dests for key, each in (await place.table.snapshot()).services.items()} == wanted
