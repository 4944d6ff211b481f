"""The one owner of the table: transitions -> policy -> plan -> apply -> events.

One task (`run`) owns everything here that changes; others put something into its inbox and wake it. The inbox has one
small slot per probe, so it is bounded by construction, and all that is in it becomes one plan: a rack that dies is one
plan, not forty.

It is level-triggered: a transition only says that now is a good time to compare what is wanted with what is believed.
A row that was not as believed is read again and planned again; a table that is away is asked again with back-off, while
probing goes on; a snapshot every so often finds what strangers did.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from itertools import chain

from healthd.assignment import Assignment, ServerRef
from healthd.config.schema import Admin, CheckPlan, Config, OnStop, RealServer, ServiceConfig
from healthd.drift import NOTHING_HELD, Edit, foreign, still_held
from healthd.events import Event, Kind
from healthd.health import Health
from healthd.ipvs.base import IpvsTable, TableUnavailable
from healthd.ledger import Ledger, Written, write
from healthd.model import DestKey, Service, ServiceKey
from healthd.narrate import effects
from healthd.plan import plan, plan_globals
from healthd.policy import Context, ServerState, Wish, adopted, wanted_service
from healthd.prober.base import Observation, Prober, Summary
from healthd.prober.totals import add
from healthd.roster import Roster
from healthd.stopping import stopped
from healthd.teller import Teller

CONFLICT_ROUNDS = 4
SLOT = 8
LONGEST_BREATH = 0.1
"""Most seconds of rest after a turn; it is as long as the turn was. So in a flood of verdicts more of them become one
plan, and whoever else shares the loop gets as much of it as the director."""
FIRST_BACKOFF, LAST_BACKOFF = 0.5, 30.0

Monitor = Callable[[Assignment, Sequence[Observation]], None]


def unseen(assignment: Assignment, batch: Sequence[Observation]) -> None:
    """Nobody wants to see what probes found."""


def both(one: Monitor, other: Monitor) -> Monitor:
    """Two that want to see what probes found."""

    def watched(assignment: Assignment, batch: Sequence[Observation]) -> None:
        one(assignment, batch)
        other(assignment, batch)

    return watched


class Director:
    """Keeps one table true.

    table: where to. emit: takes each event, must not block. clock: monotonic seconds. wall: seconds since the epoch.
    monitor: takes what probes found, with what was asked; must not block either.
    """

    def __init__(
        self,
        table: IpvsTable,
        emit: Callable[[Event], None],
        clock: Callable[[], float],
        wall: Callable[[], float],
        monitor: Monitor = unseen,
    ) -> None:
        self.config = Config()
        self.ledger = Ledger()
        self.roster = Roster()
        self._teller = Teller(emit, wall, self.roster, self.ledger)
        self.wanted: dict[ServiceKey, Service | None] = {}
        self.summary: Summary | None = None
        self.probed = Summary(0.0)
        """All summaries added up."""
        self.table_error: str | None = None
        self.first_round = asyncio.Event()
        """Every server has been asked, and what came of it is in the table if that is there."""
        self._all_asked = False
        self._table = table
        self._clock = clock
        self._monitor = monitor
        self._prober: Prober | None = None
        self._plain: dict[ServiceKey, Service | None] = {}
        self._inbox: dict[int, deque[Observation]] = {}
        self._wake = asyncio.Event()
        self._requests: list[tuple[Config, asyncio.Future[None]]] = []
        self._waiting: list[asyncio.Future[None]] = []
        self._wishes: dict[str, Mapping[ServerRef, Wish]] = {}
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

    def wish(self, source: str, wishes: Mapping[ServerRef, Wish]) -> None:
        """Replace all that one source wants of servers besides the configuration."""
        self._wishes[source] = wishes
        self._wake.set()

    async def settled(self) -> None:
        """Return once what was asked for until now is in the table, as far as that takes it."""
        settled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(settled)
        self._wake.set()
        await settled

    def read_again(self) -> None:
        """Compare with the table in the next turn, and try again what it refused."""
        self._read_at = self._retry_at = 0.0
        self.ledger.retry_at_once()
        self._wake.set()

    def observed(self, batch: Sequence[Observation]) -> None:
        """Take observations; of each probe the latest few wait, and only the last decides."""
        self._monitor(self.roster.assignment, batch)
        for observation in batch:
            self._inbox.setdefault(observation.probe, deque(maxlen=SLOT)).append(observation)
        self._wake.set()

    def summarised(self, summary: Summary) -> None:
        """Take the prober's totals."""
        self.summary = summary
        self.probed = add(self.probed, summary)
        if summary.at > self._assigned_at and summary.unasked == 0 and not self._all_asked:
            self._all_asked = True
            self._wake.set()

    def lost(self, why: str) -> None:
        """Note that a prober is gone: its servers keep their state until it is back."""
        self._teller.say(Kind.PROBER_LOST, f"{why}; servers keep their state until it is back")

    async def suspect(self, addresses: Iterable[IPv4Address | IPv6Address]) -> None:
        """Something happened on the way to these addresses: ask all that is there now."""
        wanted = set(addresses)
        probes = [probe.id for probe in self.roster.assignment.probes if probe.target.address in wanted]
        if probes and self._prober:
            await self._prober.hurry(probes)

    # --- the task ----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep the table true until cancelled."""
        while True:
            await self._wait()
            began = self._clock()
            await self.turn()
            await asyncio.sleep(min(self._clock() - began, LONGEST_BREATH))

    async def turn(self) -> None:
        """Do once all there is to do now."""
        self._take_wishes()
        all_asked = self._all_asked
        waiting, self._waiting = self._waiting, []
        taken = [*waiting, *await self._take_requests()]
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
        if all_asked:
            self.first_round.set()

    async def stop(self, policy: OnStop) -> None:
        """Do to the table what the stop policy says, or that of a service. Not while `run` runs.

        Raises TableUnavailable.
        """
        policies = dict.fromkeys(self._departing, policy)
        policies |= {key: service.on_stop or policy for key, service in self.roster.services.items()}
        if all(policy is OnStop.LEAVE for policy in policies.values()):
            return
        await self._read(policies.keys())
        wanted = stopped(policies, self.ledger.actual)
        now = self._clock()
        written = await write(self._table, self.ledger, plan(wanted, self.ledger.actual), now)
        self._teller.refused(written, now)
        self._teller.stopped(effects(written.done))

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

    def _take_wishes(self) -> None:
        news, self._wishes = self._wishes, {}
        for source, wishes in news.items():
            self._dirty |= self.roster.wish(source, wishes)

    async def _take_requests(self) -> list[asyncio.Future[None]]:
        requests, self._requests = self._requests, []
        if requests:
            await self._reconfigure(requests[-1][0])
        return [taken for _, taken in requests]

    async def _reconfigure(self, config: Config) -> None:
        before = self.roster.services
        if config.settings.table != self.config.settings.table:
            self._read_at = 0.0
        self.config = config
        self._own({service.key: service for service in config.services}, before)
        await self._read_new()
        self._fold()
        self.roster.replace(config.services, self._adopted)
        self._dirty |= self.roster.services.keys() | self._departing
        if self._prober:
            await self._prober.assign(self.roster.assignment.probes)
            self._assigned_at = self._clock()

    def _own(self, services: dict[ServiceKey, ServiceConfig], before: dict[ServiceKey, ServiceConfig]) -> None:
        """Note which services are ours from now on, which are to go, and which we have never read."""
        self._teller.name(services.values())
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
            self._have_read_new()
            self._read_at = self._read_at or self._clock() + self.config.settings.table.resync

    def _adopted(self, ref: ServerRef, plan: CheckPlan) -> Health:
        service, real = self.roster.services[ref[0]], self.roster.reals[ref]
        row, wish = self.ledger.row(*ref), self.roster.wish_for(ref)
        return adopted(service.on_failure, real, wish, plan, row, self._clock())

    def _fold(self) -> None:
        inbox, self._inbox = self._inbox, {}
        if not inbox:
            return
        batch = list(chain.from_iterable(inbox.values()))
        folded = self.roster.fold(batch)
        self._dirty |= folded.dirty
        self._teller.certainty(folded.certainty)
        self._teller.streaks(folded.streaks)

    # --- the table ---------------------------------------------------------------------------------------------

    def _have_read_new(self) -> None:
        self._teller.found(service for service in self.config.services if service.key in self._unread)
        self._unread = set()

    async def _read_if_due(self) -> None:
        if self._clock() < self._read_at and not self._unread:
            return
        known = self.roster.services.keys() - self._unread
        edits = await self._read(self.roster.services.keys() | self._departing)
        self._have_read_new()
        self._read_at = self._clock() + self.config.settings.table.resync
        self._take_edits([edit for edit in edits if edit.service in known], self._plain)
        self._dirty |= {edit.service for edit in edits}

    async def _read(self, keys: Iterable[ServiceKey]) -> list[Edit]:
        wanted = frozenset(keys)
        found = await self._table.snapshot(wanted)
        settings = self.config.settings.table
        ops = plan_globals(settings.timeouts, settings.sync, found.timeouts, found.sync)
        self._teller.refused_of_table(filter(None, await self._table.apply(ops) if ops else []))
        return self.ledger.reread(found, wanted)

    def _take_edits(self, edits: Iterable[Edit], plain: Mapping[ServiceKey, Service | None]) -> None:
        """Hold and tell what strangers did. plain: the services as we wanted them then, without holds."""
        mode = self.config.settings.table.drift
        theirs = foreign(edits, self.wanted)
        self.ledger.hold(mode, theirs, plain)
        self._teller.drift(theirs, mode)

    async def _settle(self) -> None:
        """Bring the table to what is wanted; a row that was not as believed is read and planned again."""
        for _ in range(CONFLICT_ROUNDS):
            retry = self.ledger.next_retry()
            if retry is not None and retry <= self._clock():
                self._dirty |= {op.service for op in self.ledger.refusals}
            if not self._dirty:
                return
            plain, refused = dict(self._plain), self.ledger.refused()
            written = await self._write(self._dirty)
            # What the table takes decides whether the fallback is needed.
            self._dirty = set(written.stale) | {op.service for op in refused ^ self.ledger.refused()}
            if written.stale:
                self._take_edits(await self._read(written.stale), plain)

    async def _write(self, keys: Iterable[ServiceKey]) -> Written:
        wanted = {key: self._want(key) for key in keys}
        self.wanted |= wanted
        todo = plan(wanted, self.ledger.actual)
        self.ledger.forget_refusals(wanted.keys(), todo)
        now = self._clock()
        written = await write(self._table, self.ledger, self.ledger.due(todo, now), now)
        self._teller.refused(written, now)
        self._teller.settled(wanted, effects(written.done))
        self._forget_departed()
        return written

    def _forget_departed(self) -> None:
        for key in self.wanted.keys() - self.roster.services.keys() - self.ledger.actual.keys():
            self._departing.discard(key)
            self._teller.forget(key)
            self.ledger.forget(key)
            self._plain.pop(key, None)
            del self.wanted[key]

    def _want(self, key: ServiceKey) -> Service | None:
        service = self.roster.services.get(key)
        if service is None:
            return None
        states = {real.key: self.state(service, real) for real in service.reals}
        mode = self.config.settings.table.drift
        rows = self.ledger.rows(key)
        holds = self.ledger.holds.get(key, NOTHING_HELD)
        ours = {dest: row for dest, row in rows.items() if dest not in holds.dests}
        self._plain[key] = plain = wanted_service(service, states, Context(ours, mode))
        if holds is NOTHING_HELD or plain is None:
            return plain
        self.ledger.holds[key] = holds = still_held(mode, holds, plain)
        return wanted_service(service, states, Context(rows, mode, holds))

    def state(self, service: ServiceConfig, real: RealServer) -> ServerState:
        """What policy needs to know of a server."""
        ref = (service.key, real.key)
        state = self.roster.state(ref)
        return replace(state, refused=True) if self.ledger.is_refused(*ref) else state

    def usable(self, service: ServiceConfig) -> set[DestKey]:
        """The declared servers of a service that take new connections now, and that nobody wants otherwise.

        A table that is away still has rows that are not wanted any more.
        """
        rows = self.ledger.rows(service.key)
        served = [real.key for real in service.reals if real.key in rows and rows[real.key].weight > 0]
        states = {key: self.roster.state((service.key, key)) for key in served}
        return {key for key, state in states.items() if state.admin is Admin.ENABLED and state.ordered != 0}

    def _table_is_lost(self, error: TableUnavailable) -> None:
        self._retry_at = self._clock() + self._backoff
        self._backoff = min(self._backoff * 2, LAST_BACKOFF)
        self._read_at = 0.0
        if self.table_error is None:
            self._teller.say(Kind.TABLE_LOST, f"the table cannot be kept: {error}", str(error))
        self.table_error = str(error)

    def _table_is_back(self) -> None:
        self._backoff = FIRST_BACKOFF
        if self.table_error is not None:
            self.table_error = None
            self._teller.say(Kind.TABLE_BACK, "the table can be kept again")
