"""All servers, one after the other: a row for each server and for each check, and what they come to for each service.

Other work of the loop goes on between two servers, and a reload may be part of it: whoever is gone when its turn comes
is left out.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from healthd.assignment import ServerRef
from healthd.config.schema import RealServer, ServiceConfig
from healthd.drift import NOTHING_HELD
from healthd.health import Phase
from healthd.ipvs.base import ServiceCounters
from healthd.metrics import families
from healthd.metrics.grid import Grid, Labels
from healthd.model import Connections, DestKey, ServiceKey
from healthd.parts import Parts
from healthd.policy import Because, ServerState, full_weight, reasons
from healthd.prober.base import Timings


@dataclass(frozen=True, slots=True)
class Moment:
    """What is gathered before the sweep. epoch: seconds since the epoch at monotonic zero."""

    timings: Timings
    counters: Mapping[ServiceKey, ServiceCounters]
    epoch: float


@dataclass(slots=True)
class Tally:
    """What the servers of one service come to."""

    phases: Counter[Phase] = field(default_factory=Counter)
    usable: int = 0


class Sweep:
    """One look at all servers; complete once all `steps` are taken. tallies: by service."""

    def __init__(self, parts: Parts, moment: Moment, labels: Labels) -> None:
        self._labels = labels
        self._director = parts.director
        self._failures = parts.failures
        self._moment = moment
        self._kinds: dict[int, str] = {}
        self.servers = Grid(families.SERVER)
        self.reasons = Grid((families.REASON,))
        self.checks = Grid(families.CHECK)
        self.traffic = Grid(families.IPVS)
        self.tallies: defaultdict[ServiceKey, Tally] = defaultdict(Tally)

    @property
    def grids(self) -> tuple[Grid, ...]:
        """All that it fills."""
        return (self.servers, self.reasons, self.checks, self.traffic)

    def steps(self) -> Iterator[None]:
        """Look at one server after the other."""
        roster = self._director.roster
        self._kinds = {probe.id: probe.check.kind for probe in roster.assignment.probes}
        for ref in tuple(roster.reals):
            real, service = roster.reals.get(ref), roster.services.get(ref[0])
            if real is not None and service is not None:
                self._server(ref, service, real)
            yield
        for service in tuple(roster.services.values()):
            self._fallback(service)
            yield

    def _server(self, ref: ServerRef, service: ServiceConfig, real: RealServer) -> None:
        named = (service.name, real.key)
        state, labels = self._director.state(service, real), self._labels.of(families.UP, *named)
        weight = self._row(ref, labels, state, real)
        tally = self.tallies[service.key]
        tally.phases[state.phase] += 1
        tally.usable += weight > 0
        for because in self._because(ref, state):
            self.reasons.add(self._labels.of(families.REASON, *named, because.value), (1,))
        self._checks(ref, named)
        counters = self._moment.counters.get(service.key)
        if counters is not None:
            self._traffic(labels, counters.dests.get(real.key))

    def _row(self, ref: ServerRef, labels: str, state: ServerState, real: RealServer) -> int:
        """The weight that the table has."""
        director = self._director
        row, wanted = director.ledger.row(*ref), director.wanted.get(ref[0])
        asked = wanted.dests.get(ref[1]) if wanted else None
        weight = row.weight if row else 0
        values = (
            int(state.phase is Phase.UP),
            round(self._moment.epoch + director.roster.since(ref)) if real.checks else None,
            real.spec.weight,
            full_weight(real.spec, state),
            asked.weight if asked else 0,
            weight,
        )
        self.servers.add(labels, values)
        return weight

    def _because(self, ref: ServerRef, state: ServerState) -> list[Because]:
        held = self._director.ledger.holds.get(ref[0], NOTHING_HELD)
        edited = {Because.EDITED} if ref[1] in held.dests else set()
        return sorted(reasons(state) | edited, key=lambda because: because.value)

    def _checks(self, ref: ServerRef, named: tuple[str, DestKey]) -> None:
        roster, failures, epoch = self._director.roster, self._failures, self._moment.epoch
        of_kind: dict[str, int] = {}
        for watch in roster.assignment.watches.get(ref, ()):
            number = roster.assignment.probe_of[watch]
            kind = self._kinds.get(number)
            if kind is None:
                continue  # asked only since a reload a moment ago
            of_kind[kind] = of_kind.get(kind, 0) + 1
            name = kind if of_kind[kind] == 1 else f"{kind} {of_kind[kind]}"
            timing = self._moment.timings.get(number)
            self.checks.add(
                self._labels.of(families.CHECK_UP, *named, name),
                (
                    int(roster.healths[watch].phase is Phase.UP),
                    round(timing[1], 6) if timing else None,
                    round(epoch + timing[0], 3) if timing else None,
                    failures.failed.get(number, 0),
                    failures.unsure.get(number, 0),
                ),
            )

    def _fallback(self, service: ServiceConfig) -> None:
        counters = self._moment.counters.get(service.key)
        if counters is not None and service.fallback is not None:
            labels = self._labels.of(families.UP, service.name, service.fallback.key)
            self._traffic(labels, counters.dests.get(service.fallback.key))

    def _traffic(self, labels: str, row: Connections | None) -> None:
        if row is None:
            return
        totals = row.totals
        self.traffic.add(
            labels,
            (
                totals.connections,
                totals.in_packets,
                totals.out_packets,
                totals.in_bytes,
                totals.out_bytes,
                row.active,
                row.inactive,
                row.persistent,
            ),
        )
