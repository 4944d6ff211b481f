"""A courier delivers in order, tries again, tells what it lost, and never keeps its caller waiting."""

from __future__ import annotations

import asyncio
import logging

import pytest

from healthd.events import Kind
from healthd.hooks.base import DeliveryFailed
from healthd.hooks.courier import Courier, Retries

from .samples import sample, until

SOON = Retries(2, first=0.001)


class Receiver:
    """Remembers what it was given; refuses the first `refusals` deliveries; waits at the gate if there is one."""

    def __init__(self, refusals: int = 0, gate: asyncio.Event | None = None) -> None:
        self.got = []
        self.calls = 0
        self.refusals = refusals
        self.gate = gate

    async def deliver(self, event):
        """Take one event, or refuse it."""
        self.calls += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.calls <= self.refusals:
            raise DeliveryFailed(f"refusal {self.calls}", "some output")
        self.got.append(event)


def server(number, kind=Kind.SERVER_DOWN):
    return sample(kind, real=f"10.0.{number // 250}.{number % 250}:80")


async def test_events_arrive_in_order():
    receiver = Receiver()
    courier = Courier("test", receiver.deliver)
    events = [server(number) for number in range(200)]
    for event in events:
        courier.event(event)
    await courier.close(30)

    assert receiver.got == events
    assert courier.stats().delivered == 200


async def test_a_refused_event_is_tried_again_before_any_later_one():
    receiver = Receiver(refusals=2)
    courier = Courier("test", receiver.deliver, retries=SOON)
    events = [server(1), server(2)]
    for event in events:
        courier.event(event)
    await until(lambda: courier.stats().delivered == 2)

    assert receiver.got == events
    assert (courier.stats().retries, courier.stats().failed) == (2, 0)
    assert courier.stats().last_error == "refusal 2"


async def test_an_event_is_given_up_after_its_retries_and_the_next_one_has_its_turn(caplog):
    receiver = Receiver(refusals=3)
    courier = Courier("test", receiver.deliver, retries=SOON)
    events = [server(1), server(2)]
    for event in events:
        courier.event(event)
    await until(lambda: courier.stats().delivered == 1)

    assert receiver.got == events[1:]
    assert courier.stats().failed == 1
    assert "hook test failed for server-down (attempt 3 of 3): refusal 3" in caplog.messages
    assert caplog.records[0].output == "some output"


async def test_a_bug_of_the_hook_is_told_with_its_traceback_and_does_not_end_it(caplog):
    async def deliver(event):
        raise ZeroDivisionError("oops")

    courier = Courier("test", deliver, retries=Retries(0))
    courier.event(server(1))
    courier.event(server(2))
    await courier.close(30)

    assert courier.stats().failed == 2
    assert any(record.exc_info for record in caplog.records)


async def test_only_the_wanted_kinds_are_carried():
    receiver = Receiver()
    courier = Courier("test", receiver.deliver, on=frozenset({"server-up"}))
    courier.event(server(1, Kind.SERVER_DOWN))
    courier.event(server(1, Kind.SERVER_UP))
    await courier.close(30)

    assert [event.kind for event in receiver.got] == [Kind.SERVER_UP]


async def test_a_full_queue_forgets_the_way_there_but_not_where_things_stand(caplog):
    gate = asyncio.Event()
    receiver = Receiver(gate=gate)
    courier = Courier("test", receiver.deliver, room=10)
    events = [server(number % 7, kind) for number in range(500) for kind in (Kind.SERVER_DOWN, Kind.SERVER_UP)]
    for event in events:
        courier.event(event)
    assert courier.stats().queued == 10
    gate.set()
    await until(lambda: courier.stats().queued == 0)
    await courier.close(30)

    last = {event.real: event.kind for event in receiver.got}
    stats = courier.stats()
    assert last == {server(number).real: Kind.SERVER_UP for number in range(7)}
    assert stats.dropped == 1000 - 10
    assert stats.delivered + stats.dropped == 1000
    assert len([m for m in caplog.messages if "is behind" in m]) == 1
    assert "hook test has caught up; it missed 990 outdated events" in caplog.messages


async def test_a_flood_on_a_receiver_that_hangs_keeps_nobody_waiting():
    hanging = Courier("hanging", Receiver(gate=asyncio.Event()).deliver)
    quick = Receiver()
    other = Courier("quick", quick.deliver, room=10_000)
    for number in range(5000):
        hanging.event(server(number))
        other.event(server(number))
    await other.close(30)

    assert len(quick.got) == 5000
    assert hanging.stats().delivered == 0
    await hanging.close(0)
    assert hanging.stats().dropped == 5000


async def test_close_delivers_what_waits_and_shortens_the_pause_before_a_retry():
    receiver = Receiver(refusals=1)
    courier = Courier("test", receiver.deliver, retries=Retries(5, first=3600))
    courier.event(server(1))
    await until(lambda: receiver.calls == 1)
    courier.event(server(2))
    await courier.close(30)

    assert receiver.got == [server(1), server(2)]


async def test_close_counts_and_tells_what_was_left(caplog):
    courier = Courier("test", Receiver(gate=asyncio.Event()).deliver)
    for number in range(5):
        courier.event(server(number))
    await until(lambda: courier.stats().queued == 4)
    await courier.close(0.01)
    courier.event(server(9))

    assert courier.stats().dropped == 6
    assert courier.stats().queued == 0
    assert "hook test: 5 events are left undelivered" in caplog.messages


async def test_close_tells_of_what_was_just_being_delivered(caplog):
    courier = Courier("test", Receiver(gate=asyncio.Event()).deliver)
    courier.event(server(1))
    await until(lambda: courier.stats().queued == 0)
    await courier.close(0.01)

    assert "hook test: 1 event is left undelivered" in caplog.messages


async def test_a_courier_without_events_closes_at_once():
    await Courier("idle", Receiver().deliver).close(3600)


@pytest.mark.parametrize(("attempt", "pause"), [(1, 1), (2, 2), (3, 4), (7, 60), (1000, 60)])
def test_the_pause_doubles_up_to_its_bound(attempt, pause):
    assert Retries(first=1.0, most=60.0).pause(attempt) == pause


@pytest.fixture(autouse=True)
def _all_levels(caplog):
    caplog.set_level(logging.INFO)
