"""The values of a running probe: the question that is asked again and again, and one attempt to ask it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol

from healthd.check import AsyncCheck, Check, Conversation, Target
from healthd.prober.sockets import Origin, SocketAddress, origin_of, socket_address
from healthd.prober.transcript import Recorder

if TYPE_CHECKING:
    from healthd.prober.stream import Stream
    from healthd.prober.tls import Secured, Ticket


class Wait:
    """What a step gives back when the conversation must wait for the network."""


WAIT: Final = Wait()


class Question:
    """One check of one target, with what is remembered from probe to probe: an open stream, a TLS session.

    kept: stream left open by the last probe. uses: probes on it so far. ticket: TLS session to resume.
    shared: what it needs to converse on a shared socket.
    """

    __slots__ = ("address", "check", "check_is_task", "kept", "origin", "running", "shared", "target", "ticket", "uses")

    def __init__(self, check: Check | AsyncCheck, target: Target) -> None:
        self.check = check
        self.check_is_task = not hasattr(check, "converse")
        self.target = target
        self.origin: Origin | None = None
        self.address: SocketAddress | None = None
        self.kept: Stream | Secured | None = None
        self.uses = 0
        self.ticket: Ticket | None = None
        self.running: Any = None
        self.shared: Any = None

    def where(self) -> tuple[Origin, SocketAddress]:
        """Origin and address for sockets, worked out once. Inconclusive if an interface it names is not there."""
        if self.origin is None or self.address is None:
            target = self.target
            self.origin = origin_of(target)
            self.address = socket_address(target.address, target.port, target.interface)
        return self.origin, self.address

    def forget(self) -> None:
        """Close what is kept for the next probe."""
        kept, self.kept, self.ticket = self.kept, None, None
        if kept is not None and kept.fd >= 0:
            kept.close(hard=True)


class Channel(Protocol):
    """What an attempt talks through. Each method that gives back `WAIT` resumes the attempt later by itself."""

    def send(self, data: bytes) -> Wait | None:
        """Send all of `data`."""
        ...

    def receive(self, limit: int) -> bytes | Wait:
        """Up to `limit` bytes."""
        ...

    def close(self, hard: bool) -> None:
        """Let go at once. hard: with a reset, because the conversation was not finished."""
        ...

    def waiting_for(self) -> str:
        """What has not come, for the detail of a timeout: "no answer"."""
        ...


class Beside:
    """The second of two streams of an attempt.

    port: its port at the server. talking: it is the one talked through, the attempt's `channel`, and not `other`.
    other: the one that is not talked through; it only remembers that something has come.
    """

    __slots__ = ("other", "port", "talking")

    def __init__(self, port: int, first: Channel) -> None:
        self.port = port
        self.other = first
        self.talking = True


class Attempt:
    """One probe in flight. started, deadline: monotonic seconds. stalled: the engine's total when it began.

    waiting: what has not come, if there is no channel that knows.
    optional: it waits for what need not come (`Receive.optional`). overseen: the runner keeps its deadline.
    beside: what there is of a second stream (`Aside`).
    """

    __slots__ = (
        "beside",
        "cancel",
        "channel",
        "connected",
        "conversation",
        "deadline",
        "flight",
        "keep",
        "optional",
        "overseen",
        "owner",
        "question",
        "received",
        "sent",
        "stalled",
        "started",
        "timeout",
        "trace",
        "waiting",
    )

    def __init__(self, question: Question, timeout: float, owner: Any, trace: Recorder | None) -> None:
        self.question = question
        self.timeout = timeout
        self.owner = owner
        self.trace = trace
        self.started = 0.0
        self.deadline = 0.0
        self.stalled = 0.0
        self.connected = 0.0
        self.sent = 0
        self.received = 0
        self.keep = False
        self.waiting = "no answer"
        self.optional = False
        self.overseen = False
        self.conversation: Conversation | None = None
        self.channel: Channel | None = None
        self.beside: Beside | None = None
        self.cancel: Callable[[], object] | None = None
        self.flight: dict[Attempt, None] | None = None

    def leave_aside(self, hard: bool) -> None:
        """Close the second stream, if there is one, and talk through the first again; its session is not remembered."""
        beside, self.beside = self.beside, None
        if beside is None:
            return
        first, second = (beside.other, self.channel) if beside.talking else (self.channel, beside.other)
        ticket = self.question.ticket
        try:
            if second is not None:
                second.close(hard)
        finally:
            self.channel, self.question.ticket = first, ticket


def late_detail(attempt: Attempt) -> str:
    """What a timeout says: what has not come, within what, and how far it went."""
    channel = attempt.channel
    missing = attempt.waiting if channel is None else channel.waiting_for()
    if attempt.received and missing == "no answer":
        missing = "no complete answer"
    if attempt.beside is not None and attempt.beside.talking:
        missing += f" on port {attempt.beside.port}"
    facts = []
    if attempt.connected:
        facts.append(f"connected after {span(attempt.connected - attempt.started)}")
    if attempt.sent:
        facts.append(f"sent {attempt.sent} bytes")
    if attempt.received:
        facts.append(f"received {attempt.received} bytes")
    told = f"; {', '.join(facts)}" if facts else ""
    return f"{missing} within {span(attempt.timeout)}{told}"


def span(seconds: float) -> str:
    """A time for people: 0.4 ms, 12 ms, 1.5 s."""
    if seconds >= 1:
        return f"{seconds:.3g} s"
    return f"{seconds * 1000:.3g} ms" if seconds >= 0.01 else f"{seconds * 1000:.1f} ms"
