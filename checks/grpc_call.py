"""One unary gRPC call over one HTTP/2 stream (RFC 9113; gRPC over HTTP/2, PROTOCOL-HTTP2.md of grpc/grpc).

h2 does HTTP/2; it is handed whole frames, one at a time, so that what is read stays within a bound and a server that
says good-bye while it still answers (GOAWAY) is told from one that will not.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_to_bytes

from healthd.check import CheckFailed, Reader, Reason, Send, Step, shown

try:
    from h2.config import H2Configuration
    from h2.connection import H2Connection
    from h2.errors import ErrorCodes
    from h2.events import DataReceived, Event, ResponseReceived, StreamEnded, StreamReset, TrailersReceived
    from h2.exceptions import H2Error
    from h2.settings import SettingCodes, Settings
except ImportError as error:
    raise ImportError("the check grpc needs h2, which the extra brings: pip install 'healthd[grpc]'") from error

_MOST = 65536
"""Bytes of all frames of an answer, which is also what a server may send before we would have to ask for more."""

_FRAME = 16384  # longest payload of a frame that we allow the server (RFC 9113, 4.2)
_SETTINGS, _GOAWAY = 4, 7
_STREAM = 1  # a client's first
_MESSAGE_HEAD = 5  # whether it is compressed, and its length


@dataclass(slots=True)
class Reply:
    """What came of a call. headers: of the answer and its trailers, the last of each name. data: messages, framed."""

    headers: dict[bytes, bytes] = field(default_factory=dict)
    data: bytes = b""
    ended: bool = False

    def text(self, name: str) -> str:
        """A header as text, "" if there is none."""
        return self.headers.get(name.encode(), b"").decode("utf-8", "replace")

    @property
    def words(self) -> str:
        """What the server has to say about its status, for people."""
        return shown(unquote_to_bytes(self.headers.get(b"grpc-message", b"")), 100)

    def message(self) -> bytes:
        """The one message of the answer. CheckFailed(PROTOCOL) if it is not one."""
        head, message = self.data[:_MESSAGE_HEAD], self.data[_MESSAGE_HEAD:]
        if len(head) < _MESSAGE_HEAD or int.from_bytes(head[1:], "big") != len(message):
            raise CheckFailed(Reason.PROTOCOL, f"answer of {len(self.data)} bytes is not one message")
        if head[0]:
            raise CheckFailed(Reason.PROTOCOL, "message is compressed, which we did not offer to read")
        return message


def call(scheme: str, authority: str, path: str, message: bytes) -> Generator[Step, Any, Reply]:
    """Make the call on the open stream and leave. CheckFailed if the server resets it, leaves or is no HTTP/2."""
    connection = H2Connection(H2Configuration(client_side=True, header_encoding=None))
    connection.local_settings = Settings(client=True, initial_values={SettingCodes.ENABLE_PUSH: 0})
    connection.initiate_connection()
    headers = {":method": "POST", ":scheme": scheme, ":authority": authority, ":path": path}
    headers |= {"te": "trailers", "content-type": "application/grpc", "user-agent": "healthd"}
    connection.send_headers(_STREAM, list(headers.items()))
    framed = b"\0" + len(message).to_bytes(4, "big") + message
    connection.send_data(_STREAM, framed, end_stream=True)
    yield Send(connection.data_to_send())
    reply = yield from _answer(connection)
    connection.close_connection()
    with suppress(CheckFailed):  # the verdict stands
        yield Send(connection.data_to_send())
    return reply


def _answer(connection: H2Connection) -> Generator[Step, Any, Reply]:
    reader, reply, length = Reader(), Reply(), 0
    while True:
        frame = yield from _frame(reader, first=length == 0)
        if (length := length + len(frame)) > _MOST:
            raise CheckFailed(Reason.PROTOCOL, f"answer is longer than {_MOST} bytes")
        if frame[3] == _GOAWAY:
            _look_at_leave(frame[9:])
            continue  # h2 would take it for the end of all streams
        _take(reply, _received(connection, frame))
        if reply.ended:
            return reply
        if due := connection.data_to_send():
            yield Send(due)


def _frame(reader: Reader, first: bool) -> Generator[Step, Any, bytes]:
    """A whole frame. The first must be one of settings (RFC 9113, 3.4), or it is not HTTP/2."""
    head = yield from reader.exactly(9)
    length = int.from_bytes(head[:3], "big")
    if first and (head[3] != _SETTINGS or head[4] & 1 or length > _FRAME):
        raise CheckFailed(Reason.PROTOCOL, f"answer is not HTTP/2: begins with {shown(head)!r}")
    if length > _FRAME:
        raise CheckFailed(Reason.PROTOCOL, f"server sends a frame of {length} bytes, {_FRAME} are allowed")
    return head + (yield from reader.exactly(length))


def _look_at_leave(body: bytes) -> None:
    """Let a server leave that still answers our call (RFC 9113, 6.8)."""
    last, code = int.from_bytes(body[:4], "big") & 0x7FFFFFFF, int.from_bytes(body[4:8], "big")
    if code or last < _STREAM or len(body) < 8:
        why = f", {shown(body[8:])!r}" if body[8:] else ""
        raise CheckFailed(Reason.UNEXPECTED, f"server leaves without an answer (GOAWAY, {_code(code)}{why})")


def _received(connection: H2Connection, frame: bytes) -> list[Event]:
    try:
        return connection.receive_data(frame)
    except H2Error as error:
        raise CheckFailed(Reason.PROTOCOL, f"answer is not right HTTP/2: {error}") from None


def _take(reply: Reply, events: Iterable[Event]) -> None:
    for event in events:
        match event:
            case ResponseReceived() | TrailersReceived():
                reply.headers.update((bytes(name), bytes(value)) for name, value in event.headers)
            case DataReceived():
                reply.data += event.data
            case StreamEnded():
                reply.ended = True
            case StreamReset():
                reason = Reason.UNEXPECTED if event.remote_reset else Reason.PROTOCOL
                raise CheckFailed(reason, f"call is reset ({_code(event.error_code)})")


def _code(number: int) -> str:
    """Name of an error code (RFC 9113, 7)."""
    try:
        return ErrorCodes(number).name
    except ValueError:
        return f"error {number:#x}"
