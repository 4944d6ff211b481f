"""What waits for a receiver: told together, in its newest state, not too often, and again if it was not taken."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace

import pytest

from healthd.config.schema import Config, Settings, Webhook
from healthd.hooks import Announcer
from healthd.hooks.messenger import Messenger, Pace

from .messages import BRISK, down, up
from .receiver import hang, receiver, reset, saying
from .samples import until

# --- together, newest, not too often ----------------------------------------------------------------------------


async def test_a_dead_rack_is_one_message(make):
    async with receiver() as there:
        messenger = make(there.url, group=0.5)
        for number in range(40):
            messenger.event(down(number))
        await until(lambda: messenger.stats().delivered == 40)
    (told,) = there.taken
    assert told.body["message"].endswith("40 servers down: www")
    assert [event["real"] for event in told.body["events"]] == [down(number).real for number in range(40)]


async def test_of_each_subject_only_the_newest_is_told(make):
    async with receiver() as there:
        messenger = make(there.url, group=0.5)
        for event in (down(1), down(2), up(1), down(1), up(2)):
            messenger.event(event)
        await until(lambda: messenger.stats().delivered)
    assert [(event["kind"], event["real"]) for event in there.events] == [
        ("server-down", down(1).real),
        ("server-up", down(2).real),
    ]


async def test_only_the_wanted_kinds_are_told(make):
    async with receiver() as there:
        messenger = make(there.url, on=frozenset({"server-up"}))
        messenger.event(down(1))
        messenger.event(up(2))
        await until(lambda: messenger.stats().delivered)
        await messenger.close(10)
    assert [event["kind"] for event in there.events] == ["server-up"]


async def test_there_are_at_most_so_many_messages_a_minute_and_the_next_tells_the_rest(make):
    async with receiver() as there:
        messenger = make(there.url, group=0.0, per_minute=3, pace=Pace(minute=3600.0))
        for number in range(3):
            messenger.event(down(number))
            await until(lambda told=number: len(there.taken) == told + 1)
        for number in range(3, 33):
            messenger.event(down(number))
            await asyncio.sleep(0)
        assert messenger.stats().queued == 30
        assert len(there.told) == 3
        await messenger.close(20)  # what waits for its turn is not left behind
    assert len(there.taken) == 4
    assert len(there.events) == 33


async def test_a_full_minute_ends(make):
    async with receiver() as there:
        messenger = make(there.url, group=0.0, per_minute=1, pace=Pace(minute=0.2))
        for number in range(3):
            messenger.event(down(number))
            await until(lambda told=number: len(there.taken) == told + 1)


async def test_a_slow_receiver_is_told_of_what_came_meanwhile_in_one_more_message(make):
    gate = asyncio.Event()

    async def slow(request):
        await gate.wait()
        there.always = None
        return saying(200)

    async with receiver() as there:
        there.always = slow
        messenger = make(there.url)
        messenger.event(down(0))
        await until(lambda: there.told)
        for number in range(1, 20):
            messenger.event(down(number))
        messenger.event(up(0))
        gate.set()
        await until(lambda: messenger.stats().delivered == 21)
    assert len(there.told) == 2
    assert there.events[-1]["kind"] == "server-up"


# --- failures ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trouble", [saying(500), saying(429), saying(302, Location="http://x.test/"), reset])
async def test_what_was_not_taken_is_told_again_with_what_came_since(make, trouble, caplog):
    caplog.set_level(logging.INFO)
    async with receiver() as there:
        there.always = trouble if callable(trouble) else None
        there.answers = [] if callable(trouble) else [trouble, trouble]
        messenger = make(there.url)
        messenger.event(down(1))
        await until(lambda: len(there.told) >= 2)
        messenger.event(down(2))
        messenger.event(up(1))
        there.always = None
        await until(lambda: {event["real"] for event in there.events} == {down(1).real, down(2).real})
        await until(lambda: messenger.stats().queued == 0)
    assert [event["kind"] for event in there.events if event["real"] == down(1).real][-1] == "server-up"
    assert messenger.stats().failed == 0
    assert messenger.stats().retries >= 1
    lines = [line for line in caplog.messages if line.startswith("webhook test")]
    assert "webhook test does not take messages: 127.0.0.1:" in lines[0]
    assert lines[1].startswith("webhook test takes messages again, after ")
    assert len(lines) == 2, "one line at the beginning of the trouble, one at its end"


async def test_what_is_told_again_has_the_same_id(make):
    async with receiver() as there:
        there.answers = [saying(503), saying(503)]
        messenger = make(there.url)
        messenger.event(down(1))
        await until(lambda: there.taken)
    assert len({told.body["id"] for told in there.told}) == 1
    assert len(there.told) == 3


async def test_a_receiver_that_asks_to_be_left_alone_is_until_the_settings_change(make):
    async with receiver() as there, receiver() as other:
        there.answers = [saying(429, Retry_After="3000")]
        messenger = make(there.url)
        messenger.event(down(1))
        await until(lambda: messenger.stats().last_error)
        messenger.event(down(2))
        await asyncio.sleep(0.3)  # many times the pause there would be
        assert len(there.told) == 1
        assert "429 Too Many Requests" in messenger.stats().last_error
        changed = Webhook("test", url=other.url, group=0.0)
        messenger.configure(Config(Settings(hooks=(changed,))))
        await until(lambda: len(other.events) == 2)
    assert len(there.told) == 1


async def test_a_message_that_is_refused_for_good_is_given_up_and_the_next_goes(make, caplog):
    async with receiver() as there:
        there.answers = [saying(400, "no such field")]
        messenger = make(there.url)
        messenger.event(down(1))
        await until(lambda: messenger.stats().failed == 1)
        messenger.event(down(2))
        await until(lambda: messenger.stats().delivered == 1)
    assert [event["real"] for event in there.events] == [down(2).real]
    assert any("1 event is given up: 127.0.0.1:" in line and "no such field" in line for line in caplog.messages)


async def test_retries_end_where_the_operator_says_so(make):
    async with receiver() as there:
        there.answers = [saying(500)] * 3
        messenger = make(there.url, retries=2)
        messenger.event(down(1))
        await until(lambda: messenger.stats().failed == 1)
        assert len(there.told) == 3
        messenger.event(down(2))
        await until(lambda: messenger.stats().delivered == 1)


async def test_what_is_a_day_old_is_no_news(make, caplog):
    async with receiver() as there:
        messenger = make(there.url)
        messenger.event(replace(down(1), at=time.time() - 86_500))
        messenger.event(down(2))
        await until(lambda: messenger.stats().delivered == 1)
    assert [event["real"] for event in there.events] == [down(2).real]
    assert messenger.stats().failed == 1
    assert "webhook test: 1 event is given up, too old to be news" in caplog.messages


async def test_a_bug_of_the_hook_is_told_with_its_traceback_and_does_not_end_it(caplog):
    broken = [ZeroDivisionError("oops")]

    async def send(settings, news):
        if broken:
            raise broken.pop()

    settings = Webhook("test", url="http://localhost/", group=0.0)
    messenger = Messenger(settings, send, None, BRISK)
    messenger.configure(Config(Settings(hooks=(settings,))))
    messenger.event(down(1))
    await until(lambda: messenger.stats().delivered == 1)
    await messenger.close(5)
    assert any(record.exc_info for record in caplog.records)


async def test_closing_does_not_wait_for_a_receiver_that_hangs(make, caplog):
    async with receiver() as there:
        there.always = hang
        messenger = make(there.url, timeout=300.0)
        messenger.event(down(1))
        await until(lambda: there.told)
        async with asyncio.timeout(20):
            await messenger.close(0.2)
    assert messenger.stats().dropped == 1
    assert "webhook test: 1 event is left undelivered" in caplog.messages


async def test_one_dead_receiver_does_not_hold_up_another():
    async with receiver() as dead, receiver() as there:
        dead.always = hang
        announcer = Announcer()
        both = (Webhook("dead", url=dead.url), Webhook("well", url=there.url, group=0.0))
        announcer.apply(Config(Settings(hooks=both)))
        for number in range(5):
            announcer.event(down(number))
        await until(lambda: len(there.events) == 5)
        stats = {one.name: one for one in announcer.stats()}
        assert (stats["webhook well"].delivered, stats["webhook dead"].queued) == (5, 5)
        await announcer.close(0.2)
