"""tcp: the server accepts a connection, and optionally says what it should."""

from __future__ import annotations

import re
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any, ClassVar

from checks.rules import between, exclusive, hex_mask, mask_pattern, pattern, regex, want
from healthd.check import Connect, Connected, Conversation, Receive, Send, Step, Target, Tls, option


@dataclass(frozen=True, slots=True)
class TcpCheck:
    """A TCP connection (RFC 9293); with TLS, a handshake; with `send`, a message; with `expect`, an answer.

    An answer may come in any number of pieces. `expect` passes as soon as it matches what has come so far, so an
    expression that depends on what follows its match (`$`, `(?!...)`) sees only that much.
    """

    kind: ClassVar[str] = "tcp"

    tls: Tls | None = option(None, "speak TLS from the start")
    send: bytes = option(b"", "what to send once connected")
    expect: str | None = option(None, "regular expression that must match somewhere in the answer", rule=regex)
    expect_hex: str | None = option(
        None, "bytes the answer must begin with, in hex; X stands for any digit", rule=hex_mask
    )
    max_bytes: int = option(4096, "most bytes of the answer to match `expect` with", rule=between(1, 1024 * 1024))

    _connect: Connect = field(init=False, repr=False, compare=False)
    _wanted: re.Pattern[bytes] | None = field(init=False, repr=False, compare=False)
    _most: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Prepare what does not depend on the target."""
        exclusive(self, "expect", "expect_hex")
        wanted = None if self.expect is None else pattern(self.expect)
        most = self.max_bytes
        if self.expect_hex is not None:
            wanted, most = mask_pattern(self.expect_hex)
        object.__setattr__(self, "_connect", Connect(self.tls, speaks=bool(self.send)))
        object.__setattr__(self, "_wanted", wanted)
        object.__setattr__(self, "_most", most)

    def converse(self, target: Target) -> Conversation:
        """Connect, send, and read until the answer matches, ends or is too long."""
        connected: Connected = yield self._connect
        if self.send:
            yield Send(self.send)
        if self._wanted is not None:
            return (yield from self._listen(self._wanted))
        return "connected" if connected.tls is None else f"connected, {connected.tls.version}"

    def _listen(self, wanted: re.Pattern[bytes]) -> Generator[Step, Any, str]:
        answer = bytearray()
        while not (found := wanted.search(answer)) and len(answer) < self._most:
            data: bytes = yield Receive(self._most - len(answer))
            if not data:
                break
            answer += data
        want(found is not None, bytes(answer), expect=self.expect, expect_hex=self.expect_hex)
        return "answer matches"
