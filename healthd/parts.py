"""The parts of the running daemon that are asked, by `healthd.console` and `healthd.metrics`."""

from __future__ import annotations

from dataclasses import dataclass

from healthd.director import Director
from healthd.failures import Failures
from healthd.history import History
from healthd.hooks import Announcer
from healthd.ipvs.base import IpvsTable
from healthd.log.setup import Log
from healthd.operators import Operators
from healthd.prober.base import Prober


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of the daemon that are asked."""

    director: Director
    table: IpvsTable
    prober: Prober
    operators: Operators
    history: History
    announcer: Announcer
    log: Log
    failures: Failures
