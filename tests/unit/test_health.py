"""Verdicts become phases: the first one settles, then rise and fall count what comes in a row."""

from __future__ import annotations

import pytest

from healthd.check import Outcome
from healthd.health import Health, Phase, Thresholds, adopt, combine, observe

UNKNOWN, UP, DOWN = Phase.UNKNOWN, Phase.UP, Phase.DOWN
NOTHING = Health()
OUTCOMES = {"+": Outcome.PASS, "-": Outcome.FAIL, "?": Outcome.INCONCLUSIVE}


def after(verdicts: str, begin: Health = NOTHING, rise: int = 2, fall: int = 3) -> Health:
    """Health after verdicts: + passes, - fails, ? could not ask; one a second."""
    for second, verdict in enumerate(verdicts, start=1):
        begin = observe(begin, OUTCOMES[verdict], Thresholds(rise, fall), float(second))
    return begin


@pytest.mark.parametrize(("verdict", "phase"), [("+", UP), ("-", DOWN)])
def test_the_first_conclusive_verdict_settles_an_unknown_server(verdict, phase):
    assert after(verdict) == Health(phase, since=1.0)
    assert after(f"?{verdict}") == Health(phase, since=2.0)


@pytest.mark.parametrize(
    ("verdicts", "phase", "streak"),
    [
        ("--", UP, 2),
        ("---", DOWN, 0),
        ("--+--", UP, 2),
        ("--+---", DOWN, 0),
        ("--?-", DOWN, 0),
        ("?????", UP, 0),
        ("---+", DOWN, 1),
        ("---++", UP, 0),
        ("---+-+", DOWN, 1),
        ("---+-++", UP, 0),
        ("---+?+", UP, 0),
    ],
)
def test_only_what_comes_in_a_row_counts(verdicts, phase, streak):
    health = after(verdicts, Health(UP))
    assert (health.phase, health.streak) == (phase, streak)


def test_a_threshold_of_one_is_met_at_once():
    assert after("-", Health(UP), fall=1).phase is DOWN
    assert after("+", Health(DOWN), rise=1).phase is UP


def test_since_is_the_time_of_the_last_change_of_phase():
    assert after("---", Health(UP, since=0.5)).since == 3.0
    assert after("--", Health(UP, since=0.5)).since == 0.5


def test_a_server_that_could_not_be_asked_is_exactly_as_before():
    before = Health(UP, streak=2, since=7.0, weight=5)
    assert observe(before, Outcome.INCONCLUSIVE, Thresholds(), 9.0, weight=1) is before


def test_a_verdict_that_changes_nothing_gives_the_same_object():
    before = Health(UP, since=7.0, weight=5)
    assert observe(before, Outcome.PASS, Thresholds(), 9.0, weight=5) is before


def test_a_pass_asks_for_a_weight_and_a_failure_asks_for_none():
    limits = Thresholds(rise=2, fall=2)
    health = observe(Health(UP, weight=5), Outcome.PASS, limits, 1.0, weight=3)
    assert health.weight == 3
    assert observe(health, Outcome.FAIL, limits, 2.0, weight=9).weight == 3
    assert observe(health, Outcome.PASS, limits, 2.0).weight is None


def test_a_server_in_doubt_is_one_that_is_unknown_or_contradicted():
    assert Health().in_doubt
    assert Health(UP, streak=1).in_doubt
    assert not Health(UP).in_doubt
    assert not Health(DOWN).in_doubt


@pytest.mark.parametrize(("weight", "phase"), [(None, UNKNOWN), (0, DOWN), (1, UP), (65535, UP)])
def test_a_start_goes_by_the_row_that_is_there(weight, phase):
    assert adopt(weight, 4.0) == Health(phase, since=4.0)


@pytest.mark.parametrize(
    ("phases", "together"),
    [
        ([], UP),
        ([UP, UP], UP),
        ([UP, UNKNOWN], UNKNOWN),
        ([UNKNOWN, DOWN], DOWN),
        ([UP, DOWN], DOWN),
    ],
)
def test_all_checks_must_pass_and_one_failure_is_enough(phases, together):
    assert combine(phases) is together
    assert combine(reversed(phases)) is together
