"""The one owner of the table: transitions -> policy -> plan -> apply -> events.

One task (`run`) owns everything here that changes; others put something into its inbox and wake it. The inbox has one
slot per probe, so it is bounded by construction, and all that is in it becomes one plan: a rack that dies is one plan,
not forty.

It is level-triggered: a transition only says that now is a good time to compare what is wanted with what is believed.
A row that was not as believed is read again and planned again; a table that is away is asked again with back-off, while
probing goes on; a snapshot every so often finds what strangers did.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

from healthd import narrate
from healthd.assignment import ServerRef
from healthd.config.schema import CheckPlan, Config, Drift, OnStop, RealServer, ServiceConfig
from healthd.drift import NOTHING_HELD, Edit, still_held
from healthd.events import Event, Kind
from healthd.health import Health, adopt
from healthd.ipvs.base import IpvsTable, TableUnavailable
from healthd.ledger import Ledger, Written, write
from healthd.model import DestKey, Service, ServiceKey
from healthd.plan import plan, plan_globals
from healthd.policy import Context, ServerState, admin_of, wanted_service
from healthd.prober.base import Observation, Prober, Summary
from healthd.roster import Roster
from healthd.stopping import stopped

CONFLICT_ROUNDS = 4
FIRST_BACKOFF, LAST_BACKOFF = 0.5, 30.0


class Director:
    """Keeps one table true.

    table: where to. emit: takes each event, must not block. clock: monotonic seconds. wall: seconds since the epoch.
    """

    def __init__(
        self, table: IpvsTable, emit: Callable[[Event], None], clock: Callable[[], float], wall: Callable[[], float]
    ) -> None:
        self.config = Config()
        self.ledger = Ledger()
        self.roster = Roster()
        self.wanted: dict[ServiceKey, Service | None] = {}
        self.summary: Summary | None = None
        self.table_error: str | None = None
        self.first_round = asyncio.Event()
        self._table = table
        self._emit = emit
        self._clock = clock
        self._wall = wall
        self._prober: Prober | None = None
        self._names: dict[ServiceKey, str] = {}
        self._inbox: dict[int, Observation] = {}
        self._wake = asyncio.Event()
        self._requests: list[tuple[Config, asyncio.Future[None]]] = []
        self._dirty: set[ServiceKey] = set()
        self._departing: set[ServiceKey] = set()
        self._unread: set[ServiceKey] = set()
        self._backoff = FIRST_BACKOFF
        self._retry_at = 0.0
        self._read_at = 0.0
        self._assigned_at = math.inf

    # --- called by others --------------------------------------------------------------------------------------

    def attach(self, prober: Prober) -> None:
        """Say who probes; before the first `configure`."""
        self._prober = prober

    async def configure(self, config: Config) -> None:
        """Replace the configuration; returns once it is in force (probes assigned, table written if it is there)."""
        taken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._requests.append((config, taken))
        self._wake.set()
        await taken

    def observed(self, batch: Sequence[Observation]) -> None:
        """Take observations; the latest of each probe wins."""
        for observation in batch:
            self._inbox[observation.probe] = observation
        self._wake.set()

    def summarised(self, summary: Summary) -> None:
        """Take the prober's totals."""
        self.summary = summary
        if summary.at > self._assigned_at and summary.unasked == 0:
            self.first_round.set()

    def lost(self, why: str) -> None:
        """Note that a prober is gone: its servers keep their state until it is back."""
        self._tell(Event(Kind.PROBER_LOST, self._wall(), f"{why}; servers keep their state until it is back"))

    async def suspect(self, addresses: Iterable[IPv4Address | IPv6Address]) -> None:
        """Something happened on the way to these addresses: ask all that is there now."""
        wanted = set(addresses)
        probes = [probe.id for probe in self.roster.assignment.probes if probe.target.address in wanted]
        if probes and self._prober:
            await self._prober.hurry(probes)

    def look(self) -> None:
        """Read the table again at the next turn."""
        self._read_at = 0.0
        self._wake.set()

    # --- the task ----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep the table true until cancelled."""
        while True:
            await self._wait()
            await self.turn()

    async def turn(self) -> None:
        """Do once all there is to do now."""
        taken = await self._take_requests()
        self._fold()
        if self._clock() >= self._retry_at:
            try:
                await self._read_if_due()
                await self._settle()
                self._table_is_back()
            except TableUnavailable as error:
                self._table_is_lost(error)
        for future in taken:
            if not future.done():
                future.set_result(None)

    async def stop(self, policy: OnStop) -> None:
        """Do to the table what the stop policy says. Raises TableUnavailable. Not while `run` runs."""
        wanted = stopped(policy, self.ledger.actual)
        written = await write(self._table, self.ledger, plan(wanted, self.ledger.actual), self._clock())
        self._tell_refused(written)

    async def _wait(self) -> None:
        now = self._clock()
        due = [self._retry_at] if self.table_error else [self._read_at, self.ledger.next_retry() or self._read_at]
        try:
            async with asyncio.timeout(max(0.0, min(due) - now) if self.roster.services or self._departing else None):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()

    # --- configuration -----------------------------------------------------------------------------------------

    async def _take_requests(self) -> list[asyncio.Future[None]]:
        requests, self._requests = self._requests, []
        if requests:
            await self._reconfigure(requests[-1][0])
        return [taken for _, taken in requests]

    async def _reconfigure(self, config: Config) -> None:
        before = self.roster.services
        self.config = config
        self._own({service.key: service for service in config.services}, before)
        await self._read_new()
        self.roster.replace(config.services, self._adopted)
        self._tell_admin_changes(before)
        self._dirty |= self.roster.services.keys() | self._departing
        if self._prober:
            await self._prober.assign(self.roster.assignment.probes)
            self._assigned_at = self._clock()

    def _own(self, services: dict[ServiceKey, ServiceConfig], before: dict[ServiceKey, ServiceConfig]) -> None:
        """Note which services are ours from now on, which are to go, and which we have never read."""
        self._names |= {key: service.name for key, service in services.items()}
        self._departing = (self._departing | before.keys()) - services.keys()
        self._unread = (self._unread | services.keys() - before.keys()) & services.keys()
        for key, service in before.items():
            if services.get(key) != service:
                self.ledger.holds.pop(key, None)

    async def _read_new(self) -> None:
        """Read services that are new to us, so that their rows can be adopted; if that fails, verdicts must do."""
        if not self._unread or self.table_error:
            return
        try:
            await self._read(self._unread)
        except TableUnavailable as error:
            self._table_is_lost(error)
        else:
            self._unread = set()
            self._read_at = self._read_at or self._clock() + self.config.settings.table.resync

    def _adopted(self, ref: ServerRef, plan: CheckPlan) -> Health:
        row = self.ledger.row(*ref)
        health = adopt(row.weight if row else None, self._clock())
        asks = row is not None and row.weight > 0 and getattr(plan.check, "asks_weight", False)
        return replace(health, weight=row.weight) if row and asks else health

    def _fold(self) -> None:
        inbox, self._inbox = self._inbox, {}
        folded = self.roster.fold(inbox.values())
        self._dirty |= folded.dirty
        for ref, seen in folded.certainty:
            service, real, phase = self.roster.services[ref[0]], self.roster.reals[ref], self.roster.phase(ref)
            self._tell(narrate.server_certainty(service, real, phase, seen.verdict, self._wall()))

    # --- the table ---------------------------------------------------------------------------------------------

    async def _read_if_due(self) -> None:
        if self._clock() < self._read_at and not self._unread:
            return
        known = self.roster.services.keys() - self._unread
        edits = await self._read(self.roster.services.keys() | self._departing)
        self._unread = set()
        self._read_at = self._clock() + self.config.settings.table.resync
        self._take_edits([edit for edit in edits if edit.service in known])
        self._dirty |= {edit.service for edit in edits}

    async def _read(self, keys: Iterable[ServiceKey]) -> list[Edit]:
        wanted = frozenset(keys)
        found = await self._table.snapshot(wanted)
        settings = self.config.settings.table
        ops = plan_globals(settings.timeouts, settings.sync, found.timeouts, found.sync)
        for refused in filter(None, await self._table.apply(ops) if ops else []):
            self._tell(Event(Kind.ROW_REFUSED, self._wall(), f"the table refused to {refused}", detail=str(refused)))
        return self.ledger.reread(found, wanted)

    def _take_edits(self, edits: Sequence[Edit]) -> None:
        mode = self.config.settings.table.drift
        self.ledger.hold(mode, edits, self.wanted)
        reaction = {Drift.REPAIR: "it is written again", Drift.REPORT: "it is left", Drift.ADOPT: "it is adopted"}
        for edit in edits:
            self._tell(narrate.drifted(edit, self._names, reaction[mode], self._wall()))

    async def _settle(self) -> None:
        """Bring the table to what is wanted; a row that was not as believed is read and planned again."""
        for _ in range(CONFLICT_ROUNDS):
            retry = self.ledger.next_retry()
            if retry is not None and retry <= self._clock():
                self._dirty |= {op.service for op in self.ledger.refusals}
            if not self._dirty:
                return
            written = await self._write(self._dirty)
            self._dirty = set(written.stale)
            if written.refused:
                self._dirty |= {error.op.service for error in written.refused}  # type: ignore[union-attr]
            if written.stale:
                await self._read(written.stale)

    async def _write(self, keys: Iterable[ServiceKey]) -> Written:
        wanted = {key: self._want(key) for key in keys}
        self.wanted |= wanted
        self.ledger.forget_refusals(wanted)
        before = {key: self.ledger.actual.get(key) for key in wanted}
        todo = self.ledger.due(plan(wanted, self.ledger.actual), self._clock())
        written = await write(self._table, self.ledger, todo, self._clock())
        self._tell_refused(written)
        self._tell_changes(before, narrate.effects(written.done))
        return written

    def _want(self, key: ServiceKey) -> Service | None:
        service = self.roster.services.get(key)
        if service is None:
            return None
        states = {real.key: self.state(service, real) for real in service.reals}
        mode = self.config.settings.table.drift
        rows = self.ledger.rows(key)
        holds = self.ledger.holds.get(key, NOTHING_HELD)
        if holds is not NOTHING_HELD:
            plain = wanted_service(service, states, Context(rows, mode))
            if plain is not None:
                self.ledger.holds[key] = holds = still_held(mode, holds, plain)
        return wanted_service(service, states, Context(rows, mode, holds))

    def state(self, service: ServiceConfig, real: RealServer) -> ServerState:
        """What policy needs to know of a server."""
        ref = (service.key, real.key)
        admin = admin_of(service.admin, real.admin)
        return ServerState(self.roster.phase(ref), self.roster.asked(ref), admin, self.ledger.is_refused(*ref))

    def _table_is_lost(self, error: TableUnavailable) -> None:
        self._retry_at = self._clock() + self._backoff
        self._backoff = min(self._backoff * 2, LAST_BACKOFF)
        self._read_at = 0.0
        if self.table_error is None:
            self._tell(Event(Kind.TABLE_LOST, self._wall(), f"the table cannot be kept: {error}", detail=str(error)))
        self.table_error = str(error)

    def _table_is_back(self) -> None:
        self._backoff = FIRST_BACKOFF
        if self.table_error is not None:
            self.table_error = None
            self._tell(Event(Kind.TABLE_BACK, self._wall(), "the table can be kept again"))

    # --- telling -----------------------------------------------------------------------------------------------

    def _tell(self, event: Event) -> None:
        self._emit(event)

    def _tell_refused(self, written: Written) -> None:
        for error in written.refused:
            retry = self.ledger.refusals[error.op].until - self._clock()  # type: ignore[index]
            self._tell(narrate.row_refused(error, self._names, retry, self._wall()))

    def _tell_changes(self, before: dict[ServiceKey, Service | None], done: narrate.Effects) -> None:
        for key, old in before.items():
            new = self.ledger.actual.get(key)
            if (old is None) != (new is None):
                self._tell(narrate.service_listed(self._names[key], key, new is not None, self._wall()))
            if new is None and key in self._departing:
                self._departing.discard(key)
                del self._names[key], self.wanted[key]
            if key in self.roster.services:
                self._tell_fallback(self.roster.services[key], old, done)
        self._tell_transitions(before.keys(), done)

    def _tell_fallback(self, service: ServiceConfig, old: Service | None, done: narrate.Effects) -> None:
        if service.fallback is None:
            return
        row = self.ledger.row(service.key, service.fallback.key)
        was_in = old is not None and service.fallback.key in old.dests
        if was_in != (row is not None):
            self._tell(narrate.fallback(service, row, done, self._wall()))

    def _tell_transitions(self, keys: Iterable[ServiceKey], done: narrate.Effects) -> None:
        """Tell what happened to servers whose rows are now as wanted; the others wait until theirs are."""
        settled = set(keys)
        for ref in [ref for ref in self.roster.transitions if ref[0] in settled]:
            row, wanted = self.ledger.row(*ref), self.wanted.get(ref[0])
            if row == (wanted.dests.get(ref[1]) if wanted else None):
                change = self.roster.transitions.pop(ref)
                service, real = self.roster.services[ref[0]], self.roster.reals[ref]
                self._tell(narrate.server_changed(service, real, change, row, done, self._wall()))

    def _tell_admin_changes(self, before: dict[ServiceKey, ServiceConfig]) -> None:
        for key, service in self.roster.services.items():
            old = {real.key: real for real in before[key].reals} if key in before else {}
            for real in service.reals:
                if real.key in old and old[real.key].admin is not real.admin:
                    ref: tuple[ServiceKey, DestKey] = (key, real.key)
                    row = self.ledger.row(*ref)
                    self._tell(narrate.server_admin(service, real, self.roster.phase(ref), row, self._wall()))
