"""Overrides over a whole daemon's life, but for its processes: director, state store, and time that the test moves."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager
from functools import partial

import pytest

from healthd.config.schema import OnFailure
from healthd.events import Kind
from healthd.operators import Operators
from healthd.overrides import Override, OverrideKind, Scope
from healthd.state import StateStore
from tests.director.scenario import Scenario, serving
from tests.processes.waiting import until
from tests.support.builders import FAIL, PASS, A, B, config, real, service

SCOPE = Scope("", "10.0.0.11")
NOW = 5000.0


class World:
    """A director, what operators ask of it, and a clock."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.now = NOW
        self.told: list = []
        tell = partial(scenario.director.wish, "operators")
        self.operators = Operators(tell, self.told.append, lambda: self.now, patience=0.2)

    async def put(self, kind: OverrideKind, scope: Scope = SCOPE, **values) -> Override:
        """Somebody asks for it, and the director looks."""
        override = Override(scope, kind, "amy", "new kernel", self.now, **values)
        await self.operators.put(override)
        await self.scenario.turn()
        return override


@asynccontextmanager
async def world(store: StateStore | None, *, on_failure=OnFailure.QUIESCE):
    declared = service(real(A), real(B), on_failure=on_failure)
    made = World(await serving(declared))
    await made.operators.begin(store)
    made.operators.apply([declared])
    await made.scenario.turn()
    yield made


@pytest.fixture
async def store(tmp_path):
    opened = await StateStore.open(tmp_path / "state.db")
    yield opened
    await opened.close()


# --- in force ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "values", "rows"),
    [
        (OverrideKind.DRAIN, {}, {A: 0, B: 10}),
        (OverrideKind.MAINTENANCE, {}, {A: 0, B: 10}),
        (OverrideKind.REMOVE, {}, {B: 10}),
        (OverrideKind.WEIGHT, {"weight": 3}, {A: 3, B: 10}),
        (OverrideKind.WEIGHT, {"weight": 0}, {A: 0, B: 10}),
    ],
)
async def test_what_is_asked_is_in_the_table_until_it_is_withdrawn(store, kind, values, rows):
    async with world(store) as here:
        override = await here.put(kind, **values)
        assert await here.scenario.rows() == rows
        (event,) = here.scenario.told()
        assert event.kind is Kind.SERVER_ADMIN
        assert "amy: new kernel" in event.message
        await here.operators.withdraw([override], "bob")
        await here.scenario.turn()
        assert await here.scenario.rows() == {A: 10, B: 10}
        assert [event.kind for event in here.told] == [Kind.OVERRIDE_SET, Kind.OVERRIDE_ENDED]
        assert "bob" in here.told[1].message
    assert await store.overrides() == []


async def test_a_weight_that_was_ordered_comes_back_after_a_failure(store):
    async with world(store) as here:
        await here.put(OverrideKind.WEIGHT, weight=3)
        await here.scenario.hears({A: FAIL})
        assert await here.scenario.rows() == {A: 0, B: 10}
        await here.scenario.hears({A: PASS})
        assert await here.scenario.rows() == {A: 3, B: 10}


async def test_the_same_asked_again_takes_the_place_of_the_first(store):
    async with world(store) as here:
        await here.put(OverrideKind.WEIGHT, weight=3)
        here.now += 1
        second = await here.put(OverrideKind.WEIGHT, weight=4)
        assert here.operators.overrides == (second,)
        assert await here.scenario.rows() == {A: 4, B: 10}
    assert await store.overrides() == [second]


async def test_a_server_that_a_reload_brings_is_covered(store):
    async with world(store) as here:
        await here.put(OverrideKind.DRAIN, Scope("www"))
        third = service(real(A), real(B), real(C := B.__class__(B.address + 1, 80)))
        here.operators.apply([third])
        await here.scenario.configure(config(third))
        await here.scenario.hears({A: PASS, B: PASS, C: PASS})
        assert await here.scenario.rows() == {A: 0, B: 0, C: 0}


# --- a restart --------------------------------------------------------------------------------------------------


async def test_a_restart_finds_what_was_asked_and_writes_nothing(store):
    async with world(store) as here:
        await here.put(OverrideKind.DRAIN)
        here.scenario.writes()
        table = here.scenario.table
    again = Scenario(table)
    operators = Operators(partial(again.director.wish, "operators"), lambda event: None, lambda: NOW)
    declared = service(real(A), real(B))
    await operators.begin(store)
    operators.apply([declared])
    await again.configure(config(declared))
    await again.hears({A: PASS, B: PASS})
    assert again.writes() == []
    assert await again.rows() == {A: 0, B: 10}


async def test_what_is_over_ends_by_itself_also_if_it_was_over_before_the_start(store):
    async with world(store) as here:
        await here.put(OverrideKind.DRAIN, until=NOW + 60)
        await here.put(OverrideKind.WEIGHT, Scope("www"), weight=7)
    async with world(store) as later:
        later.now = NOW + 61
        running = asyncio.create_task(later.operators.run())
        await until(lambda: len(later.operators.overrides) == 1)
        running.cancel()
        await later.scenario.turn()
        assert await later.scenario.rows() == {A: 7, B: 7}
        assert "the time is over" in later.told[-1].message
    assert len(await store.overrides()) == 1


async def test_what_was_over_before_the_start_is_never_in_force(store):
    async with world(store) as here:
        await here.put(OverrideKind.DRAIN, until=NOW + 60)
        table = here.scenario.table
    again, told = Scenario(table), []
    operators = Operators(partial(again.director.wish, "operators"), told.append, lambda: NOW + 61)
    await operators.begin(store)
    assert operators.overrides == ()
    assert [event.kind for event in told] == [Kind.OVERRIDE_ENDED]
    assert await store.overrides() == []


async def test_an_end_that_is_near_is_waited_for(store):
    async with world(store) as here:
        running = asyncio.create_task(here.operators.run())
        await asyncio.sleep(0)
        await here.put(OverrideKind.DRAIN, until=NOW + 0.05)
        here.now += 1
        await until(lambda: not here.operators.overrides)
        running.cancel()


# --- a disk that does not do its work ---------------------------------------------------------------------------


async def test_without_a_store_it_is_in_force_and_says_what_would_become_of_it():
    async with world(None) as here:
        await here.put(OverrideKind.DRAIN)
        assert await here.scenario.rows() == {A: 0, B: 10}
        assert "no state store" in here.operators.unsaved


async def test_a_disk_that_fails_keeps_nobody_from_draining_and_is_tried_again(store):
    async with world(store) as here:
        await store._worker.do(lambda: _query_only(store, on=True))
        await here.put(OverrideKind.DRAIN)
        assert await here.scenario.rows() == {A: 0, B: 10}
        assert "cannot be used" in here.operators.unsaved
        await store._worker.do(lambda: _query_only(store, on=False))
        running = asyncio.create_task(here.operators.run())
        await until(lambda: not here.operators.unsaved)
        running.cancel()
    assert [override.kind for override in await store.overrides()] == [OverrideKind.DRAIN]


def _query_only(store: StateStore, *, on: bool) -> None:
    """Writing fails, as on a disk that is mounted read-only."""
    store._db.execute(f"PRAGMA query_only = {int(on)}")


async def test_a_disk_that_hangs_keeps_nobody_from_draining(store):
    goes_on = threading.Event()
    async with world(store) as here:
        hanging = asyncio.ensure_future(store._worker.do(goes_on.wait))
        await asyncio.sleep(0)
        await here.put(OverrideKind.DRAIN)
        assert await here.scenario.rows() == {A: 0, B: 10}
        assert "has not answered" in here.operators.unsaved
        goes_on.set()
        await hanging
    assert [override.kind for override in await store.overrides()] == [OverrideKind.DRAIN]


async def test_a_store_that_cannot_be_read_loses_nothing_of_what_it_has(store):
    async with world(store) as here:
        kept = await here.put(OverrideKind.DRAIN)
    await store._worker.do(lambda: store._db.execute("ALTER TABLE override RENAME TO away"))
    async with world(store) as later:
        await store._worker.do(lambda: store._db.execute("ALTER TABLE away RENAME TO override"))
        running = asyncio.create_task(later.operators.run())
        await later.put(OverrideKind.WEIGHT, weight=3)
        running.cancel()
        assert "no such table" in later.operators.unsaved
        assert await later.scenario.rows() == {A: 3, B: 10}
    assert await store.overrides() == [kept]


async def test_who_is_no_longer_wanted_is_not_counted_on_while_the_table_is_away(store):
    async with world(store) as here:
        here.scenario.table.unavailable = "no such table"
        await here.put(OverrideKind.DRAIN)
        (declared,) = here.scenario.director.roster.services.values()
        assert here.scenario.director.usable(declared) == {B}


async def test_two_operators_at_once_both_get_what_they_asked_for(store):
    async with world(store) as here:
        one = Override(Scope("", "10.0.0.11"), OverrideKind.DRAIN, "amy", "", NOW)
        other = Override(Scope("", "10.0.0.12"), OverrideKind.WEIGHT, "bob", "", NOW, weight=2)
        await asyncio.gather(here.operators.put(one), here.operators.put(other))
        await here.scenario.turn()
        assert await here.scenario.rows() == {A: 0, B: 2}
    assert len(await store.overrides()) == 2
