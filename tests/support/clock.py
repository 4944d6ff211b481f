"""A loop whose time jumps to the next timer, so that an hour of waiting takes milliseconds."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")
MOST_STEPS_AT_ONCE = 20_000


class _Jumping(selectors.DefaultSelector):  # type: ignore[valid-type,misc]
    """A selector that never waits: it moves the clock instead. Nothing outside the loop may be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self._steps = 0

    def select(self, timeout: float | None = None) -> list[Any]:
        """What is ready now; else time has passed. AssertionError if time stands still for ever."""
        ready = super().select(0)
        if ready or timeout == 0:
            self._steps += 1
            assert self._steps < MOST_STEPS_AT_ONCE, f"busy without end at {self.now:.3f} s"
            return ready
        assert timeout is not None, "everything waits for something that never comes"
        self._steps = 0
        self.now += timeout
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop in virtual time."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Seconds of virtual time."""
        return self._jumping.now


def in_virtual_time(work: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine in a loop of its own with virtual time."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(work)
