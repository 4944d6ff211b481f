"""A second stream beside the first: however the probe ends, both are let go; mistakes; what a transcript says."""

from __future__ import annotations

import contextlib
import os
import stat

import pytest

from healthd.check import (
    Aside,
    CheckFailed,
    Connect,
    Keep,
    Outcome,
    Reader,
    Reason,
    Receive,
    Send,
    Turn,
)
from healthd.prober.ask import ask
from healthd.prober.trace import trace_text
from tests.prober.ends import BOUND, Ends
from tests.prober.stage import probe, stage
from tests.prober.talk import Steps
from tests.support import servers
from tests.support.servers import serving

AMPLE = 20.0
NEVER = 1e6


async def asked(talk, target, within=AMPLE):
    return (await ask(Steps(talk), target, within))[0]


# --- however it ends, both are let go ---


def sockets():
    """How many sockets this process has open."""
    count = 0
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - a path of each would only be made for its name
        with contextlib.suppress(OSError):
            count += stat.S_ISSOCK(os.fstat(int(name)).st_mode)
    return count


def passes(target):
    yield from ()
    return "fine"


def fails(target):
    yield from ()
    raise CheckFailed(Reason.UNEXPECTED, "no")


def has_a_mistake(target):
    yield from ()
    raise ZeroDivisionError


def waits(target):
    yield Receive()
    return "never"


def turns_and_waits(target):
    yield Turn()
    yield Receive()
    return "never"


def turns_and_keeps(target):
    yield Turn()
    yield Keep()
    return "fine"


@pytest.mark.parametrize(
    ("ending", "outcome"),
    [
        (passes, Outcome.PASS),
        (fails, Outcome.FAIL),
        (has_a_mistake, Outcome.INCONCLUSIVE),
        (waits, Outcome.FAIL),
        (turns_and_waits, Outcome.FAIL),
        (turns_and_keeps, Outcome.PASS),
    ],
)
async def test_both_are_let_go_however_the_probe_ends(ending, outcome):
    ends = Ends()

    def talk(target):
        yield Connect(reuse=5)
        yield Aside(side.port)
        return (yield from ending(target))

    with serving(ends.wait) as main, serving(ends.wait) as side:
        before = sockets()
        said = await asked(talk, main.target, 1.0 if ending in (waits, turns_and_waits) else AMPLE)
        assert said.outcome is outcome or "stalled" in said.detail
        assert ends.both_gone()
        assert (main.accepted, side.accepted) == (1, 1)
        assert sockets() <= before + 2, "more than the servers' own ends of them are open"


async def test_a_new_first_stream_gives_up_both_of_before():
    ends = Ends()

    def talk(target):
        yield Connect()
        yield Aside(side.port)
        yield Connect()
        assert ends.both_gone()
        return "fine"

    with serving(ends.wait) as main, serving(ends.wait) as side:
        assert (await asked(talk, main.target)).detail == "fine"
        assert ends.gone.acquire(timeout=BOUND)
        assert main.accepted == 2


async def test_both_are_let_go_when_nobody_wants_to_know_any_more():
    ends = Ends()

    def talk(target):
        yield Connect()
        yield Aside(side.port)
        yield Receive()
        return "never"

    with serving(ends.wait) as main, serving(ends.wait) as side:
        async with stage() as on:
            await on.prober.assign([probe(1, Steps(talk), main.target, interval=NEVER)])
            await on.until(lambda: len(ends.peers) == 2)
            await on.prober.assign([])
            assert ends.both_gone()


async def test_the_first_is_kept_for_the_next_probe_and_the_second_is_not():
    reused = []

    def talk(target):
        connected = yield Connect(reuse=100)
        reused.append(connected.reused)
        yield Aside(side.port)
        yield Send(b"x\n")
        yield from Reader().line()
        yield Turn()
        yield Keep()
        return "fine"

    with serving(servers.echo_lines) as main, serving(servers.echo_lines) as side:
        async with stage() as on:
            await on.prober.assign([probe(1, Steps(talk), main.target, interval=0.02)])
            await on.until(lambda: side.accepted >= 5)
        assert main.accepted == 1
    assert reused[:5] == [False, True, True, True, True]


# --- mistakes, and what people see ---


@pytest.mark.parametrize(
    ("steps", "mistake"),
    [
        ([Aside(1)], "Aside needs one open stream"),
        ([Connect(), Turn()], "Turn needs a stream aside"),
        ([Connect(), Turn(close=True)], "Turn needs a stream aside"),
        ([Connect(), Aside(0)], "Aside needs a port, got 0"),
        ([Connect(), Aside(65536)], "Aside needs a port, got 65536"),
        ([Connect(), "aside", "aside"], "Aside needs one open stream"),
        ([Connect(), "aside", Turn(close=True), Turn()], "Turn needs a stream aside"),
    ],
)
async def test_a_check_that_asks_for_what_cannot_be_has_a_mistake(steps, mistake):
    def talk(target):
        for step in steps:
            yield Aside(side.port) if step == "aside" else step
        return "never"

    with serving(servers.silent) as main, serving(servers.silent) as side:
        said = await asked(talk, main.target)
    assert said.outcome is Outcome.INCONCLUSIVE
    assert mistake in said.detail


async def test_a_transcript_says_what_was_aside():
    def talk(target):
        yield Connect()
        yield Send(b"one\n")
        yield from Reader().line()
        with pytest.raises(CheckFailed):
            yield Aside(closed)
        yield Aside(side.port)
        yield Send(b"two\n")
        yield from Reader().line()
        yield Turn()
        yield Send(b"three\n")
        yield from Reader().line()
        yield Turn(close=True)
        yield Send(b"four\n")
        return "fine"

    closed = servers.refusing().port
    with serving(servers.echo_lines) as main, serving(servers.echo_lines) as side:
        _, transcript = await ask(Steps(talk), main.target, AMPLE)
    lines = [line[13:] for line in trace_text(transcript).splitlines() if " ms " in line and "want receive" not in line]
    there = f"on port {side.port}"
    assert lines == [
        "* want connect",
        "* connected",
        "> sent 4 bytes",
        "< received 4 bytes",
        f"* want connect aside on port {closed}",
        f"! error connection refused on port {closed}",
        f"* want connect aside {there}",
        f"* connected {there}",
        f"> sent 4 bytes {there}",
        f"< received 4 bytes {there}",
        "> sent 6 bytes",
        "< received 6 bytes",
        f"* want close {there}",
        "> sent 5 bytes",
    ]
    assert transcript.connected is not None
    assert transcript.first_byte is not None
    assert transcript.connected < transcript.first_byte
