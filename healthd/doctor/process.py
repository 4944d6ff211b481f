"""Judging rights, limits, room on disks, the clock, and other programs of the same trade. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil

from healthd.config.schema import CheckPlan
from healthd.doctor.facts import Facts, Program, Rights, Room
from healthd.doctor.findings import Finding, Level, fine, number, set_sysctl
from healthd.privileges import Capability, marks_need_admin

FILES_BESIDES = 128
"""Files that a prober has open besides one for each probe: libraries, shared sockets, its seam."""
NEARLY = 0.8
LITTLE_ROOM, LITTLE_SHARE = 64 << 20, 0.01
LIFE_OF_ENTRY = 30.0
"""Seconds that connection tracking remembers a probe, at most: UDP and ICMP; a TCP connection that was reset has 10."""
STEP = 60.0


def judge(facts: Facts) -> Iterator[Finding]:
    """Everything about processes and their surroundings."""
    for one in (_rights, _files, _open_files, _ports, _tracking, _rooms, _clock, _programs):
        yield from one(facts)


def _plans(facts: Facts) -> set[CheckPlan]:
    """The distinct questions of the configuration."""
    return {plan for service in facts.config.services for real in service.reals for plan in real.checks}


# --- rights -----------------------------------------------------------------------------------------------------


def _rights(facts: Facts) -> Iterator[Finding]:
    needed = _needed(facts)
    for rights in facts.rights:
        missing = {capability: why for capability, why in needed.items() if capability not in rights.capabilities}
        for capability, why in missing.items():
            yield Finding(
                "rights.capability",
                Level.ERROR if capability is not Capability.NET_RAW else Level.WARNING,
                f"{rights.who} lacks CAP_{capability.name}",
                why,
                f"add CAP_{capability.name} to AmbientCapabilities= and CapabilityBoundingSet= of the unit",
            )
        if _entered(facts) and not rights.enters:
            yield _shut_in(rights)
        elif not missing:
            yield fine("rights.capability", f"{rights.who} may do all that is needed")


def _needed(facts: Facts) -> dict[Capability, str]:
    """What the daemon must be able to do for this configuration, and what for; see `healthd.privileges`."""
    targets = [plan.target for plan in _plans(facts)]
    needed = {
        Capability.NET_ADMIN: "it cannot write the kernel's table",
        Capability.NET_RAW: "it cannot ping; such checks are inconclusive, and their servers stay as they are",
    }
    if any(target.mark is not None for target in targets) and not marks_need_admin(facts.kernel.release):
        needed[Capability.NET_RAW] = "it cannot mark the packets of probes; such checks are inconclusive"
    if _entered(facts):
        needed[Capability.SYS_ADMIN] = "it cannot enter the network namespaces of the configuration"
    if facts.config.settings.runner.user is not None:
        needed |= dict.fromkeys((Capability.SETUID, Capability.SETGID), "it cannot run scripts as another user")
    return needed


def _entered(facts: Facts) -> bool:
    return facts.config.settings.table.netns is not None or any(plan.target.netns for plan in _plans(facts))


def _shut_in(rights: Rights) -> Finding:
    return Finding(
        "rights.namespaces",
        Level.ERROR,
        f"{rights.who} has RestrictNamespaces=yes, and the configuration names network namespaces",
        "it cannot enter them",
        "systemctl edit healthd: RestrictNamespaces=no",
    )


# --- limits -----------------------------------------------------------------------------------------------------


def _files(facts: Facts) -> Iterator[Finding]:
    prober = facts.config.settings.prober
    at_once = ceil(min(len(_plans(facts)), prober.in_flight) / prober.processes)
    for rights in facts.rights:
        if rights.files is None or not at_once:
            continue
        if rights.files < at_once + FILES_BESIDES:
            yield Finding(
                "limits.files",
                Level.WARNING,
                f"{rights.who} may have {rights.files} files open; {at_once} probes at once need more",
                "probes beyond that are inconclusive: servers stay as they are, dead or alive",
                f"LimitNOFILE={max(65536, 2 * at_once)} in the unit, or a lower in_flight in [prober]",
            )
        else:
            yield fine("limits.files", f"{rights.who} may have {rights.files} files open")


def _open_files(facts: Facts) -> Iterator[Finding]:
    for process in facts.open_files:
        if process.open > NEARLY * process.limit:
            yield Finding(
                "limits.open-files",
                Level.WARNING,
                f"{process.name} (process {process.pid}) has {process.open} of {process.limit} files open",
                "with none left, probes are inconclusive and nobody can ask for the status",
                "raise LimitNOFILE= in the unit and restart; if the number keeps growing, report it",
            )


def _ports(facts: Facts) -> Iterator[Finding]:
    """A local port serves many servers at once, but each server takes as many as it has probes under way."""
    key = "net/ipv4/ip_local_port_range"
    words = facts.sysctls.get(key, "").split()
    asked: dict[object, int] = {}
    for plan in _plans(facts):
        asked[plan.target] = asked.get(plan.target, 0) + 1
    most = max(asked.values(), default=0)
    if len(words) == 2 and int(words[1]) - int(words[0]) + 1 < 2 * most:
        yield Finding(
            "sysctl.ip_local_port_range",
            Level.WARNING,
            f"net.ipv4.ip_local_port_range is {words[0]} to {words[1]}, and one server has {most} probes",
            "probes without a free port are inconclusive",
            "",
            (set_sysctl(facts, key, '"32768 60999"'),),
        )


def _tracking(facts: Facts) -> Iterator[Finding]:
    """Each probe is a connection that is tracked (nf_conntrack-sysctl.rst: timeouts, nf_conntrack_max)."""
    most, now = (number(facts, f"net/netfilter/nf_conntrack_{what}") for what in ("max", "count"))
    if not most or not now:
        return
    rate = sum(1 / plan.cadence.interval for plan in _plans(facts))
    if now > NEARLY * most or rate * LIFE_OF_ENTRY > most / 2:
        yield Finding(
            "sysctl.nf_conntrack_max",
            Level.ERROR if now >= most else Level.WARNING,
            f"connection tracking has {now} of {most} entries, and {rate:.0f} probes a second make new ones",
            "when it is full, new connections of clients and probes are dropped",
            "or keep probes out of it: nft add rule inet TABLE OUTPUT meta skuid healthd notrack (priority raw)",
            (f"sysctl -w net.netfilter.nf_conntrack_max={max(4 * most, int(rate * LIFE_OF_ENTRY * 8))}",),
        )


def _rooms(facts: Facts) -> Iterator[Finding]:
    for room in facts.rooms:
        if room.read_only:
            seen, why = f"{room.path} is on a file system that is read-only", f"{room.what} cannot be written"
            do = "the kernel's log says whether an error of the disk made it so: dmesg"
            yield Finding("disk.writable", Level.ERROR, seen, why, do)
        elif room.free == 0 or room.inodes == 0:
            yield _short(room, Level.ERROR, "nothing")
        elif (room.free < LITTLE_ROOM and room.share < NEARLY) or min(room.share, room.inodes) < LITTLE_SHARE:
            yield _short(room, Level.WARNING, f"{room.free >> 20} MB")
        else:
            yield fine("disk.space", f"{room.path}: {room.free >> 20} MB free")


def _short(room: Room, level: Level, left: str) -> Finding:
    return Finding(
        "disk.space", level, f"{left} is free in {room.path}", f"{room.what} is lost when it is full", "make room"
    )


# --- surroundings -----------------------------------------------------------------------------------------------


def _clock(facts: Facts) -> Iterator[Finding]:
    """Probes go by the monotonic clock; certificates, logs and ends of overrides go by the time of day."""
    clock = facts.clock
    if clock.stepped is not None and abs(clock.stepped) > STEP:
        yield Finding(
            "clock.stepped",
            Level.WARNING,
            f"the time of day was set by {clock.stepped:+.0f} s since the daemon began",
            "probes are not disturbed, but times in the log, and certificates that were judged before, may be wrong",
            "find out who sets it; let an NTP service do it before healthd starts (After=time-sync.target)",
        )
    if clock.synchronised is False:
        yield Finding(
            "clock.synchronised",
            Level.HINT,
            "the kernel's clock is not synchronised",
            "certificates are judged by it, and logs of several machines cannot be laid side by side",
            "run an NTP service: systemd-timesyncd, chrony or ntpsec",
        )
    elif clock.synchronised:
        yield fine("clock.synchronised", "the clock is synchronised")


def _programs(facts: Facts) -> Iterator[Finding]:
    for program in facts.programs:
        match program.name:
            case "ldirectord":
                yield _ldirectord(facts, program)
            case "keepalived" if program.writes is not False:
                yield _keepalived(program)


def _ldirectord(facts: Facts, program: Program) -> Finding:
    same = program.file in facts.config.files
    return Finding(
        "others.ldirectord",
        Level.ERROR if same else Level.WARNING,
        f"ldirectord runs as process {program.pid}" + (f" with {program.file}" if program.file else ""),
        "both write the same rows, each against the other"
        if same
        else "if it has a service of ours, both write its rows",
        "stop it, and keep it from starting at boot: systemctl disable --now ldirectord",
    )


def _keepalived(program: Program) -> Finding:
    if program.writes is None:
        seen, level = "whose configuration could not be read", Level.HINT
    else:
        seen, level = f"and {program.file} has virtual_server blocks", Level.WARNING
    return Finding(
        "others.keepalived",
        level,
        f"keepalived runs as process {program.pid}, {seen}",
        "if one of them is a service of ours, both write its rows, each against the other",
        "take virtual_server out of its configuration and leave it vrrp_instance",
    )
