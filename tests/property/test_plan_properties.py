"""A plan leads from any table to any wish, touches nothing else, and never leaves a service worse off on the way."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from healthd.ipvs.memory import MemoryTable
from healthd.model import Service, ServiceKey, Table
from healthd.ops import AddDest, AddService, DelDest, DelService, RowOp, SetDest, SetService
from healthd.plan import after, plan, without_growth_refused
from tests.property.tables import DESTS, FOREIGN, OWNED, rows, specs, tables, usable, wishes

Wishes = Mapping[ServiceKey, Service | None]
everything = tables((*OWNED, *FOREIGN))


def fulfilled(wanted: Wishes, actual: Table) -> dict[ServiceKey, Service]:
    """The table as it should be in the end: others untouched, ours as wished."""
    others = {key: service for key, service in actual.items() if key not in wanted}
    return others | {key: service for key, service in wanted.items() if service is not None}


@given(wishes, everything)
def test_applying_a_plan_gives_what_is_wanted(wanted: Wishes, actual: Table):
    assert after(actual, plan(wanted, actual).ops) == fulfilled(wanted, actual)


@given(wishes, everything)
def test_a_plan_for_what_is_already_so_is_empty(wanted: Wishes, actual: Table):
    assert not plan(wanted, fulfilled(wanted, actual))


@given(wishes, everything)
def test_no_operation_of_a_plan_leaves_things_as_they_are(wanted: Wishes, actual: Table):
    table = dict(actual)
    for op in plan(wanted, actual).ops:
        changed = after(table, [op])
        assert changed != table
        table = changed


@given(wishes, everything)
def test_a_service_that_is_usable_before_and_after_is_usable_after_every_single_operation(
    wanted: Wishes, actual: Table
):
    table = dict(actual)
    safe = [key for key, service in wanted.items() if usable(service) and usable(actual.get(key))]
    for op in plan(wanted, actual).ops:
        table = after(table, [op])
        assert all(usable(table.get(key)) for key in safe), op


@given(wishes, everything, st.data())
def test_so_it_is_whatever_growth_is_refused(wanted: Wishes, actual: Table, data: st.DataObject):
    todo = plan(wanted, actual)
    refused = data.draw(st.sets(st.sampled_from(todo.grow))) if todo.grow else set()
    table = dict(actual)
    safe = [key for key, service in wanted.items() if usable(service) and usable(actual.get(key))]
    granted = [op for op in todo.grow if op not in refused]
    for op in (*granted, *without_growth_refused(todo, refused)):
        table = after(table, [op])
        assert all(usable(table.get(key)) for key in safe), op


@given(wishes, everything)
def test_foreign_services_are_never_touched(wanted: Wishes, actual: Table):
    table = dict(actual)
    for op in plan(wanted, actual).ops:
        assert op.service in wanted
        table = after(table, [op])
        for key in actual.keys() - wanted.keys():
            assert table[key] is actual[key]


@given(wishes, everything)
def test_all_that_grows_comes_first_and_services_are_deleted_last(wanted: Wishes, actual: Table):
    todo = plan(wanted, actual)
    for op in todo.grow:
        assert isinstance(op, AddService | SetService | AddDest | SetDest)
    kinds = [type(op).__name__ for op in todo.shrink]
    assert kinds == sorted(kinds, key=lambda kind: kind == "DelService")


@given(wishes, everything)
def test_the_same_difference_gives_the_same_plan(wanted: Wishes, actual: Table):
    backwards = dict(reversed(wanted.items())), dict(reversed(actual.items()))
    assert plan(wanted, actual) == plan(*backwards)


@given(wishes, everything)
def test_a_table_with_the_kernels_rules_takes_every_operation(wanted: Wishes, actual: Table):
    table = MemoryTable(actual)
    assert not any(asyncio.run(table.apply(plan(wanted, actual).ops)))
    assert asyncio.run(table.snapshot()).services == fulfilled(wanted, actual)


row_ops = st.one_of(
    st.builds(AddService, st.sampled_from(OWNED), specs),
    st.builds(SetService, st.sampled_from(OWNED), specs),
    st.builds(DelService, st.sampled_from(OWNED)),
    st.builds(AddDest, st.sampled_from(OWNED), st.sampled_from(DESTS), rows),
    st.builds(SetDest, st.sampled_from(OWNED), st.sampled_from(DESTS), rows),
    st.builds(DelDest, st.sampled_from(OWNED), st.sampled_from(DESTS)),
)


@given(everything, st.lists(row_ops, max_size=12), st.data())
def test_belief_agrees_with_the_table_on_whatever_it_acknowledges(actual: Table, ops: list[RowOp], data: st.DataObject):
    """Operations in any order, sense or nonsense, some of them refused."""
    refused = data.draw(st.sets(st.sampled_from(ops))) if ops else set()
    table = MemoryTable(actual, refuse=lambda op: errno.EINVAL if op in refused else 0)
    answers = asyncio.run(table.apply(ops))
    done = [op for op, error in zip(ops, answers, strict=True) if error is None]
    assert after(actual, done) == asyncio.run(table.snapshot()).services
