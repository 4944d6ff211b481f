"""udp: the server answers a datagram, or at least nobody says that it cannot."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from checks.rules import exclusive, hex_mask, mask_pattern, pattern, regex, some_line_matches, want
from healthd.check import Conversation, Datagram, Receive, Send, Target, option

_MEDIUM = Datagram()
_ANSWER = Receive(65535)
_PERHAPS = Receive(65535, optional=True)
_MOST = 65507


def _fits(payload: bytes) -> bytes:
    if len(payload) > _MOST:
        raise ValueError(f"must fit into one datagram of {_MOST} bytes, got {len(payload)}")
    return payload


@dataclass(frozen=True, slots=True)
class UdpCheck:
    """A datagram (RFC 768) and its answer. An ICMP error (closed port, no host) fails in any case.

    With `reply = "optional"` silence until the deadline passes, so every probe of a silent server lasts as long as its
    timeout; what does come must still match.
    """

    kind: ClassVar[str] = "udp"

    payload: bytes = option(b"", "what to send; empty for an empty datagram", rule=_fits)
    reply: Literal["required", "optional"] = option("required", "whether silence fails or passes")
    expect: str | None = option(None, "regular expression that must match somewhere in the answer", rule=regex)
    expect_line: str | None = option(
        None, "regular expression that must match somewhere in one line of the answer", rule=regex
    )
    expect_hex: str | None = option(
        None, "bytes the answer must begin with, in hex; X stands for any digit", rule=hex_mask
    )

    _send: Send = field(init=False, repr=False, compare=False)
    _receive: Receive = field(init=False, repr=False, compare=False)
    _wanted: re.Pattern[bytes] | None = field(init=False, repr=False, compare=False)
    _line: re.Pattern[bytes] | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Prepare the steps."""
        exclusive(self, "expect", "expect_line", "expect_hex")
        wanted = None if self.expect is None else pattern(self.expect)
        if self.expect_hex is not None:
            wanted, _ = mask_pattern(self.expect_hex)
        object.__setattr__(self, "_send", Send(_fits(self.payload)))
        object.__setattr__(self, "_receive", _ANSWER if self.reply == "required" else _PERHAPS)
        object.__setattr__(self, "_wanted", wanted)
        object.__setattr__(self, "_line", None if self.expect_line is None else pattern(self.expect_line))

    def converse(self, target: Target) -> Conversation:
        """Send, and wait for one datagram."""
        yield _MEDIUM
        yield self._send
        answer: bytes | None = yield self._receive
        if answer is None:
            return "no answer, and no error"
        if self._wanted is not None:
            want(self._wanted.search(answer) is not None, answer, expect=self.expect, expect_hex=self.expect_hex)
        if self._line is not None:
            want(some_line_matches(self._line, answer), answer, expect_line=self.expect_line)
        return f"answer of {len(answer)} bytes"
