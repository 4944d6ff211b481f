"""The servers that are down and not meant to be, as those who remind people of them want to hear it."""

from __future__ import annotations

import time
from collections.abc import Iterator

from healthd import narrate
from healthd.assignment import ServerRef
from healthd.check import Verdict
from healthd.config.schema import Admin
from healthd.director import Director
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


def _evidence(roster: Roster, ref: ServerRef) -> Verdict | None:
    """What the first of its checks that fails says."""
    for watch in roster.assignment.watches.get(ref, ()):
        if roster.healths[watch].phase is Phase.DOWN and watch in roster.evidence:
            return roster.evidence[watch].verdict
    return None
