"""The rig's network: a client, a director and three real servers, as namespaces of one kernel.

    client eth0 10.1.0.2 ────────── eth0 10.1.0.1 director lan 10.2.0.1 ──────── eth0 10.2.0.1N serverN     routed
             fd01::2                      fd01::1            fd02::1                  fd02::1N
    client flat 10.3.0.2 ──┬─────── flat 10.3.0.1 director                                                flat
             fd03::2       │              fd03::1
                        switch ──── flat 10.3.0.1N serverN, fd03::1N

The servers' default route leads through the director, as masquerading needs it; on the flat network they answer the
client directly, as direct routing and tunnels need it. Virtual addresses are whole networks that are local where they
must be (a route of type local), so every test can have its own without a word to `ip`:

    10.1.100.0/24, fd01:0:0:64::/64   on the director                                  masquerading
    10.3.100.0/24, fd03:0:0:64::/64   on the director and on every server              direct routing, tunnels

One more, 10.3.0.100, is a neighbour on the flat network, so that ARP decides who gets its packets.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from tests.rig.namespace import Namespace, ip

SERVERS = (1, 2, 3)
NEIGHBOUR = IPv4Address("10.3.0.100")
GUE_PORT = 6080
# devices that take whatever comes through a tunnel of their kind; GUE unpacks into the one for IP in IP
TUNNELS = {"tunl0": "ipip", "ip6tnl0": "ip6tnl", "sit0": "sit", "gre0": "gre"}
MODULES = ("ip_vs", "veth", "bridge", "ipip", "sit", "ip6_tunnel", "ip_gre", "fou", "sctp", "nf_tables", "dummy")


@dataclass(frozen=True, slots=True)
class Server:
    """A real server: where it is, and its addresses on both networks. number is 1, 2 or 3."""

    number: int
    namespace: Namespace

    @property
    def name(self) -> str:
        """What it answers when asked who it is: server1."""
        return self.namespace.name

    @property
    def address(self) -> IPv4Address:
        """On the routed network."""
        return IPv4Address(f"10.2.0.1{self.number}")

    @property
    def address6(self) -> IPv6Address:
        """On the routed network, IPv6."""
        return IPv6Address(f"fd02::1{self.number}")

    @property
    def flat(self) -> IPv4Address:
        """On the flat network."""
        return IPv4Address(f"10.3.0.1{self.number}")

    @property
    def flat6(self) -> IPv6Address:
        """On the flat network, IPv6."""
        return IPv6Address(f"fd03::1{self.number}")

    def unplug(self) -> None:
        """Cut it off, as if its power were gone: nobody answers any more, not even with a refusal."""
        self.namespace.ip("link set dev eth0 down", "link set dev flat down")

    def plug(self) -> None:
        """Connect it again, with the routes that went away with its links."""
        self.namespace.ip(
            "link set dev eth0 up",
            "link set dev flat up",
            f"addr replace {self.address6}/64 dev eth0 nodad",
            f"addr replace {self.flat6}/64 dev flat nodad",
            "route replace default via 10.2.0.1 dev eth0",
            "route replace default via fd02::1 dev eth0",
        )


class VirtualAddresses:
    """Hands out virtual addresses, each once: what the kernel remembers of one test's clients never meets another's."""

    def __init__(self) -> None:
        self._next = 0

    def _number(self) -> int:
        self._next += 1
        assert self._next < 255, "the rig's networks of virtual addresses are used up: make them larger"
        return self._next

    def masq(self) -> IPv4Address:
        """For masquerading."""
        return IPv4Address(f"10.1.100.{self._number()}")

    def masq6(self) -> IPv6Address:
        """For masquerading, IPv6."""
        return IPv6Address(f"fd01:0:0:64::{self._number():x}")

    def flat(self) -> IPv4Address:
        """For direct routing and tunnels."""
        return IPv4Address(f"10.3.100.{self._number()}")

    def flat6(self) -> IPv6Address:
        """For direct routing and tunnels, IPv6."""
        return IPv6Address(f"fd03:0:0:64::{self._number():x}")


@dataclass(frozen=True, slots=True)
class Topology:
    """The whole network."""

    client: Namespace
    director: Namespace
    servers: tuple[Server, ...]
    virtual: VirtualAddresses


@contextmanager
def topology() -> Iterator[Topology]:
    """Build the network; it is gone when the block is left."""
    for module in MODULES:  # each may be built in
        subprocess.run(["modprobe", "-q", module], check=False)
    assert Path("/proc/net/ip_vs").exists(), "this kernel has no IPVS: run the rig (tests/rig/run)"
    names = ("client", "director", "switch", *(f"server{number}" for number in SERVERS))
    spaces = {name: Namespace.create(name) for name in names}
    servers = tuple(Server(number, spaces[f"server{number}"]) for number in SERVERS)
    try:
        _cables()
        _switch(spaces["switch"])
        _client(spaces["client"])
        _director(spaces["director"])
        for server in servers:
            _server(server)
        yield Topology(spaces["client"], spaces["director"], servers, VirtualAddresses())
    finally:
        for space in spaces.values():
            space.delete()


def _cables() -> None:
    lines = [
        "link add eth0 netns client type veth peer name eth0 netns director",
        "link add lan netns director type bridge forward_delay 0",
        "link add br0 netns switch type bridge forward_delay 0",
        "link add flat netns client type veth peer name client netns switch",
        "link add flat netns director type veth peer name director netns switch",
    ]
    for number in SERVERS:
        lines += [
            f"link add eth0 netns server{number} type veth peer name port{number} netns director",
            f"link add flat netns server{number} type veth peer name port{number} netns switch",
        ]
    ip(*lines)


def _switch(space: Namespace) -> None:
    ports = ("client", "director", *(f"port{number}" for number in SERVERS))
    space.ip("link set dev br0 up", *(f"link set dev {port} up master br0" for port in ports))


def _client(space: Namespace) -> None:
    space.sysctl("net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.default.rp_filter=0")
    space.ip(
        *("addr add 10.1.0.2/24 dev eth0", "addr add fd01::2/64 dev eth0 nodad", "link set dev eth0 up"),
        *("addr add 10.3.0.2/24 dev flat", "addr add fd03::2/64 dev flat nodad", "link set dev flat up"),
        *("route add 10.1.100.0/24 via 10.1.0.1", "route add fd01:0:0:64::/64 via fd01::1"),
        *("route add 10.2.0.0/24 via 10.1.0.1", "route add fd02::/64 via fd01::1"),
        *("route add 10.3.100.0/24 via 10.3.0.1", "route add fd03:0:0:64::/64 via fd03::1"),
    )


def _director(space: Namespace) -> None:
    space.sysctl("net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.default.rp_filter=0")
    space.ip(
        *("addr add 10.1.0.1/24 dev eth0", "addr add fd01::1/64 dev eth0 nodad", "link set dev eth0 up"),
        *("addr add 10.3.0.1/24 dev flat", "addr add fd03::1/64 dev flat nodad", "link set dev flat up"),
        *(f"addr add {NEIGHBOUR}/32 dev flat", "link set dev lan up"),
        *(f"link set dev port{number} up master lan" for number in SERVERS),
        *("addr add 10.2.0.1/24 dev lan", "addr add fd02::1/64 dev lan nodad"),
        *("route add local 10.1.100.0/24 dev lo", "route add local fd01:0:0:64::/64 dev lo"),
        *("route add local 10.3.100.0/24 dev lo", "route add local fd03:0:0:64::/64 dev lo"),
    )
    space.sysctl("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")


def _server(server: Server) -> None:
    space = server.namespace
    # silent about the virtual address on its loopback, or it would take the neighbour's packets from the director
    space.sysctl(*(f"net.ipv4.conf.{name}.rp_filter=0" for name in ("all", "default")))
    space.sysctl("net.ipv4.conf.all.arp_ignore=1", "net.ipv4.conf.all.arp_announce=2")
    for tunnel, kind in TUNNELS.items():
        if not space.call(Path(f"/proc/sys/net/ipv4/conf/{tunnel}").exists):
            space.ip(f"link add name {tunnel} type {kind}")
    space.ip(
        *(f"addr add {server.address}/24 dev eth0", f"addr add {server.address6}/64 dev eth0 nodad"),
        *(f"addr add {server.flat}/24 dev flat", f"addr add {server.flat6}/64 dev flat nodad"),
        *("link set dev eth0 up", "link set dev flat up"),
        *(f"link set dev {tunnel} up" for tunnel in TUNNELS),
        *("route add default via 10.2.0.1", "route add default via fd02::1 dev eth0"),
        *(f"addr add {NEIGHBOUR}/32 dev lo", "route add local 10.3.100.0/24 dev lo"),
        "route add local fd03:0:0:64::/64 dev lo",
        f"fou add port {GUE_PORT} gue",
    )
    space.sysctl(*(f"net.ipv4.conf.{tunnel}.rp_filter=0" for tunnel in TUNNELS))
