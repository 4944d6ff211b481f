"""TLS on a stream of the engine, by `ssl.SSLObject` between two memory buffers.

So TLS can begin at once or in the middle of a conversation (STARTTLS), and needs no thread and no blocking call. A
session is taken up again by the next probe of the same target, because a handshake costs more than all the rest, but
every tenth handshake is a whole one: only that one looks at the certificate anew. At the end we say close_notify and do
not wait for the answer: a server that never closes must not collect our connections.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from healthd.check import CheckFailed, Inconclusive, Reason, Tls, TlsFacts
from healthd.prober.attempt import WAIT, Attempt, Question, Wait
from healthd.prober.certificate import not_after
from healthd.prober.sockets import plain_text
from healthd.prober.stream import INCOMING, Stream

RESUMES = 9
"""Handshakes in a row that may take up a session; the next is a whole one."""

DAY = 86400


@dataclass(frozen=True, slots=True)
class Ticket:
    """A session for the next probe. resumed: how often in a row sessions were taken up to get it."""

    context: ssl.SSLContext
    session: ssl.SSLSession
    resumed: int


class Secured:
    """TLS on one stream; a `Channel`. `_task` is what TLS is at: the handshake, a read, or (None) only flushing."""

    __slots__ = (
        "_context",
        "_done",
        "_incoming",
        "_outgoing",
        "_question",
        "_resumed",
        "_task",
        "_tell",
        "_tls",
        "_unsent",
        "facts",
        "stream",
    )

    def __init__(
        self, stream: Stream, question: Question, context: ssl.SSLContext, name: str, tell: Callable[[TlsFacts], Any]
    ) -> None:
        self.stream = stream
        self.facts: TlsFacts | None = None
        self._question = question
        self._context = context
        self._tell = tell
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._unsent = memoryview(b"")
        self._done: Any = None
        self._resumed = 0
        try:
            self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        except ValueError:
            raise Inconclusive(f"{name!r} cannot be a server's name in TLS") from None
        ticket, question.ticket = question.ticket, None
        if ticket is not None and ticket.context is context and ticket.resumed < RESUMES:
            self._tls.session = ticket.session
            self._resumed = ticket.resumed + 1
        self._task: Callable[[], Any] | None = self._tls.do_handshake
        stream.layer = self

    # --- Channel ---

    def send(self, data: bytes) -> Wait | None:
        """Send all of `data`, waiting for room where there is none."""
        if data:
            self._tls.write(data)
        self._task, self._done = None, None
        return self.work()  # type: ignore[no-any-return]

    def receive(self, limit: int) -> bytes | Wait:
        """What is there, up to `limit` bytes; b"" at the end."""
        self._task = partial(self._tls.read, limit)
        return self.work()  # type: ignore[no-any-return]

    def close(self, hard: bool) -> None:
        """Close without waiting; with close_notify and the session kept unless `hard`."""
        if not hard:
            self._say_goodbye()
            self._question.ticket = self._ticket()
        self.stream.layer = None
        self.stream.close(hard)

    def waiting_for(self) -> str:
        """What has not come."""
        if self.facts is None:
            return "TLS handshake not finished"
        return "the server did not take what was sent" if self._task is None else "no answer"

    # --- between two probes ---

    def keep(self) -> bool:
        """Stay open for the next probe; False if the stream is at its end or has unread data."""
        if not self.quiet():
            return False
        self.stream.attempt = None
        self.stream.wait = _kept
        return True

    def take(self, attempt: Attempt) -> None:
        """Serve another probe."""
        self.stream.attempt = attempt
        self.stream.wait = _working

    @property
    def fd(self) -> int:
        """Descriptor of the stream, -1 once it is closed."""
        return self.stream.fd

    def quiet(self) -> bool:
        """True if nothing has come but what TLS itself says, such as session tickets."""
        try:
            while True:
                try:
                    self._tls.read(1)
                except ssl.SSLWantReadError:
                    if not self._fill():
                        return True
                else:
                    return False
        except OSError:
            return False

    # --- TLS ---

    def work(self) -> Any:
        """Go on with the task until it is done or waits for the network."""
        while True:
            value = self._done if self._task is None else self._try()
            flushed = self._flush()
            if not flushed and value is not WAIT:
                self._task, self._done = None, value
            if not flushed or (value is WAIT and not self._fill()):
                self.stream.wait = _working
                return WAIT
            if value is not WAIT:
                self.stream.wait = Stream.idle
                return value if self.facts is not None else self._shake_hands()

    def _try(self) -> Any:
        assert self._task is not None
        try:
            return self._task()
        except ssl.SSLWantReadError:
            return WAIT
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            if self.facts is None:
                raise
            return b""  # many servers close without close_notify; each protocol knows by itself what is missing
        except ssl.SSLError:
            self._flush()  # the alert that tells the server why
            raise

    def _shake_hands(self) -> Any:
        """The handshake is done."""
        cipher = self._tls.cipher()
        der = self._tls.getpeercert(binary_form=True)
        self.facts = TlsFacts(
            version=self._tls.version() or "",
            cipher=cipher[0] if cipher else "",
            alpn=self._tls.selected_alpn_protocol(),
            days_left=None if der is None else days_left(der),
            resumed=bool(self._tls.session_reused),
        )
        return self._tell(self.facts)

    def _flush(self) -> bool:
        """Send what TLS has to say; False if there is no room for all of it."""
        if self._outgoing.pending:
            self._unsent = memoryview(bytes(self._unsent) + self._outgoing.read())
        while self._unsent:
            try:
                self._unsent = self._unsent[self.stream.sock.send(self._unsent) :]
            except BlockingIOError:
                return False
        return True

    def _fill(self) -> bool:
        """Give TLS what has come; False if nothing has."""
        data = self.stream.fetch(65536)
        if data is None:
            return False
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
        return True

    def _say_goodbye(self) -> None:
        """Send close_notify; not waiting for the server's is what RFC 8446 section 6.1 allows."""
        with suppress(OSError):
            self.quiet()
            self._tls.unwrap()
        with suppress(OSError):
            self._flush()

    def shared_session(self) -> Ticket | None:
        """The session for a stream beside this one, which is of the same handshake's trust and counts as no probe."""
        ticket = self._ticket()
        return None if ticket is None else replace(ticket, resumed=0)

    def _ticket(self) -> Ticket | None:
        """The session for the next probe, if the server gave one."""
        session = self._tls.session
        if session is None or (self._tls.version() == "TLSv1.3" and not session.has_ticket):
            return None
        resumed = self._resumed if self._tls.session_reused else 0
        return Ticket(self._context, session, resumed)


def _working(stream: Stream, events: int) -> Any:
    stream.idle(events)
    layer = stream.layer
    assert layer is not None
    try:
        return layer.work()
    except ConnectionResetError:
        if layer.facts is not None:
            raise
        raise CheckFailed(Reason.RESET, "connection reset during the TLS handshake") from None


def _kept(stream: Stream, events: int) -> Any:
    """Session tickets may come while nobody asks; anything else means that the stream cannot be kept."""
    stream.idle(events)
    layer = stream.layer
    if events & INCOMING and layer is not None and not layer.quiet():
        layer.close(hard=True)
    return WAIT


def days_left(der: bytes) -> int | None:
    """Whole days until a certificate expires, negative if it has; None if it cannot be read."""
    try:
        return int((not_after(der) - time.time()) // DAY)
    except ValueError:
        return None


def secure(stream: Stream, question: Question, tls: Tls, name: str | None, tell: Callable[[TlsFacts], Any]) -> Any:
    """Begin TLS on an open stream. Gives back WAIT, or what `tell` makes of the facts of the handshake.

    name: for TLS if `tls` has none; the target's address if that is None too.
    """
    context = stream.engine.contexts.of(tls)
    name = tls.server_name or name or plain_text(question.target.address)
    layer = Secured(stream, question, context, name, partial(_judged, tell, tls.min_days))
    attempt = stream.attempt
    assert attempt is not None
    attempt.channel = layer
    return layer.work()


def _judged(tell: Callable[[TlsFacts], Any], min_days: int, facts: TlsFacts) -> Any:
    left = facts.days_left
    if min_days and left is None:
        raise CheckFailed(Reason.TLS, "the server has no certificate that can be read")
    if min_days and left is not None and left < min_days:
        ends = f"expires in {left} days" if left >= 0 else f"expired {-left} days ago"
        raise CheckFailed(Reason.TLS, f"certificate {ends}, want {min_days}")
    return tell(facts)
