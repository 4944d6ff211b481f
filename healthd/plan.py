"""Wanted and actual table -> ordered operations. Pure.

The invariant: applying any prefix of a plan leaves a service a usable destination (weight above 0) if it has one both
before and after. So within a service everything that grows comes first (the service itself, new rows, raised weights),
then what shrinks (lowered weights, deleted rows); services are deleted last of all.

A plan has two stages for the same reason. Rows are sent to the kernel in one go, where one refused row does not stop
the next; so all that grows, of every service, is sent and answered before anything shrinks, and a service whose growth
was refused is not shrunk on the strength of it.

Only services named in `wanted` are looked at: what is not ours is invisible by construction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from healthd.model import DestKey, DestSpec, Service, ServiceKey, SyncDaemon, Table, Timeouts
from healthd.ops import (
    AddDest,
    AddService,
    DelDest,
    DelService,
    GlobalOp,
    RowOp,
    SetDest,
    SetService,
    SetTimeouts,
    StartSync,
    StopSync,
)


@dataclass(frozen=True, slots=True)
class Plan:
    """Operations in order: all of `grow`, then all of `shrink`."""

    grow: tuple[RowOp, ...] = ()
    shrink: tuple[RowOp, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.grow or self.shrink)

    @property
    def ops(self) -> tuple[RowOp, ...]:
        """All operations in their order."""
        return self.grow + self.shrink


def plan(wanted: Mapping[ServiceKey, Service | None], actual: Table) -> Plan:
    """Operations that make `actual` into `wanted`. None: a service of ours that should not be there."""
    keys = sorted(wanted, key=lambda key: key.rank)
    plans = [plan_service(key, wanted[key], actual.get(key)) for key in keys]
    shrink = [op for one in plans for op in one.shrink]
    shrink.sort(key=lambda op: isinstance(op, DelService))
    return Plan(tuple(op for one in plans for op in one.grow), tuple(shrink))


def plan_service(key: ServiceKey, want: Service | None, have: Service | None) -> Plan:
    """Operations for one service."""
    if want is None:
        return Plan() if have is None else Plan(shrink=(DelService(key),))
    head: list[RowOp] = []
    if have is None:
        head.append(AddService(key, want.spec))
    elif have.spec != want.spec:
        head.append(SetService(key, want.spec))
    grow, shrink = _plan_dests(key, want.dests, have.dests if have else {})
    return Plan(tuple(head + grow), tuple(shrink))


def _plan_dests(
    key: ServiceKey, want: Mapping[DestKey, DestSpec], have: Mapping[DestKey, DestSpec]
) -> tuple[list[RowOp], list[RowOp]]:
    grow: list[RowOp] = []
    shrink: list[RowOp] = []
    for dest in _in_order(dest for dest, row in want.items() if row is not have.get(dest)):
        new, old = want[dest], have.get(dest)
        if old is None:
            grow.append(AddDest(key, dest, new))
        elif new != old:
            (grow if new.weight >= old.weight else shrink).append(SetDest(key, dest, new))
    shrink += [DelDest(key, dest) for dest in _in_order(have.keys() - want.keys())]
    return grow, shrink


def _in_order(dests: Iterable[DestKey]) -> list[DestKey]:
    return sorted(dests, key=lambda dest: dest.rank)


def without_growth_refused(plan: Plan, refused: Iterable[RowOp]) -> tuple[RowOp, ...]:
    """What may still shrink, given the growing operations that were refused: nothing of their services."""
    failed = {op.service for op in refused}
    return tuple(op for op in plan.shrink if op.service not in failed)


def after(table: Table, ops: Iterable[RowOp]) -> dict[ServiceKey, Service]:
    """The table after acknowledged operations. Services that no operation names are shared, not copied."""
    by_service: dict[ServiceKey, list[RowOp]] = {}
    for op in ops:
        by_service.setdefault(op.service, []).append(op)
    changed = dict(table)
    for key, listed in by_service.items():
        service = _after(table.get(key), listed)
        changed.pop(key, None)
        if service is not None:
            changed[key] = service
    return changed


def _after(service: Service | None, ops: Iterable[RowOp]) -> Service | None:
    spec = service.spec if service else None
    rows = dict(service.dests) if service else {}
    for op in ops:
        match op:
            case DelService():
                spec, rows = None, {}
            case AddService(_, new) | SetService(_, new):
                spec = new
            case DelDest(_, dest):
                rows.pop(dest, None)
            case AddDest(_, dest, row) | SetDest(_, dest, row):
                rows[dest] = row
    return None if spec is None else Service(spec, rows)


def plan_globals(
    timeouts: Timeouts, sync: Iterable[SyncDaemon], now_timeouts: Timeouts, running: Iterable[SyncDaemon]
) -> tuple[GlobalOp, ...]:
    """Operations for the table's timeouts and synchronisation daemons; what is not configured is left alone."""
    ops: list[GlobalOp] = []
    if _differ(timeouts, now_timeouts):
        ops.append(SetTimeouts(timeouts))
    by_state = {daemon.state: daemon for daemon in running}
    for daemon in sync:
        old = by_state.get(daemon.state)
        if old is not None and not _fulfils(old, daemon):
            ops.append(StopSync(daemon.state))
        if old is None or not _fulfils(old, daemon):
            ops.append(StartSync(daemon))
    return tuple(ops)


def _differ(wanted: Timeouts, now: Timeouts) -> bool:
    pairs = ((wanted.tcp, now.tcp), (wanted.tcp_fin, now.tcp_fin), (wanted.udp, now.udp))
    return any(new is not None and new != old for new, old in pairs)


def _fulfils(running: SyncDaemon, wanted: SyncDaemon) -> bool:
    """True if a running daemon is as wanted, where 0 and None of the wish mean the kernel's default."""
    asked = (wanted.interface, wanted.sync_id, wanted.max_length, wanted.group, wanted.port, wanted.ttl)
    has = (running.interface, running.sync_id, running.max_length, running.group, running.port, running.ttl)
    return all(not wish or wish == have for wish, have in zip(asked, has, strict=True))
