"""What a hook is, and what it tells of itself."""

from __future__ import annotations

from collections.abc import Sequence
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
    """A receiver did not take an event: why, in one line. output: what it said. final: trying again is of no use.

    after: seconds that the receiver asks to be left alone.
    """

    def __init__(self, why: str, output: str = "", *, final: bool = False, after: float = 0.0) -> None:
        self.output = output
        self.final = final
        self.after = after
        super().__init__(why)


class NotKept(Exception):
    """What should live through a restart cannot be kept, or read. One sentence for people."""


@dataclass(frozen=True, slots=True)
class Shelved:
    """An event of a hook that must live through a restart. number: its own within the hook, growing with time.

    at: seconds since the epoch. group: the message that told of it, empty while it waits. text: the event.
    """

    number: int
    at: float
    group: str
    text: str


class Shelf(Protocol):
    """Where hooks keep events through a restart. Both may raise NotKept and leave what was there as it was."""

    async def shelved(self, hook: str) -> list[Shelved]:
        """All that a hook has there, oldest first."""
        ...

    async def shelve(self, hook: str, put: Sequence[Shelved], drop: Sequence[int]) -> None:
        """Put some there, in the place of those of the same number, and take others away."""
        ...
