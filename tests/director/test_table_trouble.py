"""A table that refuses rows, is not as believed, or goes away: others go on, nothing is lost or told too early."""

from __future__ import annotations

import asyncio
import errno

import pytest

from healthd.config.schema import Admin, Drift, OnFailure
from healthd.events import Kind
from healthd.ipvs.base import TableUnavailable
from healthd.ipvs.memory import MemoryTable
from healthd.ops import AddDest, AddService, DelDest, DelService, Op, SetDest
from tests.director.scenario import Scenario, serving, started
from tests.director.watched import WatchedTable
from tests.support.builders import (
    FAIL,
    MAIL,
    PASS,
    SORRY,
    STICKY,
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

GONE = "no permission to see the table"


# --- away -------------------------------------------------------------------------------------------------------


async def test_a_table_that_is_away_at_the_start_is_told_once_and_found_again():
    scenario = Scenario()
    scenario.table.unavailable = GONE
    await scenario.configure(config(service(real(A), real(B))))
    await scenario.hears({A: PASS, B: FAIL})
    for _ in range(5):
        await scenario.turn(later=60)
    (lost,) = scenario.told()
    assert (lost.kind, lost.message) == (Kind.TABLE_LOST, f"the table cannot be kept: {GONE}")
    scenario.table.unavailable = ""
    await scenario.turn(later=60)
    assert await scenario.rows() == {A: 10, B: 0}
    assert sorted(event.kind.value for event in scenario.told()) == [
        "server-down",
        "server-up",
        "service-added",
        "table-back",
    ]


class Asked(MemoryTable):
    """A table that counts how often it is asked."""

    asked = 0

    async def snapshot(self, only=None, *, counters=False):
        """Count, and answer."""
        self.asked += 1
        return await super().snapshot(only, counters=counters)


async def test_a_table_is_asked_again_with_back_off_up_to_half_a_minute():
    table = Asked(unavailable=GONE)
    scenario = await started(service(real(A)), table=table)
    began, tries = scenario.now, []
    for _ in range(250):
        before = table.asked
        await scenario.turn(later=0.5)
        tries += [scenario.now - began] * (table.asked - before)
    assert tries == [0.5, 1.5, 3.5, 7.5, 15.5, 31.5, 61.5, 91.5, 121.5]


async def test_a_start_reads_the_table_once_and_a_reload_only_what_is_new():
    table = Asked()
    scenario = await started(service(real(A)), table=table)
    assert table.asked == 1
    await scenario.configure(config(service(real(A), real(B))))
    assert table.asked == 1
    await scenario.configure(config(service(real(A)), service(real(A), key=MAIL, name="mail")))
    assert table.asked == 2


async def test_a_service_that_could_only_be_read_late_is_read_once():
    table = Asked(unavailable=GONE)
    scenario = await started(service(real(A)), table=table)
    table.unavailable = ""
    await scenario.turn(later=60)
    before = table.asked
    await scenario.hears({A: PASS}, times=5)
    assert table.asked == before


async def test_rows_found_late_are_kept_for_servers_nothing_is_known_of():
    first = await serving(service(real(A), real(B)))
    second = Scenario(first.table)
    first.table.unavailable = GONE
    await second.configure(config(service(real(A), real(B))))
    first.table.unavailable = ""
    await second.turn(later=60)
    await second.hears({B: PASS})
    assert second.writes() == []
    await second.hears({A: FAIL})
    assert second.writes() == [SetDest(WWW, A, row(0))]
    assert second.kinds() == [Kind.TABLE_LOST, Kind.TABLE_BACK, Kind.SERVER_UP, Kind.SERVER_DOWN]


async def test_what_happens_while_the_table_is_away_is_written_and_told_when_it_is_back():
    scenario = await serving(service(real(A), real(B), fallback=True))
    scenario.table.unavailable = GONE
    await scenario.hears({A: FAIL})
    await scenario.hears({B: FAIL})
    assert scenario.kinds() == [Kind.TABLE_LOST]
    scenario.table.unavailable = ""
    await scenario.turn(later=60)
    assert await scenario.rows() == {A: 0, B: 0, SORRY: 1}
    assert scenario.kinds() == [Kind.FALLBACK_ON, Kind.SERVER_DOWN, Kind.SERVER_DOWN, Kind.TABLE_BACK]


async def test_a_server_that_went_and_came_back_meanwhile_is_no_news():
    scenario = await serving(service(real(A), real(B)))
    scenario.table.unavailable = GONE
    await scenario.hears({A: FAIL})
    await scenario.hears({A: PASS})
    scenario.table.unavailable = ""
    await scenario.turn(later=60)
    assert scenario.writes() == []
    assert scenario.kinds() == [Kind.TABLE_LOST, Kind.TABLE_BACK]


async def test_a_reload_while_the_table_is_away_is_taken_and_written_later():
    scenario = await serving(service(real(A)), service(real(A), key=MAIL, name="mail"))
    scenario.table.unavailable = GONE
    await scenario.configure(config(service(real(A, 20, admin=Admin.DRAINED), real(B))))
    await scenario.hears({B: PASS})
    assert scenario.kinds() == [Kind.TABLE_LOST]
    scenario.table.unavailable = ""
    await scenario.turn(later=60)
    assert await scenario.rows(WWW) == {A: 0, B: 10}
    assert await scenario.rows(MAIL) is None
    assert set(scenario.kinds()) == {Kind.SERVER_ADMIN, Kind.SERVER_UP, Kind.SERVICE_REMOVED, Kind.TABLE_BACK}


async def test_a_service_that_is_removed_and_declared_again_while_the_table_is_away_is_kept():
    www = service(real(A), real(B))
    scenario = await serving(www)
    scenario.table.unavailable = GONE
    await scenario.configure(config())
    await scenario.configure(config(www))
    scenario.table.unavailable = ""
    await scenario.turn(later=60)
    await scenario.hears({A: PASS, B: PASS})
    assert scenario.writes() == []


@pytest.mark.parametrize("drift", Drift)
@pytest.mark.parametrize("after", range(3))
async def test_a_table_lost_in_the_middle_of_a_plan_loses_no_event_and_blames_nobody(after: int, drift: Drift):
    """The operations before the cut are done, and nobody said so."""
    table = WatchedTable()
    scenario = await serving(
        service(real(A), real(B), fallback=True, on_failure=OnFailure.REMOVE), table=table, drift=drift
    )
    table.cut, table.cut_after = TableUnavailable(GONE), after
    scenario.say((WWW, A), FAIL)
    scenario.say((WWW, B), FAIL)
    await scenario.turn()
    await scenario.turn(later=60)
    assert await scenario.rows() == {SORRY: 1}
    told = [kind for kind in scenario.kinds() if kind not in (Kind.TABLE_LOST, Kind.TABLE_BACK)]
    assert sorted(told, key=str) == [Kind.FALLBACK_ON, Kind.SERVER_DOWN, Kind.SERVER_DOWN]
    await scenario.hears({A: PASS, B: PASS})
    assert await scenario.rows() == {A: 10, B: 10}


# --- refused ----------------------------------------------------------------------------------------------------


class Refusing:
    """A table's refusal of every operation on some destinations that would let clients reach them."""

    def __init__(self, *dests) -> None:
        self.dests = set(dests)
        self.asked = 0

    def __call__(self, op: Op) -> int:
        """The errno."""
        if isinstance(op, AddDest | SetDest) and op.dest in self.dests and op.spec.weight:
            self.asked += 1
            return errno.EINVAL
        return 0


async def refusing(refuse, *services) -> Scenario:
    """A director that starts over a table that refuses."""
    return await started(*services, table=MemoryTable(refuse=refuse))


async def test_one_refused_row_stops_nobody_else_and_is_told_once():
    scenario = await refusing(Refusing(A), service(real(A), real(B)), service(real(A), key=MAIL, name="mail"))
    await scenario.hears({A: PASS, B: PASS})
    assert await scenario.rows(WWW) == {B: 10}
    for _ in range(20):
        await scenario.turn(later=60)
    refused = [event for event in scenario.told() if event.kind is Kind.ROW_REFUSED]
    assert [(event.service, event.real) for event in refused] == [("mail", "10.0.0.11:80"), ("www", "10.0.0.11:80")]
    assert "Invalid argument" in refused[0].message


async def test_a_refused_row_is_tried_again_with_back_off():
    refuse = Refusing(A)
    scenario = await refusing(refuse, service(real(A), real(B)))
    await scenario.hears({A: PASS, B: PASS})
    tries = []
    for _ in range(130):
        before = refuse.asked
        await scenario.turn(later=1)
        tries.append(refuse.asked - before)
    assert [second for second, asked in enumerate(tries, start=1) if asked] == [1, 3, 7, 15, 31, 63, 123]


async def test_a_server_comes_in_once_its_row_is_accepted_and_only_then_it_is_told_up():
    refuse = Refusing(A)
    scenario = await refusing(refuse, service(real(A)))
    await scenario.hears({A: PASS})
    assert scenario.kinds() == [Kind.SERVICE_ADDED, Kind.ROW_REFUSED]
    refuse.dests.clear()
    await scenario.turn(later=1)
    assert await scenario.rows() == {A: 10}
    assert scenario.kinds() == [Kind.SERVER_UP]


async def test_a_server_that_the_table_refuses_is_not_usable_so_the_fallback_steps_in_until_it_is_taken():
    refuse = Refusing(A)
    scenario = await refusing(refuse, service(real(A), fallback=True))
    await scenario.hears({A: PASS})
    assert await scenario.rows() == {SORRY: 1}
    refuse.dests.clear()
    await scenario.turn(later=1)
    assert await scenario.rows() == {A: 10}
    assert scenario.kinds()[-2:] == [Kind.SERVER_UP, Kind.FALLBACK_OFF]


async def test_a_refused_newcomer_costs_nobody_his_place():
    refuse = Refusing(C)
    scenario = await refusing(refuse, service(real(A)))
    await scenario.hears({A: PASS})
    await scenario.configure(config(service(real(C))))
    await scenario.hears({C: PASS})
    await scenario.turn(later=60)
    assert await scenario.rows() == {A: 10}
    refuse.dests.clear()
    await scenario.turn(later=60)
    assert await scenario.rows() == {C: 10}


async def test_a_refused_raise_from_0_counts_as_refused_and_one_between_weights_does_not():
    refuse = Refusing()
    scenario = await refusing(refuse, service(real(A), real(B), fallback=True))
    await scenario.hears({A: PASS, B: FAIL})
    refuse.dests = {A, B}
    await scenario.configure(config(service(real(A, 20), real(B), fallback=True)))
    assert await scenario.rows() == {A: 10, B: 0}
    await scenario.hears({B: PASS, A: FAIL})
    assert await scenario.rows() == {A: 0, B: 0, SORRY: 1}


async def test_a_refused_service_is_tried_again_and_its_rows_with_it():
    refused: set[type] = {AddService}
    scenario = await refusing(lambda op: errno.ENOENT if type(op) in refused else 0, service(real(A)))
    await scenario.hears({A: PASS})
    assert await scenario.rows() is None
    assert scenario.kinds() == [Kind.ROW_REFUSED]
    refused.clear()
    await scenario.turn(later=1)
    assert await scenario.rows() == {A: 10}
    assert scenario.kinds() == [Kind.SERVICE_ADDED, Kind.SERVER_UP]


async def test_a_refused_deletion_does_not_keep_the_director_spinning_once_a_stranger_has_done_it():
    scenario = await refusing(lambda op: errno.EBUSY if isinstance(op, DelDest) else 0, service(real(A), real(B)))
    await scenario.hears({A: PASS, B: PASS})
    await scenario.configure(config(service(real(A))))
    assert scenario.director.ledger.refused() == {DelDest(WWW, B)}
    scenario.table.edit(DelDest(WWW, B))
    await scenario.turn(later=60)
    assert scenario.director.ledger.next_retry() is None


# --- not as believed --------------------------------------------------------------------------------------------


async def test_a_row_that_a_stranger_deleted_is_written_at_once_when_its_server_changes():
    scenario = await serving(service(real(A), real(B)))
    scenario.table.edit(DelDest(WWW, A))
    await scenario.hears({A: FAIL})
    assert await scenario.rows() == {A: 0, B: 10}
    assert scenario.kinds() == [Kind.DRIFT, Kind.SERVER_DOWN]


async def test_a_row_that_a_stranger_added_is_taken_over_at_once():
    scenario = await started(service(real(A), real(B)))
    scenario.table.edit(AddDest(WWW, A, row(3)))
    await scenario.hears({A: PASS})
    assert await scenario.rows() == {A: 10}


async def test_a_service_that_a_stranger_deleted_comes_back_whole_with_the_first_write_that_fails():
    scenario = await serving(service(real(A), real(B), fallback=True))
    scenario.table.edit(DelService(WWW))
    await scenario.hears({A: FAIL})
    assert await scenario.rows() == {A: 0, B: 10}
    assert scenario.kinds() == [Kind.DRIFT, Kind.SERVER_DOWN]


async def test_a_service_that_a_stranger_created_before_us_is_taken_over():
    scenario = Scenario()
    scenario.table.unavailable = GONE
    await scenario.configure(config(service(real(A))))
    scenario.table.unavailable = ""
    scenario.table.edit(AddService(WWW, STICKY), AddDest(WWW, A, row(3)), AddDest(WWW, B, row(3)))
    await scenario.hears({A: PASS})
    await scenario.turn(later=60)
    assert await scenario.rows() == {A: 10}


async def test_a_stranger_who_never_stops_is_met_a_few_times_a_turn_and_no_more():
    class Rival(WatchedTable):
        """Whenever somebody changes a row, it is deleted first."""

        tries = 0

        async def apply(self, ops):
            """The stranger is faster."""
            self.tries += 1
            self.meddle(*(DelDest(op.service, op.dest) for op in ops if isinstance(op, SetDest)))
            self.meddle(*(AddDest(op.service, op.dest, row(7)) for op in ops if isinstance(op, AddDest)))
            return await super().apply(ops)

    table = Rival()
    table.edit(AddService(WWW, WLC), AddDest(WWW, A, row(10)))
    scenario = await started(service(real(A)), table=table)
    table.tries = 0
    await asyncio.wait_for(scenario.hears({A: FAIL}), 30)
    assert table.tries <= 8
    assert listed({A: 7}) == await table.service(WWW)
