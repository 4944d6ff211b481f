"""Who is told of problems is told of the end of those it knows of, also after a restart."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

from healthd.config.schema import Config, Settings, Template, Webhook
from healthd.events import Kind
from healthd.hooks.messenger import Pace

from .messages import down, kept, kill, up
from .receiver import receiver
from .samples import sample, until


async def test_people_are_not_told_that_all_is_well_when_they_knew_of_nothing_else(make):
    async with receiver() as there:
        messenger = make(there.url, template=Template.SLACK)
        for number in range(20):
            messenger.event(replace(up(number), previous="unknown"))
        messenger.event(down(99))
        await until(lambda: there.taken)
        messenger.event(up(99))
        await until(lambda: len(there.taken) == 2)
        assert messenger.stats().queued == 0
    assert [told.body["text"].split()[0] for told in there.taken] == [":red_circle:", ":large_green_circle:"]
    assert "10.0.0.99:80 is up" not in there.taken[0].body["text"]


async def test_one_alert_of_pagerduty_stands_for_a_rack_and_ends_with_the_last_of_it(make, tmp_path, store):
    (tmp_path / "key").write_text("R0UTING")
    access = {"template": Template.PAGERDUTY, "token_file": tmp_path / "key", "group": 0.3}
    async with receiver() as there:
        first = make(there.url, store, **access)
        for number in range(10):
            first.event(down(number))
        await until(lambda: first.stats().delivered == 10)
        for number in range(4):
            first.event(replace(up(number), previous="unknown"))
        await until(lambda: first.stats().delivered == 14)
        await kept(store, 6)
        await kill(first)
        second = make(there.url, store, **access)  # remembers what belongs to the alert
        for number in range(4, 10):
            second.event(up(number))
        await until(lambda: second.stats().delivered == 6)
        await kept(store, 0)
    trigger, resolve = (told.body for told in there.taken)
    assert (trigger["event_action"], resolve["event_action"]) == ("trigger", "resolve")
    assert trigger["dedup_key"] == resolve["dedup_key"]
    assert trigger["payload"]["summary"].endswith("10 servers down: www")
    assert trigger["routing_key"] == "R0UTING"


async def test_alertmanager_is_told_again_and_again_until_it_is_over(make):
    async with receiver() as there:
        messenger = make(there.url, template=Template.ALERTMANAGER, pace=Pace(again=0.05))
        messenger.event(down(1))
        await until(lambda: len(there.taken) >= 4)
        messenger.event(up(1))
        await until(lambda: messenger.stats().delivered == 2)
        await asyncio.sleep(0.2)
        number = len(there.taken)
        await asyncio.sleep(0.2)
        assert len(there.taken) == number
    (first,), (last,) = there.taken[0].body, there.taken[-1].body
    assert first["labels"] == last["labels"]
    assert first["endsAt"] > first["startsAt"]
    assert last["endsAt"] < there.taken[-2].body[0]["endsAt"]


async def test_a_problem_that_ended_unseen_is_ended_by_the_next_healthd_once_it_knows(make, store):
    asked: list[str] = []

    def stands(event) -> bool | None:
        asked.append(event.real)
        return None if len(asked) < 10 else event.real != down(1).real

    async with receiver() as there:
        first = make(there.url, store, template=Template.ALERTMANAGER)
        first.event(down(1))
        first.event(down(2))
        await until(lambda: first.stats().delivered == 2)
        await kept(store, 2)
        await kill(first)
        second = make(there.url, store, Pace(look=0.02), stands, template=Template.ALERTMANAGER)
        await until(lambda: second.stats().delivered == 1)
        (left,) = await kept(store, 1)
    assert down(2).real in left.text
    (ended,) = there.taken[-1].body
    assert ended["labels"]["real"] == down(1).real
    assert ended["annotations"]["summary"].startswith("no longer so: www: ")


async def test_a_server_that_goes_down_and_is_removed_before_it_was_told_leaves_nothing_open(make, store):
    async with receiver() as there:
        messenger = make(there.url, store, template=Template.PAGERDUTY, group=0.2)
        messenger.event(down(1))
        messenger.event(down(1, Kind.SERVER_REMOVED))
        messenger.event(down(2))
        messenger.event(sample(Kind.SERVICE_REMOVED, at=time.time()))
        await until(lambda: messenger.stats().delivered == 4)
        await kept(store, 0)
    assert there.told == []


async def test_the_end_of_what_was_told_is_told_even_if_nobody_asks_for_its_kind_any_more(make):
    async with receiver() as there:
        messenger = make(there.url, template=Template.ALERTMANAGER)
        messenger.event(down(1))
        await until(lambda: messenger.stats().delivered == 1)
        other = Webhook("test", Template.ALERTMANAGER, url=there.url, on=frozenset({"service-down"}))
        messenger.configure(Config(Settings(hooks=(other,))))
        messenger.event(down(2))
        messenger.event(up(1))
        await until(lambda: messenger.stats().delivered == 2)
    assert [alert["labels"]["real"] for told in there.taken for alert in told.body] == [down(1).real] * 2


async def test_a_flap_that_nobody_was_told_of_is_no_news(make):
    async with receiver() as there:
        messenger = make(there.url, template=Template.SLACK, group=0.3)
        messenger.event(down(1))
        messenger.event(up(1))
        messenger.event(down(2))
        await until(lambda: messenger.stats().delivered == 1)
        assert messenger.stats().queued == 0
    assert "10.0.0.1:80" not in there.taken[0].body["text"]
