"""tcp: the server accepts a connection, and optionally says what it should."""

from __future__ import annotations

import re
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any, ClassVar

from checks.rules import between, exclusive, hex_mask, mask_pattern, pattern, regex, some_line_matches, want
from healthd.check import Connect, Connected, Conversation, Finish, Receive, Send, Step, Target, Tls, option


@dataclass(frozen=True, slots=True)
class TcpCheck:
    """A TCP connection (RFC 9293); with TLS, a handshake; with `send`, a message; with `expect`, an answer.

    An answer may come in any number of pieces. `expect` passes as soon as it matches what has come so far, so an
    expression that depends on what follows its match (`$`, `(?!...)`) sees only that much. `expect_line` sees one line
    at a time, its end included, once it is complete; what comes before the end of the answer is a line, too.
    """

    kind: ClassVar[str] = "tcp"

    tls: Tls | None = option(None, "speak TLS from the start")
    send: bytes = option(b"", "what to send once connected")
    half_close: bool = option(False, "then say that nothing more will be sent, as servers want that read to the end")
    expect: str | None = option(None, "regular expression that must match somewhere in the answer", rule=regex)
    expect_line: str | None = option(
        None, "regular expression that must match somewhere in one line of the answer", rule=regex
    )
    expect_hex: str | None = option(
        None, "bytes the answer must begin with, in hex; X stands for any digit", rule=hex_mask
    )
    max_bytes: int = option(4096, "most bytes of the answer to look at", rule=between(1, 1024 * 1024))

    _connect: Connect = field(init=False, repr=False, compare=False)
    _wanted: re.Pattern[bytes] | None = field(init=False, repr=False, compare=False)
    _line: re.Pattern[bytes] | None = field(init=False, repr=False, compare=False)
    _most: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Prepare what does not depend on the target."""
        exclusive(self, "expect", "expect_line", "expect_hex")
        if self.half_close and self.tls is not None:
            raise ValueError("half_close and tls exclude each other: many servers take the end of TLS for both ways")
        wanted = None if self.expect is None else pattern(self.expect)
        most = self.max_bytes
        if self.expect_hex is not None:
            wanted, most = mask_pattern(self.expect_hex)
        object.__setattr__(self, "_connect", Connect(self.tls, speaks=bool(self.send)))
        object.__setattr__(self, "_wanted", wanted)
        object.__setattr__(self, "_line", None if self.expect_line is None else pattern(self.expect_line))
        object.__setattr__(self, "_most", most)

    def converse(self, target: Target) -> Conversation:
        """Connect, send, and read until the answer matches, ends or is too long."""
        connected: Connected = yield self._connect
        if self.send:
            yield Send(self.send)
        if self.half_close:
            yield Finish()
        if self._line is not None:
            return (yield from self._listen_for_line(self._line))
        if self._wanted is not None:
            return (yield from self._listen(self._wanted))
        return "connected" if connected.tls is None else f"connected, {connected.tls.version}"

    def _listen(self, wanted: re.Pattern[bytes]) -> Generator[Step, Any, str]:
        answer = bytearray()
        while not (found := wanted.search(answer)) and (yield from self._more(answer)):
            pass
        want(found is not None, bytes(answer), expect=self.expect, expect_hex=self.expect_hex)
        return "answer matches"

    def _listen_for_line(self, wanted: re.Pattern[bytes]) -> Generator[Step, Any, str]:
        answer, seen = bytearray(), 0
        while True:
            end = answer.rfind(b"\n") + 1
            if some_line_matches(wanted, answer[seen:end]):
                return "a line of the answer matches"
            seen = end
            if not (yield from self._more(answer)):
                break
        whole = len(answer) < self._most
        want(whole and some_line_matches(wanted, answer[seen:]), bytes(answer), expect_line=self.expect_line)
        return "the last line of the answer matches"

    def _more(self, answer: bytearray) -> Generator[Step, Any, bool]:
        """Wait for more of the answer; False at its end or bound."""
        if len(answer) >= self._most:
            return False
        data: bytes = yield Receive(self._most - len(answer))
        answer += data
        return bool(data)
