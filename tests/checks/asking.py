"""Asking a real server, or one that pretends to be one, through the engine."""

from __future__ import annotations

from healthd.check import AsyncCheck, Check, Target, Verdict
from healthd.prober.ask import ask

PATIENCE = 20.0


async def verdict_of(check: Check | AsyncCheck, target: Target, within: float = PATIENCE) -> Verdict:
    """A verdict about the server: what this machine slept through is asked again."""
    for _ in range(20):
        verdict, _ = await ask(check, target, within)
        if "stalled" not in verdict.detail:
            break
    return verdict
