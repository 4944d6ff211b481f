"""Judging virtual addresses: are they here, are packets marked, does a local process want the same port. Pure.

IPVS works in the LOCAL_IN hook (net/netfilter/ipvs/ip_vs_core.c): it sees what is routed to this machine itself.
"""

from __future__ import annotations

from collections.abc import Iterator

from healthd.config.schema import ServiceConfig
from healthd.doctor.facts import Facts, Listener, Way
from healthd.doctor.findings import MOST_NAMED, Finding, Level, fine, inside, named, route_to
from healthd.model import Address, AddressKey, FwmarkKey

MOVERS = frozenset(("keepalived", "ucarp", "vrrpd", "pacemakerd", "corosync", "heartbeat"))
"""Programs that give addresses to one of several machines."""


def judge(facts: Facts) -> Iterator[Finding]:
    """Everything about virtual services; nothing if the namespace of the table could not be entered."""
    if facts.namespace_error:
        return
    yield from _addresses(facts)
    yield from _marks(facts)
    yield from _bound(facts)


def _addresses(facts: Facts) -> Iterator[Finding]:
    wanted = dict.fromkeys(s.key.address for s in facts.config.services if isinstance(s.key, AddressKey))
    taken = [held.address for held in facts.network.held if held.duplicate and held.address in wanted]
    absent = [address for address in wanted if address not in taken and route_to(facts, address).way is not Way.LOCAL]
    if taken:
        yield Finding(
            "network.virtual",
            Level.ERROR,
            f"not used, as somebody else on the network has it: {_with_services(facts, taken)}",
            "packets to such an address go to the other machine",
            "find who answers for it (ndisc6, or the switch), then take the address away and add it again",
        )
    if absent:
        yield _absent(facts, absent)
    elif wanted and not taken:
        yield fine("network.virtual", f"virtual addresses are on this machine: {named([str(a) for a in wanted])}")


def _with_services(facts: Facts, addresses: list[Address]) -> str:
    """Addresses for people, each with its services: 192.0.2.80 (www, shop)."""
    names: dict[Address, list[str]] = {address: [] for address in addresses}
    for service in facts.config.services:
        if isinstance(service.key, AddressKey) and service.key.address in names:
            names[service.key.address].append(service.name)
    return named([f"{address} ({named(services)})" for address, services in names.items()])


def _absent(facts: Facts, addresses: list[Address]) -> Finding:
    movers = [program.name for program in facts.programs if program.name in MOVERS]
    seen = f"not on this machine: virtual address {_with_services(facts, addresses)}"
    if movers:
        why = f"right on the standby, as {named(movers)} moves addresses; on the active director clients get no answer"
        return Finding("network.virtual", Level.WARNING, seen, why, f"look at the state of {movers[0]}")
    adding = [f"ip address add {address}/{address.max_prefixlen} dev DEVICE" for address in addresses[:MOST_NAMED]]
    return Finding(
        "network.virtual",
        Level.ERROR,
        seen,
        "IPVS only sees packets to an address that is local here, so its clients get no answer",
        "; ".join(inside(facts, line) for line in adding) + "   (DEVICE: the interface towards the clients)",
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
    wanted = [service for service in facts.config.services if _is_bound(facts, service)]
    if wanted:
        yield Finding(
            "network.bound",
            Level.HINT,
            f"a process of this machine listens on a virtual port as well: {named([str(s.key) for s in wanted])}",
            "IPVS takes the packets first: from outside nobody reaches that process by this address",
            "bind it to another address, unless it is there for the time without healthd",
        )


def _is_bound(facts: Facts, service: ServiceConfig) -> bool:
    key = service.key
    if not isinstance(key, AddressKey) or not key.port or _serves_itself(facts, service):
        return False
    sockets = {Listener(key.protocol, address, key.port) for address in (key.address, None)}
    return bool(sockets & facts.network.listening)


def _serves_itself(facts: Facts, service: ServiceConfig) -> bool:
    rows = [real.key for real in service.reals] + ([service.fallback.key] if service.fallback else [])
    return any(route_to(facts, row.address).way is Way.LOCAL for row in rows)
