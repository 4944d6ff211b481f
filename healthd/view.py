"""What healthd believes, as plain values for programs and people. Pure.

While `table.ok` is false, every weight, and whether a row is present, is what the table had when it could last be
asked. A server has `for` (seconds in its phase) only if it is checked.

`describe_all` is the document that the control socket serves and that `healthd status` shows. Its keys are stable
within one `version`; new ones may be added.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from healthd.assignment import ServerRef
from healthd.config.schema import RealServer, ServiceConfig
from healthd.drift import NOTHING_HELD, Holds
from healthd.health import Thresholds
from healthd.ipvs.base import ServiceCounters
from healthd.ledger import Ledger
from healthd.log.entry import rfc3339
from healthd.model import Connections, DestKey, DestSpec, ServiceKey
from healthd.overrides import Override, covering
from healthd.policy import Because, ServerState, Wish, reasons
from healthd.prober.base import Observation, Probe, Summary
from healthd.roster import Roster

VERSION = 1


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything a view is made of.

    now: monotonic seconds. latest: the last observation of each probe, by probe. refused: as `refused_rows` has it.
    """

    roster: Roster
    ledger: Ledger
    states: Mapping[ServerRef, ServerState]
    now: float
    latest: Mapping[int, Observation]
    counters: Mapping[ServiceKey, ServiceCounters]
    refused: Mapping[tuple[ServiceKey, DestKey | None], str]
    overrides: Sequence[Override] = ()


def refused_rows(ledger: Ledger) -> dict[tuple[ServiceKey, DestKey | None], str]:
    """What the table does not accept, and why, by row; None in place of a destination is the service's own row."""
    return {(op.service, getattr(op, "dest", None)): str(each.error) for op, each in ledger.refusals.items()}


def describe_all(scene: Scene, table_error: str | None, summary: Summary | None) -> dict[str, Any]:
    """The whole document."""
    services = sorted(scene.roster.services.values(), key=lambda service: service.name)
    probes = {probe.id: probe for probe in scene.roster.assignment.probes}
    return {
        "version": VERSION,
        "table": describe_table(scene.ledger, table_error),
        "prober": describe_prober(summary, len(probes), scene.now),
        "services": [describe_service(scene, service, probes) for service in services],
    }


def describe_table(ledger: Ledger, error: str | None) -> dict[str, Any]:
    """The kernel's table: why it cannot be used, and how often it was read and rows were written since the start."""
    return {"ok": error is None, "error": error, "reads": ledger.reads, "writes": ledger.writes}


def describe_prober(summary: Summary | None, probes: int, now: float) -> dict[str, Any]:
    """What the prober last said of itself; rates are per second, lateness in milliseconds."""
    if summary is None:
        return {"probes": probes, "age": None}
    return {
        "probes": probes,
        "age": round(now - summary.at, 3),
        "passed": summary.passed,
        "failed": summary.failed,
        "inconclusive": summary.inconclusive,
        "missed": summary.missed,
        "in_flight": summary.in_flight,
        "lateness_p50_ms": round(summary.lateness_p50 * 1000, 2),
        "lateness_p99_ms": round(summary.lateness_p99 * 1000, 2),
        "stalls": summary.stalls,
        "unasked": summary.unasked,
    }


def describe_service(scene: Scene, service: ServiceConfig, probes: Mapping[int, Probe]) -> dict[str, Any]:
    """One virtual service with its servers."""
    present = service.key in scene.ledger.actual
    return {
        "name": service.name,
        "virtual": str(service.key),
        "scheduler": service.spec.scheduler,
        "on_failure": service.on_failure.value,
        "admin": service.admin.value,
        "present": present,
        "edited": _held(scene, service.key).service is not None,
        "refused": scene.refused.get((service.key, None)),
        "fallback": describe_fallback(scene, service),
        "reals": [describe_server(scene, service, real, probes) for real in service.reals],
        "others": describe_others(scene, service),
        "config": str(service.place),
    }


def describe_others(scene: Scene, service: ServiceConfig) -> list[dict[str, Any]]:
    """Rows that are neither a declared server's nor the fallback's: a stranger's that stays, or one that is to go."""
    ours = {real.key for real in service.reals} | ({service.fallback.key} if service.fallback else set())
    rows = scene.ledger.rows(service.key)
    return [{"address": str(key), **_row(rows[key])} for key in sorted(rows.keys() - ours, key=lambda key: key.rank)]


def describe_fallback(scene: Scene, service: ServiceConfig) -> dict[str, Any] | None:
    """The fallback and whether it is in; None where none is configured."""
    if service.fallback is None:
        return None
    row = scene.ledger.row(service.key, service.fallback.key)
    return {"address": str(service.fallback.key), "active": row is not None, **_row(row)}


def describe_server(
    scene: Scene, service: ServiceConfig, real: RealServer, probes: Mapping[int, Probe]
) -> dict[str, Any]:
    """One real server: what is believed, why, what the table has, and its checks."""
    ref = (service.key, real.key)
    state = scene.states[ref]
    watches = scene.roster.assignment.watches.get(ref, ())
    counters = scene.counters.get(service.key)
    return {
        "address": str(real.key),
        "name": real.name,
        "phase": state.phase.value,
        "for": round(scene.now - scene.roster.since(ref), 3) if watches else None,
        "admin": state.admin.value,
        "wishes": [_wish(source, wish) for source, wish in sorted(scene.roster.wishes_for(ref).items())],
        "overrides": [describe_override(one) for one in covering(scene.overrides, service, real)],
        "reasons": sorted(reason.value for reason in _reasons(scene, ref)),
        "refused": scene.refused.get(ref),
        "configured_weight": real.spec.weight,
        "asked_weight": state.asked,
        "ordered_weight": state.ordered,
        **_row(scene.ledger.row(*ref)),
        "checks": [describe_watch(scene, watch, probes) for watch in watches],
        "connections": _connections(counters.dests.get(real.key)) if counters else None,
        "config": str(real.place),
    }


def describe_watch(scene: Scene, watch: int, probes: Mapping[int, Probe]) -> dict[str, Any]:
    """One check of one server: what is asked, how it stands, and the last answer."""
    probe, limits = _asked(scene.roster, watch, probes)
    health = scene.roster.healths[watch]
    seen = _newest(scene.latest.get(probe.id), scene.roster.evidence.get(watch))
    return {
        "kind": probe.check.kind,
        "target": str(probe.target),
        "interval": probe.cadence.interval,
        "fast": probe.cadence.fast,
        "timeout": probe.cadence.timeout,
        "phase": health.phase.value,
        "streak": health.streak,
        "inconclusive": scene.roster.unsure.get(watch, 0),
        "rise": limits.rise,
        "fall": limits.fall,
        "last": _verdict(seen, scene.now) if seen else None,
    }


def describe_override(override: Override) -> dict[str, Any]:
    """An override; times are RFC 3339, until is null where it has no end."""
    return {
        "service": override.scope.service,
        "server": override.scope.server,
        "kind": override.kind.value,
        "weight": override.weight,
        "who": override.who,
        "why": override.why,
        "since": rfc3339(override.since),
        "until": None if override.until is None else rfc3339(override.until),
    }


def _wish(source: str, wish: Wish) -> dict[str, Any]:
    return {"source": source, "admin": wish.admin.value, "weight": wish.weight, "why": wish.why}


def _reasons(scene: Scene, ref: ServerRef) -> set[Because]:
    """Why a server is not at full weight; a stranger's edit that is left is a reason, too."""
    edited = {Because.EDITED} if ref[1] in _held(scene, ref[0]).dests else set()
    return edited | reasons(scene.states[ref])


def _held(scene: Scene, key: ServiceKey) -> Holds:
    return scene.ledger.holds.get(key, NOTHING_HELD)


def _asked(roster: Roster, watch: int, probes: Mapping[int, Probe]) -> tuple[Probe, Thresholds]:
    probe = probes[roster.assignment.probe_of[watch]]
    limits = next(candidate.thresholds for candidate in probe.watches if candidate.id == watch)
    return probe, limits


def _newest(one: Observation | None, other: Observation | None) -> Observation | None:
    both = [seen for seen in (one, other) if seen is not None]
    return max(both, key=lambda seen: seen.at, default=None)


def _verdict(seen: Observation, now: float) -> dict[str, Any]:
    return {
        "outcome": seen.verdict.outcome.value,
        "reason": seen.verdict.reason.value,
        "detail": seen.verdict.detail,
        "age": round(now - seen.at, 3),
        "took_ms": round(seen.took * 1000, 2),
    }


def _row(row: DestSpec | None) -> dict[str, Any]:
    return {"weight": None if row is None else row.weight}


def _connections(row: Connections | None) -> dict[str, int] | None:
    return {"active": row.active, "inactive": row.inactive, "persistent": row.persistent} if row else None
