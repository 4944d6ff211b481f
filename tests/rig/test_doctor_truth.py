"""What the doctor says of settings is what the kernel does: clients lose with them, and win after its advice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.rig import ipvsadm
from tests.rig.ipvsadm import endpoint
from tests.rig.namespace import Namespace
from tests.rig.patience import seconds
from tests.rig.servers import says, stream_server
from tests.rig.traffic import connect

PORT = 8001
Set = Callable[[str], None]


@pytest.fixture(autouse=True, scope="module")
def _names(network) -> Iterator[None]:
    """The first real server says its name."""
    with ExitStack() as stack:
        stack.enter_context(stream_server(network.servers[0].namespace, PORT, says("server1")))
        yield


@pytest.fixture
def setting(director: Namespace) -> Iterator[Set]:
    """Sets something of the director's for the time of a test."""
    before: dict[str, str] = {}

    def change(line: str) -> None:
        name = line.partition("=")[0]
        before.setdefault(name, director.run("cat", f"/proc/sys/{name.replace('.', '/')}").strip())
        director.sysctl(line)

    yield change
    director.sysctl(*(f"{name}={value}" for name, value in before.items()))


def service(director: Namespace, address: object, real: str, forward: str) -> None:
    ipvsadm.apply(director, f"-A -t {address}:{PORT} -s rr", f"-a -t {address}:{PORT} -r {real} -w 1 {forward}")


def answered(client: Namespace, address: object, source: object = None) -> bool:
    """Whether a client gets through, within two tries of its SYN."""
    try:
        connect(client, address, PORT, source=source, within=seconds(2)).close()
    except TimeoutError:
        return False
    return True


def test_masquerading_needs_ip_forward(client, director, servers, virtual, setting):
    address = virtual.masq()
    service(director, address, endpoint(servers[0].address, PORT), "-m")
    setting("net.ipv4.ip_forward=0")
    assert not answered(client, address)
    director.sysctl("net.ipv4.ip_forward=1")
    assert answered(client, address)


@pytest.mark.parametrize("forward", ["-g", "-i"])
def test_direct_routing_and_tunnels_do_not(forward, client, director, servers, virtual, setting):
    address = virtual.flat()
    service(director, address, endpoint(servers[0].flat, PORT), forward)
    setting("net.ipv4.ip_forward=0")
    assert answered(client, address)


def test_rules_that_drop_invalid_packets_need_conntrack(client, director, servers, virtual, setting):
    address = virtual.masq()
    service(director, address, endpoint(servers[0].address, PORT), "-m")
    chain = "add chain inet strict fw { type filter hook forward priority 0; }"
    director.run("nft", f"add table inet strict; {chain}; add rule inet strict fw ct state invalid drop")
    try:
        setting("net.ipv4.vs.conntrack=0")
        assert not answered(client, address)
        director.sysctl("net.ipv4.vs.conntrack=1")
        assert answered(client, address)
    finally:
        director.run("nft", "delete table inet strict")


def test_a_strict_filter_drops_clients_whose_way_back_is_another(client, director, servers, virtual, setting):
    """A client's other address comes in by the flat network; the director would answer it by the routed one."""
    address, other = virtual.flat(), "10.1.0.2"
    server = servers[0].namespace
    service(director, address, endpoint(servers[0].flat, PORT), "-g")
    server.ip(f"route add {other} via 10.3.0.2")
    try:
        setting("net.ipv4.conf.flat.rp_filter=1")
        assert not answered(client, address, other)
        director.sysctl("net.ipv4.conf.flat.rp_filter=2")
        assert answered(client, address, other)
    finally:
        server.ip(f"route del {other} via 10.3.0.2")
