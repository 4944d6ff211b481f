"""Who is told of problems is told of the end of those it knows of, also after a restart."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from healthd.config.schema import Template
from healthd.hooks.messenger import Pace

from .messages import down, kept, kill, up
from .receiver import receiver
from .samples import until


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


async def test_a_problem_of_what_is_no_longer_declared_ends_with_the_next_start(make, store):
    async with receiver() as there:
        first = make(there.url, store, template=Template.ALERTMANAGER)
        first.event(replace(down(1), service="gone"))
        first.event(down(2000))
        first.event(down(11))
        await until(lambda: first.stats().delivered == 3)
        await kept(store, 3)
        await kill(first)
        second = make(there.url, store, template=Template.ALERTMANAGER)
        await until(lambda: second.stats().delivered == 2)
        await kept(store, 1)
    ends = {alert["labels"]["real"]: alert["endsAt"] for alert in there.taken[-1].body}
    assert ends["10.0.0.1:80"] < ends["10.0.0.11:80"] > ends["10.0.8.0:80"]
