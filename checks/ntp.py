"""ntp: a time server answers and is synchronised itself (RFC 5905, client and server mode over UDP).

The request carries nothing but a random number where the time of our clock would stand, as data minimisation asks of
clients (draft-ietf-ntp-data-minimization). An answer is ours if it repeats that number, so nobody who does not see our
packets can answer in the server's place, and a socket may be shared between probes.

How far the server's clock is from ours is not looked at: a check has no clock to compare it with. What the server says
about its own distance from true time (root distance) is.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

from checks.rules import between
from healthd.check import CheckFailed, Conversation, Datagram, Reason, Receive, Send, Target, option, shown

_PACKET = struct.Struct(">BBbbLL4sQQQQ")
"""First byte, stratum, poll, precision, root delay, root dispersion, reference id; times of reference, origin, receive
and transmit. Extensions and a digest may follow."""

_REQUEST = bytes((4 << 3 | 3,)) + bytes(39)  # version 4, mode client; all else unknown
_SERVER, _UNSYNCHRONISED, _NO_STRATUM = 4, 3, 16
_MEDIUM, _ANSWER = Datagram(own_port=False), Receive(65535)
_MAX_DISTANCE = 16.0  # MAXDISP: a distance from which on an answer is invalid

_KISSES: Mapping[bytes, str] = MappingProxyType(
    {
        b"ACST": "it belongs to an anycast server",
        b"AUTH": "server authentication failed",
        b"AUTO": "autokey sequence failed",
        b"BCST": "it belongs to a broadcast server",
        b"CRYP": "cryptographic authentication failed",
        b"DENY": "access denied by the server",
        b"DROP": "lost peer in symmetric mode",
        b"INIT": "not yet synchronised for the first time",
        b"MCST": "it belongs to a dynamically discovered server",
        b"NKEY": "no key found",
        b"NTSN": "NTS negative acknowledgment",
        b"RATE": "we ask too often",
        b"RMOT": "somebody meddles with it from a remote host",
        b"RSTR": "access denied by local policy",
        b"STEP": "its clock was stepped and it is not yet synchronised again",
    }
)
"""Kiss codes: RFC 5905, 7.4, and RFC 8915 for NTSN."""


def _seconds(value: float) -> float:
    if not 0 < value <= _MAX_DISTANCE:
        raise ValueError(f"must be above 0 and at most {_MAX_DISTANCE:g} seconds, got {value:g}")
    return value


@dataclass(frozen=True, slots=True)
class NtpCheck:
    """A time server that says that it is synchronised, at a stratum and a distance from true time within bounds.

    A kiss-o'-death ("we ask too often") fails by its name. What does not answer this very question is ignored, and then
    it is the deadline that fails the server, as it is where the server has no right to answer us.
    """

    kind: ClassVar[str] = "ntp"
    usual_port: ClassVar[int] = 123

    max_stratum: int = option(
        15, "highest stratum that passes; 1 is a server with a clock of its own", rule=between(1, 15)
    )
    max_distance: float = option(
        _MAX_DISTANCE,
        "seconds below which the server's time must be right by its own account (root distance)",
        rule=_seconds,
    )

    def converse(self, target: Target) -> Conversation:
        """Ask once and judge the answer."""
        cookie = os.urandom(8)
        yield _MEDIUM
        yield Send(_REQUEST + cookie)
        while not _answers(answer := (yield _ANSWER), cookie):
            pass
        return self._judge(answer)

    def _judge(self, answer: bytes) -> str:
        first, stratum, _, _, delay, dispersion, reference, _, _, received, sent = _PACKET.unpack_from(answer)
        leap, version, mode = first >> 6, first >> 3 & 7, first & 7
        if mode != _SERVER or not 1 <= version <= 4:
            raise CheckFailed(Reason.PROTOCOL, f"answer has mode {mode} and version {version}, want mode 4, version 4")
        if stratum == 0 and reference.strip(b"\0"):
            raise CheckFailed(Reason.UNEXPECTED, f"kiss-o'-death {_kiss(reference)}")
        if leap == _UNSYNCHRONISED or not 0 < stratum < _NO_STRATUM:
            raise CheckFailed(Reason.UNEXPECTED, f"server is not synchronised (leap {leap}, stratum {stratum})")
        if not received or not sent:
            raise CheckFailed(Reason.PROTOCOL, "answer tells no time")
        if stratum > self.max_stratum:
            raise CheckFailed(Reason.UNEXPECTED, f"got stratum {stratum}, want {self.max_stratum} or less")
        distance = (delay / 2 + dispersion) / 65536
        if distance >= self.max_distance:
            raise CheckFailed(
                Reason.UNEXPECTED, f"root distance is {distance:.6f} s, want below {self.max_distance:g} s"
            )
        return f"stratum {stratum}, root distance {distance:.6f} s, version {version}"


def _answers(data: bytes, cookie: bytes) -> bool:
    """Whether these are bytes of an answer to the request with this cookie: its origin time is our transmit time."""
    return len(data) >= _PACKET.size and data[24:32] == cookie


def _kiss(code: bytes) -> str:
    name = shown(code.rstrip(b"\0"))
    return f"{name}: {_KISSES[code]}" if code in _KISSES else name
