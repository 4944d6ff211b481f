"""What the doctor says of the way of packets."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from healthd.doctor import network
from healthd.doctor.facts import Held, Network, Route, Way
from healthd.doctor.findings import Level
from tests.doctor.judging import GATE, IPIP, LOCAL, MASQ, NOWHERE, facts, only, server, with_network, with_routes, wrong
from tests.support.builders import A, dest, service

ROUTER = Route(Way.ROUTER, "eth0", ip_address("10.0.0.1"))


def on(device: str, *addresses: str) -> tuple[Held, ...]:
    return tuple(Held(ip_address(address), device) for address in addresses)


def test_a_network_as_it_should_be_is_in_order():
    assert wrong(network, facts()) == []


# --- forwarding -------------------------------------------------------------------------------------------------


def test_masquerading_needs_forwarding():
    found = only(network, facts(sysctls={"net/ipv4/ip_forward": "0"}))
    assert (found.level, found.commands) == (Level.ERROR, ("sysctl -w net.ipv4.ip_forward=1",))
    assert "www" in found.why


def test_direct_routing_and_servers_on_the_director_itself_do_not():
    off = {"net/ipv4/ip_forward": "0"}
    assert wrong(network, facts(service(server(forwarding=GATE)), sysctls=off)) == []
    assert wrong(network, with_routes(facts(service(server()), sysctls=off), {A.address: LOCAL})) == []


def test_one_interface_that_does_not_forward_is_found():
    off = {"net/ipv4/ip_forward": "1", "net/ipv4/conf/eth1/forwarding": "0"}
    assert only(network, facts(sysctls=off)).commands == ("sysctl -w net.ipv4.conf.eth1.forwarding=1",)


def test_an_interface_with_a_dot_in_its_name_is_written_with_slashes():
    off = {"net/ipv4/ip_forward": "1", "net/ipv4/conf/eth1.10/forwarding": "0"}
    seen = with_routes(facts(service(server()), sysctls=off), {A.address: Route(Way.LINK, "eth1.10")})
    assert only(network, seen).commands == ("sysctl -w net/ipv4/conf/eth1.10/forwarding=1",)


def test_forwarding_of_ipv6_comes_with_a_word_of_caution():
    seen = facts(service(server(dest("2001:db8::1"))), sysctls={"net/ipv6/conf/all/forwarding": "0"})
    found = only(network, seen)
    assert found.commands == ("sysctl -w net.ipv6.conf.all.forwarding=1",)
    assert "accept_ra" in found.do


def test_direct_routing_over_a_router_is_an_error_and_a_tunnel_is_not():
    direct = only(network, with_routes(facts(service(server(forwarding=GATE))), {A.address: ROUTER}))
    assert "router 10.0.0.1" in direct.seen
    for way in (IPIP, MASQ):
        assert wrong(network, with_routes(facts(service(server(forwarding=way))), {A.address: ROUTER})) == []


def test_a_server_without_a_route_is_an_error():
    assert only(network, with_routes(facts(service(server())), {A.address: NOWHERE})).id == "network.route"


# --- interfaces -------------------------------------------------------------------------------------------------

TWO = on("eth0", "192.0.2.1") + on("eth1", "10.0.0.1") + on("lo", "127.0.0.1")


def strict(**values: int) -> dict[str, str]:
    return {f"net/ipv4/conf/{name}/rp_filter": str(value) for name, value in values.items()}


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        (strict(all=1, eth0=0, eth1=0), ["eth0", "eth1"]),
        (strict(all=0, eth0=0, eth1=1), ["eth1"]),
        (strict(all=1, eth0=2, eth1=2), []),
        (strict(all=2, eth0=1, eth1=1), []),
        (strict(all=0, eth0=0, eth1=0), []),
    ],
)
def test_the_larger_of_both_settings_is_in_force(settings, found):
    seen = with_network(facts(service(server(forwarding=GATE)), sysctls=settings), held=TWO)
    commands = [one.commands[0] for one in wrong(network, seen)]
    assert commands == [f"sysctl -w net.ipv4.conf.{device}.rp_filter=2" for device in found]


def test_a_strict_filter_is_right_on_the_only_way_out_for_one_interface_and_for_masquerading():
    both = strict(all=1, eth0=1, eth1=1)
    seen = with_network(facts(service(server(forwarding=GATE)), sysctls=both), held=TWO, default=frozenset({"eth0"}))
    assert "eth1" in only(network, seen).seen
    assert wrong(network, with_network(seen, held=on("eth0", "192.0.2.1"))) == []
    masked = {**both, "net/ipv4/ip_forward": "1"}
    assert wrong(network, with_network(facts(sysctls=masked), held=TWO)) == []


def test_where_the_virtual_address_is_on_an_interface_clients_come_in_by_that_one():
    both = strict(all=1, eth0=1, eth1=1)
    seen = facts(service(server(forwarding=GATE)), sysctls=both)
    assert "eth0" in only(network, with_network(seen, held=TWO + on("eth0", "192.0.2.80"))).seen
    assert len(wrong(network, with_network(seen, held=TWO + on("lo", "192.0.2.80")))) == 2


def test_a_director_that_is_its_own_server_and_answers_arp_for_the_others():
    seen = with_routes(facts(service(server(forwarding=GATE)), sysctls={}), {A.address: LOCAL})
    found = only(network, with_network(seen, held=on("lo", "192.0.2.80")))
    assert found.commands == (
        "sysctl -w net.ipv4.conf.all.arp_ignore=1",
        "sysctl -w net.ipv4.conf.all.arp_announce=2",
    )
    quiet = {"net/ipv4/conf/all/arp_ignore": "1", "net/ipv4/conf/all/arp_announce": "2"}
    assert wrong(network, replace(with_network(seen, held=on("lo", "192.0.2.80")), sysctls=quiet)) == []
    assert wrong(network, with_network(seen, held=on("eth0", "192.0.2.80"))) == []


def test_redirects_matter_where_clients_and_masqueraded_servers_share_a_link():
    sends = {"net/ipv4/ip_forward": "1", "net/ipv4/conf/all/send_redirects": "1"}
    seen = facts(sysctls=sends)
    found = only(network, with_network(seen, held=on("eth1", "192.0.2.80")))
    assert "sysctl -w net.ipv4.conf.eth1.send_redirects=0" in found.commands
    assert wrong(network, with_network(seen, held=on("eth0", "192.0.2.80"))) == []


@pytest.mark.parametrize(("most", "level"), [(100, None), (30, Level.WARNING), (20, Level.ERROR)])
def test_more_servers_on_the_link_than_neighbours_that_are_remembered(most, level):
    servers = [server(dest(f"10.0.0.{last}"), GATE) for last in range(1, 21)]
    seen = facts(service(*servers), sysctls={"net/ipv4/neigh/default/gc_thresh3": str(most)})
    assert [found.level for found in wrong(network, seen)] == ([] if level is None else [level])


def test_of_a_namespace_that_was_not_entered_nothing_is_said():
    assert wrong(network, facts(namespace_error="no", network=Network())) == []
