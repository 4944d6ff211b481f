"""Configuration -> what the prober is to ask. Pure.

Equal questions (check, target, cadence) are one probe, however many servers' health depends on the answer; each server
watches its probes with its own thresholds. Ids live on through a reload for whatever did not change, so a probe keeps
its schedule and a watch its counters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from healthd.check import AsyncCheck, Check, Target
from healthd.config.schema import CheckPlan, ServiceConfig
from healthd.health import Health
from healthd.model import DestKey, ServiceKey
from healthd.prober.base import Cadence, Probe, Watch

ServerRef = tuple[ServiceKey, DestKey]
Question = tuple[Check | AsyncCheck, Target, Cadence]


@dataclass(frozen=True, slots=True)
class Assignment:
    """What is asked, and whose health depends on it. servers, probe_of: by watch; watches: by server."""

    probes: tuple[Probe, ...] = ()
    probe_ids: Mapping[Question, int] = field(default_factory=dict)
    watch_ids: Mapping[tuple[ServerRef, int], int] = field(default_factory=dict)
    servers: Mapping[int, ServerRef] = field(default_factory=dict)
    probe_of: Mapping[int, int] = field(default_factory=dict)
    watches: Mapping[ServerRef, tuple[int, ...]] = field(default_factory=dict)
    next_id: int = 1


def assign(
    services: Iterable[ServiceConfig],
    before: Assignment,
    healths: Mapping[int, Health],
    begin: Callable[[ServerRef, CheckPlan], Health],
) -> Assignment:
    """The assignment for these services.

    before: the one it replaces. healths: of its watches, as they are now. begin: health of a watch that is new.
    """
    ids = _Ids(before)
    plans: dict[int, CheckPlan] = {}
    watching: dict[int, list[Watch]] = {}
    watches: dict[ServerRef, tuple[int, ...]] = {}
    servers: dict[int, ServerRef] = {}
    probe_of: dict[int, int] = {}
    told: set[int] = set()
    for service, ref, plan in _plans(services):
        probe = ids.probe((plan.check, plan.target, plan.cadence))
        watch = ids.watch((ref, probe))
        if service.monitor_file is not None:
            told.add(probe)
        if watch in servers:
            continue
        health = healths[watch] if watch in healths else begin(ref, plan)
        plans[probe] = plan
        watching.setdefault(probe, []).append(Watch(watch, plan.thresholds, health))
        watches[ref] = (*watches.get(ref, ()), watch)
        servers[watch] = ref
        probe_of[watch] = probe
    probes = tuple(
        Probe(number, plan.check, plan.target, plan.cadence, tuple(watching[number]), number in told)
        for number, plan in plans.items()
    )
    return Assignment(probes, ids.probes, ids.watches, servers, probe_of, watches, ids.next)


def _plans(services: Iterable[ServiceConfig]) -> Iterator[tuple[ServiceConfig, ServerRef, CheckPlan]]:
    for service in services:
        for real in service.reals:
            for plan in real.checks:
                yield service, (service.key, real.key), plan


class _Ids:
    """Gives out ids: the old one for what was there before, a new one otherwise; never one twice."""

    def __init__(self, before: Assignment) -> None:
        self._before = before
        self.probes: dict[Question, int] = {}
        self.watches: dict[tuple[ServerRef, int], int] = {}
        self.next = before.next_id

    def probe(self, question: Question) -> int:
        if question not in self.probes:
            self.probes[question] = self._before.probe_ids.get(question) or self._new()
        return self.probes[question]

    def watch(self, key: tuple[ServerRef, int]) -> int:
        if key not in self.watches:
            self.watches[key] = self._before.watch_ids.get(key) or self._new()
        return self.watches[key]

    def _new(self) -> int:
        self.next += 1
        return self.next - 1
