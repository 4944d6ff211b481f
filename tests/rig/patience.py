"""Waiting: no test of the rig looks at a clock, it waits for a condition with a generous bound."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")

SLOW = int(os.environ.get("RIG_SLOW", "1"))


def seconds(bound: float) -> float:
    """A bound for a machine at full speed, as one for the place we run in."""
    return bound * SLOW


def until(what: str, condition: Callable[[], Result], within: float = 10.0, every: float = 0.05) -> Result:
    """Wait until a condition gives something true, and return that. within: seconds at full speed.

    Raises AssertionError that says what was waited for and what was there at last.
    """
    deadline = time.monotonic() + seconds(within)
    while not (result := condition()):
        assert time.monotonic() < deadline, f"waited {seconds(within):.0f} s for: {what}; last: {result!r}"
        time.sleep(every)
    return result
