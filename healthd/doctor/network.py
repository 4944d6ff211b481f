"""Judging the way of packets: virtual addresses, forwarding, filters of addresses, ARP, servers' places. Pure.

Settings of interfaces: the kernel's Documentation/networking/ip-sysctl.rst. What direct routing, tunnels and
masquerading need of a network: the kernel's net/netfilter/ipvs/ip_vs_xmit.c, and the LVS HOWTO.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from healthd.config.schema import RealServer, ServiceConfig
from healthd.doctor.facts import Facts, Listener, Route, Way
from healthd.doctor.findings import (
    Finding,
    Level,
    fine,
    inside,
    named,
    number,
    reals,
    services_of,
    set_sysctl,
    sysctl_name,
)
from healthd.model import Address, AddressKey, Forwarding, FwmarkKey

MOVERS = frozenset(("keepalived", "ucarp", "vrrpd", "pacemakerd", "corosync", "heartbeat"))
"""Programs that give addresses to one of several machines."""
STRICT, NOWHERE = 1, Route(Way.NONE)

Pairs = list[tuple[ServiceConfig, RealServer]]


def judge(facts: Facts) -> Iterator[Finding]:
    """Everything about the network; nothing if its namespace could not be entered."""
    if facts.namespace_error:
        return
    for one in (_virtual, _marks, _bound, _forwarding, _direct, _filters, _arp, _redirects, _neighbours):
        yield from one(facts)


def _route(facts: Facts, address: Address) -> Route:
    return facts.network.routes.get(address, NOWHERE)


# --- virtual addresses ------------------------------------------------------------------------------------------


def _virtual(facts: Facts) -> Iterator[Finding]:
    by_address: dict[Address, list[str]] = {}
    for service in facts.config.services:
        if isinstance(service.key, AddressKey):
            by_address.setdefault(service.key.address, []).append(service.name)
    duplicate = {held.address for held in facts.network.held if held.duplicate}
    for address, names in by_address.items():
        if address in duplicate:
            yield _taken(facts, address, names)
        elif _route(facts, address).way is Way.LOCAL:
            yield fine("network.virtual", f"{address} ({named(names)}) is on this machine")
        else:
            yield _absent(facts, address, names)


def _taken(facts: Facts, address: Address, names: list[str]) -> Finding:
    return Finding(
        "network.virtual",
        Level.ERROR,
        f"the virtual address {address} ({named(names)}) is not used: somebody else on the network has it",
        "its packets go to the other machine",
        "find who answers for it (ndisc6, or the switch), then take the address away and add it again",
    )


def _absent(facts: Facts, address: Address, names: list[str]) -> Finding:
    movers = [program.name for program in facts.programs if program.name in MOVERS]
    if movers:
        return Finding(
            "network.virtual",
            Level.WARNING,
            f"the virtual address {address} ({named(names)}) is not on this machine; {named(movers)} may hold it back",
            "right on the standby; on the active director its clients get no answer",
            f"look at the state of {movers[0]}",
        )
    return Finding(
        "network.virtual",
        Level.ERROR,
        f"the virtual address {address} ({named(names)}) is not on this machine",
        "IPVS only sees packets to an address that is local here, so its clients get no answer",
        inside(facts, f"ip address add {address}/{address.max_prefixlen} dev DEVICE")
        + "   (DEVICE: the interface towards the clients)",
    )


def _marks(facts: Facts) -> Iterator[Finding]:
    firewall = facts.network.firewall
    for service in facts.config.services:
        if not isinstance(service.key, FwmarkKey):
            continue
        mark = service.key.fwmark
        if firewall and mark in firewall.marks:
            yield fine("network.mark", f"a firewall rule sets the mark {mark} of {service.name}")
            continue
        unsure = firewall is None or firewall.vague
        yield Finding(
            "network.mark",
            Level.HINT if unsure else Level.WARNING,
            f"no firewall rule could be read that sets the mark {mark} of {service.name}"
            if unsure
            else f"no firewall rule sets the mark {mark} of {service.name}",
            "only packets with this mark reach the service",
            "mark them where they come in, as with: nft add rule inet TABLE PREROUTING ip daddr ADDRESS tcp dport PORT "
            f"meta mark set {mark}",
        )


def _bound(facts: Facts) -> Iterator[Finding]:
    """A socket on a virtual port gets nothing from outside, except where the machine is its own server or fallback."""
    for service in facts.config.services:
        key = service.key
        if not isinstance(key, AddressKey) or not key.port or _serves_itself(facts, service):
            continue
        if {
            Listener(key.protocol, key.address, key.port),
            Listener(key.protocol, None, key.port),
        } & facts.network.listening:
            yield Finding(
                "network.bound",
                Level.HINT,
                f"a process of this machine listens on {key} as well ({service.name})",
                "IPVS takes the packets first: from outside nobody reaches that process by this address",
                "bind it to another address, unless it is there for the time without healthd",
            )


def _serves_itself(facts: Facts, service: ServiceConfig) -> bool:
    rows = [real.key for real in service.reals] + ([service.fallback.key] if service.fallback else [])
    return any(_route(facts, row.address).way is Way.LOCAL for row in rows)


# --- ways to servers --------------------------------------------------------------------------------------------


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
    devices = {_route(facts, real.key.address).device for _, real in masked} - {""}
    closed = sorted(device for device in devices if number(facts, f"net/ipv4/conf/{device}/forwarding") == 0)
    for device in closed:
        key = f"net/ipv4/conf/{device}/forwarding"
        behind = [pair for pair in masked if _route(facts, pair[1].key.address).device == device]
        yield _not_forwarded(facts, key, behind)
    if not closed:
        yield fine("sysctl.forwarding", "net.ipv4.ip_forward is 1")


def _is_local(facts: Facts, real: RealServer) -> bool:
    return _route(facts, real.key.address).way is Way.LOCAL


def _direct(facts: Facts) -> Iterator[Finding]:
    """Direct routing only changes the frame's address, so nobody may stand between; every server needs some way."""
    for service, real in reals(facts, Forwarding.GATE, Forwarding.MASQ, Forwarding.IPIP):
        route = _route(facts, real.key.address)
        if route.way is Way.NONE:
            yield Finding(
                "network.route",
                Level.ERROR,
                f"there is no route to {real.key.address} ({service.name})",
                "neither clients nor probes reach the server",
                f"add one, or mend the address in {real.place}" if real.place.file else "add one, or mend the address",
            )
        elif route.way is Way.ROUTER and real.spec.forwarding is Forwarding.GATE:
            yield Finding(
                "network.route",
                Level.ERROR,
                f"{real.key.address} ({service.name}) is reached by the router {route.router}, with forward = gate",
                "direct routing needs the server on the same link; the router sends the packets back to this machine",
                "put the server on a link with the director, or use forward = ipip or masq",
            )


def _filters(facts: Facts) -> Iterator[Finding]:
    """rp_filter of an interface counts as the larger of its own and that of `all`; 1 wants the way back to be the same.

    With direct routing and tunnels the answers do not come back this way, so nothing else makes the two ways one.
    """
    direct = reals(facts, Forwarding.GATE, Forwarding.IPIP, version=4)
    devices = sorted({held.device for held in facts.network.held if held.address.version == 4} - {"lo"})
    everywhere = number(facts, "net/ipv4/conf/all/rp_filter")
    if not direct or everywhere is None or len(devices) < 2:
        return
    for device in devices:
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
        route = _route(facts, real.key.address)
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
    near = Counter(a.version for a in addresses if _route(facts, a).way is Way.LINK)
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
