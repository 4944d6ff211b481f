"""grpc: a server says of itself, or of one of its services, that it is serving (grpc.health.v1.Health/Check).

The protocol is doc/health-checking.md of grpc/grpc. Its two messages have one field each, which are written and read
here by hand (https://protobuf.dev/programming-guides/encoding). Needs the extra `grpc`, which brings h2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import ClassVar

from checks.grpc_call import Reply, call
from checks.http_request import authority, host_rule, name_of
from healthd.check import CheckFailed, Connect, Connected, Conversation, Reason, Target, Tls, option, shown

_PATH = "/grpc.health.v1.Health/Check"
_SERVING = 1
_HEALTH: Mapping[int, str] = MappingProxyType(
    {0: "UNKNOWN", _SERVING: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
)
_STATUS = (
    *("OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS"),
    *("PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED"),
    *("INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"),
)
"""Codes of grpc-status, in order (doc/statuscodes.md)."""


def _service(text: str) -> str:
    if len(text.encode()) > 1024:
        raise ValueError("must not be longer than 1024 bytes")
    return text


@dataclass(frozen=True, slots=True)
class GrpcCheck:
    """A gRPC server whose health service answers SERVING, over HTTP/2 without a preamble of HTTP/1, or with TLS.

    Other answers fail by their names: NOT_SERVING, UNKNOWN, and the server's status (NOT_FOUND for a service it does
    not know, UNIMPLEMENTED where it has no health service). A server that leaves (GOAWAY) may still answer.
    """

    kind: ClassVar[str] = "grpc"
    usual_port: ClassVar[int] = 50051

    service: str = option("", "service to ask about; empty for the server as a whole", rule=_service)
    authority: str | None = option(
        None,
        "name to ask for (:authority), and the name for TLS; default: the target's address and port",
        rule=host_rule,
    )
    tls: Tls | None = option(None, "speak TLS from the start, agreeing on h2 (ALPN)")

    _connect: Connect = field(init=False, repr=False, compare=False)
    _request: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Prepare what does not depend on the target."""
        tls = self.tls
        if tls is not None and tls.alpn and "h2" not in tls.alpn:
            raise ValueError("tls: alpn must have h2 in it, without which there is no gRPC")
        if tls is not None and not tls.alpn:
            tls = replace(tls, alpn=("h2",))
        name = name_of(self.authority) if self.authority else None
        object.__setattr__(self, "_connect", Connect(tls, name, speaks=True))
        object.__setattr__(self, "_request", _counted(1, self.service.encode()) if self.service else b"")

    def converse(self, target: Target) -> Conversation:
        """Make the call and judge its answer."""
        connected: Connected = yield self._connect
        if connected.tls is not None and connected.tls.alpn != "h2":
            got = connected.tls.alpn or "nothing"
            raise CheckFailed(Reason.PROTOCOL, f"server does not speak HTTP/2: ALPN has agreed on {got}, want h2")
        scheme = "http" if self.tls is None else "https"
        name = self.authority or authority(target, default_port=0).decode()
        reply = yield from call(scheme, name, _PATH, self._request)
        return self._judge(reply)

    def _judge(self, reply: Reply) -> str:
        _judge_status(reply)
        health = _health(reply.message())
        if health != _SERVING:
            of = f" of {self.service!r}" if self.service else ""
            raise CheckFailed(Reason.UNEXPECTED, f"health{of} is {_HEALTH.get(health, health)}, want SERVING")
        return "SERVING"


def _judge_status(reply: Reply) -> None:
    """CheckFailed unless this is gRPC and its status is OK."""
    if (status := reply.text(":status")) != "200":
        raise CheckFailed(Reason.UNEXPECTED, f"got HTTP status {status[:20]}, want 200")
    kind = reply.text("content-type")
    if kind.partition(";")[0].partition("+")[0].strip().lower() != "application/grpc":
        raise CheckFailed(Reason.PROTOCOL, f"answer is not gRPC: its content type is {shown(kind.encode())!r}")
    code = reply.text("grpc-status")
    if not code.isascii() or not code.isdigit() or len(code) > 9:
        raise CheckFailed(Reason.PROTOCOL, f"answer has no grpc-status that is a number: got {code[:20]!r}")
    if number := int(code):
        name = _STATUS[number] if number < len(_STATUS) else "status"
        words = f", {reply.words!r}" if reply.words else ""
        raise CheckFailed(Reason.UNEXPECTED, f"got {name} ({number}){words}, want OK")


# --- messages ---------------------------------------------------------------------------------------------------


def _counted(number: int, data: bytes) -> bytes:
    """A field that is a text or bytes."""
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    digits = bytearray()
    while value > 127:
        digits.append(value & 127 | 128)
        value >>= 7
    digits.append(value)
    return bytes(digits)


def _health(message: bytes) -> int:
    """Field 1 of HealthCheckResponse: the last of its kind, 0 if there is none; other fields are passed over."""
    health, at = 0, 0
    while at < len(message):
        key, at = _read_varint(message, at)
        match key & 7:
            case 0:
                value, at = _read_varint(message, at)
                health = value if key >> 3 == 1 else health
            case 1:
                at += 8
            case 2:
                length, at = _read_varint(message, at)
                at += length
            case 5:
                at += 4
            case kind:
                raise _malformed(f"field of kind {kind}")
    if at > len(message):
        raise _malformed("field without an end")
    return health


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    """A number in pieces of seven bits, and where it ends."""
    value = 0
    for place, digit in enumerate(message[at : at + 10]):
        value |= (digit & 127) << 7 * place
        if digit < 128:
            return value, at + place + 1
    raise _malformed("number without an end")


def _malformed(what: str) -> CheckFailed:
    return CheckFailed(Reason.PROTOCOL, f"message is not one of the health service: {what}")
