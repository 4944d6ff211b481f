"""Mail over time: reminders, and the mail hook beside a director."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

from healthd.config.schema import Config, MailSettings, Stage
from healthd.director import Director
from healthd.events import Kind
from healthd.hooks.announcer import Announcer
from healthd.hooks.courier import Collector
from healthd.hooks.mail import MailHook
from healthd.hooks.postbox import Pace, Way
from healthd.hooks.reminders import Missing, Reminders
from healthd.missing import missing
from tests.director.scenario import Scenario
from tests.support.builders import FAIL, PASS, A, B, config, dest, real, service

from .post import post_office, speaking
from .samples import WWW, sample, until

PACE = Pace(quiet=0.05, longest=1.0)
DOWN, UP = sample(Kind.SERVER_DOWN), sample(Kind.SERVER_UP)
TO = ("ops@example.org",)


def having(server, **mail):
    """A configuration whose service has mail by this server."""
    return Config(services=(replace(WWW, mail=replace(MailSettings(TO, "lb@example.org", server), **mail)),))


# --- reminders --------------------------------------------------------------------------------------------------


def still(seconds, real="10.0.0.11:80", service="www"):
    return Missing(replace(DOWN, previous="down", real=real, service=service), seconds)


def test_a_reminder_is_due_each_time_the_pause_is_over():
    reminders = Reminders()
    due = [second for second in range(0, 200, 5) if reminders.due([still(second)], lambda _: 60.0, 1000.0 + second)]
    assert due == [60, 120, 180]


def test_there_is_none_for_a_service_that_wants_none():
    assert Reminders().due([still(1e6)], lambda _: 0.0, 1e7) == []


def test_another_outage_begins_anew():
    reminders = Reminders()
    assert reminders.due([still(60)], lambda _: 60.0, 1000.0)
    assert not reminders.due([still(10)], lambda _: 60.0, 1050.0)
    assert not reminders.due([], lambda _: 60.0, 1055.0)
    assert not reminders.due([still(59)], lambda _: 60.0, 1100.0)
    assert reminders.due([still(60)], lambda _: 60.0, 1101.0)


async def test_reminders_are_mailed_while_the_server_is_down_and_after_a_reload():
    down = [still(100.0)]
    async with post_office() as post:
        hook = MailHook(Way(PACE))
        hook.attach(lambda: Stage.RUNNING, lambda: down)
        hook.configure(having(post.server, reminder=0.1))
        await until(lambda: len(post.envelopes) >= 2)
        hook.configure(having(post.server, reminder=0.2))
        seen = len(post.envelopes)
        await until(lambda: len(post.envelopes) >= seen + 2)
        down.clear()
        await hook.close(20)
    assert {mail["X-Healthd-Kind"] for mail in post.mails} == {"server-still-down"}


async def test_there_are_no_reminders_at_a_stage_that_is_not_named():
    stage = Stage.RELOADING
    async with post_office() as post:
        hook = MailHook(Way(PACE))
        hook.attach(lambda: stage, lambda: [still(100.0)])
        hook.configure(having(post.server, reminder=0.1, during=frozenset({Stage.RUNNING})))
        await asyncio.sleep(0.3)
        assert hook.stats().queued == 0
        stage = Stage.RUNNING
        await until(lambda: post.envelopes)
        await hook.close(20)


async def test_a_fault_of_our_own_ends_no_reminder(caplog):
    faults = [RuntimeError("a bug")]

    def down():
        if faults:
            raise faults.pop()
        return [still(100.0)]

    async with post_office() as post:
        hook = MailHook(Way(PACE))
        hook.attach(lambda: Stage.RUNNING, down)
        hook.configure(having(post.server, reminder=0.1))
        await until(lambda: post.envelopes)
        await hook.close(20)
    assert "fault of healthd's own" in caplog.text


# --- with the director ------------------------------------------------------------------------------------------


def directed(hook):
    scenario = Scenario()
    announcer = Announcer([hook])
    scenario.director = Director(scenario.table, announcer.event, lambda: scenario.now, lambda: scenario.now)
    scenario.director.attach(scenario.prober)
    return scenario


def mailing(server, *reals, **changes):
    settings = MailSettings(TO, "lb@example.org", server, **changes)
    return config(replace(service(*reals, fallback=True), mail=settings))


async def test_nobody_is_mailed_before_the_table_says_so():
    async with post_office() as post:
        hook = MailHook(Way(PACE))
        scenario = directed(hook)
        configured = mailing(post.server, real(A), real(B))
        hook.configure(configured)
        await scenario.configure(configured)
        await scenario.hears({A: PASS, B: PASS})
        await until(lambda: hook.stats().delivered == 2)
        scenario.table.unavailable = "gone"
        await scenario.hears({A: FAIL})
        assert hook.stats().queued == 0
        scenario.table.unavailable = ""
        await scenario.turn(later=60.0)
        await until(lambda: hook.stats().delivered == 3)
        await hook.close(20)
    assert post.mails[-1]["X-Healthd-Kind"] == "server-down"
    assert await scenario.rows() == {A: 0, B: 10}


async def test_a_mail_server_that_keeps_silent_delays_no_weight(caplog):
    caplog.set_level(logging.WARNING)
    keys = [dest(f"10.0.1.{number}") for number in range(100)]
    async with speaking(None, then_close=False) as post:
        hook = MailHook(Way(Pace(0.0, 0.0)))
        scenario = directed(hook)
        configured = mailing(post.server, *(real(key) for key in keys))
        hook.configure(configured)
        await scenario.configure(configured)
        await scenario.hears(dict.fromkeys(keys, PASS))
        await until(lambda: post.sessions)
        for _ in range(10):
            await scenario.hears(dict.fromkeys(keys, FAIL))
            await scenario.hears(dict.fromkeys(keys, PASS))
        await scenario.hears(dict.fromkeys(keys, FAIL))
        rows = await scenario.rows()
        stats = hook.stats()
        await hook.close(0)
    assert {key: rows[key] for key in keys} == dict.fromkeys(keys, 0)
    assert stats.delivered == 0
    assert stats.queued >= 100
    assert stats.queued + stats.dropped >= 2100


async def test_who_is_missing_is_asked_of_the_director():
    scenario = directed(MailHook(Way(PACE)))
    await scenario.configure(config(service(real(A), real(B))))
    await scenario.hears({A: FAIL, B: PASS})
    (one,) = missing(scenario.director)
    assert one.event.real == str(A)
    assert one.event.message.startswith(f"www: {A} is still down, for ")
    assert one.event.message.endswith("(refused: connection refused), weight 0")


async def test_a_collector_counts_what_it_is_trying_as_waiting():
    begun, go_on = asyncio.Event(), asyncio.Event()
    got = []

    async def deliver(events):
        begun.set()
        await go_on.wait()
        got.append(len(events))

    collector = Collector("test", deliver, quiet=0.01, longest=0.02)
    for _ in range(3):
        collector.event(DOWN)
    await begun.wait()
    collector.event(UP)
    assert collector.stats().queued == 4
    go_on.set()
    await until(lambda: collector.stats().delivered == 4)
    await collector.close(5)
    assert got == [3, 1]
    assert collector.stats().queued == 0
