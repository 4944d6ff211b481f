"""What one probe sent and received, and when: for `healthd probe` and `python -m checks --trace`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from healthd.check import Aside, Connect, Connected, Ran, Run, Send, Step, TlsFacts, Turn

HIDDEN = b"***"
"""What stands in a transcript for what a check hides."""


class Kind(Enum):
    """What a line of a transcript tells."""

    WANT = "want"
    SENT = "sent"
    RECEIVED = "received"
    CONNECTED = "connected"
    TLS = "tls"
    END = "end"
    ERROR = "error"
    RAN = "ran"


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that happened `at` seconds after the probe began. data: bytes sent or received. text: for people."""

    at: float
    kind: Kind
    text: str = ""
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class Transcript:
    """A whole probe. Seconds since it began, None where it did not come so far.

    connected: the stream was open. secured: the TLS handshake was done. first_byte: the first byte of an answer.
    """

    lines: tuple[Line, ...]
    took: float
    connected: float | None = None
    secured: float | None = None
    first_byte: float | None = None


class Recorder:
    """Writes a transcript while a conversation runs. clock: monotonic seconds."""

    __slots__ = (
        "_clock",
        "_hidden",
        "_lines",
        "_opening",
        "_other",
        "_start",
        "_where",
        "connected",
        "first_byte",
        "secured",
    )

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._start = clock()
        self._lines: list[Line] = []
        self._hidden: set[bytes] = set()
        self._where, self._other = "", ""  # of two streams, where what is said and heard now is, and the other one
        self._opening = False  # the second one is being opened
        self.connected: float | None = None
        self.secured: float | None = None
        self.first_byte: float | None = None

    def note(self, kind: Kind, text: str = "", data: bytes = b"") -> float:
        """Write a line; returns its time since the start."""
        at = self._clock() - self._start
        self._lines.append(Line(at, kind, f"{text} {self._where}".strip(), data))
        return at

    def wanted(self, step: Step) -> None:
        """The conversation said what it wants next."""
        self._opening = type(step) is Aside
        match step:
            case Send(data, hide):
                self._hidden |= {hide} - {b""}
                self.note(Kind.SENT, f"{len(data)} bytes", data.replace(hide, HIDDEN) if hide else data)
            case Connect():
                self._where = self._other = ""
                self.note(Kind.WANT, "connect")
            case Aside(port):
                self._where, self._other = f"on port {port}", ""
                self.note(Kind.WANT, "connect aside")
            case Turn(close=True):
                aside, self._where, self._other = self._where or self._other, "", ""
                self.note(Kind.WANT, f"close {aside}")
            case Turn():
                self._where, self._other = self._other, self._where
            case Run(argv):
                self.note(Kind.WANT, f"run {' '.join(argv)}")
            case _:
                self.note(Kind.WANT, type(step).__name__.lower())

    def got(self, value: Any) -> None:
        """The conversation was sent what came of it."""
        match value:
            case bytes() if value:
                at = self.note(Kind.RECEIVED, f"{len(value)} bytes", self._seen(value))
                self.first_byte = at if self.first_byte is None else self.first_byte
            case bytes():
                self.note(Kind.END, "end of stream")
            case Connected(reused, facts):
                self.note(Kind.CONNECTED, "on a kept connection" if reused else "")
                self._tls(facts)
            case TlsFacts():
                self._tls(value)
            case Ran(status, output):
                self.note(Kind.RAN, f"status {status}", output)
            case Exception():
                self.note(Kind.ERROR, str(value))
                if self._opening:
                    self._where, self._other = self._other, ""
        self._opening = False

    def _seen(self, data: bytes) -> bytes:
        """What came, without what must not be shown: servers repeat what they do not understand."""
        for secret in sorted(self._hidden, key=len, reverse=True):
            data = data.replace(secret, HIDDEN)
        return data

    def stream_open(self) -> None:
        """The stream is connected; TLS, if any, comes now."""
        self.connected = self._clock() - self._start

    def _tls(self, facts: TlsFacts | None) -> None:
        if facts is None:
            return
        days = "" if facts.days_left is None else f", certificate valid for {facts.days_left} days"
        resumed = ", resumed" if facts.resumed else ""
        at = self.note(Kind.TLS, f"{facts.version} {facts.cipher}{resumed}{days}")
        self.secured = self.secured if self._where else at

    def finish(self) -> Transcript:
        """The transcript so far."""
        took = self._clock() - self._start
        return Transcript(tuple(self._lines), took, self.connected, self.secured, self.first_byte)
