"""What a stop leaves behind."""

from __future__ import annotations

from healthd.config.schema import OnStop
from healthd.plan import plan
from healthd.stopping import stopped
from tests.support.builders import MAIL, STICKY, WWW, A, B, listed

TABLE = {WWW: listed({A: 10, B: 0}, STICKY), MAIL: listed({})}


def test_leave_changes_nothing():
    assert not plan(stopped(dict.fromkeys(TABLE, OnStop.LEAVE), TABLE), TABLE)


def test_quiesce_keeps_every_row_with_weight_0():
    assert stopped(dict.fromkeys(TABLE, OnStop.QUIESCE), TABLE) == {WWW: listed({A: 0, B: 0}, STICKY), MAIL: listed({})}


def test_remove_wants_every_service_gone():
    assert stopped(dict.fromkeys(TABLE, OnStop.REMOVE), TABLE) == {WWW: None, MAIL: None}


def test_each_service_has_its_own_policy_and_one_without_is_left():
    assert stopped({WWW: OnStop.REMOVE}, TABLE) == {WWW: None, MAIL: TABLE[MAIL]}
