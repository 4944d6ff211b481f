"""Operations on an IPVS table as values.

A plan is a sequence of these. Each holds everything the kernel needs, so applying one never looks anything up.
"""

from __future__ import annotations

from dataclasses import dataclass

from healthd.model import DestKey, DestSpec, ServiceKey, ServiceSpec, SyncDaemon, SyncState, Timeouts


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
            return f"add service {service} {describe_service(spec)}"
        case SetService(service, spec):
            return f"set service {service} {describe_service(spec)}"
        case DelService(service):
            return f"delete service {service}"
        case AddDest(service, dest, spec):
            return f"add {dest} to {service} {describe_dest(spec)}"
        case SetDest(service, dest, spec):
            return f"set {dest} of {service} {describe_dest(spec)}"
        case DelDest(service, dest):
            return f"delete {dest} from {service}"
        case SetTimeouts(t):
            return f"set timeouts tcp={t.tcp} tcp_fin={t.tcp_fin} udp={t.udp}"
        case StartSync(daemon):
            return f"start {daemon.state.name.lower()} sync daemon on {daemon.interface}"
        case StopSync(state):
            return f"stop {state.name.lower()} sync daemon"


def describe_service(spec: ServiceSpec) -> str:
    """The attributes of a service, leaving out what has its default."""
    words = [f"scheduler={spec.scheduler}"]
    if spec.flags:
        words.append(f"flags={spec.flags!s}")
    if spec.persistence:
        words.append(f"persistent={spec.persistence.timeout}s/{spec.persistence.prefix}")
    if spec.one_packet:
        words.append("one-packet")
    if spec.engine:
        words.append(f"engine={spec.engine}")
    return " ".join(words)


def describe_dest(spec: DestSpec) -> str:
    """The attributes of a destination, leaving out what has its default."""
    words = [f"forward={spec.forwarding.name.lower()}", f"weight={spec.weight}"]
    if spec.upper or spec.lower:
        words.append(f"thresholds={spec.lower}..{spec.upper}")
    if spec.tunnel.port or spec.tunnel.encapsulation.value:
        words.append(f"tunnel={spec.tunnel.encapsulation.name.lower()}:{spec.tunnel.port}")
    return " ".join(words)
