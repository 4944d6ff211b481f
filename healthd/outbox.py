"""A bounded queue that forgets what is outdated first. Pure, and for one thread at a time.

The invariant: items leave in the order they came in, and the newest item of every subject stays until it is taken.
So whoever falls behind misses the way there, never where things stand. There are at most `room` items in it, or one
per subject where there are more subjects than room.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from heapq import heappop, heappush
from typing import Generic, TypeVar

T = TypeVar("T")


class Outbox(Generic[T]):
    """Items waiting to leave. room: how many may wait. dropped: how many were forgotten so far."""

    __slots__ = ("_items", "_newest", "_next", "_outdated", "_room", "dropped")

    def __init__(self, room: int) -> None:
        self._room = room
        self._items: OrderedDict[int, tuple[T, Hashable]] = OrderedDict()
        self._newest: dict[Hashable, int] = {}
        self._outdated: list[int] = []
        self._next = 0
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: T, subject: Hashable = None) -> bool:
        """Add an item; one without a subject may be forgotten at any time. False if something had to be forgotten."""
        number, self._next = self._next, self._next + 1
        self._items[number] = (item, subject)
        outdated = number if subject is None else self._newest.get(subject)
        if subject is not None:
            self._newest[subject] = number
        if outdated is not None:
            heappush(self._outdated, outdated)
        return self._make_room()

    def take(self) -> T:
        """Remove the oldest item and return it. KeyError if there is none."""
        number, (item, subject) = self._items.popitem(last=False)
        if self._newest.get(subject) == number:
            del self._newest[subject]
        return item

    def _make_room(self) -> bool:
        # What was taken has lower numbers than all that waits, so it is on top of the heap and never piles up.
        while self._outdated and self._outdated[0] not in self._items:
            heappop(self._outdated)
        if len(self._items) <= self._room or not self._outdated:
            return True
        del self._items[heappop(self._outdated)]
        self.dropped += 1
        return False
