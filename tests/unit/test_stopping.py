"""What a stop leaves behind."""

from __future__ import annotations

from healthd.config.schema import OnStop
from healthd.plan import plan
from healthd.stopping import stopped
from tests.support.builders import MAIL, STICKY, WWW, A, B, listed

TABLE = {WWW: listed({A: 10, B: 0}, STICKY), MAIL: listed({})}


def test_leave_changes_nothing():
    assert not plan(stopped(OnStop.LEAVE, TABLE), TABLE)


def test_quiesce_keeps_every_row_with_weight_0():
    assert stopped(OnStop.QUIESCE, TABLE) == {WWW: listed({A: 0, B: 0}, STICKY), MAIL: listed({})}


def test_remove_wants_every_service_gone():
    assert stopped(OnStop.REMOVE, TABLE) == {WWW: None, MAIL: None}
