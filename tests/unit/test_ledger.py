"""What is believed of the table, and how a plan gets into it in two stages."""

from __future__ import annotations

import errno

import pytest

from healthd.config.schema import Drift
from healthd.drift import Edit, Hold
from healthd.ipvs.base import RowRefused, Snapshot, TableUnavailable
from healthd.ipvs.memory import MemoryTable
from healthd.ledger import FIRST_RETRY, LAST_RETRY, Ledger, write
from healthd.ops import AddDest, AddService, DelDest, SetDest
from healthd.plan import Plan, plan
from tests.director.watched import WatchedTable
from tests.support.builders import DNS, WLC, WWW, A, B, C, listed, row

ADD_A, ADD_B = AddDest(WWW, A, row(1)), AddDest(WWW, B, row(1))
DELETE_C = DelDest(WWW, C)


def believing(table) -> Ledger:
    """A ledger that believes this table."""
    return Ledger(actual=dict(table))


def refusing(ledger: Ledger, *ops, now: float = 0.0) -> Ledger:
    """The ledger after these operations were refused."""
    ledger.note_refused([RowRefused(op, errno.EINVAL) for op in ops], now)
    return ledger


# --- refusals ---------------------------------------------------------------------------------------------------


def test_a_refused_operation_waits_twice_as_long_each_time_and_a_minute_at_most():
    ledger, waits = Ledger(), []
    for _ in range(9):
        refusing(ledger, ADD_A, now=100.0)
        waits.append(ledger.refusals[ADD_A].until - 100.0)
    assert waits == [FIRST_RETRY, 2.0, 4.0, 8.0, 16.0, 32.0, LAST_RETRY, LAST_RETRY, LAST_RETRY]


def test_what_waits_is_left_out_of_a_plan_until_its_time():
    ledger = refusing(Ledger(), ADD_A)
    todo = Plan((ADD_A, ADD_B), (DELETE_C,))
    assert ledger.due(todo, 0.5) == Plan((ADD_B,), (DELETE_C,))
    assert ledger.due(todo, 1.0) == todo
    assert ledger.next_retry() == 1.0


def test_rows_of_a_refused_service_wait_with_it():
    ledger = refusing(Ledger(), AddService(WWW, WLC))
    other = AddDest(DNS, A, row(1))
    assert ledger.due(Plan((AddService(WWW, WLC), ADD_A, other)), 0.5) == Plan((other,))


def test_the_next_try_of_a_refused_service_comes_before_those_of_its_rows():
    ledger = refusing(Ledger(), ADD_A, now=0.0)
    refusing(ledger, AddService(WWW, WLC), now=50.0)
    assert ledger.next_retry() == 51.0
    assert Ledger().next_retry() is None


def test_an_acknowledged_operation_is_refused_no_more():
    ledger = refusing(believing({WWW: listed()}), ADD_A)
    ledger.believe([ADD_A], 5.0)
    assert not ledger.refused()
    assert ledger.row(WWW, A) == row(1)


def test_a_refusal_is_forgotten_once_nobody_needs_the_operation():
    elsewhere = AddDest(DNS, A, row(1))
    ledger = refusing(Ledger(), ADD_A, ADD_B, elsewhere)
    ledger.forget_refusals({WWW}, Plan((ADD_B,)))
    assert ledger.refused() == {ADD_B, elsewhere}


@pytest.mark.parametrize(
    ("have", "refused", "unusable"),
    [
        ({}, AddDest(WWW, A, row(1)), True),
        ({A: 0}, SetDest(WWW, A, row(1)), True),
        ({A: 1}, SetDest(WWW, A, row(2)), False),
        ({A: 1}, SetDest(WWW, A, row(0)), False),
        ({A: 0}, DelDest(WWW, A), False),
        ({}, AddDest(WWW, B, row(1)), False),
        ({}, AddDest(WWW, A, row(0)), False),
    ],
)
def test_a_server_is_refused_if_the_table_would_not_take_the_row_that_lets_clients_reach_it(have, refused, unusable):
    assert refusing(believing({WWW: listed(have)}), refused).is_refused(WWW, A) is unusable


# --- reading ----------------------------------------------------------------------------------------------------


def test_what_was_read_is_believed_and_the_difference_returned():
    ledger = believing({WWW: listed({A: 1}), DNS: listed({A: 1})})
    assert ledger.reread(Snapshot({WWW: listed({A: 2})}), {WWW}) == [Edit(WWW, A, row(1), row(2))]
    assert ledger.actual == {WWW: listed({A: 2}), DNS: listed({A: 1})}


def test_a_service_that_was_asked_for_and_not_found_is_gone():
    ledger = believing({WWW: listed({}), DNS: listed({})})
    assert ledger.reread(Snapshot({}), {WWW}) == [Edit(WWW, None, WLC, None)]
    assert ledger.actual == {DNS: listed({})}


def test_edits_are_held_unless_they_are_repaired():
    ledger = Ledger()
    edit = Edit(WWW, A, row(1), row(2))
    ledger.hold(Drift.REPAIR, [edit], {WWW: listed({A: 1})})
    assert ledger.holds == {}
    ledger.hold(Drift.REPORT, [edit], {WWW: listed({A: 1})})
    assert ledger.holds[WWW].dests == {A: Hold(row(2), row(1))}


# --- writing ----------------------------------------------------------------------------------------------------


async def test_a_plan_is_written_and_believed():
    table, ledger = MemoryTable(), Ledger()
    todo = plan({WWW: listed({A: 1})}, {})
    assert (await write(table, ledger, todo, 0.0)).done == todo.ops
    assert ledger.actual == (await table.snapshot()).services == {WWW: listed({A: 1})}


async def test_nothing_is_sent_for_an_empty_plan():
    table = MemoryTable(unavailable="no table")
    assert (await write(table, Ledger(), Plan(), 0.0)).done == ()


async def test_one_refused_row_stops_no_other_service_but_the_shrinking_of_its_own():
    before = {WWW: listed({C: 1}), DNS: listed({C: 1})}
    table = MemoryTable(before, refuse=lambda op: errno.EINVAL if op == ADD_A else 0)
    ledger = believing(before)
    written = await write(table, ledger, plan({WWW: listed({A: 1}), DNS: listed({B: 1})}, before), 10.0)
    assert [error.op for error in written.refused] == [ADD_A]
    assert written.stale == frozenset()
    assert ledger.refusals[ADD_A].until == 10.0 + FIRST_RETRY
    assert (await table.snapshot()).services == ledger.actual == {WWW: listed({C: 1}), DNS: listed({B: 1})}


async def test_a_row_that_is_not_as_believed_makes_its_service_stale_and_is_not_refused():
    table = MemoryTable({WWW: listed({B: 1}), DNS: listed({A: 1})})
    ledger = believing({WWW: listed({A: 1, B: 1}), DNS: listed({A: 1})})
    todo = Plan((SetDest(WWW, A, row(5)),), (SetDest(DNS, A, row(0)), DelDest(WWW, B)))
    written = await write(table, ledger, todo, 0.0)
    assert written.stale == {WWW}
    assert written.refused == ()
    assert written.done == (SetDest(DNS, A, row(0)),)
    assert not ledger.refusals


async def test_rows_of_a_service_that_was_refused_are_not_taken_for_a_conflict():
    table, ledger = MemoryTable(refuse=lambda op: errno.ENOENT if isinstance(op, AddService) else 0), Ledger()
    written = await write(table, ledger, plan({WWW: listed({A: 1})}, {}), 0.0)
    assert [error.op for error in written.refused] == [AddService(WWW, WLC)]
    assert written.stale == frozenset()


async def test_what_was_acknowledged_before_the_table_was_lost_is_believed():
    table = WatchedTable()
    table.edit(AddService(WWW, WLC), AddDest(WWW, C, row(1)))
    ledger = believing({WWW: listed({C: 1})})
    table.cut, table.cut_after = TableUnavailable("gone"), 1
    with pytest.raises(TableUnavailable):
        await write(table, ledger, Plan((ADD_A,), (DELETE_C,)), 0.0)
    assert ledger.actual == {WWW: listed({A: 1, C: 1})}
