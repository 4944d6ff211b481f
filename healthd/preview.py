"""What healthd would do to a table now, without doing it. Pure.

Health comes from a running daemon where there is one, else from the rows themselves, as at a start. A server that has
no row and no verdict waits: it is not in the plan, but in `waiting`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from healthd.config.schema import Config, RealServer, ServiceConfig
from healthd.health import Phase, combine
from healthd.ipvs.base import Snapshot
from healthd.model import DestKey, DestSpec, Service, ServiceKey
from healthd.ops import Op
from healthd.plan import plan, plan_globals
from healthd.policy import Context, ServerState, admin_of, adopted, wanted_service

Known = Mapping[tuple[str, str], ServerState]
"""What a running daemon knows: by text of virtual service and real server."""


@dataclass(frozen=True, slots=True)
class Preview:
    """ops: in their order. waiting: servers (with their service's name) that only a first verdict can bring in."""

    ops: tuple[Op, ...]
    waiting: tuple[tuple[str, DestKey], ...]


def preview(config: Config, found: Snapshot, known: Known) -> Preview:
    """The exact difference between what is wanted and what was found."""
    wanted: dict[ServiceKey, Service | None] = {}
    waiting: list[tuple[str, DestKey]] = []
    for service in config.services:
        rows = found.services[service.key].dests if service.key in found.services else {}
        states = {real.key: _state(service, real, rows, known) for real in service.reals}
        wanted[service.key] = wanted_service(service, states, Context(rows))
        waiting += [(service.name, key) for key, state in states.items() if state.phase is Phase.UNKNOWN]
    settings = config.settings.table
    globals_ = plan_globals(settings.timeouts, settings.sync, found.timeouts, found.sync)
    return Preview((*globals_, *plan(wanted, found.services).ops), tuple(waiting))


def _state(service: ServiceConfig, real: RealServer, rows: Mapping[DestKey, DestSpec], known: Known) -> ServerState:
    admin = admin_of(service.admin, real.admin)
    told = known.get((str(service.key), str(real.key)))
    if told is not None:
        return ServerState(told.phase, told.asked, admin)
    healths = [adopted(service, real, check, rows.get(real.key), 0.0) for check in real.checks]
    asked = min((health.weight for health in healths if health.weight is not None), default=None)
    return ServerState(combine(health.phase for health in healths), asked, admin)
