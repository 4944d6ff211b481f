"""What a server says in HTTP/2, as h2's server side writes it or frame by frame, for the tests of gRPC."""

from __future__ import annotations

from collections.abc import Callable

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, StreamEnded

SERVING = b"\x08\1"
Answer = Callable[[bytes], bytes]


def framed(message: bytes) -> bytes:
    """A message as gRPC sends it."""
    return b"\0" + len(message).to_bytes(4, "big") + message


def frame(kind: int, body: bytes = b"", flags: int = 0, of: int = 0) -> bytes:
    """A frame of HTTP/2."""
    return len(body).to_bytes(3, "big") + bytes((kind, flags)) + of.to_bytes(4, "big") + body


SETTINGS = frame(4)


class Peer:
    """h2's server side, and what it has read of the call."""

    def __init__(self, request: bytes) -> None:
        self.connection = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self.connection.initiate_connection()
        self.headers: dict[str, str] = {}
        self.data, self.ended = b"", False
        for event in self.connection.receive_data(request):
            match event:
                case RequestReceived():
                    self.headers = dict(event.headers)  # type: ignore[arg-type]
                case DataReceived():
                    self.data += event.data
                case StreamEnded():
                    self.ended = True

    def said(self) -> bytes:
        """What it has to say by now."""
        return self.connection.data_to_send()


def answer(
    body: bytes = framed(SERVING),
    status: str = "200",
    content: str = "application/grpc",
    trailers: dict[str, str] | None = None,
) -> Answer:
    """The answer to a call: headers, data and trailers, or headers alone where there is no data."""
    last = {"grpc-status": "0"} if trailers is None else trailers

    def made(request: bytes) -> bytes:
        peer = Peer(request)
        head = {":status": status, "content-type": content}
        if not body:
            peer.connection.send_headers(1, list((head | last).items()), end_stream=True)
            return peer.said()
        peer.connection.send_headers(1, list(head.items()))
        peer.connection.send_data(1, body, end_stream=not last)
        if last:
            peer.connection.send_headers(1, list(last.items()), end_stream=True)
        return peer.said()

    return made


def early(frames: bytes) -> Answer:
    """A right answer, with these frames after its settings."""

    def made(request: bytes) -> bytes:
        whole = answer()(request)
        first = 9 + int.from_bytes(whole[:3], "big")
        return whole[:first] + frames + whole[first:]

    return made


def goaway(last: int, code: int, debug: bytes = b"") -> bytes:
    """A server leaves: the last stream it looks at, why, and its words."""
    return frame(7, last.to_bytes(4, "big") + code.to_bytes(4, "big") + debug)
