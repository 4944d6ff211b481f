"""Ask once, with a transcript."""

from __future__ import annotations

import asyncio
import logging
import time

from healthd.check import AsyncCheck, Check, Outcome, Passed, Target, Verdict
from healthd.prober.attempt import Attempt, Question
from healthd.prober.base import Runner
from healthd.prober.engine import Engine, Result
from healthd.prober.pulse import Pulse
from healthd.prober.transcript import Recorder, Transcript

HEARTBEAT = 0.1


async def ask(
    check: Check | AsyncCheck,
    target: Target,
    timeout: float,  # noqa: ASYNC109 - the engine owns the deadline, in a verdict and not an exception
    runner: Runner | None = None,
    netns: str | None = None,
) -> tuple[Verdict, Transcript]:
    """One probe of `target` in the running loop. timeout: seconds. netns: the namespace this process is in."""
    once = _Once(runner, netns)
    try:
        return await once.ask(check, target, timeout)
    finally:
        await once.close()


class _Once:
    """An engine and a pulse for one attempt."""

    def __init__(self, runner: Runner | None, netns: str | None) -> None:
        self._verdict: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        on_bug = logging.getLogger(__name__).error
        self._engine = Engine(self._report, clock=time.monotonic, runner=runner, netns=netns, on_bug=on_bug)
        self._pulse = Pulse(self._engine.fileno(), self._turn, time.monotonic)
        self._why = ""

    async def ask(self, check: Check | AsyncCheck, target: Target, within: float) -> tuple[Verdict, Transcript]:
        recorder = Recorder(time.monotonic)
        question = Question(check, target)
        self._engine.begin(question, within, None, recorder)
        self._rest()
        verdict = await self._verdict
        transcript = recorder.finish()
        question.forget()
        return verdict, transcript

    async def close(self) -> None:
        self._pulse.close()
        await self._engine.close()

    def _report(self, _attempt: Attempt, result: Result) -> None:
        if self._verdict.done():
            return
        match result:
            case Verdict():
                self._verdict.set_result(result)
            case Passed(detail, weight):
                self._verdict.set_result(Verdict(Outcome.PASS, detail=detail, weight=weight))
            case _:
                self._verdict.set_result(Verdict(Outcome.PASS, detail=result))

    def _turn(self) -> None:
        self._excuse(*self._pulse.gap(time.monotonic()))
        drained = self._engine.reap()
        now = time.monotonic()
        self._excuse(*self._pulse.lap(now))
        if drained:
            self._engine.expire(now, self._why)
        self._rest()

    def _excuse(self, lost: float, why: str) -> None:
        if lost:
            self._engine.stalled += lost
            self._why = why

    def _rest(self) -> None:
        now = time.monotonic()
        when = now if self._engine.busy else now + HEARTBEAT
        self._pulse.wake_by(min(when, self._engine.next_deadline() or when))
