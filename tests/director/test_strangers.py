"""Somebody runs `ipvsadm -C`, `-d`, `-e` or `-a` on our services: it is repaired, reported or adopted."""

from __future__ import annotations

import pytest

from healthd.config.schema import Drift
from healthd.events import Kind
from healthd.ipvs.memory import MemoryTable
from healthd.ops import AddDest, AddService, DelDest, DelService, SetDest, SetService
from tests.director.scenario import Scenario, serving
from tests.support.builders import (
    DNS,
    FAIL,
    PASS,
    SORRY,
    STICKY,
    STRANGER,
    WLC,
    WWW,
    A,
    B,
    C,
    config,
    listed,
    real,
    row,
    service,
)

REPAIR, REPORT, ADOPT = Drift.REPAIR, Drift.REPORT, Drift.ADOPT
LEFT = [REPORT, ADOPT]
RESYNC = 15.0


async def meddled(drift: Drift, *ops, fallback: bool = False) -> Scenario:
    """A stranger did this to a service of A and B, both up; the director has looked."""
    scenario = await serving(service(real(A), real(B), fallback=fallback), drift=drift)
    scenario.table.edit(*ops)
    await scenario.turn(later=RESYNC)
    return scenario


async def spec_of(scenario: Scenario):
    found = (await scenario.table.snapshot([WWW])).services.get(WWW)
    return found.spec if found else None


# --- repair -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ops", "repair"),
    [
        ([SetDest(WWW, A, row(3))], [SetDest(WWW, A, row(10))]),
        ([DelDest(WWW, A)], [AddDest(WWW, A, row(10))]),
        ([AddDest(WWW, STRANGER, row(1))], [DelDest(WWW, STRANGER)]),
        ([SetService(WWW, STICKY)], [SetService(WWW, WLC)]),
        ([DelService(WWW)], [AddService(WWW, WLC), AddDest(WWW, A, row(10)), AddDest(WWW, B, row(10))]),
    ],
)
async def test_what_a_stranger_did_is_undone_with_one_write_and_told_once(ops, repair):
    scenario = await meddled(REPAIR, *ops)
    assert scenario.writes() == repair
    (event,) = scenario.told()
    assert event.kind is Kind.DRIFT
    assert event.message.endswith("it is written again")
    await scenario.turn(later=RESYNC)
    assert scenario.writes() == []
    assert scenario.told() == []


async def test_nothing_is_read_before_it_is_time():
    scenario = await serving(service(real(A)))
    scenario.table.edit(SetDest(WWW, A, row(3)))
    await scenario.turn(later=RESYNC - 5)
    assert await scenario.rows() == {A: 3}
    await scenario.turn(later=5)
    assert await scenario.rows() == {A: 10}


async def test_a_flushed_table_is_rebuilt_as_it_was_and_a_strangers_service_is_not_ours_to_rebuild():
    scenario = await serving(service(real(A), real(B), fallback=True), table=MemoryTable({DNS: listed({A: 1})}))
    await scenario.hears({A: FAIL, B: FAIL})
    before = await scenario.rows()
    scenario.told()
    scenario.table.edit(DelService(WWW), DelService(DNS))
    await scenario.turn(later=RESYNC)
    assert await scenario.rows() == before
    assert await scenario.rows(DNS) is None
    assert scenario.kinds() == [Kind.DRIFT]


async def test_an_edit_tells_what_was_and_what_is():
    scenario = await meddled(REPAIR, SetDest(WWW, A, row(3)))
    (event,) = scenario.told()
    assert event.detail == "was forward=masq weight=10, is forward=masq weight=3"
    assert (event.service, event.real) == ("www", "10.0.0.11:80")


# --- left alone -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("drift", LEFT)
@pytest.mark.parametrize(
    ("ops", "rows"),
    [
        ([SetDest(WWW, A, row(3))], {A: 3, B: 10}),
        ([DelDest(WWW, A)], {B: 10}),
        ([AddDest(WWW, STRANGER, row(1))], {A: 10, B: 10, STRANGER: 1}),
        ([DelService(WWW)], None),
    ],
)
async def test_what_a_stranger_did_is_left_and_told_once(drift, ops, rows):
    scenario = await meddled(drift, *ops)
    assert await scenario.rows() == rows
    told = [event.message for event in scenario.told() if event.kind is Kind.DRIFT]
    assert len(told) == 1
    assert told[0].endswith("it is left" if drift is REPORT else "it is adopted")
    for _ in range(3):
        await scenario.hears({A: PASS, B: PASS})
        await scenario.turn(later=RESYNC)
    assert scenario.writes() == []
    assert scenario.told() == []


@pytest.mark.parametrize("drift", LEFT)
async def test_a_second_edit_of_a_row_is_left_like_the_first(drift):
    scenario = await meddled(drift, SetDest(WWW, A, row(3)))
    scenario.table.edit(SetDest(WWW, A, row(4)))
    await scenario.turn(later=RESYNC)
    await scenario.turn(later=RESYNC)
    assert scenario.writes() == []
    assert await scenario.rows() == {A: 4, B: 10}


@pytest.mark.parametrize("drift", LEFT)
async def test_a_service_that_a_stranger_deletes_and_makes_anew_is_his(drift):
    scenario = await meddled(drift, DelService(WWW))
    scenario.table.edit(AddService(WWW, STICKY), AddDest(WWW, A, row(3)))
    await scenario.turn(later=RESYNC)
    await scenario.turn(later=RESYNC)
    assert scenario.writes() == []
    assert (await scenario.rows(), await spec_of(scenario)) == ({A: 3}, STICKY)


@pytest.mark.parametrize("drift", LEFT)
async def test_other_edits_found_while_settling_a_conflict_are_left_too(drift):
    scenario = await serving(service(real(A), real(B), real(C)), drift=drift)
    scenario.table.edit(SetDest(WWW, B, row(3)), DelDest(WWW, A))
    await scenario.hears({A: FAIL})
    found = await scenario.rows()
    assert found is not None
    assert found[B] == 3
    assert Kind.DRIFT in scenario.kinds()


@pytest.mark.parametrize("drift", LEFT)
async def test_a_reload_that_changes_the_service_ends_what_was_left(drift):
    scenario = await meddled(drift, SetDest(WWW, A, row(3)), AddDest(WWW, STRANGER, row(1)))
    await scenario.configure(config(service(real(A), real(B)), drift=drift))
    assert await scenario.rows() == {A: 3, B: 10, STRANGER: 1}
    await scenario.configure(config(service(real(A, 20), real(B)), drift=drift))
    assert await scenario.rows() == {A: 20, B: 10}


async def test_a_reload_to_repair_repairs_what_was_left():
    scenario = await meddled(REPORT, SetDest(WWW, A, row(3)), AddDest(WWW, STRANGER, row(1)))
    await scenario.configure(config(service(real(A), real(B))))
    assert await scenario.rows() == {A: 10, B: 10}


async def test_servers_emptied_by_a_stranger_bring_the_fallback():
    for drift in LEFT:
        scenario = await meddled(drift, SetDest(WWW, A, row(0)), SetDest(WWW, B, row(0)), fallback=True)
        assert await scenario.rows() == {A: 0, B: 0, SORRY: 1}


# --- report -----------------------------------------------------------------------------------------------------


async def test_a_reported_edit_is_left_until_something_else_is_wanted_of_the_row():
    scenario = await meddled(REPORT, SetDest(WWW, A, row(3)))
    await scenario.hears({A: FAIL})
    assert await scenario.rows() == {A: 0, B: 10}
    await scenario.hears({A: PASS})
    assert await scenario.rows() == {A: 10, B: 10}


async def test_a_reported_deletion_is_left_until_something_else_is_wanted_of_the_row():
    scenario = await meddled(REPORT, DelDest(WWW, A))
    await scenario.hears({B: FAIL})
    assert await scenario.rows() == {B: 0}
    await scenario.hears({A: FAIL})
    assert await scenario.rows() == {A: 0, B: 0}


async def test_a_strangers_row_outlives_a_reload_in_report_while_new_servers_are_unknown():
    scenario = await meddled(REPORT, AddDest(WWW, STRANGER, row(1)))
    await scenario.hears({A: FAIL, B: FAIL})
    assert await scenario.rows() == {A: 0, B: 0, STRANGER: 1}


# --- adopt ------------------------------------------------------------------------------------------------------


async def test_an_adopted_weight_is_the_weight_of_the_server_from_then_on():
    scenario = await meddled(ADOPT, SetDest(WWW, A, row(3)))
    await scenario.hears({A: FAIL})
    assert await scenario.rows() == {A: 0, B: 10}
    await scenario.hears({A: PASS})
    assert await scenario.rows() == {A: 3, B: 10}


async def test_weight_given_by_a_stranger_to_a_failed_server_waits_until_it_is_up():
    scenario = await serving(service(real(A), real(B)), drift=ADOPT)
    await scenario.hears({A: FAIL})
    scenario.table.edit(SetDest(WWW, A, row(3)))
    await scenario.turn(later=RESYNC)
    assert await scenario.rows() == {A: 0, B: 10}
    await scenario.hears({A: PASS})
    assert await scenario.rows() == {A: 3, B: 10}


async def test_an_adopted_deletion_stays_whatever_becomes_of_the_server():
    scenario = await meddled(ADOPT, DelDest(WWW, A))
    await scenario.hears({A: FAIL})
    await scenario.hears({A: PASS})
    assert await scenario.rows() == {B: 10}
    assert [event.weight for event in scenario.told() if event.kind is Kind.SERVER_UP] == [None]


async def test_an_adopted_fallback_comes_and_goes_as_it_was_edited():
    scenario = await serving(service(real(A), fallback=True), drift=ADOPT)
    await scenario.hears({A: FAIL})
    scenario.table.edit(SetDest(WWW, SORRY, row(5)))
    await scenario.turn(later=RESYNC)
    assert await scenario.rows() == {A: 0, SORRY: 5}
    await scenario.hears({A: PASS})
    assert await scenario.rows() == {A: 10}
    await scenario.hears({A: FAIL})
    assert await scenario.rows() == {A: 0, SORRY: 5}


async def test_a_stranger_may_take_his_own_row_away_again():
    scenario = await meddled(ADOPT, AddDest(WWW, STRANGER, row(1)))
    scenario.table.edit(SetDest(WWW, STRANGER, row(2)))
    await scenario.turn(later=RESYNC)
    assert await scenario.rows() == {A: 10, B: 10, STRANGER: 2}
    scenario.table.edit(DelDest(WWW, STRANGER))
    await scenario.turn(later=RESYNC)
    await scenario.turn(later=RESYNC)
    assert await scenario.rows() == {A: 10, B: 10}
    assert scenario.writes() == []
