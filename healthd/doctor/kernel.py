"""Judging the kernel: is IPVS there, may it be asked, does it have the schedulers that services name. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from healthd.doctor.facts import Facts
from healthd.doctor.findings import Finding, Level, fine, named
from healthd.privileges import Capability

CROWDED = 4
"""Connections per row of the connection table from which looking one up begins to cost."""


def judge(facts: Facts) -> Iterator[Finding]:
    """Everything about the kernel."""
    if facts.namespace_error:
        yield Finding(
            "kernel.namespace",
            Level.ERROR,
            facts.namespace_error,
            "the table that [table] netns names cannot be kept, and nothing of its network could be looked at",
            "make the namespace before healthd starts, mend [table] netns, or ask as root",
        )
        return
    yield _ipvs(facts)
    if facts.kernel.table_error:
        yield _denied(facts)
    yield from _modules(facts)
    yield from _size(facts)


def _ipvs(facts: Facts) -> Finding:
    kernel = facts.kernel
    if kernel.version:
        return fine("kernel.ipvs", f"IPVS {kernel.version} on Linux {kernel.release}")
    if kernel.loadable is not None and "ip_vs" in kernel.loadable and not kernel.sealed:
        return Finding(
            "kernel.ipvs",
            Level.WARNING,
            "the module ip_vs is not loaded",
            "there is no table until it is; healthd run as root and healthd.service load it, a plain user cannot, and "
            "settings of net.ipv4.vs in /etc/sysctl.d are lost if it is loaded after them",
            "",
            ("modprobe ip_vs", "echo ip_vs > /etc/modules-load.d/ip_vs.conf"),
        )
    return Finding(
        "kernel.ipvs",
        Level.ERROR,
        f"this kernel, Linux {kernel.release}, has no IPVS, and {_why_not_loadable(facts)}",
        "there is no table to keep: healthd run exits with 69",
        "boot a kernel with CONFIG_IP_VS (Debian's, Ubuntu's and Red Hat's have it; some of small virtual machines do "
        "not); in a container, load ip_vs on the host. To try healthd without: healthd run --table memory",
    )


def _why_not_loadable(facts: Facts) -> str:
    if facts.kernel.loadable is None:
        return "no modules of it are installed"
    return "no module may be loaded any more" if facts.kernel.sealed else "no such module is installed for it"


def _denied(facts: Facts) -> Finding:
    asked_by_nobody = Capability.NET_ADMIN not in facts.us.capabilities
    return Finding(
        "kernel.table",
        Level.HINT if asked_by_nobody else Level.ERROR,
        facts.kernel.table_error,
        "what is in the kernel's table was not looked at" if asked_by_nobody else "the daemon cannot keep it either",
        "ask as root" if asked_by_nobody else "in a container: it must run in the host's user namespace",
    )


def _modules(facts: Facts) -> Iterator[Finding]:
    """The kernel loads ip_vs_NAME by itself when a service names a scheduler, if it may (ip_vs_sched.c, ip_vs_pe.c)."""
    kernel = facts.kernel
    if kernel.loadable is None:
        return
    there = kernel.loaded if kernel.sealed else kernel.loaded | kernel.loadable
    for module, users in sorted(_needed(facts).items()):
        if module in there:
            yield fine("kernel.modules", f"{module} is there")
        elif "ip_vs" in there:
            yield Finding(
                "kernel.modules",
                Level.ERROR,
                f"the module {module} {'is not loaded' if kernel.sealed else 'is not installed'}; it is for {users}",
                "the kernel refuses the service: No such file or directory",
                "take another scheduler, boot with it loaded, or install the kernel's package with all modules",
            )


def _needed(facts: Facts) -> dict[str, str]:
    """Modules that services need, with the names of these services."""
    needed: dict[str, list[str]] = {}
    for service in facts.config.services:
        needed.setdefault(f"ip_vs_{service.spec.scheduler}", []).append(service.name)
        if service.spec.engine:
            needed.setdefault(f"ip_vs_pe_{service.spec.engine}", []).append(service.name)
    return {module: named(names) for module, names in needed.items()}


def _size(facts: Facts) -> Iterator[Finding]:
    """Module parameter conn_tab_bits (net/netfilter/ipvs/Kconfig, IP_VS_TAB_BITS): the table does not grow."""
    kernel = facts.kernel
    if kernel.size and kernel.connections > CROWDED * kernel.size:
        bits = min(20, (kernel.connections - 1).bit_length())
        yield Finding(
            "kernel.connection-table",
            Level.HINT,
            f"{kernel.connections} connections in a connection table of {kernel.size} rows",
            f"each packet looks through about {kernel.connections // kernel.size} entries to find its own",
            "load ip_vs anew, at a quiet time: it ends all connections",
            (f"echo options ip_vs conn_tab_bits={bits} > /etc/modprobe.d/ip_vs.conf",),
        )
