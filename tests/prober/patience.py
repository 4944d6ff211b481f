"""Timeouts on a machine that may be too slow to tell."""

from __future__ import annotations

from typing import Any

import pytest

from healthd.check import Reason, Target, Verdict
from healthd.prober.ask import ask
from healthd.prober.attempt import span
from healthd.prober.base import Runner


async def late(check: Any, target: Target, runner: Runner | None = None) -> tuple[Verdict, str]:
    """The verdict of a probe that times out and its timeout; again with a longer one while we are the slow ones."""
    for within in (0.25, 0.5, 1.0, 2.0, 4.0, 8.0):
        said, _ = await ask(check, target, within, runner)
        if said.reason is not Reason.LOCAL:
            return said, span(within)
    pytest.fail(f"this machine is stalled all the time: {said}")
