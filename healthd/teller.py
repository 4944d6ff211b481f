"""What people have been told, and what is still to be told.

`Teller` belongs to the director's task. It compares what the table has with what was last told of it, so an event is
neither lost when the table goes away in the middle of a plan, nor told twice, nor told before it is so: a row is told
of once it is as it should be and not as it was last told.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from healthd import narrate
from healthd.assignment import ServerRef
from healthd.check import Verdict
from healthd.config.schema import Drift, ServiceConfig
from healthd.drift import Edit, worth_telling
from healthd.events import Event, Kind
from healthd.health import Phase
from healthd.ipvs.base import RowRefused
from healthd.ledger import Ledger, Written
from healthd.model import DestKey, DestSpec, Service, ServiceKey, ServiceSpec
from healthd.prober.base import Observation
from healthd.roster import Roster, Streak

REACTIONS = {Drift.REPAIR: "it is written again", Drift.REPORT: "it is left", Drift.ADOPT: "it is adopted"}

News = tuple[narrate.Row, Event]
"""An event and the row it is about."""


@dataclass(slots=True)
class Told:
    """A service of the table as people were last told of it."""

    spec: ServiceSpec
    rows: dict[DestKey, DestSpec] = field(default_factory=dict)


class Teller:
    """Makes events. emit: takes each, must not block. wall: seconds since the epoch."""

    def __init__(
        self, emit: Callable[[Event], None], wall: Callable[[], float], roster: Roster, ledger: Ledger
    ) -> None:
        self._emit = emit
        self._wall = wall
        self._roster = roster
        self._ledger = ledger
        self._names: dict[ServiceKey, str] = {}
        self._told: dict[ServiceKey, Told] = {}
        self._stepped_in: dict[ServiceKey, DestKey] = {}
        self._without_server: set[ServiceKey] = set()
        self._table_refuses: set[str] = set()

    def say(self, kind: Kind, message: str, detail: str = "") -> None:
        """Tell something that is about no server."""
        self._emit(Event(kind, self._wall(), message, detail=detail))

    def name(self, services: Iterable[ServiceConfig]) -> None:
        """Learn what services are called, which is known until `forget`."""
        self._names.update((service.key, service.name) for service in services)

    def forget(self, key: ServiceKey) -> None:
        """Forget a service that is gone."""
        self._names.pop(key, None)
        self._told.pop(key, None)
        self._stepped_in.pop(key, None)
        self._without_server.discard(key)

    def found(self, services: Iterable[ServiceConfig]) -> None:
        """Take what the table has of services when they are first read as told: it is no news."""
        for service in services:
            actual = self._ledger.actual.get(service.key)
            if actual is None:
                continue
            self._told[service.key] = Told(actual.spec, dict(actual.dests))
            if service.fallback and service.fallback.key in actual.dests:
                self._stepped_in[service.key] = service.fallback.key

    def certainty(self, changes: Iterable[tuple[ServerRef, Observation]]) -> None:
        """Tell of servers that cannot be probed for reasons of our own, or can be again."""
        for ref, seen in changes:
            service, real = self._roster.services[ref[0]], self._roster.reals[ref]
            phase = self._roster.phase(ref)
            self._emit(narrate.server_certainty(service, real, phase, seen.verdict, self._wall()))

    def streaks(self, streaks: Iterable[Streak]) -> None:
        """Tell of failures that have not taken a server down yet, and of passes that end them."""
        for streak in streaks:
            service, real = self._roster.services[streak.ref[0]], self._roster.reals[streak.ref]
            told = (
                narrate.server_failing(service, real, streak.failures, streak.fall, streak.seen.verdict, self._wall())
                if streak.failures
                else narrate.server_steady(service, real, streak.before, streak.fall, self._wall())
            )
            self._emit(told)

    def drift(self, edits: Collection[Edit], mode: Drift) -> None:
        """Tell what strangers did to our rows. What is repaired will be as it was told before."""
        for edit in worth_telling(edits):
            self._emit(narrate.drifted(edit, self._names, REACTIONS[mode], self._wall()))
            if mode is not Drift.REPAIR and edit.service in self._told.keys() & self._ledger.actual.keys():
                self._note(edit.service, edit.dest)

    def refused(self, written: Written, now: float) -> None:
        """Tell of refused operations, of each once however often it is tried. now: monotonic seconds."""
        for error in written.refused:
            refusal = self._ledger.refusals[error.op]  # type: ignore[index]  # only row operations are ever planned
            if refusal.tries == 1:
                self._emit(narrate.row_refused(error, self._names, refusal.until - now, self._wall()))

    def refused_of_table(self, errors: Iterable[RowRefused]) -> None:
        """Tell what the table refuses of its own settings (timeouts, synchronisation), once until that changes."""
        refuses = {str(error) for error in errors}
        for text in sorted(refuses - self._table_refuses):
            self.say(Kind.ROW_REFUSED, f"the table refused to {text}; it is tried again with every comparison", text)
        self._table_refuses = refuses

    def settled(self, wanted: Mapping[ServiceKey, Service | None], done: narrate.Effects) -> None:
        """Tell what became so in the table with these services, in the order of the table's operations."""
        news: list[News] = []
        for key in wanted:
            news += self._service(key, wanted[key], done)
            if key in self._roster.services:
                news += self._fallback(self._roster.services[key], done)
        for ref in [ref for ref in self._roster.transitions if ref[0] in wanted]:
            news += self._transition(ref, wanted[ref[0]], done)
        for ref in [ref for ref in self._roster.admin_news if ref[0] in wanted]:
            news += self._admin(ref, wanted[ref[0]], done)
        for key in wanted:
            news += self._rows(key, wanted[key], done)
        self._tell(news, done)
        for key in sorted(wanted.keys() & self._roster.services.keys(), key=lambda key: key.rank):
            self._usable(self._roster.services[key])

    def stopped(self, done: narrate.Effects) -> None:
        """Tell what the stop policy did."""
        for key, dest in done:
            row = None if dest is None else self._ledger.row(key, dest)
            if dest is None:
                self._tell(self._service(key, None, done), done)
            elif row is not None:
                self._emit(narrate.server_stopped(self._names[key], key, dest, row, done, self._wall()))

    def _tell(self, news: Iterable[News], done: narrate.Effects) -> None:
        """Tell in the order of the operations; what is no operation's comes last, in the order of the table."""
        places = {row: place for place, row in enumerate(done)}

        def place(one: News) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
            key, dest = one[0]
            return (places.get(one[0], len(places)), key.rank, dest.rank if dest else ())

        for _, event in sorted(news, key=place):
            self._emit(event)

    def _note(self, key: ServiceKey, dest: DestKey | None) -> None:
        """Take a row as told."""
        actual, told = self._ledger.actual.get(key), self._told.get(key)
        if actual is None:
            self._told.pop(key, None)
        elif told is None:
            self._told[key] = Told(actual.spec)
        elif dest is None:
            told.spec = actual.spec
        elif dest in actual.dests:
            told.rows[dest] = actual.dests[dest]
        else:
            told.rows.pop(dest, None)

    def _service(self, key: ServiceKey, wanted: Service | None, done: narrate.Effects) -> Iterator[News]:
        """A service that came or went, or has another row of its own."""
        actual, told = self._ledger.actual.get(key), self._told.get(key)
        name, at = self._names[key], self._wall()
        if (actual is None) is not (told is None):
            self._note(key, None)
            yield (key, None), narrate.service_listed(name, key, actual is not None, done, at)
        elif actual and told and wanted and told.spec != actual.spec == wanted.spec:
            before = told.spec
            self._note(key, None)
            yield (key, None), narrate.service_changed(name, key, before, actual.spec, done, at)

    def _fallback(self, service: ServiceConfig, done: narrate.Effects) -> Iterator[News]:
        """The fallback that went out, and the one that came in."""
        key = service.key
        before, now = self._stepped_in.get(key), self._fallback_in(service)
        if before == now:
            return
        if before is not None:
            del self._stepped_in[key]
            if self._ledger.row(key, before) is None:  # else it has become one of the servers
                self._note(key, before)
            yield (key, before), narrate.fallback(service, before, None, done, self._wall())
        if now is not None:
            self._stepped_in[key] = now
            self._note(key, now)
            yield (key, now), narrate.fallback(service, now, self._ledger.row(key, now), done, self._wall())

    def _rows(self, key: ServiceKey, wanted: Service | None, done: narrate.Effects) -> Iterator[News]:
        """Rows that are not as they were last told, whatever made them so."""
        told, service, actual = self._told.get(key), self._roster.services.get(key), self._ledger.rows(key)
        if told is None or service is None:
            return
        for dest in [dest for dest in {**told.rows, **actual} if told.rows.get(dest) != actual.get(dest)]:
            yield from self._row(service, dest, wanted, done)

    def _row(
        self,
        service: ServiceConfig,
        dest: DestKey,
        wanted: Service | None,
        done: narrate.Effects,
        verdict: Verdict | None = None,
    ) -> Iterator[News]:
        """A row that is as it should be and not as it was last told; a stranger's own is told as drift."""
        ref, told = (service.key, dest), self._told.get(service.key)
        before, row = told.rows.get(dest) if told else None, self._ledger.row(*ref)
        if before == row or not self._is_settled(ref, wanted):
            return
        if ref in self._roster.reals:
            real, phase, rows = self._roster.reals[ref], self._roster.phase(ref), (before, row)
            event = narrate.row_changed(service, real, phase, rows, verdict, done, self._wall())
        elif row is None:
            event = narrate.server_removed(service.name, *ref, done, self._wall())
        elif before and self._stepped_in.get(service.key) == dest:
            event = narrate.fallback_changed(service, dest, before, row, done, self._wall())
        else:
            return
        self._note(*ref)
        yield ref, event

    def _usable(self, service: ServiceConfig) -> None:
        """Tell when the last server goes and when the first comes; while some are unknown, nothing has gone."""
        rows = self._ledger.rows(service.key)
        usable = any(real.key in rows and rows[real.key].weight for real in service.reals)
        if usable is (service.key not in self._without_server) or not (usable or self._all_known(service)):
            return
        self._without_server ^= {service.key}
        self._emit(narrate.service_usable(service, usable, self._wall()))

    def _all_known(self, service: ServiceConfig) -> bool:
        return all(self._roster.phase((service.key, real.key)) is not Phase.UNKNOWN for real in service.reals)

    def _fallback_in(self, service: ServiceConfig) -> DestKey | None:
        """The fallback that is in now; it may still be one that a reload replaced."""
        rows = self._ledger.rows(service.key)
        if service.fallback and service.fallback.key in rows:
            return service.fallback.key
        before = self._stepped_in.get(service.key)
        declared = {real.key for real in service.reals}
        return before if before in rows and before not in declared else None

    def _transition(self, ref: ServerRef, wanted: Service | None, done: narrate.Effects) -> Iterator[News]:
        """A change once the server's row is as wanted, and nothing of a server that is not known again."""
        change = self._roster.transitions[ref]
        if change.phase is Phase.UNKNOWN or not self._is_settled(ref, wanted):
            return
        del self._roster.transitions[ref]
        service = self._roster.services[ref[0]]
        if change.previous is change.phase:
            yield from self._row(service, ref[1], wanted, done, change.verdict)
            return
        self._note(*ref)
        real, row = self._roster.reals[ref], self._ledger.row(*ref)
        yield ref, narrate.server_changed(service, real, change, row, done, self._wall())

    def _admin(self, ref: ServerRef, wanted: Service | None, done: narrate.Effects) -> Iterator[News]:
        if not self._is_settled(ref, wanted):
            return
        self._roster.admin_news.discard(ref)
        self._roster.admin_told[ref] = self._roster.admin_asked(ref)
        self._note(*ref)
        service, real, row = self._roster.services[ref[0]], self._roster.reals[ref], self._ledger.row(*ref)
        wish, phase = self._roster.wish_for(ref), self._roster.phase(ref)
        yield ref, narrate.server_admin(service, real, wish, phase, row, done, self._wall())

    def _is_settled(self, ref: ServerRef, wanted: Service | None) -> bool:
        return self._ledger.row(*ref) == (wanted.dests.get(ref[1]) if wanted else None)
