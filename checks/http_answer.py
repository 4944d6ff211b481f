"""Reading an HTTP/1 answer (RFC 9112) with httptools' parser, no further than a verdict needs.

Where the verdict is reached is a place in the stream of bytes, not in the pieces it came in: errors behind that place
are ignored, so every way of cutting the bytes gives the same verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from http import HTTPStatus
from typing import Any

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpResponseParser

from healthd.check import CheckFailed, Reason, Receive, Step, shown

HEAD_LIMIT = 65536
_BLOCK = 65536
_FRAMING = 8  # most bytes on the wire for one of the body: a chunk of one byte takes six
_FIRST = Receive(HEAD_LIMIT)
_START = 16


class NoAnswer(CheckFailed):
    """The connection was closed before the first byte of an answer."""

    def __init__(self) -> None:
        super().__init__(Reason.PROTOCOL, "connection closed without an answer")


class Head:
    """Hears only when the headers of the final answer are complete. `parser` is cleared after use: it refers back."""

    __slots__ = ("parser", "status")

    def __init__(self) -> None:
        self.status: int | None = None
        self.parser: HttpResponseParser | None = _parser(self)

    def on_headers_complete(self) -> None:
        """Called at the end of each message's headers."""
        if self.status is None and self.parser is not None:
            self.status = _final(self.parser.get_status_code())


class Answer:
    """Hears everything of the final answer: status, Location, the first `most` bytes of the body, and its end.

    keep: the connection may be used again as far as the answer says. extra: something came that nobody asked for.
    """

    __slots__ = ("bodiless", "body", "complete", "extra", "framed", "keep", "location", "most", "parser", "status")

    def __init__(self, most: int, bodiless: bool) -> None:
        self.most, self.bodiless = most, bodiless
        self.status: Any = None
        self.location = ""
        self.framed = self.complete = self.keep = self.extra = False
        self.body = bytearray()
        self.parser: HttpResponseParser | None = _parser(self)

    def on_message_begin(self) -> None:
        """Called before each message, so also before one that nobody asked for."""
        self.extra = self.complete

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called for each field; those after the body do not count."""
        if self.status is not None:
            return
        lower = name.lower()
        if lower == b"location":
            self.location = value.decode("latin-1")
        elif lower == b"content-length" or (lower == b"transfer-encoding" and _chunked(value)):
            self.framed = True

    def on_headers_complete(self) -> None:
        """Called at the end of each message's headers."""
        if self.status is not None or self.parser is None:
            return
        self.status = _final(self.parser.get_status_code())
        if self.status is None:
            self.location, self.framed = "", False
        elif self.bodiless:
            self.on_message_complete()

    def on_body(self, data: bytes) -> None:
        """Called for each piece of the body, undone from chunks."""
        if self.complete:
            self.extra = True
        else:
            self.body += data[: self.most - len(self.body)]

    def on_message_complete(self) -> None:
        """Called at the end of each message, interim ones too."""
        if self.status is not None and not self.complete and self.parser is not None:
            self.complete = True
            self.keep = self.parser.should_keep_alive()


def _parser(listener: object) -> HttpResponseParser:
    """A parser that takes what RFC 9112 has clients take, as every browser does.

    A bare LF for the end of a line (2.2), a header that goes on in the next line (5.2), a Content-Length beside chunks,
    which it is for the chunks to overrule (6.3), and spaces behind the size of a chunk (7.1.1).
    """
    parser = HttpResponseParser(listener)
    parser.set_dangerous_leniencies(
        lenient_optional_cr_before_lf=True,
        lenient_headers=True,
        lenient_chunked_length=True,
        lenient_spaces_after_chunk_size=True,
    )
    return parser


def _final(status: int) -> int | None:
    """The status, or None for an interim one. 101 is final: nothing of HTTP follows it."""
    return None if 100 <= status < HTTPStatus.OK and status != HTTPStatus.SWITCHING_PROTOCOLS else status


def read_status() -> Generator[Step, Any, int]:
    """Read until the status and headers of the final answer are there."""
    head = Head()
    parser, left, step, start = head.parser, HEAD_LIMIT, _FIRST, b""
    try:
        while True:
            data = yield step
            if not data:
                raise _broken_off(head.status, left == HEAD_LIMIT)
            error = _feed(parser, data)
            start = _start_of(start, data)
            if head.status is not None:
                _confirm(start)
                return head.status
            left -= len(data)
            if error or not left:
                raise _not_http(error)
            step = Receive(left)
    finally:
        head.parser = None


def read_answer(answer: Answer, needs_body: Callable[[Answer], bool]) -> Generator[Step, Any, None]:
    """Read until the answer is complete, has the bytes of the body that it may have, or is as long as it is needed."""
    read, limit, start = 0, HEAD_LIMIT + _FRAMING * answer.most, b""
    while True:
        left = (HEAD_LIMIT if answer.status is None else limit) - read
        if left <= 0:
            raise _not_http(None) if answer.status is None else _too_long()
        data = yield Receive(min(left, _BLOCK))
        if not data:
            return _ended(answer, read == 0)
        error = _feed(answer.parser, data)
        read += len(data)
        start = _start_of(start, data)
        if answer.status is not None:
            _confirm(start)
        if answer.complete or len(answer.body) >= answer.most or (answer.status and not needs_body(answer)):
            return None
        if error:
            raise _not_http(error)


def _chunked(codings: bytes) -> bool:
    """Whether these transfer codings tell where the body ends: chunked does as the last one (RFC 9112, 6.3)."""
    return codings.rpartition(b",")[2].strip().lower() == b"chunked"


def _start_of(start: bytes, data: bytes) -> bytes:
    """What an answer begins with, as far as it matters."""
    return start if len(start) >= _START else (start + data)[:_START]


def _confirm(start: bytes) -> None:
    """CheckFailed unless it is HTTP by its own account: the parser takes RTSP and ICE as well."""
    if not start.lstrip(b"\r\n").startswith(b"HTTP/"):
        raise CheckFailed(Reason.PROTOCOL, f"answer is not HTTP: it begins with {shown(start)!r}")


def _feed(parser: Any, data: bytes) -> HttpParserError | None:
    """Let the parser have more. Its error is returned: it may lie behind what the verdict needs."""
    try:
        parser.feed_data(data)
    except HttpParserCallbackError:
        raise
    except HttpParserError as error:
        return error
    except HttpParserUpgrade:
        return None
    return None


def _ended(answer: Answer, silent: bool) -> None:
    """At the end of the stream: fine only for a body that has no other end."""
    if answer.status is None or answer.framed:
        raise _broken_off(answer.status, silent)
    answer.complete = True


def _broken_off(status: int | None, silent: bool) -> CheckFailed:
    if silent:
        return NoAnswer()
    where = "headers" if status is None else "body"
    return CheckFailed(Reason.PROTOCOL, f"connection closed in the middle of the {where}")


def _not_http(error: Exception | None) -> CheckFailed:
    text = f"answer is not HTTP: {error}" if error else f"headers are longer than {HEAD_LIMIT} bytes"
    return CheckFailed(Reason.PROTOCOL, text)


def _too_long() -> CheckFailed:
    return CheckFailed(Reason.PROTOCOL, "answer has more framing than body")
