"""What is remembered of a probe: failures longer than passes, and what was said in the last of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.check import CheckFailed, Connect, Conversation, Outcome, Reason, Receive, Send, Target, Verdict
from healthd.health import Health, Phase
from healthd.prober import memory
from healthd.prober.base import Answer
from healthd.prober.memory import LONGEST_TRACE, MOST_OTHERS, MOST_PASSES, remembering
from tests.prober.stage import probe, stage
from tests.prober.talk import Line
from tests.support import servers

UP = Health(Phase.UP)
PASS, FAIL = Verdict(Outcome.PASS, detail="hello"), Verdict(Outcome.FAIL, Reason.TIMEOUT, "no answer")
UNSURE = Verdict(Outcome.INCONCLUSIVE, Reason.LOCAL, "too many open files")


@given(st.lists(st.sampled_from([PASS, FAIL, UNSURE]), max_size=40))
def test_the_newest_are_kept_in_their_order_and_only_the_last_of_each_kind_with_its_words(verdicts):
    past: tuple[Answer, ...] = ()
    for at, verdict in enumerate(verdicts):
        past = remembering(past, Answer(float(at), 0.1, verdict, trace="words"))
    passes = [at for at, verdict in enumerate(verdicts) if verdict is PASS][-MOST_PASSES:]
    others = [at for at, verdict in enumerate(verdicts) if verdict is not PASS][-MOST_OTHERS:]
    assert [one.at for one in past] == sorted([*passes, *others])
    assert [one.at for one in past if one.trace] == sorted([*passes[-1:], *others[-1:]])


@dataclass(frozen=True)
class Unhappy:
    """Says something, and wants what it does not get."""

    kind: ClassVar[str] = "unhappy"
    said: bytes = b"how are you\n"

    def converse(self, target: Target) -> Conversation:
        """Say it, and fail with what came."""
        yield Connect()
        yield Send(self.said)
        got = yield Receive(100)
        raise CheckFailed(Reason.UNEXPECTED, f"got {got!r}")


@pytest.fixture
def server():
    with servers.serving(servers.echo_lines) as running:
        yield running


async def test_the_first_pass_is_remembered_with_its_phases_and_its_words(server):
    async with stage() as on:
        await on.prober.assign([probe(1, Line(), server.target, interval=0.05)])
        await on.until(lambda: server.accepted >= 5)
        (answer,) = (await on.prober.recall([1]))[1]
    assert answer.verdict.outcome is Outcome.PASS
    assert answer.connected is not None
    assert answer.first_byte is not None
    assert 0 < answer.connected <= answer.first_byte <= answer.took
    assert answer.secured is None
    assert "> sent 6 bytes" in answer.trace
    assert "< received 6 bytes" in answer.trace


async def test_failures_are_remembered_and_the_words_of_those_after_the_first(server):
    async with stage() as on:
        await on.prober.assign([probe(1, Unhappy(), server.target, interval=0.05, health=UP)])
        await on.until(lambda: server.accepted >= MOST_OTHERS + 3)
        past = (await on.prober.recall([1, 7]))[1]
    assert len(past) == MOST_OTHERS
    assert {one.verdict.reason for one in past} == {Reason.UNEXPECTED}
    assert all(one.connected for one in past)
    assert [bool(one.trace) for one in past] == [False] * (MOST_OTHERS - 1) + [True]
    assert "< received 12 bytes" in past[-1].trace


async def test_passes_are_remembered_now_and_then(server):
    async with stage() as on:
        await on.prober.assign([probe(1, Line(), server.target, interval=0.02)])
        entry = on.prober._entries[1]
        await on.until(lambda: entry.past)
        first = entry.past[0].at
        assert entry.remember_at == pytest.approx(first + memory.PASS_EVERY)
        entry.remember_at = 0.0
        await on.until(lambda: len(entry.past) == MOST_PASSES)
        entry.remember_at = 0.0
        await on.until(lambda: first not in {one.at for one in entry.past})
        assert len(entry.past) == MOST_PASSES


async def test_what_was_said_is_bounded(server):
    long = Unhappy(b"".join(b"%d\n" % number for number in range(3000)))
    async with stage() as on:
        await on.prober.assign([probe(1, long, server.target, interval=0.05, health=UP)])
        await on.until(lambda: any(one.trace for one in on.prober._entries[1].past))
        (last,) = (one for one in (await on.prober.recall([1]))[1] if one.trace)
    assert len(last.trace) <= LONGEST_TRACE
