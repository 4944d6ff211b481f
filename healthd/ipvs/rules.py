"""What makes an operation unacceptable whatever the table holds, and what to tell people when one was refused.

Pure. `fault` is asked before anything is packed, by both tables, so that a number out of range is a clear refusal of
its own row and never an error of `struct`. The kernel would refuse the same (net/netfilter/ipvs/ip_vs_ctl.c) or, worse,
take it with a meaning nobody intended.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from ipaddress import IPv4Address

from healthd.ipvs.uapi import MAX_NAME
from healthd.model import (
    MAX_WEIGHT,
    Address,
    DestKey,
    DestSpec,
    Encapsulation,
    Forwarding,
    FwmarkKey,
    ServiceKey,
    ServiceSpec,
    SyncDaemon,
    Timeouts,
    family_of,
)
from healthd.ops import (
    AddDest,
    AddService,
    DelDest,
    DelService,
    Op,
    SetDest,
    SetService,
    SetTimeouts,
    StartSync,
    StopSync,
)

MAX_U32 = 0xFFFFFFFF
# Seconds are multiplied by the tick rate (up to 1000) into a signed 32-bit number.
MAX_TIMEOUT = 0x7FFFFFFF // 1000
MAX_THRESHOLD = 0x7FFFFFFF
MAX_PORT = 65535
MAX_SYNC_ID = 255


@dataclass(frozen=True, slots=True)
class Fault:
    """Why an operation is refused: errno, and one clause with the reason."""

    code: int
    hint: str


def fault(op: Op) -> Fault | None:
    """The fault of an operation that no table can accept, or None."""
    match op:
        case AddService(service, spec) | SetService(service, spec):
            return key_fault(service) or _service_fault(service, spec)
        case DelService(service):
            return key_fault(service)
        case AddDest(service, dest, dest_spec) | SetDest(service, dest, dest_spec):
            return key_fault(service) or _port_fault(dest) or _dest_fault(service, dest, dest_spec)
        case DelDest(service, dest):
            return key_fault(service) or _port_fault(dest)
        case SetTimeouts(timeouts):
            return _timeouts_fault(timeouts)
        case StartSync(daemon):
            return _daemon_fault(daemon)
        case StopSync():
            return None


def _outside(what: str, value: int, low: int, high: int, code: int = errno.EINVAL) -> Fault | None:
    return None if low <= value <= high else Fault(code, f"{what} {value} is not in {low}..{high}")


def _name_fault(what: str, name: str) -> Fault | None:
    if name.isascii() and name.isprintable() and 0 < len(name) <= MAX_NAME and " " not in name:
        return None
    return Fault(errno.EINVAL, f"{what} {name!r} is not 1..{MAX_NAME} ASCII characters without a space")


def key_fault(key: ServiceKey) -> Fault | None:
    """The fault of a key that no service can have, or None."""
    if isinstance(key, FwmarkKey):
        return _outside("firewall mark", key.fwmark, 1, MAX_U32)
    return _outside("port", key.port, 0, MAX_PORT) or _zone_fault(key.address)


def _port_fault(key: DestKey) -> Fault | None:
    return _outside("port", key.port, 0, MAX_PORT) or _zone_fault(key.address)


def _zone_fault(address: Address) -> Fault | None:
    if isinstance(address, IPv4Address) or address.scope_id is None:
        return None
    return Fault(errno.EINVAL, f"an address with a zone (%{address.scope_id}) cannot be told to IPVS")


def _service_fault(key: ServiceKey, spec: ServiceSpec) -> Fault | None:
    wrong = _name_fault("scheduler", spec.scheduler)
    if wrong is None and spec.engine is not None:
        wrong = _name_fault("persistence engine", spec.engine)
    if wrong is None and spec.persistence is not None:
        wrong = _outside("persistence timeout", spec.persistence.timeout, 1, MAX_TIMEOUT)
        wrong = wrong or _prefix_fault(spec.persistence.prefix, key.family.max_prefix)
    return wrong


def _prefix_fault(prefix: int | None, longest: int) -> Fault | None:
    if prefix is None:
        return Fault(errno.EINVAL, "a netmask that is no prefix cannot be written")
    return _outside("prefix", prefix, 1, longest)


def _dest_fault(service: ServiceKey, dest: DestKey, spec: DestSpec) -> Fault | None:
    if 0 <= spec.weight <= MAX_WEIGHT and 0 == spec.upper == spec.lower:
        return _tunnel_fault(spec) or _family_fault(service, dest, spec)  # nearly all: saves a third of a plan's time
    return (
        _outside("weight", spec.weight, 0, MAX_WEIGHT, errno.ERANGE)
        or _outside("upper threshold", spec.upper, 0, MAX_THRESHOLD, errno.ERANGE)
        or _outside("lower threshold", spec.lower, 0, spec.upper, errno.ERANGE)
        or _tunnel_fault(spec)
        or _family_fault(service, dest, spec)
    )


def _tunnel_fault(spec: DestSpec) -> Fault | None:
    if spec.forwarding is Forwarding.IPIP and spec.tunnel.encapsulation is Encapsulation.GUE:
        return _outside("GUE port", spec.tunnel.port, 1, MAX_PORT)
    return None


def _family_fault(service: ServiceKey, dest: DestKey, spec: DestSpec) -> Fault | None:
    if family_of(dest.address) is service.family or spec.forwarding is Forwarding.IPIP:
        return None
    return Fault(errno.EINVAL, "a destination of the other IP version needs forwarding by ipip")


def _timeouts_fault(timeouts: Timeouts) -> Fault | None:
    pairs = (("tcp timeout", timeouts.tcp), ("tcp_fin timeout", timeouts.tcp_fin), ("udp timeout", timeouts.udp))
    wrong = (_outside(what, value, 1, MAX_TIMEOUT) for what, value in pairs if value is not None)
    return next((each for each in wrong if each), None)


def _daemon_fault(daemon: SyncDaemon) -> Fault | None:
    return (
        _name_fault("interface", daemon.interface)
        or _outside("sync id", daemon.sync_id, 0, MAX_SYNC_ID)
        or _outside("maximum length", daemon.max_length, 0, 65535)
        or _outside("port", daemon.port, 0, MAX_PORT)
        or _outside("ttl", daemon.ttl, 0, 255)
        or _group_fault(daemon.group)
    )


def _group_fault(group: Address | None) -> Fault | None:
    if group is None or group.is_multicast:
        return None
    return Fault(errno.EINVAL, f"{group} is not a multicast address")


def hint(op: Op, code: int) -> str:
    """What to do about the kernel's refusal of an operation, or why it refused; empty where errno says it all."""
    match op, code:
        case ((AddService(_, spec) | SetService(_, spec)), errno.ENOENT):
            modules = " and ".join(["ip_vs_" + spec.scheduler] + ([f"ip_vs_pe_{spec.engine}"] if spec.engine else []))
            return f"unknown scheduler or persistence engine: try modprobe {modules}"
        case ((DelService() | SetService()), errno.ESRCH):
            return "no such service"
        case ((AddDest() | SetDest() | DelDest()), errno.ESRCH):
            return "no such service"
        case ((SetDest() | DelDest()), errno.ENOENT):
            return "no such destination"
        case AddDest(service, dest), errno.EINVAL:
            return _refused_address(service, dest)
        case StartSync(daemon), errno.ENODEV:
            return f"no interface {daemon.interface}"
        case StartSync(daemon), errno.EEXIST:
            return f"a {daemon.state.name.lower()} daemon runs already"
        case StartSync(daemon), errno.ENETUNREACH:
            return f"{daemon.interface} has no address or route for the multicast group"
        case StartSync(), errno.EINVAL:
            return "synchronisation cannot run beside destinations of the other IP version"
        case StopSync(state), errno.ESRCH:
            return f"no {state.name.lower()} daemon runs"
        case _, errno.EINTR:
            return "the kernel was interrupted and did nothing"
        case _:
            return ""


def _refused_address(service: ServiceKey, dest: DestKey) -> str:
    if family_of(dest.address) is not service.family:
        return "destinations of the other IP version cannot be added while a synchronisation daemon runs"
    return f"{dest.address} is not a unicast address here; in a new network namespace, is lo up?"
