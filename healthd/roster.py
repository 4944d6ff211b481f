"""The servers as they are known: what is configured, what is asked about each, and what the answers said.

`Roster` belongs to the director's task. It folds observations and remembers what is still to be told of each server; it
knows no table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from healthd.assignment import Assignment, ServerRef, assign
from healthd.check import Outcome, Verdict
from healthd.config.schema import Admin, CheckPlan, RealServer, ServiceConfig
from healthd.health import Health, Phase, combine
from healthd.model import Address, ServiceKey
from healthd.narrate import Transition
from healthd.policy import ServerState, Wish, admin_of, combined
from healthd.prober.base import Observation

UNSURE_AFTER = 3
"""Inconclusive verdicts in a row after which people are told; one alone may be a short stall of ours."""


Asked = tuple[Admin, int | None]


@dataclass(frozen=True, slots=True)
class Streak:
    """Failures in a row by one check of a server that is still up.

    failures: 0 once a pass has ended them. before: how many there were. fall: how many take it down.
    """

    ref: ServerRef
    failures: int
    before: int
    fall: int
    seen: Observation


@dataclass(frozen=True, slots=True)
class Folded:
    """What observations changed: services to decide anew, servers whose certainty changed, failures of those still up.

    With the evidence.
    """

    dirty: frozenset[ServiceKey]
    certainty: tuple[tuple[ServerRef, Observation], ...]
    streaks: tuple[Streak, ...]


@dataclass(slots=True)
class Roster:
    """All declared servers. transitions: changes not told yet. unsure: inconclusive verdicts in a row, by watch.

    admin_told: what people were last told that is wanted of each server. admin_news: where that has changed.
    wishes: what is wanted of servers besides the configuration, by who says so; also of servers not declared.
    """

    services: dict[ServiceKey, ServiceConfig] = field(default_factory=dict)
    reals: dict[ServerRef, RealServer] = field(default_factory=dict)
    assignment: Assignment = field(default_factory=Assignment)
    healths: dict[int, Health] = field(default_factory=dict)
    evidence: dict[int, Observation] = field(default_factory=dict)
    unsure: dict[int, int] = field(default_factory=dict)
    transitions: dict[ServerRef, Transition] = field(default_factory=dict)
    admin_told: dict[ServerRef, Asked] = field(default_factory=dict)
    admin_news: set[ServerRef] = field(default_factory=set)
    wishes: dict[str, Mapping[ServerRef, Wish]] = field(default_factory=dict)
    _states: dict[ServerRef, ServerState] = field(default_factory=dict)

    def replace(self, services: Iterable[ServiceConfig], adopted: Callable[[ServerRef, CheckPlan], Health]) -> None:
        """Take over another configuration. adopted: health of a server that is new; the others keep theirs."""
        listed = tuple(services)
        known = {ref: (*self._standing(ref), self.since(ref)) for ref in self.reals}

        def begin(ref: ServerRef, plan: CheckPlan) -> Health:
            if ref not in known:
                return adopted(ref, plan)
            phase, asked, since = known[ref]
            return Health(phase, since=since, weight=asked if getattr(plan.check, "asks_weight", False) else None)

        self.services = {service.key: service for service in listed}
        self.reals = {(service.key, real.key): real for service in listed for real in service.reals}
        self.assignment = assign(listed, self.assignment, self.healths, begin)
        watches = [watch for probe in self.assignment.probes for watch in probe.watches]
        self.healths = {watch.id: watch.health for watch in watches}
        self._forget_others()
        self._states.clear()
        for ref, (phase, asked, _) in known.items():
            if ref in self.reals:
                self._note(ref, (phase, asked), None)

    def _forget_others(self) -> None:
        """Drop what is remembered of servers and watches that are no longer there."""
        self.evidence = {watch: seen for watch, seen in self.evidence.items() if watch in self.healths}
        self.unsure = {watch: count for watch, count in self.unsure.items() if watch in self.healths}
        self.transitions = {ref: change for ref, change in self.transitions.items() if ref in self.reals}
        self.admin_told = {ref: self.admin_told.get(ref) or self.admin_asked(ref) for ref in self.reals}
        self.admin_news = {ref for ref, told in self.admin_told.items() if told != self.admin_asked(ref)}

    def admin(self, ref: ServerRef) -> Admin:
        """What the operator wants of a server."""
        return self.wish_for(ref).admin

    def admin_asked(self, ref: ServerRef) -> Asked:
        """The same with the weight that was ordered, as people are told of it."""
        wish = self.wish_for(ref)
        return wish.admin, wish.weight

    def wish_for(self, ref: ServerRef) -> Wish:
        """All that is wanted of a server, and why; the configuration alone needs no reason."""
        declared = Wish(admin_of(self.services[ref[0]].admin, self.reals[ref].admin), "")
        others = self.wishes_for(ref).values()
        return combined([declared, *others]) if others else declared

    def wishes_for(self, ref: ServerRef) -> dict[str, Wish]:
        """What is wanted of a server besides the configuration, by who says so."""
        return {source: wishes[ref] for source, wishes in self.wishes.items() if ref in wishes}

    def wish(self, source: str, wishes: Mapping[ServerRef, Wish]) -> set[ServiceKey]:
        """Take all that one source wants of servers; the services for which that is news."""
        before, self.wishes[source] = self.wishes.get(source, {}), dict(wishes)
        changed = {ref for ref in before.keys() | wishes.keys() if before.get(ref) != wishes.get(ref)}
        for ref in changed & self.reals.keys():
            self._states.pop(ref, None)
            if self.admin_told[ref] == self.admin_asked(ref):
                self.admin_news.discard(ref)
            else:
                self.admin_news.add(ref)
        return {service for service, _ in changed & self.reals.keys()}

    def state(self, ref: ServerRef) -> ServerState:
        """What policy needs to know of a server, as far as it is known here; worked out anew only after a change."""
        state = self._states.get(ref)
        if state is None:
            wish = self.wish_for(ref)
            state = ServerState(self.phase(ref), self.asked(ref), wish.admin, ordered=wish.weight)
            self._states[ref] = state
        return state

    def phase(self, ref: ServerRef) -> Phase:
        """Phase of a server by all its checks together."""
        return combine(self.healths[watch].phase for watch in self.assignment.watches.get(ref, ()))

    def asked(self, ref: ServerRef) -> int | None:
        """The least weight that a server's checks ask for; None for the configured one."""
        asked = (self.healths[watch].weight for watch in self.assignment.watches.get(ref, ()))
        return min((weight for weight in asked if weight is not None), default=None)

    def _standing(self, ref: ServerRef) -> tuple[Phase, int | None]:
        """What policy goes by: the phase, and the weight asked for as long as that matters."""
        phase = self.phase(ref)
        return phase, self.asked(ref) if phase is Phase.UP else None

    def since(self, ref: ServerRef) -> float:
        """Monotonic time of the last change of phase of any of a server's checks."""
        return max((self.healths[watch].since for watch in self.assignment.watches.get(ref, ())), default=0.0)

    def missing(self) -> set[Address]:
        """Addresses asked on behalf of servers that are down."""
        return self._addresses(lambda phase: phase is Phase.DOWN)

    def counted_on(self) -> set[Address]:
        """Addresses asked on behalf of servers that are not down."""
        return self._addresses(lambda phase: phase is not Phase.DOWN)

    def _addresses(self, holds: Callable[[Phase], bool]) -> set[Address]:
        probes = {self.assignment.probe_of[watch] for watch, health in self.healths.items() if holds(health.phase)}
        return {probe.target.address for probe in self.assignment.probes if probe.id in probes}

    def fold(self, observations: Iterable[Observation]) -> Folded:
        """Take over what the prober says; observations of probes that are no longer asked are dropped."""
        dirty: set[ServiceKey] = set()
        certainty: list[tuple[ServerRef, Observation]] = []
        streaks: list[Streak] = []
        for observation in observations:
            for watch, health in observation.healths:
                ref = self.assignment.servers.get(watch)
                if ref is None:
                    continue
                before = self.healths[watch]
                if before.phase is health.phase is Phase.UP and before.streak != health.streak:
                    streaks.append(Streak(ref, health.streak, before.streak, self._fall(ref, watch), observation))
                if self._fold_one(ref, watch, health, observation):
                    dirty.add(ref[0])
                if self._certainty_changed(watch, observation):
                    certainty.append((ref, observation))
        return Folded(frozenset(dirty), tuple(certainty), tuple(streaks))

    def _fall(self, ref: ServerRef, watch: int) -> int:
        """Failures in a row by which a check takes a server down."""
        ids, wanted = self.assignment.probe_ids, self.assignment.probe_of[watch]
        plans = (plan for plan in self.reals[ref].checks if ids[plan.check, plan.target, plan.cadence] == wanted)
        return next(plans).thresholds.fall

    def _fold_one(self, ref: ServerRef, watch: int, health: Health, observation: Observation) -> bool:
        """True if the server's phase or asked weight changed."""
        self.evidence[watch] = observation
        if self.healths[watch] == health:
            return False
        before = self._standing(ref)
        self.healths[watch] = health
        self._states.pop(ref, None)
        return self._note(ref, before, observation.verdict)

    def _note(self, ref: ServerRef, before: tuple[Phase, int | None], verdict: Verdict | None) -> bool:
        """Note what is to be told of a server, given how it was; nothing if it is again as it was last told of."""
        after = self._standing(ref)
        if before == after:
            return False
        untold = self.transitions.pop(ref, None)
        told = (untold.previous, untold.asked_before) if untold else before
        if told != after:
            self.transitions[ref] = Transition(told[0], after[0], verdict, told[1])
        return True

    def _certainty_changed(self, watch: int, observation: Observation) -> bool:
        if observation.verdict.outcome is Outcome.INCONCLUSIVE:
            self.unsure[watch] = self.unsure.get(watch, 0) + 1
            return self.unsure[watch] == UNSURE_AFTER
        return self.unsure.pop(watch, 0) >= UNSURE_AFTER
