"""Checks that do their own I/O, and programs run by a runner: the same deadline and the same classification."""

from __future__ import annotations

import asyncio
import errno
import ssl

import pytest

from healthd.check import CheckFailed, Inconclusive, Outcome, Passed, Ran, Reason, Verdict
from healthd.prober.ask import ask
from tests.prober.patience import late
from tests.prober.stage import probe, stage
from tests.prober.talk import Coroutine, Script
from tests.support import servers

AMPLE = 20.0
NEVER = 1e6


async def verdict(check, within=AMPLE, runner=None):
    return (await ask(check, servers.refusing(), within, runner))[0]


def raising(error):
    async def work(target):
        raise error

    return Coroutine(work)


async def test_a_coroutine_passes_with_its_text_and_its_weight():
    async def work(target):
        return Passed("so", 7)

    assert await verdict(Coroutine(work)) == Verdict(Outcome.PASS, detail="so", weight=7)


@pytest.mark.parametrize(
    ("error", "outcome", "reason", "words"),
    [
        (CheckFailed(Reason.UNEXPECTED, "no"), Outcome.FAIL, Reason.UNEXPECTED, "no"),
        (Inconclusive("no file"), Outcome.INCONCLUSIVE, Reason.LOCAL, "no file"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "x"), Outcome.FAIL, Reason.REFUSED, "connection refused"),
        (OSError(errno.EHOSTUNREACH, "x"), Outcome.FAIL, Reason.UNREACHABLE, "host unreachable"),
        (OSError(errno.EMFILE, "x"), Outcome.INCONCLUSIVE, Reason.LOCAL, "LimitNOFILE"),
        (TimeoutError(), Outcome.FAIL, Reason.TIMEOUT, "no answer in time"),
        (EOFError("gone"), Outcome.FAIL, Reason.RESET, "gone"),
        (ssl.SSLError(1, "[SSL] x"), Outcome.FAIL, Reason.TLS, "TLS"),
        (
            ZeroDivisionError("oops"),
            Outcome.INCONCLUSIVE,
            Reason.LOCAL,
            "a mistake in healthd: ZeroDivisionError: oops",
        ),
    ],
)
async def test_what_a_coroutine_raises_is_classified(error, outcome, reason, words):
    said = await verdict(raising(error))
    assert (said.outcome, said.reason) == (outcome, reason)
    assert words in said.detail


async def test_a_coroutine_is_cancelled_at_its_deadline():
    ended = asyncio.Event()

    async def work(target):
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()

    said, within = await late(Coroutine(work), servers.refusing())
    assert said == Verdict(Outcome.FAIL, Reason.TIMEOUT, f"no answer within {within}")
    await asyncio.wait_for(ended.wait(), AMPLE)


async def test_a_coroutine_that_ignores_its_cancellation_is_not_asked_again_before_it_ends():
    running, go = 0, asyncio.Event()

    async def work(target):
        nonlocal running
        running += 1
        while not go.is_set():
            try:
                await go.wait()
            except asyncio.CancelledError:
                continue
        return "late"

    async with stage() as on:
        try:
            await on.prober.assign([probe(1, Coroutine(work), servers.refusing(), interval=0.1, timeout=0.1)])
            await on.until(lambda: len(on.book.of(1)) >= 3)
            assert running == 1
            assert "ignores its cancellation" in on.book.of(1)[1].verdict.detail
        finally:
            go.set()
        await on.until(lambda: on.book.of(1)[-1].verdict.outcome is Outcome.PASS)


async def test_a_coroutine_that_its_library_cancels_says_nothing_about_the_server():
    said = await verdict(raising(asyncio.CancelledError()))
    assert said.outcome is Outcome.INCONCLUSIVE


# --- programs ---


class Runner:
    """A runner whose programs end when and how the test says."""

    def __init__(self, how=None):
        self.how = how
        self.requests = []
        self.timeouts = []
        self.killed = 0
        self.done = None

    def run(self, request, timeout, done):
        """Note it; answer at the next turn of the loop if there is something to answer."""
        self.requests.append(request)
        self.timeouts.append(timeout)
        self.done = done
        if self.how is not None:
            asyncio.get_running_loop().call_soon(done, self.how)
        return self._kill

    def _kill(self):
        self.killed += 1


async def test_a_program_is_run_and_its_output_comes_back():
    runner = Runner(Ran(0, b"fine"))
    assert await verdict(Script(("/bin/x", "y")), 5.0, runner) == Verdict(Outcome.PASS, detail="fine")
    assert runner.requests[0].argv == ("/bin/x", "y")
    assert 4.0 < runner.timeouts[0] <= 5.0
    assert runner.killed == 0


async def test_a_program_that_cannot_be_run_says_nothing_about_the_server():
    said = await verdict(Script(), AMPLE, Runner(Inconclusive("/bin/x: no such file")))
    assert said == Verdict(Outcome.INCONCLUSIVE, Reason.LOCAL, "/bin/x: no such file")


async def test_a_program_that_the_runner_killed_at_the_deadline_is_a_timeout():
    class Late(Runner):
        def run(self, request, timeout, done):
            asyncio.get_running_loop().call_later(timeout, done, Ran(-9, b""))
            return self._kill

    said, within = await late(Script(), servers.refusing(), Late())
    assert said == Verdict(Outcome.FAIL, Reason.TIMEOUT, f"the program did not end within {within}")


async def test_a_runner_that_does_not_answer_is_our_fault_and_is_told_to_kill():
    runner = Runner()
    said = await verdict(Script(), 0.2, runner)
    assert (said.outcome, said.detail) == (Outcome.INCONCLUSIVE, "the runner does not answer")
    assert runner.killed == 1
    runner.done(Ran(0, b"too late"))


async def test_without_a_runner_a_program_says_nothing_about_the_server():
    assert (await verdict(Script())).outcome is Outcome.INCONCLUSIVE
