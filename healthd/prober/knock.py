"""Only whether a server takes a connection: the short question between two whole ones (`Cadence.connects`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from healthd.check import Connect, Conversation, Target


@dataclass(frozen=True, slots=True)
class Knock:
    """A TCP connection and nothing more."""

    kind: ClassVar[str] = "connect"

    def converse(self, target: Target) -> Conversation:
        """Connect."""
        yield Connect()
        return "connected"
