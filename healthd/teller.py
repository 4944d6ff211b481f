"""What people have been told, and what is still to be told.

`Teller` belongs to the director's task. It compares what the table has with what was last told of it, so an event is
neither lost when the table goes away in the middle of a plan, nor told twice, nor told before it is so.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from healthd import narrate
from healthd.assignment import ServerRef
from healthd.config.schema import Drift, ServiceConfig
from healthd.drift import Edit, worth_telling
from healthd.events import Event, Kind
from healthd.health import Phase
from healthd.ipvs.base import RowRefused
from healthd.ledger import Ledger, Written
from healthd.model import DestKey, Service, ServiceKey
from healthd.prober.base import Observation
from healthd.roster import Roster, Streak

REACTIONS = {Drift.REPAIR: "it is written again", Drift.REPORT: "it is left", Drift.ADOPT: "it is adopted"}


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
        self._listed: set[ServiceKey] = set()
        self._ours: dict[ServiceKey, set[DestKey]] = {}
        self._stepped_in: dict[ServiceKey, DestKey] = {}
        self._without_server: set[ServiceKey] = set()
        self._table_refuses: set[str] = set()

    def say(self, kind: Kind, message: str, detail: str = "") -> None:
        """Tell something that is about no server."""
        self._emit(Event(kind, self._wall(), message, detail=detail))

    def name(self, services: Iterable[ServiceConfig]) -> None:
        """Learn what services are called and which servers they have; both are known until `forget`."""
        for service in services:
            self._names[service.key] = service.name
            self._ours.setdefault(service.key, set()).update(real.key for real in service.reals)

    def forget(self, key: ServiceKey) -> None:
        """Forget a service that is gone."""
        self._names.pop(key, None)
        self._listed.discard(key)
        self._stepped_in.pop(key, None)
        self._without_server.discard(key)
        self._ours.pop(key, None)

    def found(self, services: Iterable[ServiceConfig]) -> None:
        """Take what the table has of services when they are first read as told: it is no news."""
        for service in services:
            if service.key in self._ledger.actual:
                self._listed.add(service.key)
            self._ours.setdefault(service.key, set()).update(self._ledger.rows(service.key))
            if service.fallback and self._ledger.row(service.key, service.fallback.key):
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
        """Tell what strangers did to our rows."""
        for edit in worth_telling(edits):
            self._emit(narrate.drifted(edit, self._names, REACTIONS[mode], self._wall()))

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
        """Tell what became so in the table with these services."""
        self._removed(done)
        for key in wanted:
            self._service(key)
            if key in self._roster.services:
                self._fallback(self._roster.services[key], done)
        for ref in [ref for ref in self._roster.transitions if ref[0] in wanted]:
            self._transition(ref, wanted[ref[0]], done)
        for ref in [ref for ref in self._roster.admin_news if ref[0] in wanted]:
            self._admin(ref, wanted[ref[0]], done)
        for key in wanted:
            if key in self._roster.services:
                self._usable(self._roster.services[key])

    def stopped(self, keys: Iterable[ServiceKey], done: narrate.Effects) -> None:
        """Tell what the stop policy did to these services."""
        for key in keys:
            self._service(key)
        for key, dest in done:
            row = self._ledger.row(key, dest)
            if row is not None:
                self._emit(narrate.server_stopped(self._names[key], key, dest, row, done, self._wall()))

    def _removed(self, done: narrate.Effects) -> None:
        """Tell of rows that went because their servers are no longer declared; those of strangers are told as drift."""
        for key, dest in done:
            ours = self._ours.get(key, set())
            if dest not in ours or (key, dest) in self._roster.reals or self._ledger.row(key, dest) is not None:
                continue
            ours.discard(dest)
            if self._stepped_in.get(key) != dest:
                self._emit(narrate.server_removed(self._names[key], key, dest, done, self._wall()))

    def _service(self, key: ServiceKey) -> None:
        present = key in self._ledger.actual
        if present != (key in self._listed):
            self._listed ^= {key}
            self._emit(narrate.service_listed(self._names[key], key, present, self._wall()))

    def _fallback(self, service: ServiceConfig, done: narrate.Effects) -> None:
        before, now = self._stepped_in.get(service.key), self._fallback_in(service)
        if before == now:
            return
        if before is not None:
            del self._stepped_in[service.key]
            self._emit(narrate.fallback(service, before, None, done, self._wall()))
        if now is not None:
            self._stepped_in[service.key] = now
            row = self._ledger.row(service.key, now)
            self._emit(narrate.fallback(service, now, row, done, self._wall()))

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

    def _transition(self, ref: ServerRef, wanted: Service | None, done: narrate.Effects) -> None:
        """Tell a change once the server's row is as wanted, and nothing of a server that is not known again."""
        change = self._roster.transitions[ref]
        if change.phase is Phase.UNKNOWN or not self._is_settled(ref, wanted):
            return
        del self._roster.transitions[ref]
        service, real, row = self._roster.services[ref[0]], self._roster.reals[ref], self._ledger.row(*ref)
        self._emit(narrate.server_changed(service, real, change, row, done, self._wall()))

    def _admin(self, ref: ServerRef, wanted: Service | None, done: narrate.Effects) -> None:
        if not self._is_settled(ref, wanted):
            return
        self._roster.admin_news.discard(ref)
        self._roster.admin_told[ref] = self._roster.admin_asked(ref)
        service, real, row = self._roster.services[ref[0]], self._roster.reals[ref], self._ledger.row(*ref)
        wish, phase = self._roster.wish_for(ref), self._roster.phase(ref)
        self._emit(narrate.server_admin(service, real, wish, phase, row, done, self._wall()))

    def _is_settled(self, ref: ServerRef, wanted: Service | None) -> bool:
        return self._ledger.row(*ref) == (wanted.dests.get(ref[1]) if wanted else None)
