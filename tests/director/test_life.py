"""Whatever happens to a director and in whatever order: its table is right in the end, and never worse than it must be.

The machine lets verdicts, reloads, strangers, a refusing table, a table that goes away (also in the middle of a plan),
crashes and restarts follow each other as they like. A prefix of the writes is what a crash would leave behind, so every
single write is looked at.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from healthd.assignment import ServerRef
from healthd.check import Verdict
from healthd.config.schema import Admin, Config, Drift, OnFailure, RealServer, ServiceConfig
from healthd.events import Event, Kind
from healthd.health import Phase
from healthd.ipvs.base import TableUnavailable
from healthd.model import DestKey, Service, ServiceKey
from healthd.ops import AddDest, AddService, DelService
from healthd.policy import Wish, admin_of
from tests.director.lives import NAMES, dests, edits, keys, service_lists, wish_lists
from tests.director.scenario import Scenario
from tests.director.watched import WatchedTable
from tests.support.builders import (
    DNS,
    FAIL,
    MAIL,
    PASS,
    UNSURE,
    WLC,
    WWW,
    A,
    asks,
    config,
    listed,
    row,
    weights,
)

FOREIGN = DNS
LONG = 61.0
"""Seconds after which every back-off is over and every resync is due."""


class Crash(Exception):
    """The director dies here."""


@dataclass(frozen=True)
class Condition:
    """What is true of a server: whether it can serve, and what its check asks for where it asks."""

    up: bool
    weight: int | None = None


def verdict_of(condition: Condition) -> Verdict:
    return asks(condition.weight) if condition.up else FAIL


def asks_weight(server: RealServer) -> bool:
    return any(each.check.asks_weight for each in server.checks)  # type: ignore[union-attr]


NO_WISH = Wish(Admin.ENABLED, "")


def expected(
    declared: ServiceConfig, truth: dict[ServerRef, Condition], wishes: dict[ServerRef, Wish]
) -> dict[DestKey, int]:
    """An independent oracle: the weights a service should have once everything is known."""
    rows = {}
    for server in declared.reals:
        condition, wish = truth[declared.key, server.key], wishes.get((declared.key, server.key), NO_WISH)
        admins = {declared.admin, server.admin, wish.admin}
        if Admin.REMOVED in admins:
            continue
        if not condition.up or Admin.MAINTENANCE in admins:
            if declared.on_failure is OnFailure.QUIESCE:
                rows[server.key] = 0
        elif Admin.DRAINED in admins:
            rows[server.key] = 0
        else:
            weights_ = (wish.weight, condition.weight, server.spec.weight)
            rows[server.key] = next(weight for weight in weights_ if weight is not None)
    if declared.fallback and not any(rows.values()):
        rows[declared.fallback.key] = declared.fallback.spec.weight
    return rows


def usable(found: Service | None) -> bool:
    return found is not None and any(spec.weight for spec in found.dests.values())


class Life(RuleBasedStateMachine):
    """One director after another over one table."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.table = WatchedTable()
        self.table.edit(AddService(FOREIGN, WLC), AddDest(FOREIGN, A, row(7)))
        self.scenario = Scenario(self.table)
        self.truth: dict[ServerRef, Condition] = {}
        self.config = Config()
        self.wishes: dict[ServerRef, Wish] = {}
        self.told: dict[tuple[str, str], Event] = {}

    def run(self, work: Awaitable[None]) -> None:
        """Let the loop do some work."""
        self.loop.run_until_complete(work)

    @initialize(listed_=service_lists(), drift=st.sampled_from([Drift.REPAIR, Drift.REPAIR, Drift.REPORT, Drift.ADOPT]))
    def start(self, listed_: list[ServiceConfig], drift: Drift) -> None:
        """Start over what is there, with some configuration."""
        self.drift = drift
        self.config = config(*listed_, drift=drift)
        self.run(self._under_watch(self.scenario.configure(self.config)))

    # --- what happens ------------------------------------------------------------------------------------------

    @precondition(lambda self: self.scenario.director.roster.assignment.servers)
    @rule(data=st.data(), said=st.sampled_from(["pass", "fail", "fail", "unsure"]), later=st.booleans())
    def verdict(self, data: Any, said: str, later: bool) -> None:
        """One check of a server gives a verdict; the director looks now, or with the next thing that happens."""
        watches = self.scenario.director.roster.assignment.watches
        ref = data.draw(st.sampled_from(sorted(watches, key=lambda r: (r[0].rank, r[1].rank))))
        place = data.draw(st.sampled_from(range(len(watches[ref]))))
        answer = {"pass": PASS, "fail": FAIL, "unsure": UNSURE}[said]
        if said == "pass" and asks_weight(self.scenario.director.roster.reals[ref]):
            answer = asks(data.draw(st.integers(0, 3)))
        self.scenario.say(ref, answer, place)
        if not later:
            self.run(self._under_watch(self.scenario.turn()))

    @rule(up=st.lists(dests, unique=True))
    def round(self, up: list[DestKey]) -> None:
        """Every check of every server gives a verdict, as one round of probing would."""
        reals = self.scenario.director.roster.reals
        for ref, server in reals.items():
            if ref[1] in up:
                self.scenario.say(ref, asks(server.spec.weight) if asks_weight(server) else PASS)
            else:
                self.scenario.say(ref, FAIL)
        self.run(self._under_watch(self.scenario.turn()))

    @rule(later=st.sampled_from([0.0, 1.0, 16.0]))
    def turn(self, later: float) -> None:
        """Time goes by."""
        self.run(self._under_watch(self.scenario.turn(later)))

    @rule(wishes=wish_lists)
    def wish(self, wishes: dict[ServerRef, Wish]) -> None:
        """Operators want something else of servers."""
        self.wishes = wishes
        self.scenario.director.wish("operators", wishes)
        self.run(self._under_watch(self.scenario.turn()))

    @rule(listed_=service_lists())
    def reload(self, listed_: list[ServiceConfig]) -> None:
        """Another configuration is loaded."""
        known = {str(each.key) for each in self.config.services}
        self.config = config(*listed_, drift=self.drift)
        # What the table has of a service that is new to the director is no news, whatever was told of it long ago.
        self.told = {subject: event for subject, event in self.told.items() if subject[0] in {*known, ""}}
        self.run(self._under_watch(self.scenario.configure(self.config)))

    @rule(op=edits)
    def meddle(self, op: Any) -> None:
        """A stranger does one thing to our services."""
        self.table.meddle(op)

    @rule()
    def flush(self) -> None:
        """A stranger deletes our services."""
        self.table.meddle(DelService(WWW), DelService(MAIL))

    @rule(key=keys, dest=dests)
    def refuse(self, key: ServiceKey, dest: DestKey) -> None:
        """The table begins, or ceases, to refuse a destination."""
        self.table.refusing ^= {(key, dest)}

    @rule()
    def lose_table(self) -> None:
        """The table goes away."""
        self.table.unavailable = "no such table"

    @rule()
    def table_comes_back(self) -> None:
        """The table is there again."""
        self.table.unavailable = ""

    @rule(after=st.integers(0, 3))
    def lose_table_in_a_plan(self, after: int) -> None:
        """The next plan loses the table after some of its operations, which are done but never acknowledged."""
        self.table.cut, self.table.cut_after = TableUnavailable("connection to the table lost"), after

    @rule(after=st.integers(0, 3))
    def crash_in_a_plan(self, after: int) -> None:
        """The next plan is the end of this director."""
        self.table.cut, self.table.cut_after = Crash(), after

    @rule()
    def restart(self) -> None:
        """Another director starts over the same table."""
        self._restart()
        self.run(self._under_watch(self.scenario.configure(self.config)))

    # --- what must hold ----------------------------------------------------------------------------------------

    @invariant()
    def foreign_services_are_untouched(self) -> None:
        """What is not ours is invisible."""
        found = self.loop.run_until_complete(self.table.service(FOREIGN))
        assert found == listed({A: 7})

    def teardown(self) -> None:
        """In the end all falls quiet."""
        try:
            self.run(self._quiet())
        finally:
            self.loop.close()

    async def _under_watch(self, work: Awaitable[None]) -> None:
        """Let the director work, and hold every single write against the rules. A crash is followed by a start."""
        first = len(self.table.steps)
        before = {key: usable(await self.table.service(key)) for key in NAMES}
        services = {key: await self.table.service(key) for key in before.keys() - self.table.unread}
        try:
            await work
        except* Crash:
            crashed = True
        else:
            crashed = False
        self._check_steps(first, before)
        if crashed:
            self._restart()
            await self._under_watch(self.scenario.configure(self.config))
        elif self.drift is Drift.REPAIR and self.scenario.director.table_error is None:
            for key, found in services.items():
                if usable(found) and not usable(await self.table.service(key)):
                    assert self._nobody_is_left(key, found), f"{key} was given up too early"
        self._listen()

    def _nobody_is_left(self, key: ServiceKey, before: Service) -> bool:
        """True if a service that was usable has no fallback that the table takes, and no old row worth keeping."""
        declared = {each.key: each for each in self.config.services}.get(key)
        if declared is None:
            return True
        if declared.fallback:
            return (key, declared.fallback.key) in self.table.refusing
        roster, keys = self.scenario.director.roster, {server.key for server in declared.reals}
        wishes = {server.key: self.wishes.get((key, server.key), NO_WISH) for server in declared.reals}
        hopeful = any(
            admin_of(admin_of(declared.admin, server.admin), wishes[server.key].admin) is Admin.ENABLED
            and (server.spec.weight if wishes[server.key].weight is None else wishes[server.key].weight)
            and roster.phase((key, server.key)) is Phase.UNKNOWN
            for server in declared.reals
        )
        return not hopeful or not any(spec.weight for dest, spec in before.dests.items() if dest not in keys)

    def _check_steps(self, first: int, before: dict[ServiceKey, bool]) -> None:
        steps = self.table.steps[first:]
        for step in steps:
            assert step.blind or step.before != step.after, f"needless: {step.op}"
        for key in NAMES:
            mine = [step for step in steps if step.op.service == key]  # type: ignore[union-attr]
            if before[key] and self._will_be_usable(key) and not any(step.blind for step in mine):
                for step in mine:
                    assert usable(step.after), f"nobody can be reached after {step.op}"

    def _will_be_usable(self, key: ServiceKey) -> bool:
        wanted = self.scenario.director.wanted.get(key)
        rows = wanted.dests if wanted else {}
        return any(spec.weight and (key, dest) not in self.table.refusing for dest, spec in rows.items())

    def _restart(self) -> None:
        self.scenario = Scenario(self.table, self.scenario.now + 1)
        self.scenario.director.wish("operators", self.wishes)
        self.told = {}

    def _listen(self) -> None:
        for event in self.scenario.told():
            if event.kind in (Kind.SERVER_UP, Kind.SERVER_DOWN):
                self.told[event.virtual, event.real] = event
            if event.kind in (Kind.FALLBACK_ON, Kind.FALLBACK_OFF):
                self.told[event.virtual, "fallback"] = event
            assert event.kind is not Kind.DRIFT or self.table.meddled, f"nobody did that: {event.message}"
            if event.kind in (Kind.SERVICE_ADDED, Kind.SERVICE_REMOVED):
                self.told[event.virtual, "service"] = event
            if event.kind in (Kind.TABLE_LOST, Kind.TABLE_BACK):
                last = self.told.get(("", "table"))
                assert last is None or last.kind is not event.kind, "the table was told lost (or back) twice"
                self.told["", "table"] = event

    async def _quiet(self) -> None:
        """Nothing happens any more but that every server says what is true of it."""
        self.table.unavailable, self.table.cut = "", None
        self.table.refusing.clear()
        await self._under_watch(self.scenario.turn(LONG))
        roster = self.scenario.director.roster
        # Services that ask a server the same question share its answer, so what is true is true in all of them.
        down = {ref[1] for ref in roster.reals if roster.phase(ref) is Phase.DOWN}
        for ref, server in roster.reals.items():
            self.truth[ref] = Condition(ref[1] not in down, 2 if asks_weight(server) else None)
        for _ in range(2):
            for ref in roster.reals:
                self.scenario.say(ref, verdict_of(self.truth[ref]))
            await self._under_watch(self.scenario.turn(LONG))
        await self._under_watch(self.scenario.turn(LONG))
        await self._check_rest()

    async def _check_rest(self) -> None:
        written = len(self.table.steps)
        await self._under_watch(self.scenario.turn(LONG))
        assert len(self.table.steps) == written, "the director does not come to rest"
        assert not self.scenario.director.ledger.refusals
        for declared in self.config.services:
            found = await self.table.service(declared.key)
            assert found == self.scenario.director.wanted[declared.key]
            if self.drift is Drift.REPAIR:
                assert found is not None
                assert found.spec == declared.spec
                assert weights(found) == expected(declared, self.truth, self.wishes)
            self._check_told(declared, found)
        for key in NAMES.keys() - {each.key for each in self.config.services}:
            assert key not in self.scenario.director.wanted, "a service that went is still kept"

    def _check_told(self, declared: ServiceConfig, found: Service | None) -> None:
        for server in declared.reals:
            event = self.told.get((str(declared.key), str(server.key)))
            assert event is None or event.phase == self.scenario.director.roster.phase((declared.key, server.key)).value
        event = self.told.get((str(declared.key), "service"))
        assert event is None or (event.kind is Kind.SERVICE_ADDED) is (found is not None)
        event = self.told.get((str(declared.key), "fallback"))
        if event is not None and declared.fallback and found is not None:
            assert (event.kind is Kind.FALLBACK_ON) is (declared.fallback.key in found.dests)


Life.TestCase.settings = settings(
    max_examples=1500 if os.environ.get("HYPOTHESIS_PROFILE") == "ci" else 100, stateful_step_count=30
)
TestLife = Life.TestCase
TestLife.pytestmark = [pytest.mark.timeout(1800)]  # what fails is made small first, and that takes its time
