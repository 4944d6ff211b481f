"""What a service's rows should be, given what is known of its servers and what the operator wants."""

from __future__ import annotations

import pytest

from healthd.config.schema import Admin, OnFailure
from healthd.health import Health, Phase
from healthd.model import DestKey
from healthd.policy import (
    Because,
    Context,
    ServerState,
    Wish,
    admin_of,
    adopted,
    combined,
    reasons,
    wanted_row,
    wanted_service,
)
from tests.support.builders import FAST, SORRY, STRANGER, A, B, C, check, listed, real, row, service, weights

UNKNOWN, UP, DOWN = ServerState(Phase.UNKNOWN), ServerState(Phase.UP), ServerState(Phase.DOWN)
DRAINED = ServerState(Phase.UP, admin=Admin.DRAINED)
MAINTAINED = ServerState(Phase.UP, admin=Admin.MAINTENANCE)
REFUSED = ServerState(Phase.UP, refused=True)
QUIESCE, REMOVE = OnFailure.QUIESCE, OnFailure.REMOVE


def wanted(
    states: dict[DestKey, ServerState],
    *,
    have: dict[DestKey, int] | None = None,
    on_failure: OnFailure = QUIESCE,
    fallback: bool = False,
    weight: int = 10,
) -> dict[DestKey, int] | None:
    """The weights a service of these servers should have."""
    config = service(*[real(key, weight) for key in states], on_failure=on_failure, fallback=fallback)
    return weights(wanted_service(config, states, Context(listed(have).dests)))


# --- one server -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "on_failure", "have", "expected"),
    [
        (UP, QUIESCE, None, 10),
        (UP, QUIESCE, 0, 10),
        (DOWN, QUIESCE, 10, 0),
        (DOWN, QUIESCE, None, 0),
        (DOWN, REMOVE, 10, None),
        (UNKNOWN, QUIESCE, None, None),
        (UNKNOWN, QUIESCE, 0, 0),
        (UNKNOWN, REMOVE, 7, 7),
        (DRAINED, QUIESCE, 10, 0),
        (DRAINED, REMOVE, 10, 0),
        (MAINTAINED, QUIESCE, 10, 0),
        (MAINTAINED, REMOVE, 10, None),
        (ServerState(Phase.DOWN, admin=Admin.DRAINED), QUIESCE, 0, 0),
        (ServerState(Phase.DOWN, admin=Admin.DRAINED), REMOVE, 0, None),
        (ServerState(Phase.DOWN, admin=Admin.MAINTENANCE), REMOVE, None, None),
        (ServerState(Phase.UNKNOWN, admin=Admin.DRAINED), REMOVE, 7, 0),
        (ServerState(Phase.UNKNOWN, admin=Admin.DRAINED), REMOVE, None, None),
        (ServerState(Phase.UNKNOWN, admin=Admin.MAINTENANCE), REMOVE, 7, None),
        (ServerState(Phase.UP, asked=3), QUIESCE, 10, 3),
        (ServerState(Phase.UP, asked=0), REMOVE, 10, 0),
        (ServerState(Phase.UP, asked=70000), QUIESCE, 10, 65535),
        (ServerState(Phase.DOWN, asked=3), QUIESCE, 3, 0),
        (ServerState(Phase.UP, asked=3, admin=Admin.DRAINED), QUIESCE, 3, 0),
        (REFUSED, QUIESCE, None, 10),
        (ServerState(Phase.UP, admin=Admin.REMOVED), QUIESCE, 10, None),
        (ServerState(Phase.DOWN, admin=Admin.REMOVED), QUIESCE, 0, None),
        (ServerState(Phase.UNKNOWN, admin=Admin.REMOVED), QUIESCE, 7, None),
        (ServerState(Phase.UP, ordered=4), QUIESCE, 10, 4),
        (ServerState(Phase.UP, ordered=0), REMOVE, 10, 0),
        (ServerState(Phase.UP, asked=3, ordered=20), QUIESCE, 3, 20),
        (ServerState(Phase.DOWN, ordered=4), QUIESCE, 4, 0),
        (ServerState(Phase.DOWN, ordered=4), REMOVE, 4, None),
        (ServerState(Phase.UP, admin=Admin.DRAINED, ordered=4), QUIESCE, 4, 0),
        (ServerState(Phase.UNKNOWN, ordered=4), QUIESCE, 10, 4),
        (ServerState(Phase.UNKNOWN, ordered=4), QUIESCE, 0, 0),
        (ServerState(Phase.UNKNOWN, ordered=4), QUIESCE, None, None),
    ],
)
def test_the_row_of_a_server(state, on_failure, have, expected):
    found = wanted_row(row(10), state, on_failure, None if have is None else row(have))
    assert (None if found is None else found.weight) == expected


def test_a_row_says_all_that_the_configuration_says_and_only_the_weight_is_ours():
    spec = real(A, 10).spec
    assert wanted_row(spec, UP, QUIESCE, row(3)) == spec


def test_reasons_are_a_set():
    state = ServerState(Phase.DOWN, admin=Admin.DRAINED, refused=True)
    assert reasons(state) == {Because.FAILED, Because.DRAINED, Because.REFUSED}
    assert reasons(UP) == frozenset()
    assert reasons(MAINTAINED) == {Because.MAINTENANCE}
    assert reasons(ServerState(Phase.UP, admin=Admin.REMOVED, ordered=3)) == {Because.REMOVED, Because.REWEIGHTED}


@pytest.mark.parametrize(
    ("of_service", "of_server", "together"),
    [
        (Admin.ENABLED, Admin.ENABLED, Admin.ENABLED),
        (Admin.DRAINED, Admin.ENABLED, Admin.DRAINED),
        (Admin.DRAINED, Admin.MAINTENANCE, Admin.MAINTENANCE),
        (Admin.MAINTENANCE, Admin.DRAINED, Admin.MAINTENANCE),
    ],
)
def test_the_stronger_wish_of_service_and_server_counts(of_service, of_server, together):
    assert admin_of(of_service, of_server) is together


@pytest.mark.parametrize(
    ("wishes", "together"),
    [
        ([Wish(Admin.ENABLED, "")], Wish(Admin.ENABLED, "")),
        ([Wish(Admin.ENABLED, ""), Wish(Admin.DRAINED, "amy")], Wish(Admin.DRAINED, "amy")),
        ([Wish(Admin.REMOVED, "bob"), Wish(Admin.MAINTENANCE, "file")], Wish(Admin.REMOVED, "bob")),
        (
            [Wish(Admin.ENABLED, ""), Wish(Admin.ENABLED, "amy", 3), Wish(Admin.ENABLED, "bob", 4)],
            Wish(Admin.ENABLED, "amy", 3),
        ),
        ([Wish(Admin.ENABLED, "amy", 3), Wish(Admin.DRAINED, "bob")], Wish(Admin.DRAINED, "bob", 3)),
    ],
)
def test_the_strongest_of_all_wishes_counts_and_the_first_weight(wishes, together):
    assert combined(wishes) == together


# --- beginning --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("have", "on_failure", "server", "phase"),
    [
        (None, QUIESCE, real(A), Phase.UNKNOWN),
        (10, QUIESCE, real(A), Phase.UP),
        (3, REMOVE, real(A), Phase.UP),
        (0, QUIESCE, real(A), Phase.DOWN),
        (0, REMOVE, real(A), Phase.UNKNOWN),
        (0, QUIESCE, real(A, admin=Admin.DRAINED), Phase.UNKNOWN),
        (0, QUIESCE, real(A, 0), Phase.UNKNOWN),
        (0, QUIESCE, real(A, 10, check(A, FAST, asks_weight=True)), Phase.UNKNOWN),
        (10, QUIESCE, real(A, admin=Admin.DRAINED), Phase.UP),
    ],
)
def test_weight_0_says_down_only_where_nothing_but_a_failure_explains_it(have, on_failure, server, phase):
    config = service(server, on_failure=on_failure)
    found = None if have is None else row(have)
    wish = Wish(server.admin, "")
    assert adopted(config.on_failure, server, wish, server.checks[0], found, 5.0) == Health(phase, since=5.0)


@pytest.mark.parametrize("wish", [Wish(Admin.ENABLED, "", 0), Wish(Admin.DRAINED, "")])
def test_weight_0_that_an_operator_wanted_says_nothing_of_a_server(wish):
    server = real(A)
    assert adopted(QUIESCE, server, wish, server.checks[0], row(0), 5.0) == Health(Phase.UNKNOWN, since=5.0)


def test_the_weight_that_a_check_had_asked_for_is_adopted_with_the_row():
    server = real(A, 10, check(A, FAST, asks_weight=True))
    wish = Wish(Admin.ENABLED, "")
    assert adopted(QUIESCE, server, wish, server.checks[0], row(3), 5.0) == Health(Phase.UP, since=5.0, weight=3)


# --- fallback ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("states", "steps_in"),
    [
        ({A: UP, B: DOWN}, False),
        ({A: DOWN, B: DOWN}, True),
        ({A: DOWN, B: UNKNOWN}, False),
        ({A: DRAINED, B: DOWN}, True),
        ({A: MAINTAINED}, True),
        ({A: ServerState(Phase.UP, asked=0)}, True),
        ({A: DOWN, B: ServerState(Phase.UNKNOWN, admin=Admin.DRAINED)}, True),
        ({A: REFUSED, B: DOWN}, True),
        ({A: REFUSED, B: UP}, False),
        ({}, True),
    ],
)
def test_the_fallback_is_in_if_no_server_is_usable_and_none_may_become_so(states, steps_in):
    rows = wanted(states, fallback=True)
    assert rows is not None
    assert (SORRY in rows) is steps_in


def test_the_fallback_does_not_wait_for_the_unknown_where_the_last_usable_server_goes():
    assert wanted({A: DOWN, B: UNKNOWN}, have={A: 10}, fallback=True) == {A: 0, SORRY: 1}
    assert wanted({A: DOWN, B: UNKNOWN}, have={A: 0, SORRY: 1}, fallback=True) == {A: 0, SORRY: 1}
    assert wanted({A: DOWN, B: UNKNOWN}, have={A: 10, C: 5}, fallback=True) == {A: 0, C: 5}
    assert wanted({A: DOWN, B: UNKNOWN}, have={A: 0}, fallback=True) == {A: 0}


def test_a_server_of_weight_0_does_not_keep_the_fallback_waiting():
    assert wanted({A: UNKNOWN}, weight=0, fallback=True) == {SORRY: 1}
    assert wanted({A: UP}, weight=0, fallback=True) == {A: 0, SORRY: 1}


def test_the_fallback_keeps_its_own_way_of_forwarding():
    config = service(real(A), fallback=True)
    found = wanted_service(config, {A: DOWN}, Context({}))
    assert found is not None
    assert config.fallback is not None
    assert found.dests[SORRY] == config.fallback.spec


# --- make before break ------------------------------------------------------------------------------------------


def test_a_restart_in_remove_mode_keeps_the_fallback_until_something_is_known():
    have = {SORRY: 1}
    assert wanted({A: UNKNOWN, B: UNKNOWN}, have=have, on_failure=REMOVE, fallback=True) == {SORRY: 1}
    assert wanted({A: DOWN, B: UNKNOWN}, have=have, on_failure=REMOVE, fallback=True) == {SORRY: 1}
    assert wanted({A: DOWN, B: UP}, have=have, on_failure=REMOVE, fallback=True) == {B: 10}
    assert wanted({A: DOWN, B: DOWN}, have=have, on_failure=REMOVE, fallback=True) == {SORRY: 1}


def test_a_reload_that_replaces_all_servers_keeps_the_old_rows_until_one_of_the_new_is_up():
    old = {B: 10, C: 0}
    assert wanted({A: UNKNOWN}, have=old) == old
    assert wanted({A: UP}, have=old) == {A: 10}
    assert wanted({A: DOWN}, have=old) == {A: 0}


def test_old_rows_stay_also_while_the_table_does_not_take_the_new_ones():
    assert wanted({A: REFUSED}, have={B: 10}) == {A: 10, B: 10}
    assert wanted({A: REFUSED}, have={B: 10}, fallback=True) == {A: 10, SORRY: 1}


def test_old_rows_go_at_once_where_a_server_is_usable():
    assert wanted({A: UP, C: UNKNOWN}, have={A: 10, B: 10}) == {A: 10}


def test_a_strangers_row_goes_like_any_other_that_nobody_declared():
    assert wanted({A: UP}, have={A: 10, STRANGER: 1}) == {A: 10}


def test_a_service_without_servers_is_kept_empty():
    assert wanted({}) == {}
    assert wanted({}, have={A: 10}) == {}
