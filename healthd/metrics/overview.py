"""Everything but servers and checks: the daemon, the table, probing, hooks, overrides, services."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import accumulate

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from healthd import __version__
from healthd.check import Outcome
from healthd.drift import NOTHING_HELD
from healthd.events import Kind
from healthd.health import Phase
from healthd.hooks import HookStats
from healthd.metrics import families
from healthd.metrics.families import Family, Labelled
from healthd.metrics.processes import usages
from healthd.metrics.sweep import Tally
from healthd.model import ServiceKey
from healthd.parts import Parts
from healthd.prober.base import LATENESS_BOUNDS, Summary


class Overview(Collector):
    """The metrics of one moment. tallies: what the servers of each service come to."""

    def __init__(self, parts: Parts, tallies: Mapping[ServiceKey, Tally]) -> None:
        self._parts = parts
        self._tallies = tallies

    def collect(self) -> Iterator[Metric]:
        """All of them."""
        yield from self._daemon()
        yield from self._table()
        yield from self._probing()
        yield from self._hooks()
        yield from self._log()
        yield from self._overrides()
        yield from self._services()

    def _daemon(self) -> Iterator[Metric]:
        history = self._parts.history
        started, loaded, refused = (
            history.newest.get(kind) for kind in (Kind.STARTED, Kind.RELOADED, Kind.RELOAD_FAILED)
        )
        read = loaded or started
        yield families.BUILD.metric([((__version__,), 1)])
        yield families.STARTED.metric([((), started.at)] if started else [])
        yield families.LOADED.metric([((), read.at)] if read else [])
        yield one(families.RELOAD_OK, refused is None or (loaded is not None and loaded.id > refused.id))
        yield families.EVENTS.metric([((kind.value,), history.counts[kind]) for kind in Kind])
        used = list(usages(self._parts.prober))
        yield families.CPU.metric([((each.name,), each.cpu) for each in used])
        yield families.MEMORY.metric([((each.name,), each.memory) for each in used])

    def _table(self) -> Iterator[Metric]:
        director = self._parts.director
        yield one(families.TABLE_UP, director.table_error is None)
        yield one(families.READS, director.ledger.reads)
        yield one(families.WRITES, director.ledger.writes)
        yield one(families.REJECTIONS, director.ledger.rejections)

    def _probing(self) -> Iterator[Metric]:
        director = self._parts.director
        last, all_of_them = director.summary or Summary(0.0), director.probed
        outcomes = {
            Outcome.PASS: all_of_them.passed,
            Outcome.FAIL: all_of_them.failed,
            Outcome.INCONCLUSIVE: all_of_them.inconclusive,
        }
        yield one(families.PROBES, len(director.roster.assignment.probes))
        yield one(families.UNASKED, last.unasked)
        yield one(families.IN_FLIGHT, last.in_flight)
        yield families.RESULTS.metric([((outcome.value,), count) for outcome, count in outcomes.items()])
        yield one(families.MISSED, all_of_them.missed)
        yield families.LATENESS.histogram(*lateness(all_of_them))
        yield one(families.STALLS, all_of_them.stalls)

    def _hooks(self) -> Iterator[Metric]:
        hooks = by_name(self._parts.announcer.stats())
        yield families.HOOK_DELIVERED.metric([((name,), sum(one.delivered for one in same)) for name, same in hooks])
        yield families.HOOK_FAILED.metric([((name,), sum(one.failed for one in same)) for name, same in hooks])
        yield families.HOOK_DROPPED.metric([((name,), sum(one.dropped for one in same)) for name, same in hooks])
        yield families.HOOK_RETRIES.metric([((name,), sum(one.retries for one in same)) for name, same in hooks])
        yield families.HOOK_QUEUED.metric([((name,), sum(one.queued for one in same)) for name, same in hooks])

    def _log(self) -> Iterator[Metric]:
        stats = self._parts.log.stats()
        yield one(families.LOG_WRITTEN, stats.written)
        yield one(families.LOG_SPILLED, stats.spilled)
        yield one(families.LOG_DROPPED, stats.dropped)
        yield one(families.LOG_QUEUED, stats.queued)
        yield one(families.LOG_AWAY, stats.away)

    def _overrides(self) -> Iterator[Metric]:
        operators = self._parts.operators
        there = [((each.scope.service, each.scope.server, each.kind.value), each) for each in operators.overrides]
        yield families.OVERRIDE_SET.metric([(labels, each.since) for labels, each in there])
        yield families.OVERRIDE_END.metric([(labels, each.until) for labels, each in there if each.until is not None])
        yield one(families.UNSAVED, bool(operators.unsaved))

    def _services(self) -> Iterator[Metric]:
        director, ledger = self._parts.director, self._parts.director.ledger
        services = sorted(director.roster.services.values(), key=lambda service: service.name)
        refused = [op.service for op in ledger.refusals]
        held = {service.key: ledger.holds.get(service.key, NOTHING_HELD) for service in services}
        tallies = {service.name: self._tallies.get(service.key, Tally()) for service in services}
        with_fallback = [(service, service.fallback) for service in services if service.fallback is not None]
        info = [((each.name, str(each.key), each.spec.scheduler), 1) for each in services]
        yield families.SERVICE_INFO.metric(info)
        yield families.PRESENT.metric([((each.name,), each.key in ledger.actual) for each in services])
        yield families.SERVERS.metric(
            [((name, phase.value), tally.phases[phase]) for name, tally in tallies.items() for phase in Phase]
        )
        yield families.USABLE.metric([((name,), tally.usable) for name, tally in tallies.items()])
        yield families.KEEP.metric([((each.name,), each.keep_usable) for each in services])
        yield families.FALLBACK.metric(
            [((each.name,), fallback.key in ledger.rows(each.key)) for each, fallback in with_fallback]
        )
        yield families.REFUSED.metric([((each.name,), refused.count(each.key)) for each in services])
        yield families.EDITED.metric(
            [((each.name,), len(held[each.key].dests) + (held[each.key].service is not None)) for each in services]
        )


def one(family: Family, value: float) -> Metric:
    """A metric that has one series."""
    sample: Labelled = ((), value)
    return family.metric([sample])


def lateness(all_of_them: Summary) -> tuple[list[tuple[str, float]], float]:
    """Buckets as Prometheus counts them, each with all that is below it; and the sum of seconds."""
    bounds = [*map(str, LATENESS_BOUNDS), "+Inf"]
    counts = all_of_them.late or (0,) * len(bounds)
    return list(zip(bounds, accumulate(counts), strict=True)), all_of_them.lateness_sum


def by_name(hooks: tuple[HookStats, ...]) -> list[tuple[str, list[HookStats]]]:
    """Hooks under their names: two that run the same program for different events have one."""
    named: dict[str, list[HookStats]] = defaultdict(list)
    for stats in hooks:
        named[stats.name].append(stats)
    return list(named.items())
