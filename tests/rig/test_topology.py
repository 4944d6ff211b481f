"""The rig itself: each way of forwarding carries a client's traffic, with tables that ipvsadm wrote.

If one of these fails, nothing that the daemon's tests say about traffic means anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.rig import ipvsadm
from tests.rig.ipvsadm import Row, endpoint
from tests.rig.namespace import Namespace
from tests.rig.servers import IPPROTO_SCTP, datagram_server, says, stream_server
from tests.rig.topology import GUE_PORT, NEIGHBOUR, Server, VirtualAddresses
from tests.rig.traffic import ask, ask_datagram, connect, shares

PORT = 8000
EACH_TWICE = {"server1": 2, "server2": 2, "server3": 2}


@pytest.fixture(autouse=True, scope="module")
def _names(network) -> Iterator[None]:
    """Every real server says its name on TCP port 8000."""
    with ExitStack() as stack:
        for server in network.servers:
            stack.enter_context(stream_server(server.namespace, PORT, says(server.name)))
        yield


def round_robin(director: Namespace, service: str, dests: list[str], options: str) -> None:
    """A service with the round robin scheduler over these destinations."""
    ipvsadm.apply(director, f"-A {service} -s rr", *(f"-a {service} -r {dest} -w 1 {options}" for dest in dests))


def test_masquerading_spreads_connections(
    client: Namespace, director: Namespace, servers: tuple[Server, ...], virtual: VirtualAddresses
):
    address = virtual.masq()
    round_robin(director, f"-t {address}:80", [endpoint(s.address, PORT) for s in servers], "-m")
    assert shares(6, lambda: ask(client, address, 80)) == EACH_TWICE


def test_masquerading_spreads_ipv6_connections(client, director, servers, virtual):
    address = virtual.masq6()
    round_robin(director, f"-t [{address}]:80", [endpoint(s.address6, PORT) for s in servers], "-m")
    assert shares(6, lambda: ask(client, address, 80)) == EACH_TWICE


def test_direct_routing_spreads_connections(client, director, servers, virtual):
    address = virtual.flat()
    round_robin(director, f"-t {address}:{PORT}", [endpoint(s.flat, PORT) for s in servers], "-g")
    assert shares(6, lambda: ask(client, address, PORT)) == EACH_TWICE


def test_direct_routing_spreads_ipv6_connections(client, director, servers, virtual):
    address = virtual.flat6()
    round_robin(director, f"-t [{address}]:{PORT}", [endpoint(s.flat6, PORT) for s in servers], "-g")
    assert shares(6, lambda: ask(client, address, PORT)) == EACH_TWICE


def test_only_the_director_answers_for_a_virtual_address_that_is_a_neighbour(client, director, servers):
    round_robin(director, f"-t {NEIGHBOUR}:{PORT}", [endpoint(s.flat, PORT) for s in servers], "-g")
    assert shares(6, lambda: ask(client, NEIGHBOUR, PORT)) == EACH_TWICE
    owner = director.run("ip", "-br", "link", "show", "dev", "flat").split()[2]
    assert owner in client.run("ip", "neigh", "show", str(NEIGHBOUR))


def test_a_tunnel_spreads_connections(client, director, servers, virtual):
    address = virtual.flat()
    round_robin(director, f"-t {address}:{PORT}", [endpoint(s.flat, PORT) for s in servers], "-i")
    assert shares(6, lambda: ask(client, address, PORT)) == EACH_TWICE


@pytest.mark.parametrize(
    "options", [f"--tun-type gue --tun-port {GUE_PORT} --tun-nocsum", "--tun-type gre --tun-nocsum"]
)
def test_other_encapsulations_spread_connections(options, client, director, servers, virtual):
    address = virtual.flat()
    round_robin(director, f"-t {address}:{PORT}", [endpoint(s.flat, PORT) for s in servers], f"-i {options}")
    assert shares(6, lambda: ask(client, address, PORT)) == EACH_TWICE


def test_a_tunnel_spreads_ipv6_connections(client, director, servers, virtual):
    address = virtual.flat6()
    round_robin(director, f"-t [{address}]:{PORT}", [endpoint(s.flat6, PORT) for s in servers], "-i")
    assert shares(6, lambda: ask(client, address, PORT)) == EACH_TWICE


def test_firewall_marks_make_one_service_of_many_ports(client, director, servers, virtual, marking):
    address, address6 = virtual.masq(), virtual.masq6()
    marking(f"ip daddr {address} tcp dport {{ 80, 8080 }} meta mark set 7")
    marking(f"ip6 daddr {address6} tcp dport {{ 80, 8080 }} meta mark set 8")
    round_robin(director, "-f 7", [endpoint(s.address, PORT) for s in servers], "-m")
    round_robin(director, "-f 8 -6", [endpoint(s.address6, PORT) for s in servers], "-m")
    for each in (address, address6):
        answers = [shares(3, lambda each=each, port=port: ask(client, each, port)) for port in (80, 8080)]
        assert answers == [{"server1": 1, "server2": 1, "server3": 1}] * 2


def test_udp_is_spread_by_the_client_s_port(client, director, servers, virtual):
    address = virtual.masq()
    round_robin(director, f"-u {address}:53", [endpoint(s.address, 5300) for s in servers], "-m")
    with ExitStack() as stack:
        for server in servers:
            stack.enter_context(datagram_server(server.namespace, str(server.address), 5300, server.name))
        assert shares(6, lambda: ask_datagram(client, address, 53)) == EACH_TWICE


def test_one_packet_scheduling_spreads_datagrams_of_one_port(client, director, servers, virtual):
    address = virtual.flat()
    ipvsadm.apply(director, f"-A -u {address}:5300 -s rr -o")
    ipvsadm.apply(director, *(f"-a -u {address}:5300 -r {s.flat}:5300 -g -w 1" for s in servers))
    with ExitStack() as stack:
        for server in servers:
            stack.enter_context(datagram_server(server.namespace, str(address), 5300, server.name))
        assert shares(6, lambda: ask_datagram(client, address, 5300, source_port=5555)) == EACH_TWICE


def test_sctp_associations_are_spread(client, director, servers, virtual):
    address = virtual.masq()
    dests = [endpoint(s.address, 5000) for s in servers]
    round_robin(director, f"--sctp-service {address}:5000", dests, "-m")
    with ExitStack() as stack:
        for server in servers:
            stack.enter_context(stream_server(server.namespace, 5000, says(server.name), IPPROTO_SCTP))
        assert shares(6, lambda: ask(client, address, 5000, sctp=True)) == EACH_TWICE


def test_weight_zero_takes_a_server_out_and_the_rest_share(client, director, servers, virtual):
    address = virtual.masq()
    round_robin(director, f"-t {address}:80", [endpoint(s.address, PORT) for s in servers], "-m")
    ipvsadm.apply(director, f"-e -t {address}:80 -r {servers[1].address}:{PORT} -m -w 0")
    assert shares(6, lambda: ask(client, address, 80)) == {"server1": 3, "server3": 3}


def test_an_unplugged_server_does_not_answer_and_a_plugged_one_does(client, servers):
    server = servers[0]
    server.unplug()
    try:
        with pytest.raises(OSError, match=r"timed out|No route to host"):
            connect(client, server.address, PORT, within=1)
    finally:
        server.plug()
    assert ask(client, server.address, PORT) == server.name
    assert ask(client, server.address6, PORT) == server.name


def test_each_namespace_has_a_table_of_its_own(director, servers, virtual):
    ipvsadm.apply(director, f"-A -t {virtual.masq()}:80 -s rr")
    assert ipvsadm.saved(servers[0].namespace) == []


def test_both_readers_of_the_table_agree_with_what_was_written(director, servers, virtual):
    address, address6 = virtual.masq(), virtual.masq6()
    lines = [
        f"-A -t {address}:80 -s wrr",
        f"-a -t {address}:80 -r {servers[0].address}:8000 -m -w 7",
        f"-A -t [{address6}]:80 -s wlc -p 300",
        f"-a -t [{address6}]:80 -r [{servers[1].address6}]:80 -g -w 0",
        "-A -f 7 -s rr",
        f"-a -f 7 -r {servers[2].flat}:0 -i -w 2 --tun-type ipip",
    ]
    ipvsadm.apply(director, *lines)
    assert ipvsadm.saved(director) == sorted(lines)
    assert ipvsadm.rows(director) == {
        f"TCP {address}:80": {f"{servers[0].address}:8000": Row("Masq", 7, 0, 0)},
        f"TCP [{address6}]:80": {f"[{servers[1].address6}]:80": Row("Route", 0, 0, 0)},
        "FWM 7": {f"{servers[2].flat}:0": Row("Tunnel", 2, 0, 0)},
    }
