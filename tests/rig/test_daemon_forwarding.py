"""The daemon in front of real servers, for every way of forwarding: one daemon, a service of each kind.

Each test looks at the kernel's table and at what a client of the virtual address gets: all three servers in turn, then
two while one is dead, then three again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from itertools import cycle

import pytest

from tests.rig import ipvsadm
from tests.rig.daemon import HTTP, TCP, Daemon, real, service
from tests.rig.ipvsadm import endpoint
from tests.rig.namespace import Namespace
from tests.rig.patience import until
from tests.rig.servers import Bind, Nginx
from tests.rig.topology import GUE_PORT, Server, Topology
from tests.rig.traffic import resolve, shares, who

DNS = 'type = "dns"\nname = "www.rig.test"\nanswers = ["192.0.2.1"]'
GUE = f'tunnel = {{ type = "gue", port = {GUE_PORT} }}'
ALL_TWICE = {"server1": 2, "server2": 2, "server3": 2}
TWO_THRICE = {"server1": 3, "server3": 3}


@dataclass(frozen=True, slots=True)
class Kind:
    """A service of one kind: its virtual address, its own keys, its name in /proc/net/ip_vs, its servers' addresses."""

    name: str
    address: IPv4Address | IPv6Address
    row: str
    keys: str
    check: str
    dests: tuple[str, ...]

    def toml(self) -> str:
        """Its file."""
        return service(self.name, f'{self.keys}\nscheduler = "rr"', self.check, [real(dest) for dest in self.dests])


def kinds(network: Topology) -> dict[str, Kind]:
    virtual, servers = network.virtual, network.servers
    masq, masq6, gate, gate6, ipip = virtual.masq(), virtual.masq6(), virtual.flat(), virtual.flat6(), virtual.flat()
    gue, gre = virtual.flat(), virtual.flat()
    mark, dns = virtual.masq(), virtual.masq()
    routed = tuple(endpoint(server.address, 80) for server in servers)
    routed6 = tuple(endpoint(server.address6, 80) for server in servers)
    flat = tuple(endpoint(server.flat, 80) for server in servers)
    flat6 = tuple(endpoint(server.flat6, 80) for server in servers)
    names = tuple(endpoint(server.address, 53) for server in servers)
    made = (
        Kind("masq", masq, f"TCP {masq}:80", f'virtual = "{masq}:80"\nforward = "masq"', HTTP, routed),
        Kind("masq6", masq6, f"TCP [{masq6}]:80", f'virtual = "[{masq6}]:80"\nforward = "masq"', HTTP, routed6),
        Kind("gate", gate, f"TCP {gate}:80", f'virtual = "{gate}:80"\nforward = "gate"', HTTP, flat),
        Kind("gate6", gate6, f"TCP [{gate6}]:80", f'virtual = "[{gate6}]:80"\nforward = "gate"', TCP, flat6),
        Kind("ipip", ipip, f"TCP {ipip}:80", f'virtual = "{ipip}:80"\nforward = "ipip"', TCP, flat),
        Kind("gue", gue, f"TCP {gue}:80", f'virtual = "{gue}:80"\nforward = "ipip"\n{GUE}', TCP, flat),
        Kind("gre", gre, f"TCP {gre}:80", f'virtual = "{gre}:80"\nforward = "ipip"\ntunnel = "gre"', TCP, flat),
        Kind("mark", mark, "FWM 7", 'fwmark = 7\nforward = "masq"', HTTP, routed),
        Kind("dns", dns, f"UDP {dns}:53", f'virtual = "{dns}:53"\nprotocol = "udp"\nforward = "masq"', DNS, names),
    )
    return {kind.name: kind for kind in made}


@pytest.fixture(scope="module")
def services(
    network: Topology,
    web_servers: tuple[Nginx, ...],
    name_servers: tuple[Bind, ...],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, Kind]]:
    """All the services, kept by one daemon."""
    for nginx in web_servers:
        nginx.ensure_well()
    found = kinds(network)
    ipvsadm.clear(network.director)
    daemon = Daemon(network.director, tmp_path_factory.mktemp("forwarding") / "healthd")
    for kind in found.values():
        daemon.write(kind.name, kind.toml())
    daemon.start()
    yield found
    daemon.stop()
    ipvsadm.clear(network.director)


@pytest.fixture
def lvs(network: Topology) -> Namespace:
    """The director, with the table that the daemon keeps for the whole module."""
    return network.director


def wait_for(lvs: Namespace, kind: Kind, weights: tuple[int, ...]) -> None:
    wanted = dict(zip(kind.dests, weights, strict=True))
    until(f"{kind.row} has {wanted}", lambda: ipvsadm.weights(lvs, kind.row) == wanted, within=20)


@pytest.mark.parametrize("name", ["masq", "masq6", "gate", "gate6", "ipip", "gue", "gre"])
def test_clients_get_all_servers_then_the_living_ones_then_all_again(name, services, client, lvs, web):
    kind = services[name]
    wait_for(lvs, kind, (1, 1, 1))
    assert shares(6, lambda: who(client, kind.address)) == ALL_TWICE
    web[1].crash()
    wait_for(lvs, kind, (1, 0, 1))
    assert shares(6, lambda: who(client, kind.address)) == TWO_THRICE
    web[1].start()
    wait_for(lvs, kind, (1, 1, 1))
    assert shares(6, lambda: who(client, kind.address)) == ALL_TWICE


def test_the_rows_are_of_the_kind_that_was_asked_for(services, lvs, web):
    forwards = {"masq": "Masq", "masq6": "Masq", "gate": "Route", "gate6": "Route", "ipip": "Tunnel", "mark": "Masq"}
    table = ipvsadm.rows(lvs)
    for name, forward in forwards.items():
        assert {row.forward for row in table[services[name].row].values()} == {forward}
    assert f"-A -t {endpoint(services['gate6'].address, 80)} -s rr" in ipvsadm.saved(lvs)


def test_a_firewall_mark_is_one_service_for_many_ports(services, client, lvs, web, marking):
    kind = services["mark"]
    marking(f"ip daddr {kind.address} tcp dport {{ 80, 8080 }} meta mark set 7")
    wait_for(lvs, kind, (1, 1, 1))
    assert shares(6, lambda: who(client, kind.address, port=8080)) == ALL_TWICE
    web[1].crash()
    wait_for(lvs, kind, (1, 0, 1))
    ports = cycle((80, 8080))
    assert shares(6, lambda: who(client, kind.address, port=next(ports))) == TWO_THRICE
    web[1].start()
    wait_for(lvs, kind, (1, 1, 1))


def test_name_servers_are_asked_and_resolve_through_the_virtual_address(services, client, lvs, name_servers):
    kind = services["dns"]
    wait_for(lvs, kind, (1, 1, 1))
    assert shares(6, lambda: resolve(client, kind.address)) == ALL_TWICE
    name_servers[1].crash()
    wait_for(lvs, kind, (1, 0, 1))
    assert shares(6, lambda: resolve(client, kind.address)) == TWO_THRICE
    name_servers[1].start()
    wait_for(lvs, kind, (1, 1, 1))


def test_a_server_that_says_it_is_ill_gets_no_new_clients(services, client, lvs, web, servers: tuple[Server, ...]):
    kind = services["masq"]
    wait_for(lvs, kind, (1, 1, 1))
    web[0].be_ill()
    wait_for(lvs, kind, (0, 1, 1))
    assert who(client, servers[0].address) == "server1"  # it still serves those who ask it itself
    assert shares(6, lambda: who(client, kind.address)) == {"server2": 3, "server3": 3}
    web[0].be_well()
    wait_for(lvs, kind, (1, 1, 1))
