"""What a hook is, and what it tells of itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from healthd.events import Event


@dataclass(frozen=True, slots=True)
class HookStats:
    """Counts since the hook began. dropped: events forgotten because the hook fell behind, or left over at the end.

    failed: events given up after all retries. retries: attempts after the first. last_error: the newest, or empty.
    """

    name: str
    delivered: int = 0
    failed: int = 0
    dropped: int = 0
    queued: int = 0
    retries: int = 0
    last_error: str = ""


class Hook(Protocol):
    """Takes events away. Used in one event loop."""

    @property
    def name(self) -> str:
        """What the status and the log call it."""
        ...

    def event(self, event: Event) -> None:
        """Take one event. Returns at once and never raises, however the receiver fares."""
        ...

    def stats(self) -> HookStats:
        """How the hook fares."""
        ...

    async def close(self, grace: float) -> None:
        """Deliver what waits, at most for `grace` seconds, then release everything. No event comes after it."""
        ...


class DeliveryFailed(Exception):
    """A receiver did not take an event: why, in one line. output: what it said. final: trying again is of no use."""

    def __init__(self, why: str, output: str = "", *, final: bool = False) -> None:
        self.output = output
        self.final = final
        super().__init__(why)
