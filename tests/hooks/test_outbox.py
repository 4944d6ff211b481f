"""The outbox keeps the order, keeps to its bound, and never forgets the newest of a subject."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.outbox import Outbox

Puts = st.lists(st.one_of(st.none(), st.integers(0, 4)), max_size=60)


def drained(outbox: Outbox[int]) -> list[int]:
    return [outbox.take() for _ in range(len(outbox))]


@given(Puts, st.integers(0, 20))
def test_items_leave_in_the_order_they_came(subjects, room):
    outbox: Outbox[int] = Outbox(room)
    for number, subject in enumerate(subjects):
        outbox.put(number, subject)

    left = drained(outbox)

    assert left == sorted(left)


@given(Puts, st.integers(0, 20))
def test_the_newest_item_of_every_subject_stays(subjects, room):
    outbox: Outbox[int] = Outbox(room)
    for number, subject in enumerate(subjects):
        outbox.put(number, subject)

    newest = {subject: number for number, subject in enumerate(subjects) if subject is not None}

    assert set(newest.values()) <= set(drained(outbox))


@given(Puts, st.integers(0, 20))
def test_it_holds_no_more_than_its_room_or_one_per_subject_and_counts_the_rest(subjects, room):
    outbox: Outbox[int] = Outbox(room)
    for number, subject in enumerate(subjects):
        outbox.put(number, subject)

    known = len({subject for subject in subjects if subject is not None})

    assert len(outbox) <= max(room, known)
    assert len(outbox) + outbox.dropped == len(subjects)


@given(Puts, st.integers(1, 20))
def test_the_oldest_outdated_item_goes_first(subjects, room):
    outbox: Outbox[int] = Outbox(room)
    model: list[tuple[int, int | None]] = []
    for number, subject in enumerate(subjects):
        model.append((number, subject))
        outbox.put(number, subject)
        outdated = [n for at, (n, s) in enumerate(model) if s is None or any(o == s for _, o in model[at + 1 :])]
        if len(model) > room and outdated:
            model = [(n, s) for n, s in model if n != outdated[0]]

    assert drained(outbox) == [number for number, _ in model]


@given(st.lists(st.one_of(st.just("take"), st.none(), st.integers(0, 3)), max_size=120))
def test_nothing_piles_up_behind_what_was_taken(steps):
    outbox: Outbox[int] = Outbox(5)
    for number, step in enumerate(steps):
        if step == "take":
            if outbox:
                outbox.take()
        else:
            outbox.put(number, step)

        assert len(outbox._newest) <= len(outbox)

    while outbox:
        outbox.take()
    outbox.put(0)
    assert len(outbox._outdated) == 1


def test_put_says_whether_something_was_forgotten():
    outbox: Outbox[str] = Outbox(1)

    assert outbox.put("a", "server") is True
    assert outbox.put("b", "server") is False
    assert drained(outbox) == ["b"]


def test_an_empty_outbox_has_nothing_to_take():
    with pytest.raises(KeyError):
        Outbox(1).take()
