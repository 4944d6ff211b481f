"""Properties of the schedule: even, without herds, hosts spread out, and always the same for a probe."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from healthd.prober.base import Cadence
from healthd.prober.schedule import (
    SOON,
    TICK,
    Place,
    Rhythm,
    fast_of,
    fraction,
    interval_of,
    place,
    slots_for,
    stride_of,
)

INTERVALS = st.integers(TICK, 120_000)
SEEDS = st.integers(0, 2**63 - 1)
NOW = st.integers(0, 10**12)


@st.composite
def rhythms(draw):
    interval = draw(INTERVALS)
    return Rhythm(interval, draw(st.integers(TICK, interval)), draw(st.integers(0, interval - 1)))


@given(rhythms(), NOW)
def test_the_next_time_is_the_first_on_the_grid_after_now(rhythm, now):
    at = rhythm.next(now)
    assert now < at <= now + rhythm.interval
    assert at % rhythm.interval == rhythm.offset


@given(rhythms(), NOW, st.integers(0, 10**6))
def test_between_counts_the_grid(rhythm, start, length):
    count, at = 0, rhythm.next(start)
    steps = length // rhythm.interval + 2
    for _ in range(min(steps, 2000)):
        if at > start + length:
            break
        count, at = count + 1, rhythm.next(at)
    if steps <= 2000:
        assert rhythm.between(start, start + length) == count


@given(rhythms(), NOW)
def test_the_first_time_is_soon_and_not_later_than_the_grid(rhythm, now):
    assert now <= rhythm.soon(now) <= min(now + SOON, rhythm.next(now))


@given(st.floats(0.001, 3600), st.none() | st.floats(0.001, 3600))
def test_the_interval_in_doubt_is_never_longer_than_the_interval(interval, fast):
    cadence = Cadence(interval=interval, fast=fast)
    assert TICK <= fast_of(cadence) <= interval_of(cadence)


@pytest.mark.parametrize(("interval", "fast"), [(6.0, 2000), (0.6, 200), (0.2, 100), (0.05, 50)])
def test_the_interval_in_doubt_is_a_third_if_not_configured(interval, fast):
    assert fast_of(Cadence(interval=interval)) == fast


@pytest.mark.parametrize(
    ("probes", "interval", "slots"),
    [(1, 1000, 10), (1000, 1000, 20), (10_000, 1000, 100), (10_000, 5000, 200), (10, 50, 5), (5, 10, 1)],
)
def test_slots_are_as_many_as_pay(probes, interval, slots):
    assert slots_for(probes, interval) == slots


@given(st.integers(1, 5000))
def test_a_walk_with_the_stride_visits_every_slot(slots):
    stride = stride_of(slots)
    assert len({n * stride % slots for n in range(slots)}) == slots


@given(SEEDS, st.integers(0, 2**62))
def test_the_fraction_of_a_probe_is_fixed_and_less_than_one(seed, number):
    assert 0 <= fraction(number, seed) == fraction(number, seed) < 1


def test_fractions_are_spread_evenly():
    tenths = Counter(int(fraction(n, 99) * 10) for n in range(10_000))
    assert all(850 < tenths[n] < 1150 for n in range(10))


@st.composite
def arrivals(draw):
    hosts = draw(st.lists(st.integers(0, 8), max_size=120))
    jitter = draw(st.floats(0, 0.5))
    return [Place(n, host, jitter) for n, host in enumerate(sorted(hosts))]


@settings(max_examples=40)
@given(arrivals(), INTERVALS, SEEDS)
def test_every_probe_gets_a_place_in_the_interval_and_always_the_same(new, interval, seed):
    offsets = place(new, (), interval, seed)
    assert set(offsets) == {one.id for one in new}
    assert all(0 <= offset < interval for offset in offsets.values())
    assert offsets == place(new, (), interval, seed)


@settings(max_examples=40)
@given(arrivals(), INTERVALS, SEEDS)
def test_targets_of_one_host_have_different_slots_as_long_as_there_are_enough(new, interval, seed):
    offsets = place(new, (), interval, seed)
    slots = slots_for(len(new), interval)
    for host in {one.host for one in new}:
        mine = [offsets[one.id] for one in new if one.host == host]
        assert len(set(mine)) == min(len(mine), slots)


@settings(max_examples=40)
@given(arrivals(), arrivals(), INTERVALS, SEEDS)
def test_newcomers_keep_out_of_the_way_of_those_that_stay(old, new, interval, seed):
    kept = place(old, (), interval, seed)
    stay = [(one.host, kept[one.id]) for one in old]
    offsets = place(new, stay, interval, seed)
    slots = slots_for(len(old) + len(new), interval)
    for host in {one.host for one in new}:
        theirs = {offset * slots // interval for name, offset in stay if name == host}
        mine = [offsets[one.id] * slots // interval for one in new if one.host == host]
        if len(theirs) + len(mine) <= slots:
            assert not theirs & set(mine)


@pytest.mark.parametrize("seed", [0, 1, 2**40 + 7])
def test_without_jitter_slots_are_filled_evenly(seed):
    new = [Place(n, n, 0.0) for n in range(5000)]
    load = Counter(place(new, (), 1000, seed).values())
    assert len(load) == 100
    assert max(load.values()) - min(load.values()) <= 1


@pytest.mark.parametrize("jitter", [0.1, 0.5, 1.0])
def test_with_jitter_no_slot_holds_much_more_than_its_share(jitter):
    new = [Place(n, n, jitter) for n in range(5000)]
    load = Counter(place(new, (), 1000, 5).values())
    assert max(load.values()) < 2 * 50


def test_other_seeds_give_another_order():
    new = [Place(n, n, 0.1) for n in range(100)]
    assert place(new, (), 1000, 1) != place(new, (), 1000, 2)
