"""ping: the server's address answers ICMP echo requests."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

from checks.rules import between
from healthd.check import CheckFailed, Conversation, Echo, Reason, Target, option


@dataclass(frozen=True, slots=True)
class PingCheck:
    """ICMP echo (RFC 792, RFC 4443), over IPv4 and IPv6. The target's port is of no matter.

    `count` requests go out one after the other, each when the one before was answered, and all must be answered within
    the probe's timeout; losses are to be forgiven by `fall`, not here.
    """

    kind: ClassVar[str] = "ping"
    needs_port: ClassVar[bool] = False

    size: int = option(56, "bytes of payload in each request", rule=between(0, 65507))
    count: int = option(1, "requests that must be answered, one after the other", rule=between(1, 100))

    def converse(self, target: Target) -> Conversation:
        """Send and compare."""
        step = _echo(self.size)
        for _ in range(self.count):
            payload: bytes = yield step
            if payload != step.payload:
                raise CheckFailed(Reason.PROTOCOL, f"the payload came back changed ({len(payload)} bytes)")
        return "answered" if self.count == 1 else f"{self.count} answered"


@lru_cache(maxsize=64)
def _echo(size: int) -> Echo:
    return Echo((b"healthd " * (size // 8 + 1))[:size])
