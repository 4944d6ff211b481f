"""What a prober counts in a second, and how seconds and probers are added up."""

from __future__ import annotations

import pytest

from healthd.prober.base import LATENESS_BOUNDS, Summary
from healthd.prober.tally import Tally
from healthd.prober.totals import add


def late(*seconds: float) -> Summary:
    """The summary of a second in which probes started so late."""
    tally = Tally(0.0)
    tally.lateness += seconds
    return tally.summary(1.0, 0, 0)


def test_each_late_start_is_counted_once_below_the_first_bound_that_holds_it():
    summary = late(0.0, 0.001, 0.0011, 0.3, 99.0)
    counts = dict(zip((*LATENESS_BOUNDS, float("inf")), summary.late, strict=True))

    assert {bound: count for bound, count in counts.items() if count} == {
        0.001: 2,  # the bound itself is within it
        0.0025: 1,
        0.5: 1,
        float("inf"): 1,
    }
    assert summary.lateness_sum == pytest.approx(99.3021)


def test_a_probe_that_starts_a_little_early_is_not_late():
    summary = late(-0.0004)

    assert summary.late[0] == 1
    assert summary.lateness_sum == 0


def test_a_second_without_probes_has_no_counts_and_adds_none():
    quiet, busy = late(), late(0.002, 0.002)

    assert quiet.late == ()
    assert add(quiet, busy).late == add(busy, quiet).late == busy.late
    assert sum(add(busy, busy).late) == 4
    assert add(busy, busy).lateness_sum == pytest.approx(0.008)
