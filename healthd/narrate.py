"""What changed -> events for people. Pure: every text that the director says comes from here.

An event of a server is told once its row in the table is as it should be; `effect` lists the operations that made it
so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from healthd.check import Outcome, Verdict
from healthd.config.schema import RealServer, ServiceConfig
from healthd.drift import Edit
from healthd.events import Event, Kind
from healthd.health import Phase
from healthd.ipvs.base import RowRefused
from healthd.model import DestKey, DestSpec, ServiceKey, ServiceSpec
from healthd.ops import RowOp, describe, describe_spec, difference
from healthd.policy import Wish

Row = tuple[ServiceKey, DestKey | None]
"""A service's own row (None), or that of one of its destinations."""

Effects = Mapping[Row, tuple[str, ...]]
NOTHING: Effects = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Transition:
    """A change of one server that is still to be told. verdict: the evidence, None where there was none.

    asked_before: weight that its checks asked for when it was last told of.
    """

    previous: Phase
    phase: Phase
    verdict: Verdict | None
    asked_before: int | None = None


def label(real: RealServer) -> str:
    """How people call a real server: its address and port, and its name if it has one."""
    return f"{real.key} ({real.name})" if real.name else str(real.key)


def weight_text(row: DestSpec | None) -> str:
    """What the table has for a server."""
    return "no row" if row is None else f"weight {row.weight}"


def effects(ops: Iterable[RowOp]) -> Effects:
    """Texts of the operations by row, the rows in the order of their first operations."""
    texts: dict[Row, tuple[str, ...]] = {}
    for op in ops:
        row = (op.service, getattr(op, "dest", None))
        texts[row] = (*texts.get(row, ()), describe(op))
    return texts


def server_changed(
    service: ServiceConfig, real: RealServer, change: Transition, row: DestSpec | None, done: Effects, at: float
) -> Event:
    """A server came up or went down."""
    kind, what = (Kind.SERVER_UP, "is up") if change.phase is Phase.UP else (Kind.SERVER_DOWN, "is down")
    return _event(
        kind,
        at,
        service.name,
        service.key,
        real.key,
        f"{label(real)} {what}{_evidence(change.verdict)}, {weight_text(row)}",
        previous=change.previous.value,
        phase=change.phase.value,
        verdict=change.verdict,
        row=row,
        done=done,
    )


def row_changed(
    service: ServiceConfig,
    real: RealServer,
    phase: Phase,
    rows: tuple[DestSpec | None, DestSpec | None],
    verdict: Verdict | None,
    done: Effects,
    at: float,
) -> Event:
    """A server's row is another one, though it neither came up nor went down: a reload, or a check that asks a weight.

    rows: as it was last told, and as it is. verdict: of the check that asked for it.
    """
    before, row = rows
    weights = [each.weight if each else None for each in rows]
    change = difference(before, row) if before and row else f"{weight_text(before)} -> {weight_text(row)}"
    return _event(
        Kind.SERVER_CHANGED if weights[0] == weights[1] else Kind.SERVER_WEIGHT,
        at,
        service.name,
        service.key,
        real.key,
        f"{label(real)} {change}{_evidence(verdict)}",
        previous=phase.value,
        phase=phase.value,
        verdict=verdict,
        detail=change,
        row=row,
        done=done,
    )


def server_admin(
    service: ServiceConfig, real: RealServer, wish: Wish, phase: Phase, row: DestSpec | None, done: Effects, at: float
) -> Event:
    """What is wanted of a server changed: in the configuration, for it or its whole service, or by somebody else."""
    why = f" ({wish.why})" if wish.why else ""
    ordered = "" if wish.weight is None else f", weight {wish.weight} is ordered"
    what = f"{label(real)} is now {wish.admin.value}{ordered}{why}, {weight_text(row)}"
    return _event(
        Kind.SERVER_ADMIN,
        at,
        service.name,
        service.key,
        real.key,
        what,
        phase=phase.value,
        detail=wish.admin.value,
        row=row,
        done=done,
    )


def server_certainty(service: ServiceConfig, real: RealServer, phase: Phase, verdict: Verdict, at: float) -> Event:
    """Probing a server became impossible for reasons of our own, or possible again."""
    unsure = verdict.outcome is Outcome.INCONCLUSIVE
    kind = Kind.SERVER_UNSURE if unsure else Kind.SERVER_SURE
    told = f"cannot be probed ({verdict.detail}), it stays {phase.value}" if unsure else "can be probed again"
    what = f"{label(real)} {told}"
    return _event(kind, at, service.name, service.key, real.key, what, phase=phase.value, verdict=verdict)


def server_removed(name: str, key: ServiceKey, dest: DestKey, done: Effects, at: float) -> Event:
    """The row of a server that is not declared was taken out. name: of its service."""
    what = f"{dest} is not declared, it is out of the table"
    return _event(Kind.SERVER_REMOVED, at, name, key, dest, what, done=done)


def server_stopped(name: str, key: ServiceKey, dest: DestKey, row: DestSpec, done: Effects, at: float) -> Event:
    """A row was set because the daemon stops. name: of its service."""
    what = f"{dest} takes no new connections because healthd stops, {weight_text(row)}"
    return _event(Kind.SERVER_WEIGHT, at, name, key, dest, what, row=row, done=done)


def still_down(
    service: ServiceConfig, real: RealServer, verdict: Verdict | None, row: DestSpec | None, seconds: float, at: float
) -> Event:
    """A server is down for so many seconds and not meant to be; a reminder, not news."""
    return _event(
        Kind.SERVER_DOWN,
        at,
        service.name,
        service.key,
        real.key,
        f"{label(real)} is still down, for {lasting(seconds)} now{_evidence(verdict)}, {weight_text(row)}",
        previous=Phase.DOWN.value,
        phase=Phase.DOWN.value,
        verdict=verdict,
        row=row,
    )


def lasting(seconds: float) -> str:
    """A time span for people, in its two greatest units: 2 h 5 min."""
    left = max(round(seconds), 0)
    parts: list[str] = []
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        amount, left = divmod(left, size)
        if amount or (unit == "s" and not parts):
            parts.append(f"{amount} {unit}")
    return " ".join(parts[:2])


def server_failing(
    service: ServiceConfig, real: RealServer, failures: int, fall: int, verdict: Verdict, at: float
) -> Event:
    """A server that is up has failed, and not often enough to be taken out. failures: in a row; fall take it out."""
    return _event(
        Kind.SERVER_FAILING,
        at,
        service.name,
        service.key,
        real.key,
        f"{label(real)} has failed {failures} of {fall} times in a row{_evidence(verdict)}, it stays up",
        phase=Phase.UP.value,
        verdict=verdict,
        streak=f"{failures}/{fall}",
    )


def server_steady(service: ServiceConfig, real: RealServer, failures: int, fall: int, at: float) -> Event:
    """A server passes again before its failures took it out. failures: how many there were."""
    what = f"{label(real)} passes again after {failures} of {fall} failures"
    streak = f"0/{fall}"
    return _event(
        Kind.SERVER_STEADY, at, service.name, service.key, real.key, what, phase=Phase.UP.value, streak=streak
    )


def fallback(service: ServiceConfig, key: DestKey, row: DestSpec | None, done: Effects, at: float) -> Event:
    """A fallback came in or went out. row: its row now."""
    kind, what = (Kind.FALLBACK_ON, "takes over") if row else (Kind.FALLBACK_OFF, "is no longer needed")
    return _event(kind, at, service.name, service.key, key, f"fallback {key} {what}", row=row, done=done)


def fallback_changed(
    service: ServiceConfig, key: DestKey, before: DestSpec, row: DestSpec, done: Effects, at: float
) -> Event:
    """The row of a fallback that is in is another one. before: as it was last told."""
    change = difference(before, row)
    what = f"fallback {key} {change}"
    return _event(Kind.FALLBACK_CHANGED, at, service.name, service.key, key, what, detail=change, row=row, done=done)


def service_usable(service: ServiceConfig, usable: bool, at: float) -> Event:
    """The last server that could take connections went, or the first came."""
    kind, what = (
        (Kind.SERVICE_UP, "has a usable server again") if usable else (Kind.SERVICE_DOWN, "has no usable server")
    )
    return _event(kind, at, service.name, service.key, None, f"{service.key} {what}")


def service_listed(name: str, key: ServiceKey, present: bool, done: Effects, at: float) -> Event:
    """A virtual service was created in, or deleted from, the table."""
    kind, what = (Kind.SERVICE_ADDED, "added to") if present else (Kind.SERVICE_REMOVED, "removed from")
    return _event(kind, at, name, key, None, f"{key} {what} the table", done=done)


def service_changed(
    name: str, key: ServiceKey, before: ServiceSpec, spec: ServiceSpec, done: Effects, at: float
) -> Event:
    """A virtual service's own row is another one. before: as it was last told."""
    change = difference(before, spec)
    return _event(Kind.SERVICE_CHANGED, at, name, key, None, f"{key} {change}", detail=change, done=done)


def drifted(edit: Edit, names: Mapping[ServiceKey, str], reaction: str, at: float) -> Event:
    """Somebody else changed a row of ours. reaction: what we do about it."""
    row = f"{edit.dest} of {edit.service}" if edit.dest else f"service {edit.service}"
    change = f"was {_spec_text(edit.believed)}, is {_spec_text(edit.found)}"
    what = f"{row} was edited by somebody else ({change}), {reaction}"
    return _event(Kind.DRIFT, at, names.get(edit.service, ""), edit.service, edit.dest, what, detail=change)


def _spec_text(spec: ServiceSpec | DestSpec | None) -> str:
    return "absent" if spec is None else describe_spec(spec)


def row_refused(error: RowRefused, names: Mapping[ServiceKey, str], retry: float, at: float) -> Event:
    """The table would not take a row. retry: seconds until it is tried again."""
    service: ServiceKey = error.op.service  # type: ignore[union-attr]  # only row operations are ever planned
    dest: DestKey | None = getattr(error.op, "dest", None)
    what = f"the table refused to {error}; next try in {retry:.0f} s"
    return _event(Kind.ROW_REFUSED, at, names.get(service, ""), service, dest, what, detail=str(error))


def _evidence(verdict: Verdict | None) -> str:
    return f" ({verdict.reason.value}: {verdict.detail})" if verdict else ""


def _event(
    kind: Kind,
    at: float,
    name: str,
    key: ServiceKey,
    dest: DestKey | None,
    what: str,
    *,
    previous: str = "",
    phase: str = "",
    verdict: Verdict | None = None,
    detail: str = "",
    row: DestSpec | None = None,
    done: Effects = NOTHING,
    streak: str = "",
) -> Event:
    """An event of a service. dest: the server it is about. what: its message, before which the service's name stands.

    verdict: gives reason and detail; without one, detail is as given. row: what the table has for the server. done: all
    that was done, its own operations among others.
    """
    return Event(
        kind,
        at,
        f"{name}: {what}",
        service=name,
        virtual=str(key),
        real=str(dest) if dest else "",
        previous=previous,
        phase=phase,
        reason=verdict.reason.value if verdict else "",
        detail=verdict.detail if verdict else detail,
        weight=row.weight if row else None,
        effect=done.get((key, dest), ()),
        streak=streak,
    )
