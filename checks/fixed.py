"""on and off: servers that nobody asks, held in or out by the configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from healthd.check import CheckFailed, Conversation, Reason, Target


@dataclass(frozen=True, slots=True)
class OnCheck:
    """Always passes, without asking anybody."""

    kind: ClassVar[str] = "on"
    needs_port: ClassVar[bool] = False

    def converse(self, target: Target) -> Conversation:
        """Pass."""
        yield from ()
        return "on by configuration"


@dataclass(frozen=True, slots=True)
class OffCheck:
    """Always fails, without asking anybody."""

    kind: ClassVar[str] = "off"
    needs_port: ClassVar[bool] = False

    def converse(self, target: Target) -> Conversation:
        """CheckFailed(UNEXPECTED)."""
        yield from ()
        raise CheckFailed(Reason.UNEXPECTED, "off by configuration")
