"""The prober as a whole on loopback: what is asked when, what is told, and what a reassignment keeps."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest

from healthd.check import CheckFailed, Connect, Inconclusive, Outcome, Passed, Reason, Receive, Verdict
from healthd.health import Health, Phase, Thresholds
from healthd.prober.base import Cadence, Prober, Watch
from tests.prober.stage import probe, stage
from tests.prober.talk import Coroutine, Line, Steps, Tcp
from tests.support import servers

UP = Health(Phase.UP)

NEVER = 1e6
"""An interval that does not come round again during a test."""


@pytest.fixture
def server():
    with servers.serving(servers.echo_lines) as running:
        yield running


async def test_it_fulfils_the_contract(server):
    async with stage() as on:
        prober: Prober = on.prober
        await prober.assign([])
        assert list(await prober.latest()) == []


async def test_the_first_pass_brings_an_unknown_server_up_and_steady_passes_are_not_told(server):
    async with stage() as on:
        await on.prober.assign([probe(1, Line(), server.target, interval=0.05)])
        await on.until(lambda: server.accepted >= 6)
        assert [one.verdict.outcome for one in on.book.of(1)] == [Outcome.PASS]
        assert dict(on.book.of(1)[0].healths)[1].phase is Phase.UP


async def test_the_latest_observations_include_steady_passes(server):
    async with stage() as on:
        await on.prober.assign([probe(1, Line(), server.target, interval=0.05, health=UP)])
        await on.until(lambda: server.accepted >= 3)
        (last,) = await on.prober.latest()
        assert (last.probe, last.verdict) == (1, Verdict(Outcome.PASS, detail="hello"))
        assert on.book.observations == []
        assert 0 <= time.monotonic() - last.at < 30
        assert 0 < last.took < 30
        (timed,) = (await on.prober.timings()).items()
        assert timed[0] == 1
        assert timed[1][0] >= last.at


async def test_a_probe_that_was_never_answered_has_no_timing(server):
    async with stage() as on:
        await on.prober.assign([probe(1, Line(), server.target, interval=60.0)])
        assert await on.prober.timings() == {}


async def test_every_pass_of_a_probe_that_is_told_is_reported_and_a_reassignment_ends_it(server):
    async with stage() as on:
        quiet = probe(1, Line(), server.target, interval=0.05, health=UP)
        await on.prober.assign([replace(quiet, told=True), probe(2, Tcp(), server.target, interval=0.05, health=UP)])
        await on.until(lambda: len(on.book.of(1)) >= 4)
        assert {one.verdict.detail for one in on.book.of(1)} == {"hello"}
        assert on.book.of(2) == []
        await on.prober.assign([quiet])
        told, accepted = len(on.book.of(1)), server.accepted
        await on.until(lambda: server.accepted >= accepted + 4)
        assert len(on.book.of(1)) == told


async def test_failures_are_told_each_time_until_the_server_is_down_and_after(server):
    async with stage() as on:
        await on.prober.assign([probe(1, Tcp(), servers.refusing(), interval=0.05, fall=3, health=UP)])
        await on.until(lambda: len(on.book.of(1)) >= 5)
        phases = [dict(one.healths)[1].phase for one in on.book.of(1)]
        assert phases[:5] == [Phase.UP, Phase.UP, Phase.DOWN, Phase.DOWN, Phase.DOWN]


async def test_watches_of_one_probe_have_their_own_thresholds():
    one = probe(1, Tcp(), servers.refusing(), interval=0.05, fall=1, health=UP)
    both = replace(one, watches=(*one.watches, Watch(2, Thresholds(1, 3), UP)))
    async with stage() as on:
        await on.prober.assign([both])
        await on.until(lambda: len(on.book.of(1)) >= 3)
        phases = [{n: health.phase for n, health in one.healths} for one in on.book.of(1)[:3]]
        assert phases == [{1: Phase.DOWN, 2: Phase.UP}, {1: Phase.DOWN, 2: Phase.UP}, {1: Phase.DOWN, 2: Phase.DOWN}]


async def test_a_changed_weight_is_told_and_the_same_is_not():
    weights = iter([5, 5, 5, 9, 9, 9, 9, 9, 9])
    asked = []

    def weigh(target):
        asked.append(weight := next(weights, 9))
        return Passed("", weight)
        yield

    async with stage() as on:
        await on.prober.assign([probe(1, Steps(weigh), servers.refusing(), interval=0.05, health=UP)])
        await on.until(lambda: len(asked) >= 8)
        assert [one.verdict.weight for one in on.book.of(1)] == [5, 9]


async def test_inconclusive_verdicts_are_told_and_change_nothing():
    def shrug(target):
        raise Inconclusive("no idea")
        yield

    async with stage() as on:
        await on.prober.assign([probe(1, Steps(shrug), servers.refusing(), interval=0.05, health=UP)])
        await on.until(lambda: len(on.book.of(1)) >= 2)
        assert on.book.of(1)[0].verdict == Verdict(Outcome.INCONCLUSIVE, Reason.LOCAL, "no idea")
        assert dict(on.book.of(1)[1].healths) == {1: UP}


async def test_summaries_count_what_was_done(server):
    async with stage() as on:
        await on.prober.assign(
            [
                probe(1, Line(), server.target, interval=0.1),
                probe(2, Tcp(), servers.refusing(), interval=0.1),
                probe(3, Line(), replace(server.target, netns="nowhere"), interval=0.1),
            ]
        )
        await on.until(lambda: len(on.book.summaries) >= 2)
        total = on.book.total
        assert total("passed") > 2
        assert total("failed") == len([one for one in on.book.of(2) if one.at <= on.book.summaries[-1].at])
        assert total("inconclusive") == len([one for one in on.book.of(3) if one.at <= on.book.summaries[-1].at])
        assert all(0 <= one.lateness_p50 <= one.lateness_p99 for one in on.book.summaries)


async def test_a_target_is_never_asked_twice_at_once_and_the_ticks_it_missed_are_counted():
    inside, most, asked = 0, 0, 0

    async def slow(target):
        nonlocal inside, most, asked
        inside, asked = inside + 1, asked + 1
        most = max(most, inside)
        await asyncio.sleep(0.15)
        inside -= 1
        return "slept"

    async with stage() as on:
        await on.prober.assign([probe(1, Coroutine(slow), servers.refusing(), interval=0.02, health=UP)])
        await on.until(lambda: asked >= 4 and on.book.summaries)
        assert most == 1
        assert on.book.total("missed") >= 5


async def test_no_more_are_in_flight_than_allowed_and_those_that_wait_come_in_order():
    inside, most, order = 0, 0, []

    async def slow(target):
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        order.append(target.port)
        await asyncio.sleep(0.02)
        inside -= 1
        return "slept"

    base = servers.refusing()
    probes = [probe(n, Coroutine(slow), replace(base, port=n), interval=NEVER) for n in range(1, 31)]
    async with stage(in_flight=3) as on:
        await on.prober.assign(probes)
        await on.until(lambda: len(on.book.observations) == 30)
        order.clear()
        await on.prober.hurry([one.id for one in probes])
        await on.until(lambda: len(order) == 30)
    assert most == 3
    assert order == list(range(1, 31))


async def test_a_server_in_doubt_is_asked_more_often(server):
    async with stage() as on:
        slow = probe(1, Line(), server.target, interval=NEVER, fast=0.05, rise=4, health=Health(Phase.DOWN))
        await on.prober.assign([slow])
        await on.until(lambda: any(dict(one.healths)[1].phase is Phase.UP for one in on.book.of(1)))
        asked = server.accepted
        assert asked == 4
        await asyncio.sleep(0.3)  # not a bound: in that time three more would have been asked in doubt
        assert server.accepted == asked


async def test_first_probes_come_within_a_second_however_long_the_interval(server):
    async with stage() as on:
        began = time.monotonic()
        await on.prober.assign([probe(n, Tcp(), server.target, interval=NEVER) for n in range(40)])
        await on.until(lambda: len(on.book.observations) == 40)
        assert time.monotonic() - began < 15  # an hour if it were not so


async def test_hurry_asks_now_and_leaves_the_schedule_alone(server):
    async with stage() as on:
        await on.prober.assign([probe(1, Line(), server.target, interval=NEVER)])
        await on.until(lambda: on.book.of(1))
        for n in range(2, 5):
            await on.prober.hurry([1, 777])
            await on.until(lambda n=n: server.accepted == n)


async def test_hurry_during_a_probe_asks_again_after_it():
    asked, go = 0, asyncio.Event()

    async def slow(target):
        nonlocal asked
        asked += 1
        await go.wait()
        return "done"

    async with stage() as on:
        await on.prober.assign([probe(1, Coroutine(slow), servers.refusing(), interval=NEVER)])
        await on.until(lambda: asked == 1)
        await on.prober.hurry([1])
        go.set()
        await on.until(lambda: asked == 2)


async def test_reassignment_keeps_the_health_of_a_watch_and_takes_new_thresholds():
    refused = servers.refusing()
    async with stage() as on:
        first = probe(1, Tcp(), refused, interval=0.05, fall=1000, health=UP)
        await on.prober.assign([first])
        await on.until(lambda: len(on.book.of(1)) >= 3)
        streak = dict(on.book.of(1)[-1].healths)[1].streak
        assert streak >= 3
        await on.prober.assign([replace(first, watches=(Watch(1, Thresholds(1, streak + 1), Health()),))])
        seen = len(on.book.of(1))
        await on.until(lambda: len(on.book.of(1)) > seen)
        assert dict(on.book.of(1)[seen].healths)[1].phase is Phase.DOWN


async def test_reassignment_keeps_the_schedule_of_those_that_stay(server):
    async with stage() as on:
        stays = probe(1, Line(), server.target, interval=NEVER)
        await on.prober.assign([stays])
        await on.until(lambda: server.accepted == 1)
        for n in range(2, 6):
            await on.prober.assign([stays, probe(n, Tcp(), servers.refusing(), interval=NEVER)])
            await on.until(lambda n=n: on.book.of(n))
        assert server.accepted == 1  # it would have been asked again if it had been taken for new


async def test_a_changed_check_under_an_old_id_is_a_new_probe(server):
    async with stage() as on:
        await on.prober.assign([probe(1, Line(), server.target, interval=NEVER)])
        await on.until(lambda: on.book.of(1))
        await on.prober.assign([probe(1, Tcp(), servers.refusing(), interval=NEVER)])
        await on.until(lambda: len(on.book.of(1)) == 2)
        assert on.book.of(1)[1].verdict.reason is Reason.REFUSED


async def test_a_probe_that_is_dropped_in_flight_gives_no_verdict_and_frees_its_stream():
    closed = []

    def watch(connection):
        closed.append(connection.recv(1))

    def wait(target):
        yield Connect()
        yield Receive()
        return "never"

    with servers.serving(watch) as server:
        async with stage() as on:
            await on.prober.assign([probe(1, Steps(wait), server.target)])
            await on.until(lambda: server.accepted)
            await on.prober.assign([])
            await on.until(lambda: not on.prober._engine.flying)
            assert await on.prober.latest() == []
            assert on.book.observations == []


async def test_close_ends_what_is_in_flight_without_verdicts():
    cancelled = []

    async def wait(target):
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(target)
            raise
        return "never"

    async with stage() as on:
        await on.prober.assign([probe(1, Coroutine(wait), servers.refusing())])
        await on.until(lambda: on.prober._engine.flying)
        await asyncio.sleep(0.01)
        await on.prober.close()
        await on.prober.close()
        assert on.book.observations == []
    assert len(cancelled) == 1


async def test_observations_of_one_turn_come_in_one_batch():
    def no(target):
        raise CheckFailed(Reason.UNEXPECTED, "no")
        yield

    targets = [replace(servers.refusing(), port=n) for n in range(1, 60)]
    async with stage() as on:
        probes = [probe(n, Steps(no), target, interval=NEVER) for n, target in enumerate(targets)]
        await on.prober.assign(probes)
        await on.prober.hurry([one.id for one in probes])
        await on.until(lambda: len(on.book.observations) == len(probes))
        assert len(on.book.batches) <= 3


async def test_a_summary_says_how_many_were_not_asked_yet(server):
    """An inconclusive verdict is an answer; one that is under way is not."""

    def unable(_target):
        raise Inconclusive("no file")
        yield

    with servers.serving(servers.silent) as silent:
        async with stage() as on:
            wanted = [
                probe(1, Line(), server.target, interval=NEVER, health=UP),
                probe(2, Steps(unable), server.target, interval=NEVER),
                probe(3, Line(), silent.target, interval=NEVER, timeout=NEVER),
            ]
            await on.prober.assign(wanted)
            await on.until(lambda: on.book.total("passed") and on.book.total("inconclusive"))
            assert on.book.summaries[-1].unasked == 1
            await on.prober.assign(wanted[:2])
            summaries = len(on.book.summaries)
            await on.until(lambda: len(on.book.summaries) > summaries)
            assert on.book.summaries[-1].unasked == 0


async def test_after_a_pass_so_many_probes_only_connect():
    """The check is asked once in three; the others are connections without a word."""
    lines = []

    def listen(connection):
        lines.append(servers.line_of(connection))
        connection.sendall(lines[-1])

    with servers.serving(listen) as server:
        asked = replace(probe(1, Line(), server.target), cadence=Cadence(0.05, 20.0, None, 0.0, connects=2))
        async with stage() as on:
            await on.prober.assign([asked])
            await on.until(lambda: server.accepted >= 9)
    spoken = [line for line in lines if line]
    assert server.accepted // 3 <= len(spoken) <= server.accepted // 3 + 1
