"""Checks that do their own I/O: a task in the loop under the engine's deadline.

The verdict of one that is too late is given at the deadline. If it then ignores its cancellation, it is not asked again
before it has ended, so such tasks cannot pile up.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from healthd.check import AsyncCheck, Inconclusive, Outcome, Reason, Verdict
from healthd.prober import classify
from healthd.prober.attempt import Attempt

if TYPE_CHECKING:
    from healthd.prober.engine import Engine


def begin_task(engine: Engine, attempt: Attempt, check: AsyncCheck) -> None:
    """Start the check's coroutine; the attempt ends with it or at its deadline."""
    question = attempt.question
    try:
        engine.check_namespace(question.target)
    except Inconclusive as why:
        return engine.finish(attempt, Verdict(Outcome.INCONCLUSIVE, Reason.LOCAL, why.detail))
    if question.running is not None and not question.running.done():
        detail = "the last probe has not ended yet: it ignores its cancellation"
        return engine.finish(attempt, Verdict(Outcome.INCONCLUSIVE, Reason.LOCAL, detail))
    task = question.running = asyncio.get_running_loop().create_task(check.probe(question.target))
    engine.tasks.add(task)
    attempt.cancel = task.cancel
    task.add_done_callback(partial(_done, engine, attempt))
    return None


def _done(engine: Engine, attempt: Attempt, task: asyncio.Task[object]) -> None:
    engine.tasks.discard(task)
    error = None if task.cancelled() else task.exception()
    if attempt.flight is None:
        return
    attempt.cancel = None
    if task.cancelled():
        detail = "the probe was cancelled by its own library"
        engine.finish(attempt, Verdict(Outcome.INCONCLUSIVE, Reason.LOCAL, detail))
    elif error is None:
        engine.finish(attempt, task.result())
    else:
        engine.finish(attempt, _verdict(engine, attempt, error))


def _verdict(engine: Engine, attempt: Attempt, error: BaseException) -> Verdict:
    meant = classify.library_failure(error) if isinstance(error, Exception) else None
    if meant is None:
        return engine.bugs.verdict(error, attempt.question.check)
    return classify.verdict_of(meant)
