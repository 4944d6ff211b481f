"""A table in memory with the kernel's rules: for tests, for `plan` without a kernel, and for the demonstration.

It refuses what the kernel refuses, with the same errno (net/netfilter/ipvs/ip_vs_ctl.c); one contract test suite runs
against both. It has no traffic, so its counters are zero.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address

from healthd.ipvs.base import RowRefused, ServiceCounters, Snapshot, TableUnavailable
from healthd.ipvs.rules import fault, hint
from healthd.model import (
    Address,
    Connections,
    Counters,
    DestKey,
    DestSpec,
    Service,
    ServiceKey,
    ServiceSpec,
    SyncDaemon,
    SyncState,
    Table,
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

SCHEDULERS = frozenset(["rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "mh", "fo", "ovf"])
ENGINES = frozenset({"sip"})
KERNEL_TIMEOUTS = Timeouts(tcp=900, tcp_fin=120, udp=300)
# What the kernel fills in for a synchronisation daemon (ip_vs_sync.c); the length comes from the interface's MTU.
SYNC_GROUP, SYNC_PORT, SYNC_TTL, SYNC_LENGTH = IPv4Address("224.0.0.81"), 8848, 1, 1472


@dataclass(slots=True)
class _Rows:
    """One service as the memory holds it."""

    spec: ServiceSpec
    dests: dict[DestKey, DestSpec] = field(default_factory=dict)


class MemoryTable:
    """`healthd.ipvs.base.IpvsTable` in memory.

    services: what is there at first. refuse: asked before each operation, the errno to refuse it with (0: none).
    interfaces: what synchronisation daemons may run on. unavailable: while not empty, every call raises
    TableUnavailable with this text; may be set at any time. writes: all operations done so far, in order, without
    those of a stranger.
    """

    def __init__(
        self,
        services: Table | None = None,
        *,
        refuse: Callable[[Op], int] = lambda op: 0,
        interfaces: Collection[str] = ("lo", "eth0"),
        unavailable: str = "",
    ) -> None:
        self.unavailable = unavailable
        self.writes: list[Op] = []
        self._refuse = refuse
        self._interfaces = frozenset(interfaces)
        self._services = {key: _Rows(each.spec, dict(each.dests)) for key, each in (services or {}).items()}
        self._timeouts = KERNEL_TIMEOUTS
        self._daemons: dict[SyncState, SyncDaemon] = {}

    async def snapshot(self, only: Collection[ServiceKey] | None = None, *, counters: bool = False) -> Snapshot:
        """Read the table (or the services in `only`; those that do not exist are not in the answer)."""
        self._require()
        wanted = self._services if only is None else [key for key in only if key in self._services]
        services = {
            key: Service(self._services[key].spec, dict(self._services[key].dests))
            for key in sorted(wanted, key=lambda each: each.rank)
        }
        daemons = tuple(self._daemons[state] for state in SyncState if state in self._daemons)
        return Snapshot(services, self._timeouts, daemons, _zero(services) if counters else {})

    async def apply(self, ops: Sequence[Op]) -> list[RowRefused | None]:
        """Do all operations in order; one answer each, None for done."""
        self._require()
        return [self._one(op) for op in ops]

    async def close(self) -> None:
        """Nothing to release."""

    def edit(self, *ops: Op) -> None:
        """Do operations as somebody else would: not asked about, not recorded. Raises RowRefused."""
        for op in ops:
            code = self._do(op)
            if code:
                raise RowRefused(op, code, hint(op, code))

    def _require(self) -> None:
        if self.unavailable:
            raise TableUnavailable(self.unavailable)

    def _one(self, op: Op) -> RowRefused | None:
        wrong = fault(op)
        if wrong is not None:
            return RowRefused(op, wrong.code, wrong.hint)
        code = self._refuse(op) or self._do(op)
        if code:
            return RowRefused(op, code, hint(op, code))
        self.writes.append(op)
        return None

    def _do(self, op: Op) -> int:
        match op:
            case AddService() | SetService() | DelService():
                return self._service(op)
            case AddDest() | SetDest() | DelDest():
                return self._dest(op)
            case SetTimeouts(timeouts):
                self._timeouts = _merged(self._timeouts, timeouts)
                return 0
            case StartSync(daemon):
                return self._start(daemon)
            case StopSync(state):
                return 0 if self._daemons.pop(state, None) else errno.ESRCH

    def _service(self, op: AddService | SetService | DelService) -> int:
        there = self._services.get(op.service)
        if (there is None) is not isinstance(op, AddService):
            return errno.ESRCH if there is None else errno.EEXIST
        if isinstance(op, DelService):
            del self._services[op.service]
        elif op.spec.scheduler not in SCHEDULERS or op.spec.engine not in ENGINES | {None}:
            return errno.ENOENT
        elif there is None:
            self._services[op.service] = _Rows(op.spec)
        else:
            there.spec = op.spec
        return 0

    def _dest(self, op: AddDest | SetDest | DelDest) -> int:
        service = self._services.get(op.service)
        if service is None:
            return errno.ESRCH
        if isinstance(op, DelDest):
            return 0 if service.dests.pop(op.dest, None) else errno.ENOENT
        if family_of(op.dest.address) is not op.service.family and self._daemons:
            return errno.EINVAL
        adding = isinstance(op, AddDest)
        if adding is (op.dest in service.dests):
            return errno.EEXIST if adding else errno.ENOENT
        if adding and not _is_unicast(op.dest.address):
            return errno.EINVAL
        service.dests[op.dest] = op.spec
        return 0

    def _start(self, daemon: SyncDaemon) -> int:
        if daemon.interface not in self._interfaces:
            return errno.ENODEV
        if self._has_mixed_families():
            return errno.EINVAL
        if daemon.state in self._daemons:
            return errno.EEXIST
        self._daemons[daemon.state] = replace(
            daemon,
            max_length=daemon.max_length or SYNC_LENGTH,
            group=daemon.group or SYNC_GROUP,
            port=daemon.port or SYNC_PORT,
            ttl=daemon.ttl or SYNC_TTL,
        )
        return 0

    def _has_mixed_families(self) -> bool:
        return any(
            family_of(dest.address) is not key.family for key, each in self._services.items() for dest in each.dests
        )


def _merged(old: Timeouts, new: Timeouts) -> Timeouts:
    pairs = ((new.tcp, old.tcp), (new.tcp_fin, old.tcp_fin), (new.udp, old.udp))
    return Timeouts(*(before if after is None else after for after, before in pairs))


def _is_unicast(address: Address) -> bool:
    """Whether the kernel takes an address for a destination; a broadcast address depends on the machine's routes."""
    if address.is_multicast or address.is_unspecified or address == IPv4Address("255.255.255.255"):
        return False
    return isinstance(address, IPv4Address) or not address.is_link_local


def _zero(services: Mapping[ServiceKey, Service]) -> dict[ServiceKey, ServiceCounters]:
    return {
        key: ServiceCounters(Counters(), dict.fromkeys(service.dests, Connections()))
        for key, service in services.items()
    }
