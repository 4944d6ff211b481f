"""Health against an oracle of another make: one counter, as HAProxy keeps it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from healthd.check import Outcome
from healthd.health import Health, Phase, Thresholds, adopt, combine, observe

limits = st.builds(Thresholds, rise=st.integers(1, 4), fall=st.integers(1, 4))
outcomes = st.lists(st.sampled_from(Outcome), max_size=40)
adopted = st.sampled_from([None, 0, 1, 10])


class Counter:
    """The oracle. 0..rise-1 is down and counts passes; rise..rise+fall-1 is up, a failure takes one away."""

    def __init__(self, limits: Thresholds, weight: int | None) -> None:
        self.limits = limits
        self.value: int | None = None
        if weight is not None:
            self.value = self.top if weight else 0

    @property
    def top(self) -> int:
        """The counter's highest value."""
        return self.limits.rise + self.limits.fall - 1

    def count(self, outcome: Outcome) -> None:
        """Count one verdict."""
        passed = outcome is Outcome.PASS
        if outcome is Outcome.INCONCLUSIVE:
            return
        if self.value is None:
            self.value = self.top if passed else 0
        elif passed:
            self.value += 1
            if self.value >= self.limits.rise:
                self.value = self.top
        else:
            self.value -= 1
            if self.value < self.limits.rise:
                self.value = 0

    @property
    def phase(self) -> Phase:
        """The phase that the counter stands for."""
        if self.value is None:
            return Phase.UNKNOWN
        return Phase.UP if self.value >= self.limits.rise else Phase.DOWN


@given(limits, adopted, outcomes)
def test_health_is_what_a_single_counter_says(limits: Thresholds, weight: int | None, said: list[Outcome]):
    health, oracle = adopt(weight, 0.0), Counter(limits, weight)
    for second, outcome in enumerate(said):
        health = observe(health, outcome, limits, float(second))
        oracle.count(outcome)
        assert health.phase is oracle.phase
        threshold = {Phase.UNKNOWN: 1, Phase.UP: limits.fall, Phase.DOWN: limits.rise}[health.phase]
        assert 0 <= health.streak < threshold


@given(limits, adopted, outcomes)
def test_what_could_not_be_asked_might_as_well_not_have_been(
    limits: Thresholds, weight: int | None, said: list[Outcome]
):
    every, conclusive = adopt(weight, 0.0), adopt(weight, 0.0)
    for second, outcome in enumerate(said):
        every = observe(every, outcome, limits, float(second))
        if outcome is not Outcome.INCONCLUSIVE:
            conclusive = observe(conclusive, outcome, limits, float(second))
    assert every == conclusive


@given(limits, st.sampled_from([Phase.UP, Phase.DOWN]), st.lists(st.booleans(), max_size=40))
def test_a_known_phase_changes_only_on_a_whole_row_of_contrary_verdicts(
    limits: Thresholds, phase: Phase, said: list[bool]
):
    health, row = Health(phase), 0
    for second, passed in enumerate(said):
        before = health.phase
        health = observe(health, Outcome.PASS if passed else Outcome.FAIL, limits, float(second))
        row = row + 1 if passed is (before is Phase.DOWN) else 0
        needed = limits.fall if before is Phase.UP else limits.rise
        assert (health.phase is not before) is (row == needed)
        if health.phase is not before:
            row = 0
            assert health.since == float(second)


@given(st.lists(st.sampled_from(Phase), max_size=5))
def test_a_server_is_up_only_if_no_check_says_otherwise(phases: list[Phase]):
    assert (combine(phases) is Phase.UP) is all(phase is Phase.UP for phase in phases)
    assert (combine(phases) is Phase.DOWN) is (Phase.DOWN in phases)
