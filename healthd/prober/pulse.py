"""The prober's place in an asyncio loop: one reader for its epoll set, one timer for the next thing due.

Answers that trickle in are gathered: a wake-up of the loop costs more than reading an answer, so after a turn that was
less than a millisecond ago the reader is put aside until that is over. A quiet prober reads at once.

It is also where we learn that *we* were not there: a wake-up that comes much later than asked for means that the loop,
the process or the machine was stalled, and a jump between CLOCK_BOOTTIME and CLOCK_MONOTONIC that it was suspended.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from math import inf

STALL = 0.05
"""Seconds of lateness that count as a stall; less is the ordinary noise of a busy machine."""

STALLED = "we were stalled"

GATHER = 0.001
"""Least seconds between two turns that reading causes."""


def asleep() -> float:
    """Seconds this machine has been suspended since it was started."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)


class Pulse:
    """Calls `turn()` when `fd` is readable or the time asked for with `wake_by` has come.

    clock: monotonic seconds. suspended: total seconds the machine was suspended.
    """

    def __init__(
        self,
        fd: int,
        turn: Callable[[], None],
        clock: Callable[[], float],
        suspended: Callable[[], float] = asleep,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._fd = fd
        self._turn = turn
        self._clock = clock
        self._suspended = suspended
        self._slept = suspended()
        self._timer: asyncio.TimerHandle | None = None
        self._when = inf
        self._last = 0.0
        self._mark = 0.0
        self._aside: asyncio.TimerHandle | None = None
        self._loop.add_reader(fd, self._readable)

    def wake_by(self, when: float) -> None:
        """Have `turn` called at `when` or before; an earlier wake-up that was asked for stays."""
        if self._timer is not None:
            if self._when <= when:
                return
            self._timer.cancel()
        self._when = when
        self._timer = self._loop.call_later(max(0.0, when - self._clock()), self._due)

    def gap(self, now: float) -> tuple[float, str]:
        """Seconds lost since the last call and what took them: (0.0, "") if none. Call it first in each turn."""
        self._mark = now
        slept = self._suspended()
        jump, self._slept = slept - self._slept, slept
        if jump > STALL:
            return jump, "this machine was suspended"
        late = now - self._when
        if late >= 0:
            self._disarm()
        return (late, STALLED) if late >= STALL else (0.0, "")

    def lap(self, now: float) -> tuple[float, str]:
        """The same for the time since the last `gap` or `lap` of this turn: we may be stopped at work as well."""
        lost, self._mark = now - self._mark, now
        return (lost, STALLED) if lost >= STALL else (0.0, "")

    def close(self) -> None:
        """Leave the loop."""
        self._loop.remove_reader(self._fd)
        if self._aside is not None:
            self._aside.cancel()
        self._disarm()

    def _readable(self) -> None:
        now = self._clock()
        left = self._last + GATHER - now
        if left <= 0:
            self._last = now
            self._turn()
        else:
            self._loop.remove_reader(self._fd)
            self._aside = self._loop.call_later(left, self._gathered)

    def _gathered(self) -> None:
        self._aside = None
        self._loop.add_reader(self._fd, self._readable)
        self._last = self._clock()
        self._turn()

    def _disarm(self) -> None:
        self._when = inf
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _due(self) -> None:
        self._timer = None
        self._turn()
