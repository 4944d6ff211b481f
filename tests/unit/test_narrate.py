"""What people are told, word by word."""

from __future__ import annotations

import errno
from dataclasses import replace

import pytest

from healthd import narrate
from healthd.config.schema import Admin
from healthd.drift import Edit
from healthd.events import Kind
from healthd.health import Phase
from healthd.ipvs.base import RowRefused
from healthd.model import Checksum, DestSpec, Encapsulation, Forwarding, SchedulerFlag, ServiceSpec, Tunnel
from healthd.narrate import Transition
from healthd.ops import AddDest, AddService, DelDest, DelService, SetDest, SetService
from healthd.policy import Wish
from tests.support.builders import FAIL, PASS, SORRY, STICKY, UNSURE, WLC, WWW, A, B, asks, real, row, service

UNKNOWN, UP, DOWN = Phase.UNKNOWN, Phase.UP, Phase.DOWN
SERVER = real(A, name="web1")
SERVICE = service(SERVER, fallback=True)


def changed(change: Transition, weight: int | None):
    done = narrate.effects([SetDest(WWW, A, row(weight or 0))])
    return narrate.server_changed(SERVICE, SERVER, change, None if weight is None else row(weight), done, 5.0)


@pytest.mark.parametrize(
    ("change", "weight", "kind", "message"),
    [
        (
            Transition(UP, DOWN, FAIL),
            0,
            Kind.SERVER_DOWN,
            "www: 10.0.0.11:80 (web1) is down (refused: connection refused), weight 0",
        ),
        (
            Transition(UP, DOWN, FAIL),
            None,
            Kind.SERVER_DOWN,
            "www: 10.0.0.11:80 (web1) is down (refused: connection refused), no row",
        ),
        (Transition(DOWN, UP, PASS), 10, Kind.SERVER_UP, "www: 10.0.0.11:80 (web1) is up (ok: connected), weight 10"),
        (Transition(DOWN, UP, None), 10, Kind.SERVER_UP, "www: 10.0.0.11:80 (web1) is up, weight 10"),
    ],
)
def test_a_change_of_a_server_says_reason_evidence_and_effect(change, weight, kind, message):
    event = changed(change, weight)
    assert (event.kind, event.message, event.at) == (kind, message, 5.0)
    assert (event.previous, event.phase, event.weight) == (change.previous.value, change.phase.value, weight)
    assert (event.service, event.virtual, event.real) == ("www", "192.0.2.80:80/tcp", "10.0.0.11:80")
    assert event.effect == (f"set 10.0.0.11:80 of 192.0.2.80:80/tcp forward=masq weight={weight or 0}",)


def test_a_change_without_a_verdict_has_no_evidence():
    event = changed(Transition(DOWN, UP, None), 10)
    assert (event.reason, event.detail) == ("", "")


def test_a_change_without_a_write_has_no_effect():
    event = narrate.server_changed(SERVICE, real(B), Transition(UNKNOWN, UP, PASS), row(10), {}, 5.0)
    assert event.effect == ()
    assert event.message == "www: 10.0.0.12:80 is up (ok: connected), weight 10"


GATE, LIMITED = row(10, Forwarding.GATE), replace(row(10), lower=5, upper=9)
GUE = DestSpec(Forwarding.IPIP, 10, tunnel=Tunnel(Encapsulation.GUE, 6080))


@pytest.mark.parametrize(
    ("rows", "kind", "change"),
    [
        ((row(5), row(10)), Kind.SERVER_WEIGHT, "weight 5 -> 10"),
        ((row(5), GATE), Kind.SERVER_WEIGHT, "forward masq -> gate, weight 5 -> 10"),
        ((row(10), GATE), Kind.SERVER_CHANGED, "forward masq -> gate"),
        ((row(10), LIMITED), Kind.SERVER_CHANGED, "thresholds none -> 5..9"),
        ((LIMITED, row(10)), Kind.SERVER_CHANGED, "thresholds 5..9 -> none"),
        ((row(10), GUE), Kind.SERVER_CHANGED, "forward masq -> ipip, tunnel none -> gue:6080"),
        (
            (GUE, replace(GUE, tunnel=replace(GUE.tunnel, checksum=Checksum.CSUM))),
            Kind.SERVER_CHANGED,
            "checksum none -> csum",
        ),
        ((row(0), None), Kind.SERVER_WEIGHT, "weight 0 -> no row"),
        ((None, row(0)), Kind.SERVER_WEIGHT, "no row -> weight 0"),
    ],
)
def test_a_row_that_changes_is_told_with_old_and_new_value(rows, kind, change):
    after = rows[1]
    done = narrate.effects([SetDest(WWW, A, after)] if after else [DelDest(WWW, A)])
    event = narrate.row_changed(SERVICE, SERVER, UP, rows, None, done, 5.0)
    assert (event.kind, event.message) == (kind, f"www: 10.0.0.11:80 (web1) {change}")
    assert (event.detail, event.reason, event.weight) == (change, "", after.weight if after else None)
    assert (event.previous, event.phase, len(event.effect)) == ("up", "up", 1)


def test_a_weight_that_a_check_asked_for_has_its_evidence():
    event = narrate.row_changed(SERVICE, SERVER, UP, (row(10), row(3)), asks(3), {}, 5.0)
    assert event.message == "www: 10.0.0.11:80 (web1) weight 10 -> 3 (ok: asks for 3)"
    assert (event.reason, event.detail) == ("ok", "asks for 3")


@pytest.mark.parametrize(
    ("spec", "change"),
    [
        (STICKY, "scheduler wlc -> wrr, persistent none -> 300s/32"),
        (ServiceSpec("wlc", SchedulerFlag.SCHED1 | SchedulerFlag.SCHED2), "flags none -> sched1|sched2"),
        (ServiceSpec("wlc", one_packet=True), "one-packet none -> yes"),
        (ServiceSpec("wlc", engine="sip"), "engine none -> sip"),
    ],
)
def test_a_service_that_changes_is_told_with_old_and_new_value(spec, change):
    event = narrate.service_changed("www", WWW, WLC, spec, narrate.effects([SetService(WWW, spec)]), 5.0)
    assert (event.kind, event.message) == (Kind.SERVICE_CHANGED, f"www: 192.0.2.80:80/tcp {change}")
    assert event.detail == change
    (done,) = event.effect
    assert done.startswith("set service 192.0.2.80:80/tcp ")


def test_effects_are_the_operations_on_each_row_in_their_order():
    ops = [AddService(WWW, WLC), AddDest(WWW, A, row(1)), SetDest(WWW, A, row(2)), DelDest(WWW, B), DelService(WWW)]
    assert narrate.effects(ops) == {
        (WWW, None): ("add service 192.0.2.80:80/tcp scheduler=wlc", "delete service 192.0.2.80:80/tcp"),
        (WWW, A): (
            "add 10.0.0.11:80 to 192.0.2.80:80/tcp forward=masq weight=1",
            "set 10.0.0.11:80 of 192.0.2.80:80/tcp forward=masq weight=2",
        ),
        (WWW, B): ("delete 10.0.0.12:80 from 192.0.2.80:80/tcp",),
    }


def test_an_operators_wish_is_told_as_it_applies_to_the_server():
    web = service(real(A))
    event = narrate.server_admin(web, web.reals[0], Wish(Admin.DRAINED, "file /m/a"), UP, row(0), {}, 5.0)
    assert (event.kind, event.message) == (Kind.SERVER_ADMIN, "www: 10.0.0.11:80 is now drained (file /m/a), weight 0")
    assert (event.detail, event.weight, event.phase) == ("drained", 0, "up")


def test_a_server_that_cannot_be_asked_keeps_its_phase_and_says_why():
    event = narrate.server_certainty(SERVICE, SERVER, UP, UNSURE, 5.0)
    assert event.kind is Kind.SERVER_UNSURE
    assert event.message == "www: 10.0.0.11:80 (web1) cannot be probed (no file descriptor left), it stays up"
    sure = narrate.server_certainty(SERVICE, SERVER, UP, PASS, 6.0)
    assert (sure.kind, sure.message) == (Kind.SERVER_SURE, "www: 10.0.0.11:80 (web1) can be probed again")


def test_the_fallback_comes_and_goes():
    came = narrate.fallback(SERVICE, SORRY, row(1), narrate.effects([AddDest(WWW, SORRY, row(1))]), 5.0)
    assert (came.kind, came.message, came.weight) == (
        Kind.FALLBACK_ON,
        "www: fallback 10.0.0.99:8080 takes over",
        1,
    )
    assert came.effect == ("add 10.0.0.99:8080 to 192.0.2.80:80/tcp forward=masq weight=1",)
    went = narrate.fallback(SERVICE, SORRY, None, {}, 5.0)
    assert (went.kind, went.message, went.weight) == (
        Kind.FALLBACK_OFF,
        "www: fallback 10.0.0.99:8080 is no longer needed",
        None,
    )


def test_a_service_comes_and_goes():
    came = narrate.service_listed("www", WWW, True, narrate.effects([AddService(WWW, WLC)]), 5.0)
    assert came.message == "www: 192.0.2.80:80/tcp added to the table"
    assert came.effect == ("add service 192.0.2.80:80/tcp scheduler=wlc",)
    went = narrate.service_listed("www", WWW, False, narrate.effects([DelService(WWW)]), 5.0)
    assert (went.kind, went.effect) == (Kind.SERVICE_REMOVED, ("delete service 192.0.2.80:80/tcp",))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            Edit(WWW, A, row(10), row(3)),
            (
                "www: 10.0.0.11:80 of 192.0.2.80:80/tcp was edited by somebody else "
                "(was forward=masq weight=10, is forward=masq weight=3), it is left"
            ),
        ),
        (
            Edit(WWW, A, None, row(3)),
            (
                "www: 10.0.0.11:80 of 192.0.2.80:80/tcp was edited by somebody else "
                "(was absent, is forward=masq weight=3), it is left"
            ),
        ),
        (
            Edit(WWW, None, STICKY, None),
            (
                "www: service 192.0.2.80:80/tcp was edited by somebody else "
                "(was scheduler=wrr persistent=300s/32, is absent), it is left"
            ),
        ),
    ],
)
def test_a_strangers_edit_is_told_with_before_and_after(edit, message):
    event = narrate.drifted(edit, {WWW: "www"}, "it is left", 5.0)
    assert (event.kind, event.message) == (Kind.DRIFT, message)


def test_a_refused_row_is_told_with_the_tables_words_and_the_next_try():
    error = RowRefused(AddDest(WWW, A, row(1)), errno.EINVAL, "no route")
    event = narrate.row_refused(error, {WWW: "www"}, 4.0, 5.0)
    assert event.kind is Kind.ROW_REFUSED
    assert event.message == (
        "www: the table refused to add 10.0.0.11:80 to 192.0.2.80:80/tcp forward=masq weight=1: "
        "Invalid argument (no route); next try in 4 s"
    )
    assert (event.service, event.real) == ("www", "10.0.0.11:80")
