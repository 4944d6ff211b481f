"""Two tables become operations: what grows first, then what shrinks, services deleted last of all."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

from healthd.model import DestKey, Family, Forwarding, FwmarkKey, Service, SyncDaemon, SyncState, Timeouts
from healthd.ops import (
    AddDest,
    AddService,
    DelDest,
    DelService,
    SetDest,
    SetService,
    SetTimeouts,
    StartSync,
    StopSync,
)
from healthd.plan import Plan, after, plan, plan_globals, plan_service, without_growth_refused
from tests.support.builders import DNS, MAIL, STICKY, STRANGER, WLC, WWW, A, B, C, D, listed, row


def test_nothing_is_done_where_nothing_differs():
    assert not plan({WWW: listed({A: 1})}, {WWW: listed({A: 1})})
    assert plan({}, {WWW: listed({A: 1})}) == Plan()
    assert plan({WWW: None}, {}) == Plan()


def test_a_new_service_is_created_before_its_rows():
    assert plan({WWW: listed({B: 2, A: 0})}, {}).ops == (
        AddService(WWW, WLC),
        AddDest(WWW, A, row(0)),
        AddDest(WWW, B, row(2)),
    )


def test_within_a_service_rows_are_added_and_raised_then_lowered_then_deleted():
    want, have = listed({A: 5, B: 9, C: 1}), listed({B: 1, C: 9, D: 4})
    assert plan_service(WWW, want, have) == Plan(
        grow=(AddDest(WWW, A, row(5)), SetDest(WWW, B, row(9))),
        shrink=(SetDest(WWW, C, row(1)), DelDest(WWW, D)),
    )


def test_a_row_that_changes_otherwise_counts_as_growing():
    routed = row(5, Forwarding.GATE)
    assert plan_service(WWW, Service(WLC, {A: routed}), listed({A: 5})).grow == (SetDest(WWW, A, routed),)


def test_a_service_that_changes_is_set_before_its_rows():
    assert plan_service(WWW, listed({A: 5}, STICKY), listed({})).ops == (
        SetService(WWW, STICKY),
        AddDest(WWW, A, row(5)),
    )


def test_all_that_grows_anywhere_comes_before_all_that_shrinks_and_services_are_deleted_last():
    wanted = {MAIL: None, WWW: listed({A: 1}), DNS: listed({B: 1})}
    actual = {MAIL: listed({C: 1}), WWW: listed({B: 1}), DNS: listed({B: 2})}
    assert plan(wanted, actual).ops == (
        AddDest(WWW, A, row(1)),
        SetDest(DNS, B, row(1)),
        DelDest(WWW, B),
        DelService(MAIL),
    )


def test_the_order_is_that_of_numbers_not_of_text():
    low, high = DestKey(ip_address("10.0.0.9"), 80), DestKey(ip_address("10.0.0.10"), 80)
    six = DestKey(ip_address("::1"), 80)
    mark = FwmarkKey(Family.IPV4, 7)
    ops = plan({WWW: listed({six: 1, high: 1, low: 1}), mark: listed()}, {mark: listed({A: 1})}).ops
    assert [op.dest for op in ops if isinstance(op, AddDest)] == [low, high, six]
    assert ops[-1] == DelDest(mark, A)


def test_services_that_are_not_named_are_not_there():
    assert plan({WWW: listed({A: 1})}, {WWW: listed({A: 1}), DNS: listed({STRANGER: 1})}) == Plan()


def test_a_service_whose_growth_was_refused_is_not_shrunk():
    todo = plan({WWW: listed({A: 1}), DNS: listed({})}, {WWW: listed({B: 1}), DNS: listed({B: 1})})
    assert without_growth_refused(todo, [AddDest(WWW, A, row(1))]) == (DelDest(DNS, B),)
    assert without_growth_refused(todo, []) == todo.shrink


# --- belief -----------------------------------------------------------------------------------------------------


def test_belief_follows_what_was_acknowledged():
    before = {WWW: listed({A: 1, B: 1}), MAIL: listed({A: 1})}
    ops = [
        SetService(WWW, STICKY),
        SetDest(WWW, A, row(0)),
        DelDest(WWW, B),
        AddDest(WWW, C, row(3)),
        DelService(MAIL),
        AddService(DNS, WLC),
        AddDest(DNS, D, row(2)),
    ]
    assert after(before, ops) == {WWW: listed({A: 0, C: 3}, STICKY), DNS: listed({D: 2})}
    assert before[WWW] == listed({A: 1, B: 1})


def test_belief_shares_what_no_operation_names():
    before = {WWW: listed({A: 1}), DNS: listed({A: 1})}
    assert after(before, [DelDest(WWW, A)])[DNS] is before[DNS]


def test_a_row_in_a_service_we_do_not_know_does_not_make_it_known():
    assert after({}, [AddDest(WWW, A, row(1))]) == {}


# --- timeouts and synchronisation -------------------------------------------------------------------------------

NOW = Timeouts(tcp=900, tcp_fin=120, udp=300)
MASTER = SyncDaemon(SyncState.MASTER, "eth0", sync_id=7)
RUNNING = replace(MASTER, max_length=1472, group=ip_address("224.0.0.81"), port=8848, ttl=1)


def test_timeouts_are_set_only_if_one_that_is_asked_for_differs():
    assert plan_globals(Timeouts(), (), NOW, ()) == ()
    assert plan_globals(Timeouts(tcp=900), (), NOW, ()) == ()
    assert plan_globals(Timeouts(tcp=900, udp=30), (), NOW, ()) == (SetTimeouts(Timeouts(tcp=900, udp=30)),)


def test_a_sync_daemon_is_started_unless_one_like_it_runs():
    assert plan_globals(Timeouts(), (MASTER,), NOW, ()) == (StartSync(MASTER),)
    assert plan_globals(Timeouts(), (MASTER,), NOW, (RUNNING,)) == ()


def test_a_sync_daemon_that_is_not_as_wanted_is_stopped_first():
    other = replace(RUNNING, interface="eth1")
    assert plan_globals(Timeouts(), (MASTER,), NOW, (other,)) == (StopSync(SyncState.MASTER), StartSync(MASTER))


def test_a_sync_daemon_that_nobody_configured_is_left_alone():
    backup = replace(RUNNING, state=SyncState.BACKUP)
    assert plan_globals(Timeouts(), (), NOW, (RUNNING, backup)) == ()
    assert plan_globals(Timeouts(), (MASTER,), NOW, (backup,)) == (StartSync(MASTER),)
