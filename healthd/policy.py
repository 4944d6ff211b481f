"""Configuration, health and the operator's wishes -> the wanted table. Pure.

The invariant: the wanted row of a server is a function of its configured row and the *set of reasons* why it is not at
full weight. Nothing is remembered: whether the fallback is in is derived, every time, from the servers.

* A server that failed or is in maintenance is quiesced (weight 0) or removed, as its service says; one that is drained
  has weight 0 and keeps its row.
* A server nothing is known of yet gets no row until its first verdict, and keeps the one it has: nobody is sent to an
  unchecked server by us, and nothing is written that no verdict demands.
* The fallback is in when no server is usable and none that could become so is still unknown; it does not wait for
  the unknown where it is the last usable server that goes.
* Make before break holds here too: while no server is usable and some are still unknown (or, without a fallback, up
  but not taken by the table), rows that are to go (the fallback, servers no longer configured) stay. So neither a
  restart nor a reload leaves a service empty for a round.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum

from healthd.config.schema import Admin, CheckPlan, Drift, OnFailure, RealServer, ServiceConfig
from healthd.drift import NOTHING_HELD, Holds, held_row, held_service, held_stranger
from healthd.health import Health, Phase, adopt
from healthd.model import MAX_WEIGHT, DestKey, DestSpec, Service


class Because(Enum):
    """Why a server is not at its configured weight."""

    FAILED = "failed"
    UNKNOWN = "unknown"
    DRAINED = "drained"
    MAINTENANCE = "maintenance"
    REMOVED = "removed"
    REWEIGHTED = "reweighted"
    REFUSED = "refused"
    EDITED = "edited"


@dataclass(frozen=True, slots=True)
class ServerState:
    """What policy needs to know of one server.

    phase: of all its checks together. asked: weight that its checks ask for, None for the configured one.
    ordered: weight that an operator ordered, before either. refused: the table would not take its row, so nobody can
    be sent to it.
    """

    phase: Phase = Phase.UNKNOWN
    asked: int | None = None
    admin: Admin = Admin.ENABLED
    refused: bool = False
    ordered: int | None = None


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants of a server besides the configuration, and why, for people. weight: None for any."""

    admin: Admin
    why: str
    weight: int | None = None


@dataclass(frozen=True, slots=True)
class Context:
    """What the table has now of this service, and what is held of strangers' edits."""

    rows: Mapping[DestKey, DestSpec]
    mode: Drift = Drift.REPAIR
    holds: Holds = NOTHING_HELD


def admin_of(service: Admin, server: Admin) -> Admin:
    """The stronger of two wishes: removed over maintenance over drained over enabled."""
    return min(service, server, key=STRONGEST_FIRST.index)


def combined(wishes: Iterable[Wish]) -> Wish:
    """All that is wished of a server (one wish at least), as one: the strongest with its why, and the first weight."""
    listed = tuple(wishes)
    strongest = min(listed, key=lambda wish: STRONGEST_FIRST.index(wish.admin))
    weighing = next((wish for wish in listed if wish.weight is not None), None)
    if strongest.admin is Admin.ENABLED:
        strongest = weighing or strongest
    return replace(strongest, weight=weighing.weight if weighing else None)


STRONGEST_FIRST = (Admin.REMOVED, Admin.MAINTENANCE, Admin.DRAINED, Admin.ENABLED)
UNTROUBLED = ServerState(Phase.UP)


def reasons(state: ServerState) -> frozenset[Because]:
    """Why a server is not at full weight; empty if it is."""
    found = set()
    if state.phase is Phase.DOWN:
        found.add(Because.FAILED)
    if state.phase is Phase.UNKNOWN:
        found.add(Because.UNKNOWN)
    if state.admin is Admin.DRAINED:
        found.add(Because.DRAINED)
    if state.admin is Admin.MAINTENANCE:
        found.add(Because.MAINTENANCE)
    if state.admin is Admin.REMOVED:
        found.add(Because.REMOVED)
    if state.ordered is not None:
        found.add(Because.REWEIGHTED)
    if state.refused:
        found.add(Because.REFUSED)
    return frozenset(found)


def adopted(
    on_failure: OnFailure, real: RealServer, wish: Wish, check: CheckPlan, row: DestSpec | None, now: float
) -> Health:
    """Health of a server by one check to begin with, from the row it has. wish: all that is wanted of it.

    Weight 0 says DOWN only where nothing but a failure can have made it so. Where failed servers are removed, or where
    this one has weight 0 though healthy (drained, configured, ordered, asked for by a check), it says nothing.
    """
    asks = bool(getattr(check.check, "asks_weight", False))
    if row is None or row.weight > 0:
        health = adopt(row.weight if row else None, now)
        return replace(health, weight=row.weight) if row and asks else health
    meant = wish.admin is Admin.DRAINED or 0 in (real.spec.weight, wish.weight)
    ambiguous = asks or meant or on_failure is OnFailure.REMOVE
    return adopt(None if ambiguous else 0, now)


def wanted_row(spec: DestSpec, state: ServerState, on_failure: OnFailure, have: DestSpec | None) -> DestSpec | None:
    """The row a server should have; None: no row. have: the one it has."""
    if state == UNTROUBLED:
        return spec
    because = reasons(state)
    if Because.REMOVED in because:
        return None
    if because & {Because.FAILED, Because.MAINTENANCE}:
        return None if on_failure is OnFailure.REMOVE else replace(spec, weight=0)
    weight = 0 if Because.DRAINED in because else full_weight(spec, state)
    if Because.UNKNOWN not in because:
        return replace(spec, weight=weight)
    lowered = state.ordered is not None or Because.DRAINED in because
    return replace(have, weight=min(have.weight, weight)) if have and lowered else have


def full_weight(spec: DestSpec, state: ServerState) -> int:
    """The weight of a server that nothing ails: an operator's, or its checks', or the configured one."""
    weights = (state.ordered, state.asked, spec.weight)
    return min(next(weight for weight in weights if weight is not None), MAX_WEIGHT)


def wanted_rows(
    config: ServiceConfig, states: Mapping[DestKey, ServerState], context: Context
) -> dict[DestKey, DestSpec]:
    """The rows of the declared servers, strangers' edits applied."""
    rows = {}
    for real in config.reals:
        row = wanted_row(real.spec, states[real.key], config.on_failure, context.rows.get(real.key))
        row = held_row(context.mode, row, context.holds.dests.get(real.key))
        if row is not None:
            rows[real.key] = row
    return rows


def usable(rows: Mapping[DestKey, DestSpec], states: Mapping[DestKey, ServerState]) -> bool:
    """True if somebody can be sent to one of these rows."""
    return any(row.weight > 0 and not states[key].refused for key, row in rows.items())


def only(because: Because, reals: tuple[RealServer, ...], states: Mapping[DestKey, ServerState]) -> bool:
    """True while there is a server that nothing but this keeps from being usable."""
    return any(
        reasons(states[real.key]) - {Because.REWEIGHTED} == {because} and _could(real, states[real.key])
        for real in reals
    )


def _could(real: RealServer, state: ServerState) -> bool:
    """Whether the server would get a weight if it were up; what its checks ask for may be another by then."""
    return (real.spec.weight if state.ordered is None else state.ordered) > 0


def wanted_service(config: ServiceConfig, states: Mapping[DestKey, ServerState], context: Context) -> Service | None:
    """The complete wanted service; None where a stranger deleted it and that is held.

    states: one for each declared server.
    """
    spec = held_service(context.mode, config.spec, context.holds.service)
    if spec is None:
        return None
    rows = wanted_rows(config, states, context)
    if not usable(rows, states):
        left = _leftovers(config, rows, context)
        if only(Because.UNKNOWN, config.reals, states) and (_serve(left) or not _serve(context.rows)):
            rows |= left
        elif config.fallback:
            rows[config.fallback.key] = config.fallback.spec
        elif only(Because.REFUSED, config.reals, states):
            rows |= left
    return Service(spec, _with_strangers(config, rows, context))


def _serve(rows: Mapping[DestKey, DestSpec]) -> bool:
    return any(row.weight > 0 for row in rows.values())


def _leftovers(config: ServiceConfig, rows: Mapping[DestKey, DestSpec], context: Context) -> dict[DestKey, DestSpec]:
    declared = {real.key for real in config.reals}
    return {key: row for key, row in context.rows.items() if key not in rows and key not in declared}


def _with_strangers(config: ServiceConfig, rows: dict[DestKey, DestSpec], context: Context) -> dict[DestKey, DestSpec]:
    """Rows with the holds on destinations that are not declared servers: the fallback's, and a stranger's own."""
    declared = {real.key for real in config.reals}
    for key, held in context.holds.dests.items():
        if key in declared:
            continue
        row = held_stranger(context.mode, rows.pop(key, None), held)
        if row is not None:
            rows[key] = row
    return rows
