"""Events that wait for a receiver: the newest of each subject, so there is never more of them than there is to say."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable
from dataclasses import asdict
from itertools import islice

from healthd.events import Event, Kind
from healthd.hooks.problems import Item
from healthd.hooks.words import subject


class Waiting:
    """Items in the order in which they came. A newer event of the same subject takes the place of an older one."""

    def __init__(self) -> None:
        self._items: dict[Hashable, Item] = {}

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: Item) -> Item | None:
        """Add an item. Returns the one that is outdated now: an older one, or itself if a newer one is there."""
        if self.outdates(item):
            return item
        key = _key(item.event)
        before = self._items.pop(key, None)
        self._items[key] = item
        return before

    def outdates(self, item: Item) -> bool:
        """Whether a newer item of the same subject waits."""
        there = self._items.get(_key(item.event))
        return there is not None and there.number > item.number

    def first(self, most: int) -> tuple[Item, ...]:
        """The oldest, at most so many."""
        return tuple(islice(self._items.values(), most))

    def remove(self, items: Iterable[Item]) -> None:
        """Forget these; what has taken their place meanwhile stays."""
        for item in items:
            key = _key(item.event)
            if self._items.get(key) == item:
                del self._items[key]


def _key(event: Event) -> Hashable:
    """What an event is about. One that tells the state of nothing is outdated by the next of its kind."""
    told = subject(event)
    return (event.kind, event.service, event.virtual, event.real) if told is None else told


def packed(event: Event) -> str:
    """An event as text that lives through a restart."""
    return json.dumps({**asdict(event), "kind": event.kind.value}, separators=(",", ":"))


def unpacked(text: str) -> Event:
    """The event of a text. Raises ValueError if it is none of ours, as after a step back to an older healthd."""
    try:
        values = json.loads(text)
        return Event(**{**values, "kind": Kind(values["kind"]), "effect": tuple(values["effect"])})
    except (TypeError, KeyError) as error:
        raise ValueError(f"not an event: {error}") from None
