"""ssh: the server says who it is, as SSH begins (RFC 4253, 4.2).

Both sides begin with a line that names protocol and software; the server may send other lines before it. We name
ourselves too, and say that we leave (RFC 4253, 11.1), so that the server need not guess what was wrong with us.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any, ClassVar

from checks.rules import text_pattern, text_regex
from healthd.check import CheckFailed, Connect, Conversation, Reader, Reason, Send, Step, Target, option, shown

_MOST = 65536
"""Bytes that may come before the identification; RFC 4253 knows no bound."""

_LONGEST = 255
"""Bytes of the identification with its end (RFC 4253, 4.2)."""

_MOST_PACKET = 35000
"""Bytes of a packet that everybody must be able to take (RFC 4253, 6.1)."""

_IDENTIFICATION = re.compile(rb"SSH-([!-,.-~]+)-([!-~]+)(?: (.*))?", re.DOTALL)
_OURS = b"SSH-2.0-healthd\r\n"
_KEXINIT = 20


def _packet(payload: bytes) -> bytes:
    """A packet before any key is agreed on: length, length of the padding, payload, padding (RFC 4253, 6)."""
    padding = 8 - (5 + len(payload)) % 8
    padding += 8 if padding < 4 else 0
    return (1 + len(payload) + padding).to_bytes(4, "big") + bytes([padding]) + payload + bytes(padding)


def _text(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


_LEAVING = _packet(b"\x01" + (11).to_bytes(4, "big") + _text(b"health check") + _text(b""))
"""SSH_MSG_DISCONNECT with SSH_DISCONNECT_BY_APPLICATION (RFC 4253, 11.1); it is allowed at any time."""


@dataclass(frozen=True, slots=True)
class SshCheck:
    """A server that identifies itself as one of SSH 2.0.

    Nobody logs in. A server that keeps accounts of clients who do not, such as OpenSSH 9.8 with
    `PerSourcePenalties`, should have the prober's address in `PerSourcePenaltyExemptList`.
    """

    kind: ClassVar[str] = "ssh"
    usual_port: ClassVar[int] = 22

    expect: str | None = option(
        None,
        "regular expression that must match somewhere in the server's software version and comments",
        rule=text_regex,
    )
    key_exchange: bool = option(False, "also wait for the server to begin the key exchange (KEXINIT)")

    _expect: re.Pattern[str] | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Prepare what does not depend on the target."""
        object.__setattr__(self, "_expect", None if self.expect is None else text_pattern(self.expect))

    def converse(self, target: Target) -> Conversation:
        """Connect, hear who the server is, say who we are, and leave."""
        yield Connect()
        reader = Reader(_MOST)
        software = _software((yield from _identification(reader)))
        if self.key_exchange:
            yield Send(_OURS)
            yield from _key_exchange(reader)
        yield Send(_LEAVING if self.key_exchange else _OURS + _LEAVING)
        if self._expect is not None and not self._expect.search(software):
            raise CheckFailed(Reason.UNEXPECTED, f"expect {self.expect!r} does not match: got {software!r}")
        return software


def _identification(reader: Reader) -> Generator[Step, Any, bytes]:
    """The first line that begins with SSH-, without its end."""
    passed, first = 0, b""
    while passed < _MOST:
        line = yield from _line(reader, first)
        if line.startswith(b"SSH-"):
            return _fitting(line).removesuffix(b"\n").removesuffix(b"\r")
        first = first or line
        passed += len(line)
    raise CheckFailed(Reason.PROTOCOL, f"no identification in {_MOST} bytes, which begin with {shown(first)!r}")


def _line(reader: Reader, first: bytes) -> Generator[Step, Any, bytes]:
    """One line with its end. A server that closes instead, as one with too many clients, may have said why."""
    try:
        return (yield from reader.until(b"\n"))
    except CheckFailed as failure:
        said = first or bytes(reader.buffer)
        if failure.reason is not Reason.PROTOCOL or not said:
            raise
        raise CheckFailed(Reason.PROTOCOL, f"no identification, but {shown(said)!r}: {failure.detail}") from None


def _fitting(line: bytes) -> bytes:
    if len(line) > _LONGEST:
        raise CheckFailed(Reason.PROTOCOL, f"identification is longer than {_LONGEST} bytes: {shown(line)!r}")
    return line


def _software(line: bytes) -> str:
    """Software version and comments of a server of protocol 2.0; 1.99 speaks it too (RFC 4253, 5.1)."""
    match = _IDENTIFICATION.fullmatch(line)
    if match is None or b"\0" in line:
        raise CheckFailed(Reason.PROTOCOL, f"{shown(line)!r} is no identification of SSH")
    version, software, comments = match.groups()
    if version not in (b"2.0", b"1.99"):
        raise CheckFailed(Reason.UNEXPECTED, f"got SSH {shown(version)} ({shown(line)!r}), want 2.0")
    return shown(software if comments is None else software + b" " + comments, _LONGEST)


def _key_exchange(reader: Reader) -> Generator[Step, Any, None]:
    """The server's first packet, which must offer algorithms (RFC 4253, 7.1)."""
    length = int.from_bytes((yield from reader.exactly(4)), "big")
    if not 12 <= length <= _MOST_PACKET - 4:
        raise CheckFailed(Reason.PROTOCOL, f"a packet of {length} bytes is none of SSH")
    packet = yield from reader.exactly(length)
    payload = packet[1 : length - packet[0]] if 4 <= packet[0] < length - 1 else b""
    if payload[:1] != bytes([_KEXINIT]):
        got = payload[0] if payload else "none"
        raise CheckFailed(Reason.PROTOCOL, f"the server's first message is {got}, want {_KEXINIT} (KEXINIT)")
