"""The checks on and off ask nobody and say what they are for."""

from __future__ import annotations

from checks.fixed import OffCheck, OnCheck
from healthd.check import Outcome, Reason
from tests.checks.harness import Player, failed


def test_on_passes_and_off_fails_without_a_step():
    on, off = Player([]), Player([])
    assert on.play(OnCheck()).outcome is Outcome.PASS
    assert failed(off.play(OffCheck()), Reason.UNEXPECTED)
    assert on.steps == off.steps == []
