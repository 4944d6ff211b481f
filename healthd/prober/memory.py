"""What one probe was answered before: failures longer than passes, and the last of each with what was said."""

from __future__ import annotations

from dataclasses import replace

from healthd.check import Outcome, Verdict
from healthd.prober.attempt import Attempt
from healthd.prober.base import Answer
from healthd.prober.trace import trace_text

MOST_PASSES, MOST_OTHERS = 2, 8
LONGEST_TRACE = 2000
PASS_EVERY = 60.0
"""Seconds from one pass that is remembered to the next."""


def answer_of(attempt: Attempt, verdict: Verdict, now: float, took: float) -> Answer:
    """What is remembered of an attempt that has just ended; its words only if it was recorded."""
    connected = attempt.connected - attempt.started if attempt.connected else None
    if attempt.trace is None:
        return Answer(now, took, verdict, connected)
    seen = attempt.trace.finish()
    text = trace_text(seen)
    return Answer(now, took, verdict, connected or seen.connected, seen.secured, seen.first_byte, text[:LONGEST_TRACE])


def remembering(past: tuple[Answer, ...], answer: Answer) -> tuple[Answer, ...]:
    """The answers to remember, with a new one, oldest first. Only the last pass and the last other keep their words."""
    passed = _passed(answer)
    most = MOST_PASSES if passed else MOST_OTHERS
    alike = [_wordless(one) for one in past if _passed(one) is passed]
    others = [one for one in past if _passed(one) is not passed]
    return tuple(sorted([*others, *alike[1 - most :], answer], key=lambda one: one.at))


def _passed(answer: Answer) -> bool:
    return answer.verdict.outcome is Outcome.PASS


def _wordless(answer: Answer) -> Answer:
    return replace(answer, trace="") if answer.trace else answer
