"""A director that does not read costs a prober nothing: the latest of each probe waits, and no more than that."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest

from healthd.backoff import Backoff
from healthd.check import Outcome, Verdict
from healthd.health import Health
from healthd.prober.base import Observation, Summary
from healthd.prober.outbox import Outbox
from healthd.prober.totals import Totals
from healthd.prober.wire import Assembler, Latest, Message, Observed, Summarised, decode
from tests.processes.waiting import until


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with one, other:
        one.setblocking(False)
        other.setblocking(False)
        yield one, other


def observation(probe: int, round_: int) -> Observation:
    """What probe `probe` said in a round."""
    verdict = Verdict(Outcome.PASS, detail=f"{round_} " + "x" * 200)
    return Observation(probe, verdict, float(round_), 0.0, ((probe, Health()),))


def read(sock: socket.socket, assembler: Assembler) -> list[Message]:
    """All messages that are there."""
    messages = []
    while True:
        try:
            message = assembler.feed(sock.recv(1 << 17))
        except BlockingIOError:
            return messages
        if message is not None:
            messages.append(decode(message))


async def test_a_director_that_does_not_read_gets_the_latest_of_each_probe_when_it_does(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = ends
    outbox = Outbox(ours)
    for round_ in range(50):
        outbox.observed([observation(probe, round_) for probe in range(500)])
        outbox.summarised(Summary(float(round_), passed=500, in_flight=round_))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    got: list[Message] = []
    assembler = Assembler()

    def said() -> dict[int, str]:
        got.extend(read(theirs, assembler))
        seen = [one for message in got if isinstance(message, Observed) for one in message.batch]
        return {one.probe: one.verdict.detail.split()[0] for one in seen}

    await until(lambda: said() == dict.fromkeys(range(500), "49"))
    assert sum(len(message.batch) for message in got if isinstance(message, Observed)) < 50 * 500 / 2
    await until(lambda: said() and passed(got) == 500 * 50)
    outbox.close()


def passed(messages: list[Message]) -> int:
    """Sum of the summaries."""
    return sum(message.summary.passed for message in messages if isinstance(message, Summarised))


async def test_a_long_answer_does_not_delay_what_is_new(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    outbox = Outbox(ours)
    outbox.answer(7, [observation(probe, 0) for probe in range(5000)])
    await asyncio.sleep(0)
    outbox.observed([observation(1, 1)])
    got: list[Message] = []
    assembler = Assembler()

    def whole() -> bool:
        got.extend(read(theirs, assembler))
        return any(isinstance(message, Latest) and message.last for message in got)

    await until(whole)
    kinds = [type(message) for message in got]
    assert kinds.index(Observed) < 10
    parts = [message for message in got if isinstance(message, Latest)]
    assert {message.number for message in parts} == {7}
    assert sorted(one.probe for message in parts for one in message.batch) == list(range(5000))
    outbox.close()


async def test_a_director_that_has_gone_is_no_error(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    outbox = Outbox(ours)
    theirs.close()
    outbox.observed([observation(1, 1)])
    await asyncio.sleep(0.01)
    outbox.observed([observation(1, 2)])
    await asyncio.sleep(0.01)


def test_summaries_of_several_sources_add_up() -> None:
    totals = Totals()
    assert totals.take() is None
    totals.add("a", Summary(1.0, passed=2, failed=1, in_flight=5, lateness_p99=0.5, unasked=3))
    totals.add("a", Summary(2.0, passed=3, missed=1, in_flight=4, lateness_p99=0.1, unasked=2))
    totals.add("b", Summary(3.0, passed=1, in_flight=2, stalls=1))
    expected = Summary(3.0, passed=6, failed=1, missed=1, in_flight=6, lateness_p99=0.5, stalls=1, unasked=2)
    assert totals.take() == expected
    totals.forget("a")
    totals.add("b", Summary(4.0))
    assert totals.take() == Summary(4.0)
    totals.expect("c", 9)
    assert totals.unasked == 9


def test_pauses_grow_to_a_limit_and_start_anew_after_a_calm_time() -> None:
    backoff = Backoff(first=1.0, most=5.0, calm=60.0)
    assert backoff.remaining(0.0) <= 0
    assert [backoff.failed(now) for now in (0.0, 1.0, 3.0, 7.0, 12.0)] == [1.0, 2.0, 4.0, 5.0, 5.0]
    assert backoff.remaining(13.0) == 4.0
    backoff.succeeded(20.0)
    assert backoff.failed(30.0) == 5.0
    backoff.succeeded(40.0)
    assert backoff.failed(100.0) == 1.0
