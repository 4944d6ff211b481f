"""The identity of a virtual service and what the kernel is to know of it."""

from __future__ import annotations

from collections.abc import Mapping

from healthd.config.decode import Report, keys_of, missing
from healthd.config.problems import nearest
from healthd.config.tables import PersistentTable, ServiceTable
from healthd.model import AddressKey, Family, FwmarkKey, Persistence, Protocol, SchedulerFlag, ServiceKey, ServiceSpec

SCHEDULERS = ("rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "mh", "sed", "nq", "fo", "ovf", "twos")
FLAGS: Mapping[str, SchedulerFlag] = {
    "sh-fallback": SchedulerFlag.SCHED1,
    "sh-port": SchedulerFlag.SCHED2,
    "mh-fallback": SchedulerFlag.SCHED1,
    "mh-port": SchedulerFlag.SCHED2,
    "flag-1": SchedulerFlag.SCHED1,
    "flag-2": SchedulerFlag.SCHED2,
    "flag-3": SchedulerFlag.SCHED3,
}


def read_key(table: ServiceTable, report: Report) -> ServiceKey | None:
    """The key of a service, or None once it is reported why it has none."""
    at, own = table.layer.at, table.layer.values.keys() - table.layer.origins.keys()
    if table.layer.bad & {"virtual", "fwmark", "family", "protocol"}:
        return None
    if table.virtual is not None and table.fwmark is not None:
        report.error(at / "fwmark", "fwmark: a service is known by its address or by a firewall mark, not by both")
        return None
    if table.virtual is not None:
        if "family" in own:
            report.error(at / "family", "family: only for a firewall mark; an address tells its own", on_key=True)
        return AddressKey(table.protocol, table.virtual.address, table.virtual.port or 0)
    if table.fwmark is None:
        missing("virtual", keys_of(ServiceTable)["virtual"].kind, at, report, "or key 'fwmark'")
        return None
    if "protocol" in own:
        report.error(
            at / "protocol", "protocol: only for a virtual address; a firewall mark is of every protocol", on_key=True
        )
    return FwmarkKey(table.family, table.fwmark)


def name_of(key: ServiceKey) -> str:
    """The name of a service that was given none."""
    if isinstance(key, AddressKey):
        return str(key)
    return f"fwmark-{key.fwmark}" + ("-ipv6" if key.family is Family.IPV6 else "")


def family_of(table: ServiceTable) -> Family | None:
    """Family of a service as far as its table tells."""
    if table.virtual is not None:
        return Family.IPV4 if table.virtual.address.version == 4 else Family.IPV6
    return table.family if table.fwmark is not None and "family" not in table.layer.bad else None


def read_spec(table: ServiceTable, report: Report) -> ServiceSpec:
    """What the kernel is to know of a service, with its rules."""
    where, bad = table.layer.where, table.layer.bad
    if table.scheduler not in SCHEDULERS:
        meant = nearest(table.scheduler, SCHEDULERS)
        hint = f"; did you mean '{meant}'?" if meant else ""
        text = f"scheduler: '{table.scheduler}' is not one that healthd knows; the kernel may{hint}"
        report.warning(
            where("scheduler"), text, found=table.scheduler, expected=", ".join(SCHEDULERS), suggestion=meant
        )
    if table.virtual is not None and table.virtual.port == 0 and table.persistent is None and "persistent" not in bad:
        report.error(where("virtual"), "virtual: port 0 stands for every port and needs key 'persistent'")
    if table.one_packet and table.virtual is not None and table.protocol is not Protocol.UDP and "protocol" not in bad:
        report.error(where("one_packet"), f"one_packet: only for UDP, this service is {table.protocol.name}")
    _check_engine(table, report)
    flags = _flags(table, report)
    persistence = _persistence(table.persistent, family_of(table), report) if table.persistent else None
    engine = table.persistent.engine if table.persistent else None
    return ServiceSpec(table.scheduler, flags, persistence, table.one_packet, engine)


def _check_engine(table: ServiceTable, report: Report) -> None:
    """The SIP engine refuses every packet that is not UDP (net/netfilter/ipvs/ip_vs_pe_sip.c), so none is scheduled."""
    known = table.virtual is not None and "protocol" not in table.layer.bad
    if known and table.protocol is not Protocol.UDP and table.persistent and table.persistent.engine == "sip":
        text = f"engine: sip is only for UDP, this service is {table.protocol.name}"
        report.error(table.persistent.layer.where("engine"), text)


def _flags(table: ServiceTable, report: Report) -> SchedulerFlag:
    flags = SchedulerFlag.NONE
    for index, name in enumerate(table.scheduler_flags):
        scheduler = name.partition("-")[0]
        if scheduler not in ("flag", table.scheduler) and "scheduler" not in table.layer.bad:
            text = f"scheduler_flags: {name} belongs to scheduler {scheduler}, this service has {table.scheduler}"
            report.error(table.layer.where("scheduler_flags") / index, text)
        flags |= FLAGS[name]
    return flags


def _persistence(table: PersistentTable, family: Family | None, report: Report) -> Persistence:
    name = "netmask" if table.netmask is not None else "prefix"
    of, length = table.netmask or table.prefix or (None, 0)
    most = family.max_prefix if family else 128
    if length > most or (of is not None and family not in (None, of)):
        text = f"{name}: it is not one of {'IPv4' if most == 32 else 'IPv6'}, the service's family"
        report.error(table.layer.where(name), text, expected=f"a prefix of 1 to {most} bits")
    return Persistence(table.timeout, length or most)
