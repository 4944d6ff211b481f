"""What we believe the table to be, and how a plan gets into it.

`Ledger` is the director's alone. It believes only what the table acknowledged or a snapshot told, remembers operations
the table refused (they are tried again with back-off), and what is held of strangers' edits.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from healthd import drift
from healthd.config.schema import Drift
from healthd.ipvs.base import IpvsTable, RowRefused, Snapshot
from healthd.model import DestKey, DestSpec, Service, ServiceKey
from healthd.ops import AddDest, AddService, DelDest, RowOp, SetDest
from healthd.plan import Plan, after, without_growth_refused

FIRST_RETRY, LAST_RETRY = 1.0, 60.0


@dataclass(frozen=True, slots=True)
class Refusal:
    """An operation the table does not accept. until: monotonic time before which it is not tried again."""

    error: RowRefused
    tries: int
    until: float


@dataclass(frozen=True, slots=True)
class Written:
    """What came of a plan: acknowledged operations, those not acceptable, and services to read again."""

    done: tuple[RowOp, ...] = ()
    refused: tuple[RowRefused, ...] = ()
    stale: frozenset[ServiceKey] = frozenset()


@dataclass(slots=True)
class Ledger:
    """The believed table (services of ours only). reads: snapshots taken over. writes: operations acknowledged.

    rejections: operations that the table did not take, each time it was asked to.
    """

    actual: Mapping[ServiceKey, Service] = field(default_factory=dict)
    holds: dict[ServiceKey, drift.Holds] = field(default_factory=dict)
    refusals: dict[RowOp, Refusal] = field(default_factory=dict)
    reads: int = 0
    writes: int = 0
    rejections: int = 0
    _written: dict[tuple[ServiceKey, DestKey], float] = field(default_factory=dict)

    def rows(self, service: ServiceKey) -> Mapping[DestKey, DestSpec]:
        """The believed destinations of a service; empty if it is not there."""
        found = self.actual.get(service)
        return found.dests if found else {}

    def row(self, service: ServiceKey, dest: DestKey) -> DestSpec | None:
        """One believed row."""
        return self.rows(service).get(dest)

    def is_refused(self, service: ServiceKey, dest: DestKey) -> bool:
        """True if the table would not take the row that would let clients reach this destination."""
        if not self.refusals:
            return False
        row = self.row(service, dest)
        if row is not None and row.weight > 0:
            return False
        return any(
            isinstance(op, AddDest | SetDest) and (op.service, op.dest) == (service, dest) and op.spec.weight > 0
            for op in self.refusals
        )

    def due(self, plan: Plan, now: float) -> Plan:
        """The plan without operations that were refused and whose time has not come, nor any of a refused service."""
        waiting = {op for op, refusal in self.refusals.items() if now < refusal.until}
        absent = {op.service for op in waiting if isinstance(op, AddService)}

        def ready(op: RowOp) -> bool:
            return op not in waiting and op.service not in absent

        return Plan(tuple(filter(ready, plan.grow)), tuple(filter(ready, plan.shrink)))

    def next_retry(self) -> float | None:
        """Monotonic time at which a refused operation is to be tried again; a service is tried before its rows."""
        absent = {op.service for op in self.refusals if isinstance(op, AddService)}
        tried = ((op, refusal.until) for op, refusal in self.refusals.items())
        return min((at for op, at in tried if isinstance(op, AddService) or op.service not in absent), default=None)

    def written(self, ref: tuple[ServiceKey, DestKey], now: float) -> float | None:
        """Seconds since we wrote a row last; None if we never did."""
        at = self._written.get(ref)
        return None if at is None else round(now - at, 3)

    def believe(self, ops: Iterable[RowOp], now: float) -> None:
        """Note acknowledged operations. now: monotonic seconds."""
        listed = list(ops)
        self.writes += len(listed)
        self.actual = after(self.actual, listed)
        for op in listed:
            self.refusals.pop(op, None)
            if isinstance(op, AddDest | SetDest | DelDest):
                self._written[op.service, op.dest] = now

    def forget(self, service: ServiceKey) -> None:
        """Forget a service that is gone."""
        self._written = {ref: at for ref, at in self._written.items() if ref[0] != service}

    def note_refused(self, errors: Iterable[RowRefused], now: float) -> None:
        """Note refused operations and when to try them again."""
        for error in errors:
            self.rejections += 1
            op: RowOp = error.op  # type: ignore[assignment]  # only row operations are ever planned
            tries = self.refusals[op].tries + 1 if op in self.refusals else 1
            self.refusals[op] = Refusal(error, tries, now + min(FIRST_RETRY * 2 ** (tries - 1), LAST_RETRY))

    def forget_refusals(self, services: Collection[ServiceKey], plan: Plan) -> None:
        """Drop refusals of operations that these services no longer need."""
        needed = set(plan.ops)
        for op in [op for op in self.refusals if op.service in services and op not in needed]:
            del self.refusals[op]

    def retry_at_once(self) -> None:
        """Try everything that was refused again now; how often it was tried is forgotten."""
        self.refusals = {op: Refusal(refusal.error, 0, 0.0) for op, refusal in self.refusals.items()}

    def refused(self) -> frozenset[RowOp]:
        """The operations that the table refuses."""
        return frozenset(self.refusals)

    def reread(self, found: Snapshot, keys: Collection[ServiceKey]) -> list[drift.Edit]:
        """Take over what a snapshot says of these services. Returns what differs from what was believed."""
        self.reads += 1
        edits = drift.edits(self.actual, found.services, keys)
        actual = {key: service for key, service in self.actual.items() if key not in keys}
        self.actual = actual | {key: found.services[key] for key in keys if key in found.services}
        return edits

    def hold(self, mode: Drift, edits: Iterable[drift.Edit], wanted: Mapping[ServiceKey, Service | None]) -> None:
        """Remember strangers' edits that are not to be repaired. wanted: the services without any holds."""
        if mode is Drift.REPAIR:
            return
        for edit in edits:
            holds = self.holds.get(edit.service, drift.NOTHING_HELD)
            self.holds[edit.service] = drift.hold(holds, edit, wanted.get(edit.service))


async def write(table: IpvsTable, ledger: Ledger, plan: Plan, now: float) -> Written:
    """Bring a plan into the table and the ledger: all that grows first, then what may shrink.

    now: monotonic seconds. Raises TableUnavailable; what was acknowledged before is believed.
    """
    done: list[RowOp] = []
    refused = await _stage(table, ledger, plan.grow, done, now)
    shrink = without_growth_refused(plan, [error.op for error in refused])  # type: ignore[misc]
    refused += await _stage(table, ledger, shrink, done, now)
    unacceptable = tuple(error for error in refused if not error.is_conflict)
    absent = {error.op.service for error in unacceptable if isinstance(error.op, AddService)}
    conflicts = frozenset(error.op.service for error in refused if error.is_conflict)  # type: ignore[union-attr]
    ledger.note_refused(unacceptable, now)
    return Written(tuple(done), unacceptable, conflicts - absent)


async def _stage(
    table: IpvsTable, ledger: Ledger, ops: Sequence[RowOp], done: list[RowOp], now: float
) -> list[RowRefused]:
    if not ops:
        return []
    answers = await table.apply(ops)
    acknowledged = [op for op, error in zip(ops, answers, strict=True) if error is None]
    ledger.believe(acknowledged, now)
    done += acknowledged
    return [error for error in answers if error is not None]
