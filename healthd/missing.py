"""What is wrong now, for those who remind people of it, or told people of it before a restart."""

from __future__ import annotations

import time
from collections.abc import Iterator

from healthd import narrate
from healthd.assignment import ServerRef
from healthd.check import Verdict
from healthd.config.schema import Admin
from healthd.director import Director
from healthd.events import Event, Kind
from healthd.health import Phase
from healthd.hooks import Missing
from healthd.roster import Roster


def missing(director: Director) -> Iterator[Missing]:
    """Every such server; one that is drained or in maintenance is left in peace."""
    roster = director.roster
    for ref, real in roster.reals.items():
        if roster.phase(ref) is Phase.DOWN and roster.admin(ref) is Admin.ENABLED:
            service, row = roster.services[ref[0]], director.ledger.row(*ref)
            seconds = time.monotonic() - roster.since(ref)
            event = narrate.still_down(service, real, _evidence(roster, ref), row, seconds, time.time())
            yield Missing(event, seconds)


def stands(director: Director, event: Event) -> bool | None:
    """Whether the problem that an event began, maybe in an earlier daemon, is still there; None while nobody knows."""
    roster = director.roster
    if director.table_error is not None or (roster.assignment.probes and not director.first_round.is_set()):
        return None
    service = next((one for one in roster.services.values() if one.name == event.service), None)
    if service is None:
        return False
    rows = {str(dest): row.weight for dest, row in director.ledger.rows(service.key).items()}
    phases = {str(real.key): roster.phase((service.key, real.key)) for real in service.reals}
    match event.kind:
        case Kind.FALLBACK_ON:
            return event.real in rows
        case Kind.SERVICE_DOWN:
            return not any(rows.get(real) for real in phases)
        case Kind.SERVER_DOWN:
            phase = phases.get(event.real, Phase.UP)
            return None if phase is Phase.UNKNOWN else phase is Phase.DOWN
    return False


def _evidence(roster: Roster, ref: ServerRef) -> Verdict | None:
    """What the first of its checks that fails says."""
    for watch in roster.assignment.watches.get(ref, ()):
        if roster.healths[watch].phase is Phase.DOWN and watch in roster.evidence:
            return roster.evidence[watch].verdict
    return None
