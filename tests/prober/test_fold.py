"""Folding: the quick way for steady passes gives what `health.observe` gives, for any history of verdicts."""

from __future__ import annotations

from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st

from healthd.check import Outcome, Passed, Reason, Target, Verdict
from healthd.health import Health, Phase, Thresholds, observe
from healthd.prober.base import Cadence, Probe, Watch
from healthd.prober.fold import Entry
from healthd.prober.schedule import Rhythm
from tests.prober.talk import Tcp

RHYTHM = Rhythm(interval=1000, fast=300, offset=40)
WEIGHTS = st.none() | st.integers(0, 2)
LIMITS = st.builds(Thresholds, st.integers(1, 3), st.integers(1, 3))
HEALTHS = st.builds(Health, st.sampled_from(Phase), st.just(0), st.just(0.0), WEIGHTS)
VERDICTS = st.one_of(
    st.builds(Verdict, st.just(Outcome.PASS), st.just(Reason.OK), st.just("fine"), WEIGHTS),
    st.just(Verdict(Outcome.FAIL, Reason.REFUSED, "no")),
    st.just(Verdict(Outcome.INCONCLUSIVE, Reason.LOCAL, "we")),
)


def probe_of(*watches, told=False):
    return Probe(1, Tcp(), Target(ip_address("127.0.0.1"), 1), Cadence(), tuple(watches), told)


def entry_of(*watches, told=False):
    return Entry(probe_of(*watches, told=told), RHYTHM)


def told(entry, verdict, now):
    """Fold as the prober does: the quick way first."""
    if verdict.outcome is Outcome.PASS and entry.fold_pass(verdict.detail, verdict.weight, now, 0.5):
        return None
    return entry.fold(verdict, now, 0.5)


@given(st.lists(st.tuples(LIMITS, HEALTHS), max_size=3), st.lists(VERDICTS, max_size=30))
def test_each_watch_has_the_health_that_observing_gives(watches, verdicts):
    entry = entry_of(*(Watch(n, limits, health) for n, (limits, health) in enumerate(watches)))
    healths, last_passed = [health for _, health in watches], True
    for now, verdict in enumerate(verdicts, 1):
        before = list(healths)
        healths = [
            observe(health, verdict.outcome, limits, float(now), verdict.weight)
            for health, (limits, _) in zip(healths, watches, strict=True)
        ]
        observation = told(entry, verdict, float(now))
        assert entry.healths == dict(enumerate(healths))
        passed = verdict.outcome is Outcome.PASS
        assert (observation is None) == (passed and last_passed and before == healths)
        last_passed = passed
        last = entry.last()
        assert last is not None
        assert (last.verdict, last.at, last.healths) == (verdict, float(now), tuple(enumerate(healths)))


@given(st.lists(VERDICTS, max_size=8), st.integers(0, 10**9), st.integers(0, 3000))
def test_the_next_time_is_sooner_in_doubt_and_never_in_the_past(verdicts, started, took):
    entry = entry_of(Watch(1, Thresholds(2, 2), Health()))
    for n, verdict in enumerate(verdicts, 1):
        told(entry, verdict, float(n))
    now = started + took
    at = entry.next_after(now, started)
    assert now <= at <= RHYTHM.next(now)
    if not entry.in_doubt:
        assert at == RHYTHM.next(now)
    else:
        assert at <= max(now, started + RHYTHM.fast + 10)


def test_the_first_pass_after_an_inconclusive_verdict_is_told_and_the_next_is_not():
    entry = entry_of(Watch(1, Thresholds(), Health(Phase.UP)))
    assert told(entry, Verdict(Outcome.INCONCLUSIVE, Reason.LOCAL), 1.0) is not None
    first = told(entry, Verdict(Outcome.PASS, detail="fine"), 2.0)
    assert first.verdict.outcome is Outcome.PASS
    assert told(entry, Verdict(Outcome.PASS, detail="fine"), 3.0) is None


def test_a_hurried_probe_is_next_at_once():
    entry = entry_of(Watch(1, Thresholds(), Health(Phase.UP)))
    entry.again = True
    assert entry.next_after(12345, 12340) == 12345


def test_new_watches_begin_with_their_own_health_and_old_ones_keep_theirs_under_new_thresholds():
    entry = entry_of(Watch(1, Thresholds(1, 3), Health(Phase.UP)))
    told(entry, Verdict(Outcome.FAIL, Reason.REFUSED), 1.0)
    entry.take(probe_of(Watch(1, Thresholds(1, 2), Health()), Watch(2, Thresholds(), Health(Phase.DOWN))))
    assert entry.healths == {1: Health(Phase.UP, streak=1), 2: Health(Phase.DOWN)}
    observation = told(entry, Verdict(Outcome.FAIL, Reason.REFUSED), 2.0)
    assert dict(observation.healths)[1].phase is Phase.DOWN


@given(st.lists(st.tuples(LIMITS, HEALTHS), max_size=2), st.lists(VERDICTS, max_size=10))
def test_of_a_probe_that_is_told_every_verdict_is_reported_and_nothing_else_differs(watches, verdicts):
    watches = [Watch(n, limits, health) for n, (limits, health) in enumerate(watches)]
    quiet, loud = entry_of(*watches), entry_of(*watches, told=True)
    for now, verdict in enumerate(verdicts, 1):
        told(quiet, verdict, float(now))
        observation = told(loud, verdict, float(now))
        assert observation == quiet.last()
        assert loud.next_after(now, now) == quiet.next_after(now, now)


def test_a_reload_turns_telling_on_and_off():
    watch = Watch(1, Thresholds(), Health(Phase.UP))
    entry = entry_of(watch)
    assert told(entry, Verdict(Outcome.PASS), 1.0) is None
    entry.take(probe_of(watch, told=True))
    assert told(entry, Verdict(Outcome.PASS, detail="fine"), 2.0).verdict.detail == "fine"
    entry.take(probe_of(watch))
    assert told(entry, Verdict(Outcome.PASS), 3.0) is None


def test_an_unwatched_probe_is_steady_and_still_reports_failures():
    entry = entry_of()
    assert told(entry, Verdict(Outcome.PASS), 1.0) is None
    assert told(entry, Verdict(Outcome.FAIL, Reason.RESET), 2.0).healths == ()


def knocked(connects):
    cadence = Cadence(connects=connects)
    return Entry(Probe(1, Tcp(), Target(ip_address("127.0.0.1"), 1), cadence, ()), RHYTHM)


def kinds(entry, results):
    """Kinds of the questions that lead to these results, one after the other."""
    asked = []
    for result in results:
        asked.append(entry.next_question().check.kind)
        entry.count_knock(result)
    return asked


def test_knocks_stand_between_two_checks():
    assert kinds(knocked(2), ["", "", "", "", "", ""]) == ["tcp", "connect", "connect", "tcp", "connect", "connect"]


def test_a_failed_knock_brings_the_check_forward_and_a_failed_check_is_repeated():
    failed = Verdict(Outcome.FAIL, Reason.REFUSED)
    assert kinds(knocked(5), ["", failed, failed, failed, "", ""]) == ["tcp", "connect", *["tcp"] * 3, "connect"]


def test_a_knock_leaves_the_weight_that_the_check_asked_for():
    entry = knocked(1)
    entry.weight = 7
    kinds(entry, [Passed("fine", 7)])
    entry.next_question()
    assert entry.count_knock("connected") == Passed("connected", 7)
