"""Things that are due at a time, in whole milliseconds. Pure.

The invariant: each thing added comes out once, in the first `take` whose time has reached its own, never before; slots
come out in the order of their times, things of one slot in the order they were added. A slot is a list, so adding costs
an append, and there is one heap entry for a whole slot, not for each thing.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Generic, TypeVar

T = TypeVar("T")


class Wheel(Generic[T]):
    """A timer wheel without a fixed size: only the slots that hold something exist."""

    __slots__ = ("_order", "_slots")

    def __init__(self) -> None:
        self._slots: dict[int, list[T]] = {}
        self._order: list[int] = []

    def add(self, at: int, thing: T) -> None:
        """Have `thing` come out at `at`."""
        slot = self._slots.get(at)
        if slot is None:
            self._slots[at] = [thing]
            heappush(self._order, at)
        else:
            slot.append(thing)

    def take(self, now: int) -> list[tuple[int, list[T]]]:
        """Remove and return the slots that are due, each with its time."""
        due = []
        while self._order and self._order[0] <= now:
            at = heappop(self._order)
            due.append((at, self._slots.pop(at)))
        return due

    def next(self) -> int | None:
        """Time of the first slot, None if there is none."""
        return self._order[0] if self._order else None

    def clear(self) -> None:
        """Forget everything."""
        self._slots.clear()
        self._order.clear()
