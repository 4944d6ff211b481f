"""How we learn that we were not there: late wake-ups, and clocks that part when the machine sleeps."""

from __future__ import annotations

import asyncio
import os
import time

import pytest

from healthd.check import Connect, Outcome, Reason
from healthd.health import Health, Phase
from healthd.prober.pulse import STALL, Pulse, asleep
from tests.prober.stage import probe, stage
from tests.prober.talk import Line, Steps
from tests.support import servers


@pytest.fixture
def pipe():
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)
    os.close(writing)


class Ticks:
    """A pulse's `turn` that notes what the pulse says of each."""

    def __init__(self, fd, **clocks):
        self.gaps = []
        self.turned = asyncio.Event()
        self.pulse = Pulse(fd, self.turn, time.monotonic, **clocks)

    def turn(self):
        """Note the gap."""
        self.gaps.append(self.pulse.gap(time.monotonic()))
        self.turned.set()

    async def next(self):
        """Wait for a turn; its gap."""
        self.turned.clear()
        await asyncio.wait_for(self.turned.wait(), 30)
        return self.gaps[-1]


async def test_it_turns_when_there_is_something_to_read_and_when_it_is_time(pipe):
    ticks = Ticks(pipe[0])
    os.write(pipe[1], b"x")
    await ticks.next()
    os.read(pipe[0], 1)
    ticks.pulse.wake_by(time.monotonic() + 0.01)
    await ticks.next()
    ticks.pulse.close()


async def test_the_earlier_of_two_wake_ups_is_kept(pipe):
    ticks = Ticks(pipe[0])
    began = time.monotonic()
    ticks.pulse.wake_by(began + 3600)
    ticks.pulse.wake_by(began + 0.01)
    ticks.pulse.wake_by(began + 7200)
    await ticks.next()
    assert time.monotonic() - began < 3600
    ticks.pulse.close()


async def test_a_blocked_loop_is_a_stall_of_its_length(pipe):
    ticks = Ticks(pipe[0])
    ticks.pulse.wake_by(time.monotonic() + 0.01)
    await asyncio.sleep(0)
    time.sleep(0.3)  # noqa: ASYNC251 - the blocking is the point
    lost, why = await ticks.next()
    assert lost > 0.25
    assert why == "we were stalled"
    ticks.pulse.close()


async def test_a_suspended_machine_is_told_by_its_clocks(pipe):
    slept = 0.0
    ticks = Ticks(pipe[0], suspended=lambda: slept)
    slept = 3600.0
    ticks.pulse.wake_by(time.monotonic() + 0.01)
    assert await ticks.next() == (3600.0, "this machine was suspended")
    ticks.pulse.wake_by(time.monotonic() + 0.01)
    assert (await ticks.next())[1] != "this machine was suspended"
    ticks.pulse.close()


def test_a_machine_that_was_not_suspended_has_not_slept_more_by_now():
    assert abs(asleep() - asleep()) < STALL


async def test_a_timeout_over_a_suspension_says_nothing_about_the_server():
    slept = 0.0
    with servers.serving(servers.silent) as server:
        async with stage(suspended=lambda: slept) as on:
            await on.prober.assign([probe(1, Line(), server.target, timeout=0.5, health=Health(Phase.UP))])
            await on.until(lambda: server.accepted)
            slept = 3600.0
            await on.until(lambda: on.book.of(1))
            said = on.book.of(1)[0].verdict
            assert (said.outcome, said.reason) == (Outcome.INCONCLUSIVE, Reason.LOCAL)
            assert said.detail.startswith("this machine was suspended for 3600")
            await on.until(lambda: on.book.total("stalls"))
            await on.until(lambda: any(one.verdict.reason is Reason.TIMEOUT for one in on.book.of(1)))


async def test_time_lost_at_work_is_a_stall_too(pipe):
    """A process that is stopped in the middle of a turn wakes up in time for everything that it plans after that."""
    pulse = Pulse(pipe[0], lambda: None, time.monotonic)
    now = 100.0
    pulse.gap(now)
    assert pulse.lap(now + STALL / 2) == (0.0, "")
    assert pulse.lap(now + 2.0) == (pytest.approx(2.0 - STALL / 2), "we were stalled")
    assert pulse.lap(now + 2.0) == (0.0, "")
    pulse.close()


async def test_a_timeout_over_a_stall_at_work_says_nothing_about_the_server():
    """One conversation blocks the turn in which another one's answer could have been read and its question sent."""
    blocked = False

    def block(target):
        nonlocal blocked
        yield Connect()
        if not blocked:
            blocked = True
            time.sleep(1.0)
        return "that took a while"

    with servers.serving(servers.silent) as server:
        async with stage() as on:
            silent = probe(1, Line(), server.target, timeout=0.5, interval=1e6)
            await on.prober.assign([silent])
            await on.prober.hurry([1])
            await on.until(lambda: server.accepted)
            await on.prober.assign([silent, probe(2, Steps(block), server.target, interval=1e6)])
            await on.prober.hurry([2])
            await on.until(lambda: on.book.of(1) and on.book.of(2))
            assert on.book.of(1)[0].verdict.reason is Reason.LOCAL
            assert on.book.of(1)[0].verdict.detail.startswith("we were stalled for 1.")


async def test_answers_that_trickle_in_are_gathered_and_none_is_lost(pipe):
    reading, writing = pipe
    turns, got = 0, 0

    def turn():
        nonlocal turns, got
        turns += 1
        got += len(os.read(reading, 1000))

    pulse = Pulse(reading, turn, time.monotonic)
    for _ in range(300):
        os.write(writing, b"x")
        await asyncio.sleep(0)
    async with asyncio.timeout(30):
        while got < 300:  # noqa: ASYNC110 - the reader is what is tested
            await asyncio.sleep(0.001)
    assert turns < 300
    pulse.close()
