"""Judging the way of packets: routes to servers, forwarding, filters of addresses, ARP, neighbours. Pure.

Settings of interfaces: the kernel's Documentation/networking/ip-sysctl.rst. What direct routing, tunnels and
masquerading need of a network: the kernel's net/netfilter/ipvs/ip_vs_xmit.c, and the LVS HOWTO.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from healthd.config.schema import RealServer, ServiceConfig
from healthd.doctor.facts import Facts, Way
from healthd.doctor.findings import (
    Finding,
    Level,
    fine,
    named,
    number,
    reals,
    route_to,
    services_of,
    set_sysctl,
    sysctl_name,
)
from healthd.model import Address, AddressKey, Forwarding

STRICT = 1

Pairs = list[tuple[ServiceConfig, RealServer]]


def judge(facts: Facts) -> Iterator[Finding]:
    """Everything about the network; nothing if its namespace could not be entered."""
    if facts.namespace_error:
        return
    for one in (_forwarding, _routes, _filters, _arp, _redirects, _neighbours):
        yield from one(facts)


def _forwarding(facts: Facts) -> Iterator[Finding]:
    """Answers of masqueraded servers are packets that this machine routes (ip_vs_out in the FORWARD hook)."""
    for version, key in ((4, "net/ipv4/ip_forward"), (6, "net/ipv6/conf/all/forwarding")):
        masked = [pair for pair in reals(facts, Forwarding.MASQ, version=version) if not _is_local(facts, pair[1])]
        value = number(facts, key)
        if not masked or value is None:
            continue
        if not value:
            yield _not_forwarded(facts, key, masked)
        elif version == 4:
            yield from _per_interface(facts, masked)
        else:
            yield fine("sysctl.forwarding", f"{sysctl_name(key)} is {value}")


def _not_forwarded(facts: Facts, key: str, masked: Pairs) -> Finding:
    caution = (
        "where the machine learns its own default route from router advertisements, set accept_ra of that interface "
        "to 2 first"
    )
    return Finding(
        "sysctl.forwarding",
        Level.ERROR,
        f"{sysctl_name(key)} is 0",
        f"answers of masqueraded servers ({services_of(masked)}) are dropped here on their way to the clients",
        caution if "ipv6" in key else "",
        (set_sysctl(facts, key, 1),),
    )


def _per_interface(facts: Facts, masked: Pairs) -> Iterator[Finding]:
    devices = {route_to(facts, real.key.address).device for _, real in masked} - {""}
    closed = sorted(device for device in devices if number(facts, f"net/ipv4/conf/{device}/forwarding") == 0)
    for device in closed:
        key = f"net/ipv4/conf/{device}/forwarding"
        behind = [pair for pair in masked if route_to(facts, pair[1].key.address).device == device]
        yield _not_forwarded(facts, key, behind)
    if not closed:
        yield fine("sysctl.forwarding", "net.ipv4.ip_forward is 1")


def _is_local(facts: Facts, real: RealServer) -> bool:
    return route_to(facts, real.key.address).way is Way.LOCAL


def _routes(facts: Facts) -> Iterator[Finding]:
    """Direct routing only changes the frame's address, so nobody may stand between; every server needs some way."""
    every = reals(facts, Forwarding.GATE, Forwarding.MASQ, Forwarding.IPIP)
    lost = [pair for pair in every if route_to(facts, pair[1].key.address).way is Way.NONE]
    if lost:
        yield Finding(
            "network.route",
            Level.ERROR,
            f"no route to {_servers(lost)}",
            "neither clients nor probes reach such a server",
            "add a route, or mend the address",
        )
    routers: dict[Address | None, Pairs] = {}
    for service, real in reals(facts, Forwarding.GATE):
        route = route_to(facts, real.key.address)
        if route.way is Way.ROUTER:
            routers.setdefault(route.router, []).append((service, real))
    for router, behind in routers.items():
        yield Finding(
            "network.route",
            Level.ERROR,
            f"forward = gate, but behind the router {router}: {_servers(behind)}",
            "direct routing needs a server on the same link; the router sends the packets back to this machine",
            "put the server on a link with the director, or use forward = ipip or masq",
        )


def _servers(pairs: Pairs) -> str:
    return named([f"{real.key.address} ({service.name})" for service, real in pairs])


def _filters(facts: Facts) -> Iterator[Finding]:
    """rp_filter of an interface counts as the larger of its own and that of `all`; 1 wants the way back to be the same.

    With direct routing and tunnels the answers do not come back this way, so nothing else makes the two ways one.
    """
    direct = reals(facts, Forwarding.GATE, Forwarding.IPIP, version=4)
    devices = {held.device for held in facts.network.held if held.address.version == 4} - {"lo"}
    everywhere = number(facts, "net/ipv4/conf/all/rp_filter")
    if not direct or everywhere is None or len(devices) < 2:
        return
    for device in sorted(_entrances(facts, direct) or devices):
        key = f"net/ipv4/conf/{device}/rp_filter"
        if max(everywhere, number(facts, key) or 0) == STRICT and facts.network.default != {device}:
            yield Finding(
                "sysctl.rp_filter",
                Level.WARNING,
                f"rp_filter of {device} is strict (1)",
                f"clients of {services_of(direct)} whose way back leads by another interface are dropped",
                "2 (loose) still refuses addresses that have no route at all",
                (set_sysctl(facts, key, 2),),
            )


def _entrances(facts: Facts, pairs: Pairs) -> set[str]:
    """The interfaces that have the virtual addresses of services; empty if packets may come in by any."""
    home = {held.address: held.device for held in facts.network.held}
    keys = [service.key for service, _ in pairs]
    found = {home.get(key.address, "lo") if isinstance(key, AddressKey) else "lo" for key in keys}
    return set() if "lo" in found else found


def _arp(facts: Facts) -> Iterator[Finding]:
    """A machine that is both director and real server of the same service answers ARP only while it is the director."""
    on_loopback = {held.address for held in facts.network.held if held.device == "lo"}
    elsewhere = {held.address for held in facts.network.held if held.device != "lo"}
    wanted = {"arp_ignore": 1, "arp_announce": 2}
    lacking = {
        name: value for name, value in wanted.items() if (number(facts, f"net/ipv4/conf/all/{name}") or 0) < value
    }
    for service, real in reals(facts, Forwarding.GATE, version=4):
        key = service.key
        if not isinstance(key, AddressKey) or not lacking or not _is_local(facts, real):
            continue
        if key.address in on_loopback - elsewhere:
            yield Finding(
                "sysctl.arp",
                Level.WARNING,
                f"{real.key.address} of {service.name} is this machine, and {key.address} is on its loopback, with "
                + ", ".join(f"{name} below {value}" for name, value in lacking.items()),
                "it answers ARP for the virtual address also while another director has it, and takes its clients away",
                "",
                tuple(set_sysctl(facts, f"net/ipv4/conf/all/{name}", value) for name, value in lacking.items()),
            )


def _redirects(facts: Facts) -> Iterator[Finding]:
    """With clients and masqueraded servers on one link, ICMP redirects teach servers to go around the director."""
    home = {held.address: held.device for held in facts.network.held}
    shared: dict[str, list[str]] = {}
    for service, real in reals(facts, Forwarding.MASQ, version=4):
        route = route_to(facts, real.key.address)
        if (
            route.way is Way.LINK
            and isinstance(service.key, AddressKey)
            and home.get(service.key.address) == route.device
        ):
            shared.setdefault(route.device, []).append(service.name)
    for device, names in shared.items():
        keys = [f"net/ipv4/conf/{part}/send_redirects" for part in ("all", device)]
        if any(number(facts, key) for key in keys):
            yield Finding(
                "sysctl.send_redirects",
                Level.HINT,
                f"{device} has the virtual address and the masqueraded servers of {named(names)}, and sends redirects",
                "a server that follows one answers a client of the same link directly, which the client refuses",
                "",
                tuple(set_sysctl(facts, key, 0) for key in keys),
            )


def _neighbours(facts: Facts) -> Iterator[Finding]:
    """gc_thresh3 is the most neighbours the kernel remembers (arp(7)); only the first namespace has these settings."""
    addresses = {real.key.address for service in facts.config.services for real in service.reals}
    near = Counter(a.version for a in addresses if route_to(facts, a).way is Way.LINK)
    for version, count in sorted(near.items()):
        base = f"net/ipv{version}/neigh/default"
        most = number(facts, f"{base}/gc_thresh3")
        if most and count * 2 > most:
            yield Finding(
                "sysctl.gc_thresh",
                Level.ERROR if count >= most else Level.WARNING,
                f"{count} servers are on links of this machine, which remembers {most} neighbours",
                "the rest is forgotten again and again; their packets are dropped (neighbour table overflow)",
                "",
                tuple(f"sysctl -w {sysctl_name(base)}.gc_thresh{n}={count * n * 2}" for n in (3, 2, 1)),
            )
