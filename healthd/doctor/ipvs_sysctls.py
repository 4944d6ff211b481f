"""Judging the settings of IPVS, net.ipv4.vs. Pure.

What each does is said in the kernel's Documentation/networking/ipvs-sysctl.rst; sloppy_tcp and the port reuse of old
kernels in net/netfilter/ipvs/ip_vs_ctl.c and ip_vs_core.c. Which value suits whom is also written beside the settings
of etc/sysctl.d/healthd.conf.
"""

from __future__ import annotations

from collections.abc import Iterator

from healthd.config.schema import OnFailure, ServiceConfig
from healthd.doctor.facts import Facts
from healthd.doctor.findings import Finding, Level, fine, named, number, reals, services_of, set_sysctl
from healthd.model import AddressKey, Forwarding, Protocol, SyncState

VS = "net/ipv4/vs"
BY_HASH = ("sh", "mh")
ALWAYS = 3
DEFENDING = 2
REUSE_MENDED = (5, 9)
"""Before this Linux, conn_reuse_mode 1 with connection tracking delayed a reused port by a second."""


def judge(facts: Facts) -> Iterator[Finding]:
    """Everything about settings of IPVS; nothing where there is no IPVS."""
    if not facts.kernel.version:
        return
    for one in (_nodest, _quiescent, _reuse, _conntrack, _nat_icmp, _sloppy, _defence, _backup):
        yield from one(facts)


def _vs(facts: Facts, name: str) -> int | None:
    return number(facts, f"{VS}/{name}")


def _set(facts: Facts, name: str, value: int) -> tuple[str, ...]:
    return (set_sysctl(facts, f"{VS}/{name}", value),)


def _nodest(facts: Facts) -> Iterator[Finding]:
    """Where rows are deleted: failed servers by on_failure = "remove", the fallback whenever it steps out."""
    removing = [service.name for service in facts.config.services if service.on_failure is OnFailure.REMOVE]
    stepping_out = [service.name for service in facts.config.services if service.fallback]
    value = _vs(facts, "expire_nodest_conn")
    if value is None or not removing + stepping_out:
        return
    if value:
        yield fine("sysctl.expire_nodest_conn", "connections to removed servers are ended at once")
        return
    whom = (
        f"failed servers ({named(removing)})" if removing else f"the fallback when it steps out ({named(stepping_out)})"
    )
    yield Finding(
        "sysctl.expire_nodest_conn",
        Level.WARNING if removing else Level.HINT,
        "net.ipv4.vs.expire_nodest_conn is 0",
        f"packets of connections to {whom} are dropped in silence for up to 15 minutes; with 1 the client is told",
        commands=_set(facts, "expire_nodest_conn", 1),
    )


def _quiescent(facts: Facts) -> Iterator[Finding]:
    sticky = [s.name for s in facts.config.services if s.spec.persistence and s.on_failure is OnFailure.QUIESCE]
    value = _vs(facts, "expire_quiescent_template")
    if value is None or not sticky:
        return
    if value:
        yield fine("sysctl.expire_quiescent_template", "persistent clients leave a server of weight 0")
        return
    yield Finding(
        "sysctl.expire_quiescent_template",
        Level.WARNING,
        f"net.ipv4.vs.expire_quiescent_template is 0; persistent services quiesce their servers: {named(sticky)}",
        "known clients are sent to a failed server for as long as they keep trying",
        'unless draining must wait for whole sessions (then use on_failure = "remove")',
        _set(facts, "expire_quiescent_template", 1),
    )


def _reuse(facts: Facts) -> Iterator[Finding]:
    mode, tracked = _vs(facts, "conn_reuse_mode"), _vs(facts, "conntrack")
    if mode is None or not facts.config.services:
        return
    slow = bool(tracked) and _linux(facts) < REUSE_MENDED
    if mode and slow:
        yield Finding(
            "sysctl.conn_reuse_mode",
            Level.WARNING,
            f"net.ipv4.vs.conn_reuse_mode is {mode} with conntrack = 1 on Linux {facts.kernel.release}",
            "before Linux 5.9 a client that reuses a port waits a second for its connection",
            "turn connection tracking off for IPVS if no firewall rule needs it, or take a newer kernel",
            _set(facts, "conntrack", 0),
        )
    elif not mode and not slow:
        yield Finding(
            "sysctl.conn_reuse_mode",
            Level.WARNING,
            "net.ipv4.vs.conn_reuse_mode is 0",
            "a client that reuses a port soon is sent to the server of old, also if that has weight 0 by now; "
            "some container platforms set it",
            commands=_set(facts, "conn_reuse_mode", 1),
        )
    else:
        yield fine("sysctl.conn_reuse_mode", f"reused ports: conn_reuse_mode {mode}")


def _linux(facts: Facts) -> tuple[int, ...]:
    """Major and minor number of the kernel; one that is written otherwise counts as new."""
    numbers = facts.kernel.release.split("-")[0].split(".")[:2]
    return tuple(map(int, numbers)) if all(map(str.isdecimal, numbers)) else REUSE_MENDED


def _conntrack(facts: Facts) -> Iterator[Finding]:
    masked = reals(facts, Forwarding.MASQ)
    firewall = facts.network.firewall
    if masked and firewall and firewall.stateful and _vs(facts, "conntrack") == 0:
        yield Finding(
            "sysctl.conntrack",
            Level.WARNING,
            "firewall rules look at the state of connections or translate addresses, and net.ipv4.vs.conntrack is 0",
            f"such rules take packets of masqueraded services ({services_of(masked)}) for invalid, and drop them "
            "wherever invalid packets are dropped",
            "unless these rules pass over the services' packets",
            _set(facts, "conntrack", 1),
        )


def _nat_icmp(facts: Facts) -> Iterator[Finding]:
    masked = reals(facts, Forwarding.MASQ)
    if masked and _vs(facts, "nat_icmp_send") == 0:
        yield Finding(
            "sysctl.nat_icmp_send",
            Level.HINT,
            "net.ipv4.vs.nat_icmp_send is 0",
            "a masqueraded server is not told when its connection is known no more, and keeps it until a timeout",
            commands=_set(facts, "nat_icmp_send", 1),
        )


def _sloppy(facts: Facts) -> Iterator[Finding]:
    """Only of use where a second director takes over connections that it was not told of."""
    value = _vs(facts, "sloppy_tcp")
    hashed = [service.name for service in facts.config.services if _by_hash(service)]
    synchronised = bool(facts.config.settings.table.sync)
    if value and not hashed and not synchronised:
        yield Finding(
            "sysctl.sloppy_tcp",
            Level.HINT,
            "net.ipv4.vs.sloppy_tcp is 1, and no service of this configuration has the scheduler sh or mh",
            "stray packets make entries in the connection table, and another server may get them than before",
            commands=_set(facts, "sloppy_tcp", 0),
        )
    elif value == 0 and hashed and not synchronised and facts.programs:
        yield Finding(
            "sysctl.sloppy_tcp",
            Level.HINT,
            f"net.ipv4.vs.sloppy_tcp is 0 with services scheduled by a hash ({named(hashed)}), and this looks like one "
            f"of two directors ({named([program.name for program in facts.programs])})",
            "after a failover established connections end, although the other director would choose the same server",
            commands=_set(facts, "sloppy_tcp", 1),
        )


def _by_hash(service: ServiceConfig) -> bool:
    tcp = not isinstance(service.key, AddressKey) or service.key.protocol is Protocol.TCP
    return tcp and service.spec.scheduler in BY_HASH


def _defence(facts: Facts) -> Iterator[Finding]:
    """3 always, 2 now because memory is short, 1 when memory is short (amemthresh, in pages), 0 never."""
    what = {"drop_entry": "connections that are being opened", "drop_packet": "packets of clients"}
    for name, lost in what.items():
        value = _vs(facts, name)
        if value == ALWAYS:
            seen, do = f"net.ipv4.vs.{name} is 3", _set(facts, name, 0)
            yield Finding(f"sysctl.{name}", Level.WARNING, seen, f"IPVS drops {lost} at random, always", commands=do)
        elif value == DEFENDING:
            seen = f"net.ipv4.vs.{name} went to 2 by itself: memory is short"
            do_so = "give the machine memory, or find what eats it; an attack with SYN packets looks the same"
            yield Finding(f"sysctl.{name}", Level.WARNING, seen, f"IPVS drops {lost} at random now", do_so)


def _backup(facts: Facts) -> Iterator[Finding]:
    backup = [daemon for daemon in facts.config.settings.table.sync if daemon.state is SyncState.BACKUP]
    master = [daemon for daemon in facts.config.settings.table.sync if daemon.state is SyncState.MASTER]
    direct = reals(facts, Forwarding.GATE, Forwarding.IPIP)
    value = _vs(facts, "backup_only")
    if value and backup and not master:
        yield Finding(
            "sysctl.backup_only",
            Level.HINT,
            "net.ipv4.vs.backup_only is 1 and only a backup synchronisation daemon is configured",
            "while it runs, this director passes nothing on, whoever has the virtual addresses",
            "right for the standby as long as something ends the backup daemon when it takes over",
        )
    elif value == 0 and backup and direct:
        yield Finding(
            "sysctl.backup_only",
            Level.HINT,
            "net.ipv4.vs.backup_only is 0 with a backup synchronisation daemon and direct routing or tunnels",
            "if both directors are real servers of each other, packets run in a circle between them",
            "set it to 1 in that case",
        )
