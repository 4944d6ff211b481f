"""Operations on an IPVS table as values.

A plan is a sequence of these. Each holds everything the kernel needs, so applying one never looks anything up.
"""

from __future__ import annotations

from dataclasses import dataclass

from healthd.model import (
    Checksum,
    DestKey,
    DestSpec,
    ServiceKey,
    ServiceSpec,
    SyncDaemon,
    SyncState,
    Timeouts,
    Tunnel,
)


@dataclass(frozen=True, slots=True)
class AddService:
    """Create a service. EEXIST if it is there."""

    service: ServiceKey
    spec: ServiceSpec


@dataclass(frozen=True, slots=True)
class SetService:
    """Change a service. ESRCH if it is not there."""

    service: ServiceKey
    spec: ServiceSpec


@dataclass(frozen=True, slots=True)
class DelService:
    """Delete a service with its destinations. ESRCH if it is not there."""

    service: ServiceKey


@dataclass(frozen=True, slots=True)
class AddDest:
    """Create a destination. EEXIST if it is there, ESRCH if the service is not."""

    service: ServiceKey
    dest: DestKey
    spec: DestSpec


@dataclass(frozen=True, slots=True)
class SetDest:
    """Change a destination. ENOENT if it is not there, ESRCH if the service is not."""

    service: ServiceKey
    dest: DestKey
    spec: DestSpec


@dataclass(frozen=True, slots=True)
class DelDest:
    """Delete a destination. ENOENT if it is not there, ESRCH if the service is not."""

    service: ServiceKey
    dest: DestKey


@dataclass(frozen=True, slots=True)
class SetTimeouts:
    """Change the table's timeouts; None leaves one as it is."""

    timeouts: Timeouts


@dataclass(frozen=True, slots=True)
class StartSync:
    """Start a synchronisation daemon. EEXIST if one of that state runs."""

    daemon: SyncDaemon


@dataclass(frozen=True, slots=True)
class StopSync:
    """Stop the synchronisation daemon of a state. ESRCH if none runs."""

    state: SyncState


ServiceOp = AddService | SetService | DelService
DestOp = AddDest | SetDest | DelDest
RowOp = ServiceOp | DestOp
GlobalOp = SetTimeouts | StartSync | StopSync
Op = RowOp | GlobalOp


def describe(op: Op) -> str:
    """One line for people: what the operation does, to which row."""
    match op:
        case AddService(service, spec):
            return f"add service {service} {describe_spec(spec)}"
        case SetService(service, spec):
            return f"set service {service} {describe_spec(spec)}"
        case DelService(service):
            return f"delete service {service}"
        case AddDest(service, dest, spec):
            return f"add {dest} to {service} {describe_spec(spec)}"
        case SetDest(service, dest, spec):
            return f"set {dest} of {service} {describe_spec(spec)}"
        case DelDest(service, dest):
            return f"delete {dest} from {service}"
        case SetTimeouts(t):
            return f"set timeouts tcp={t.tcp} tcp_fin={t.tcp_fin} udp={t.udp}"
        case StartSync(daemon):
            return f"start {daemon.state.name.lower()} sync daemon on {daemon.interface}"
        case StopSync(state):
            return f"stop {state.name.lower()} sync daemon"


def describe_spec(spec: ServiceSpec | DestSpec) -> str:
    """The attributes of a row in one line, leaving out what has its default."""
    return " ".join(f"{name}={value}" for name, value in attributes(spec).items())


def difference(old: ServiceSpec | DestSpec, new: ServiceSpec | DestSpec) -> str:
    """The attributes that differ between two rows of one kind, old value and new: weight 5 -> 10."""
    was, now = attributes(old), attributes(new)
    differing = [name for name in was | now if was.get(name) != now.get(name)]
    return ", ".join(f"{name} {was.get(name, 'none')} -> {now.get(name, 'none')}" for name in differing)


def attributes(spec: ServiceSpec | DestSpec) -> dict[str, str]:
    """The attributes of a row by name, as text, leaving out what has its default."""
    return _of_service(spec) if isinstance(spec, ServiceSpec) else _of_dest(spec)


def _of_service(spec: ServiceSpec) -> dict[str, str]:
    found = {"scheduler": spec.scheduler}
    if spec.flags:
        found["flags"] = str(spec.flags.name).lower()
    if spec.persistence:
        found["persistent"] = f"{spec.persistence.timeout}s/{spec.persistence.prefix}"
    if spec.one_packet:
        found["one-packet"] = "yes"
    if spec.engine:
        found["engine"] = spec.engine
    return found


def _of_dest(spec: DestSpec) -> dict[str, str]:
    found = {"forward": spec.forwarding.name.lower(), "weight": str(spec.weight)}
    if spec.upper or spec.lower:
        found["thresholds"] = f"{spec.lower}..{spec.upper}"
    if spec.tunnel != Tunnel():
        found["tunnel"] = f"{spec.tunnel.encapsulation.name.lower()}:{spec.tunnel.port}"
    if spec.tunnel.checksum is not Checksum.NONE:
        found["checksum"] = spec.tunnel.checksum.name.lower()
    return found
