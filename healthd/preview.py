"""What healthd would do to a table now, without doing it. Pure.

Health comes from a running daemon where there is one, else from the rows themselves, as at a start. A server that has
no row and no verdict waits: it is not in the plan, but in `waiting`. A row that a stranger edited and that the daemon
leaves (`drift`) is in `left`, and what would be done to it is not in the plan.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from healthd.config.schema import Config, Drift, RealServer, ServiceConfig
from healthd.health import Phase, combine
from healthd.ipvs.base import Snapshot
from healthd.model import DestKey, DestSpec, Service, ServiceKey
from healthd.ops import AddService, DelService, Op, RowOp, SetService
from healthd.plan import plan, plan_globals
from healthd.policy import Because, Context, ServerState, Wish, admin_of, adopted, combined, wanted_service

NOTHING_WISHED: Mapping[tuple[ServiceKey, DestKey], Wish] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Known:
    """What a running daemon knows, by text of virtual service and real server.

    services: those it keeps. edited: rows of strangers' making that it leaves; "" is the service's own row.
    """

    services: frozenset[str] = frozenset()
    servers: Mapping[tuple[str, str], ServerState] = field(default_factory=dict)
    edited: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Preview:
    """ops: in their order. waiting: servers (with their service's name) that only a first verdict can bring in.

    left: operations that would be needed, but are on rows that somebody else edited and that are left so.
    """

    ops: tuple[Op, ...]
    waiting: tuple[tuple[str, DestKey], ...]
    left: tuple[RowOp, ...] = ()


def preview(
    config: Config, found: Snapshot, known: Known, wishes: Mapping[tuple[ServiceKey, DestKey], Wish] = NOTHING_WISHED
) -> Preview:
    """The exact difference between what is wanted and what was found.

    found: the services of the configuration, and those that the daemon keeps and is to give up. wishes: what is wanted
    of servers besides the configuration.
    """
    wanted: dict[ServiceKey, Service | None] = dict.fromkeys(departing(config, found.services, known))
    waiting: list[tuple[str, DestKey]] = []
    for service in config.services:
        rows = found.services[service.key].dests if service.key in found.services else {}
        states = {
            real.key: _state(service, real, rows.get(real.key), known, wishes.get((service.key, real.key)))
            for real in service.reals
        }
        wanted[service.key] = wanted_service(service, states, Context(rows))
        waiting += [(service.name, key) for key, state in states.items() if state.phase is Phase.UNKNOWN]
    settings = config.settings.table
    edited = known.edited if settings.drift is not Drift.REPAIR else frozenset()
    todo = plan(wanted, found.services).ops
    left = tuple(op for op in todo if _row(op) in edited)
    globals_ = plan_globals(settings.timeouts, settings.sync, found.timeouts, found.sync)
    return Preview((*globals_, *(op for op in todo if op not in left)), tuple(waiting), left)


def departing(config: Config, there: Collection[ServiceKey], known: Known) -> list[ServiceKey]:
    """Services that a running daemon would delete: it keeps them, and the configuration no longer has them."""
    kept = known.services - {str(service.key) for service in config.services}
    return [key for key in there if str(key) in kept]


def _row(op: RowOp) -> tuple[str, str]:
    dest = "" if isinstance(op, AddService | SetService | DelService) else str(op.dest)
    return str(op.service), dest


def _state(
    service: ServiceConfig, real: RealServer, row: DestSpec | None, known: Known, wish: Wish | None
) -> ServerState:
    """As the director would have it: a server that is known keeps its phase, others begin as their rows say."""
    declared = Wish(admin_of(service.admin, real.admin), "")
    wish = combined([declared, wish]) if wish else declared
    told = known.servers.get((str(service.key), str(real.key)))
    if told is not None and real.checks:
        asks = any(getattr(check.check, "asks_weight", False) for check in real.checks)
        return replace(told, asked=told.asked if asks else None, admin=wish.admin, ordered=wish.weight)
    healths = [adopted(service.on_failure, real, wish, check, row, 0.0) for check in real.checks]
    asked = min((health.weight for health in healths if health.weight is not None), default=None)
    return ServerState(combine(health.phase for health in healths), asked, wish.admin, ordered=wish.weight)


def known_from(document: Mapping[str, Any]) -> Known:
    """What a status document tells of each service and server."""
    services = document["services"]
    servers = {(service["virtual"], real["address"]): real for service in services for real in service["reals"]}
    edited = {where for where, real in servers.items() if Because.EDITED.value in real["reasons"]}
    edited |= {(service["virtual"], "") for service in services if service["edited"]}
    edited |= {(service["virtual"], row["address"]) for service in services for row in service["others"]}
    return Known(
        frozenset(service["virtual"] for service in services),
        {where: _told(real) for where, real in servers.items()},
        frozenset(edited),
    )


def _told(real: Mapping[str, Any]) -> ServerState:
    refused = Because.REFUSED.value in real["reasons"]
    return ServerState(Phase(real["phase"]), real["asked_weight"], refused=refused)
