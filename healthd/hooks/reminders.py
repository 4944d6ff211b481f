"""Reminders of servers that stay down: whom to remind people of now."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from healthd.events import Event

Ref = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Missing:
    """A server that is down and is not meant to be. event: as of now. seconds: how long it has been."""

    event: Event
    seconds: float


class Reminders:
    """Remembers of whom people were reminded. A server that is no longer missing is forgotten at the next look."""

    def __init__(self) -> None:
        self._last: dict[Ref, float] = {}

    def due(self, missing: Iterable[Missing], every: Callable[[str], float], now: float) -> list[Event]:
        """Whom to remind people of. every: seconds between reminders of a service, 0 for none. now: monotonic."""
        last, self._last = self._last, {}
        found = []
        for one in missing:
            ref = (one.event.service, one.event.virtual, one.event.real)
            # An outage that is younger than the last reminder is another one.
            told = max(last.get(ref, now - one.seconds), now - one.seconds)
            pause = every(one.event.service)
            if 0 < pause <= now - told:
                found.append(one.event)
                told = now
            self._last[ref] = told
        return found
