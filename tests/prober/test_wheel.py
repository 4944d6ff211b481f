"""The wheel, against the plainest thing that does the same: a sorted list."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from healthd.prober.wheel import Wheel

TIMES = st.integers(0, 50)


@given(st.lists(st.one_of(st.tuples(st.just("add"), TIMES), st.tuples(st.just("take"), TIMES))))
def test_everything_comes_out_once_when_it_is_due_and_in_order(moves):
    wheel, waiting, number = Wheel[int](), [], 0
    for move, at in moves:
        if move == "add":
            wheel.add(at, number)
            waiting.append((at, number))
            number += 1
            continue
        came = [(time, thing) for time, slot in wheel.take(at) for thing in slot]
        assert came == sorted((one for one in waiting if one[0] <= at), key=lambda one: one)
        waiting = [one for one in waiting if one[0] > at]
        assert wheel.next() == min((time for time, _ in waiting), default=None)


def test_a_cleared_wheel_is_empty():
    wheel = Wheel[str]()
    wheel.add(3, "x")
    wheel.clear()
    assert wheel.next() is None
    assert wheel.take(10) == []
