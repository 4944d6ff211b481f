"""What strangers did to our rows, and what becomes of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from healthd.config.schema import Drift
from healthd.drift import (
    NOTHING_HELD,
    Edit,
    Hold,
    Holds,
    ServiceHold,
    edits,
    foreign,
    held_row,
    held_service,
    held_stranger,
    hold,
    still_held,
    worth_telling,
)
from healthd.health import Phase
from healthd.policy import Context, ServerState, wanted_service
from tests.support.builders import DNS, SORRY, STICKY, STRANGER, WLC, WWW, A, B, listed, real, row, service, weights

REPAIR, REPORT, ADOPT = Drift.REPAIR, Drift.REPORT, Drift.ADOPT


# --- seeing -----------------------------------------------------------------------------------------------------


def test_an_edit_is_a_row_that_is_not_as_believed():
    found = {WWW: listed({A: 3, STRANGER: 1})}
    assert edits({WWW: listed({A: 10, B: 10})}, found, {WWW}) == [
        Edit(WWW, A, row(10), row(3)),
        Edit(WWW, B, row(10), None),
        Edit(WWW, STRANGER, None, row(1)),
    ]
    assert edits(found, found, {WWW}) == []


def test_a_service_that_was_set_deleted_or_added_is_an_edit_and_so_are_its_rows():
    assert edits({WWW: listed({A: 1})}, {WWW: listed({A: 1}, STICKY)}, {WWW}) == [Edit(WWW, None, WLC, STICKY)]
    gone = edits({WWW: listed({A: 1})}, {}, {WWW})
    assert gone == [Edit(WWW, None, WLC, None), Edit(WWW, A, row(1), None)]
    come = edits({}, {WWW: listed({A: 1})}, {WWW})
    assert come == [Edit(WWW, None, None, WLC), Edit(WWW, A, None, row(1))]


def test_services_of_others_are_not_looked_at():
    assert edits({}, {DNS: listed({A: 1})}, {WWW}) == []


def test_a_row_that_is_as_we_wanted_it_is_not_a_strangers_work():
    found = edits({WWW: listed({A: 10})}, {WWW: listed({A: 0, B: 4})}, {WWW})
    assert foreign(found, {WWW: listed({A: 0})}) == [Edit(WWW, B, None, row(4))]
    assert foreign(found, {}) == found


def test_a_service_that_we_deleted_without_an_answer_is_not_a_strangers_work():
    assert foreign(edits({WWW: listed({A: 10})}, {}, {WWW}), {WWW: None}) == []


def test_rows_that_went_with_their_service_need_no_telling():
    gone = edits({WWW: listed({A: 1, B: 1}), DNS: listed({A: 1})}, {DNS: listed({})}, {WWW, DNS})
    assert worth_telling(gone) == [Edit(DNS, A, row(1), None), Edit(WWW, None, WLC, None)]


# --- holding ----------------------------------------------------------------------------------------------------


def held(found: int | None, wanted: int | None) -> Hold:
    return Hold(None if found is None else row(found), None if wanted is None else row(wanted))


def test_a_hold_remembers_what_was_found_and_what_was_wanted_then():
    holds = hold(NOTHING_HELD, Edit(WWW, A, row(10), row(3)), listed({A: 10}))
    holds = hold(holds, Edit(WWW, None, WLC, STICKY), listed({A: 10}))
    assert holds == Holds(ServiceHold(STICKY, WLC), {A: held(3, 10)})


def test_nothing_is_held_of_a_service_that_is_to_go():
    assert hold(NOTHING_HELD, Edit(WWW, A, row(10), row(3)), None) == NOTHING_HELD


@pytest.mark.parametrize(
    ("mode", "found", "wanted_then", "wanted_now", "becomes"),
    [
        (REPAIR, 3, 10, 10, 10),
        (REPORT, 3, 10, 10, 3),
        (REPORT, 3, 10, 0, 0),
        (REPORT, 3, 10, None, None),
        (REPORT, None, 10, 10, None),
        (REPORT, None, 10, 0, 0),
        (ADOPT, 3, 10, 10, 3),
        (ADOPT, 3, 10, 0, 0),
        (ADOPT, 3, 10, None, None),
        (ADOPT, 3, 0, 10, 3),
        (ADOPT, None, 10, 10, None),
        (ADOPT, None, 10, 0, None),
    ],
)
def test_a_declared_server_with_an_edited_row(mode, found, wanted_then, wanted_now, becomes):
    want = None if wanted_now is None else row(wanted_now)
    result = held_row(mode, want, held(found, wanted_then))
    assert (None if result is None else result.weight) == becomes


def test_a_row_nobody_edited_is_as_wanted():
    for mode in Drift:
        assert held_row(mode, row(10), None) == row(10)


@pytest.mark.parametrize(
    ("mode", "hold_", "wanted_now", "becomes"),
    [
        (ADOPT, held(1, None), None, 1),
        (REPORT, held(1, None), None, 1),
        (REPAIR, held(1, None), None, None),
        (ADOPT, held(5, 1), 1, 5),
        (ADOPT, held(5, 1), None, None),
        (REPORT, held(5, 1), None, None),
        (ADOPT, held(None, 1), 1, None),
    ],
)
def test_a_strangers_own_row_stays_and_an_edited_fallback_comes_and_goes(mode, hold_, wanted_now, becomes):
    result = held_stranger(mode, None if wanted_now is None else row(wanted_now), hold_)
    assert (None if result is None else result.weight) == becomes


def test_an_edited_service_is_kept_until_the_configuration_changes_it():
    edited, deleted = ServiceHold(STICKY, WLC), ServiceHold(None, WLC)
    assert held_service(REPORT, WLC, edited) == held_service(ADOPT, WLC, edited) == STICKY
    assert held_service(ADOPT, WLC, deleted) is None
    assert held_service(REPAIR, WLC, edited) == WLC
    assert held_service(ADOPT, replace(WLC, one_packet=True), edited) == replace(WLC, one_packet=True)


def test_a_hold_ends_in_report_once_something_else_is_wanted_and_lasts_in_adopt():
    holds = Holds(ServiceHold(STICKY, WLC), {A: held(3, 10), STRANGER: held(1, None)})
    unchanged, changed = listed({A: 10}), listed({A: 0}, STICKY)
    assert still_held(REPORT, holds, unchanged) == holds
    assert still_held(REPORT, holds, changed) == Holds(None, {STRANGER: held(1, None)})
    assert still_held(ADOPT, holds, changed) is holds
    assert still_held(REPAIR, holds, unchanged) is NOTHING_HELD


# --- together with policy ---------------------------------------------------------------------------------------

UP, DOWN = ServerState(Phase.UP), ServerState(Phase.DOWN)


def wanted(mode: Drift, holds: Holds, states: dict, fallback: bool = False) -> dict | None:
    config = service(*[real(key) for key in states], fallback=fallback)
    return weights(wanted_service(config, states, Context({}, mode, holds)))


def test_a_failed_server_obeys_its_health_whatever_a_stranger_wrote():
    holds = Holds(dests={A: held(3, 10)})
    assert wanted(ADOPT, holds, {A: DOWN, B: UP}) == {A: 0, B: 10}
    assert wanted(ADOPT, holds, {A: UP, B: UP}) == {A: 3, B: 10}
    assert wanted(REPORT, holds, {A: DOWN, B: UP}) == {A: 0, B: 10}


def test_the_fallback_steps_in_where_strangers_left_no_server_usable():
    holds = Holds(dests={A: held(0, 10)})
    assert wanted(REPORT, holds, {A: UP}, fallback=True) == {A: 0, SORRY: 1}
    assert wanted(ADOPT, holds, {A: UP}, fallback=True) == {A: 0, SORRY: 1}


def test_a_service_that_a_stranger_deleted_stays_away_where_that_is_held():
    assert wanted(ADOPT, Holds(ServiceHold(None, WLC)), {A: UP}) is None
    assert wanted(REPAIR, Holds(ServiceHold(None, WLC)), {A: UP}) == {A: 10}
