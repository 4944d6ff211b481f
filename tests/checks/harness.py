"""Drives a check's conversation from a script instead of a network: what is sent back is bytes that the test wrote.

A peer is a list of channels, one for each `Connect`, `Aside`, `Datagram`, `Echo` or `Run`, in order. A
channel's script is a list of what happens when the conversation waits:

    bytes         arrive (a stream hands them out in the pieces that `cut` makes of them, a datagram channel whole)
    END           the stream ends
    CheckFailed   what the engine would raise (a reset, say)
    Sent(bytes)   nothing; asserts that exactly this was sent since the last `Sent`
    a function    of the bytes sent since the last `Sent`; its answer arrives

When the script has nothing more, the peer is silent until the deadline.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

from healthd.check import (
    Aside,
    AsyncCheck,
    Check,
    CheckFailed,
    Connect,
    Connected,
    Datagram,
    Echo,
    Endpoint,
    Finish,
    Inconclusive,
    Keep,
    Outcome,
    Passed,
    Ran,
    Reason,
    Receive,
    Run,
    Send,
    StartTls,
    Step,
    Target,
    TlsFacts,
    Turn,
    Verdict,
    Whence,
)

V4 = Target(ip_address("192.0.2.11"), 80)
V6 = Target(ip_address("2001:db8::11"), 80)
END = b""
FACTS = TlsFacts("TLSv1.3", "TLS_AES_256_GCM_SHA384", None, 90)
REFUSED = CheckFailed(Reason.REFUSED, "connection refused")
OWN = {4: Endpoint(ip_address("192.0.2.1"), 40000), 6: Endpoint(ip_address("2001:db8::1"), 40000)}
RESET = CheckFailed(Reason.RESET, "connection reset")


@dataclass(frozen=True)
class Sent:
    """What the conversation must have sent since the last `Sent`."""

    data: bytes


Item = bytes | CheckFailed | Sent | Callable[[bytes], bytes]
Cut = Callable[[bytes], list[bytes]]


def whole(data: bytes) -> list[bytes]:
    """All at once."""
    return [data]


def single(data: bytes) -> list[bytes]:
    """Byte by byte."""
    return [data[at : at + 1] for at in range(len(data))]


def at(place: int) -> Cut:
    """In two pieces, cut at `place`."""
    return lambda data: [piece for piece in (data[:place], data[place:]) if piece]


def cuts(length: int) -> Iterator[Cut]:
    """Whole, byte by byte, and every cut in two of up to `length` bytes."""
    yield whole
    yield single
    yield from (at(place) for place in range(1, length))


@dataclass
class Channel:
    """One stream, datagram conversation, echo or program. opened: what opening it gives, or how it fails."""

    script: list[Item] = field(default_factory=list)
    opened: Any = Connected()

    def __post_init__(self) -> None:
        self.items = list(self.script)
        self.pieces: list[bytes] = []
        self.unseen = b""

    def send(self, data: bytes) -> None:
        """Remember what the conversation sent."""
        self.unseen += data

    def receive(self, step: Receive, cut: Cut) -> bytes | CheckFailed | None:
        """What a stream gives next; None for silence."""
        if not self.pieces:
            item = self.next_item()
            if item is None or isinstance(item, CheckFailed) or item == END:
                return item
            self.pieces = cut(item)
        piece = self.pieces.pop(0)
        if len(piece) > step.limit:
            self.pieces.insert(0, piece[step.limit :])
        return piece[: step.limit]

    def next_item(self) -> bytes | CheckFailed | None:
        """The next thing that happens; None when the script is over."""
        while self.items and isinstance(item := self.items[0], Sent):
            assert self.unseen == item.data
            self.unseen = b""
            self.items.pop(0)
        if not self.items:
            return None
        item = self.items.pop(0)
        if callable(item):
            item, self.unseen = item(self.unseen), b""
        return item  # type: ignore[return-value]


class Player:
    """Plays one conversation and remembers its steps."""

    def __init__(self, channels: Iterable[Channel], cut: Cut = whole) -> None:
        self.channels = list(channels)
        self.cut = cut
        self.steps: list[Step] = []
        self.kept = False
        self.channel: Channel | None = None
        self.other: Channel | None = None
        self.first: Channel | None = None
        self.target = V4

    def play(self, check: Check | AsyncCheck, target: Target = V4) -> Verdict:
        """The verdict an engine would reach."""
        assert isinstance(check, Check)
        conversation = check.converse(target)
        self.target = target
        try:
            step = next(conversation)
            while True:
                step = self.advance(conversation, step)
        except StopIteration as stop:
            passed = stop.value if isinstance(stop.value, Passed) else Passed(stop.value)
            assert isinstance(passed.detail, str)
            return Verdict(Outcome.PASS, Reason.OK, passed.detail, passed.weight)
        except CheckFailed as failure:
            return failure_verdict(failure)
        except Inconclusive as doubt:
            return Verdict(Outcome.INCONCLUSIVE, Reason.LOCAL, doubt.detail)
        except _Silence:
            conversation.close()
            return Verdict(Outcome.FAIL, Reason.TIMEOUT, "no answer in time")

    def advance(self, conversation: Any, step: Step) -> Step:
        """Do one step; the next one."""
        self.steps.append(step)
        answer = self.answer(step)
        return conversation.throw(answer) if isinstance(answer, Exception) else conversation.send(answer)

    def answer(self, step: Step) -> Any:
        """What the engine would send back."""
        match step:
            case Connect() | Datagram():
                assert self.channels, f"one channel too few for {step}"
                self.channel = self.channels.pop(0)
                return self.channel.opened
            case Echo() | Run():
                assert self.channels, f"one channel too few for {step}"
                return self.channels.pop(0).opened
            case StartTls():
                return FACTS
            case Aside(port):
                return self.opened_aside(port)
        assert self.channel is not None, f"{step} before anything was opened"
        match step:
            case Send(data):
                assert isinstance(data, bytes)
                return self.channel.send(data)
            case Turn(close):
                assert self.other is not None, "there is nothing to turn to"
                self.channel, self.other = self.other, self.channel
                if close:
                    self.channel, self.other = self.first, None
                return None
            case Keep():
                self.kept = True
                return None
            case Finish():
                return None
            case Whence():
                return OWN[self.target.address.version]
            case Receive():
                assert step.limit > 0
                return self.received(step)
        raise AssertionError(step)

    def opened_aside(self, port: int) -> Any:
        """What comes of `Aside`; where it fails, the first stream is talked through as before."""
        assert 0 < port < 65536
        assert self.channel is not None
        assert self.other is None
        channel = self.channels.pop(0)
        if not isinstance(channel.opened, Exception):
            self.channel, self.other, self.first = channel, self.channel, self.channel
        return channel.opened

    def received(self, step: Receive) -> bytes | CheckFailed | None:
        """What comes for a `Receive`."""
        assert self.channel is not None
        opening = next(s for s in reversed(self.steps) if isinstance(s, Connect | Datagram))
        cut = whole if isinstance(opening, Datagram) else self.cut
        got = self.channel.receive(step, cut)
        if got is None and not step.optional:
            raise _Silence
        return got


def failure_verdict(failure: CheckFailed) -> Verdict:
    """FAIL, for a reason that is allowed to be one."""
    assert failure.reason not in (Reason.OK, Reason.LOCAL)
    return Verdict(Outcome.FAIL, failure.reason, failure.detail)


class _Silence(Exception):
    """The peer says nothing more."""


def stream(*script: Item, reused: bool = False, tls: TlsFacts | None = None) -> Channel:
    """A stream that opens and then plays `script`."""
    return Channel(list(script), Connected(reused, tls))


def datagrams(*script: Item) -> Channel:
    """A datagram conversation."""
    return Channel(list(script), None)


def program(status: int, output: bytes = b"") -> Channel:
    """A program that ran."""
    return Channel([], Ran(status, output))


def play(check: Check | AsyncCheck, *channels: Channel, target: Target = V4, cut: Cut = whole) -> Verdict:
    """The verdict of one conversation."""
    return Player(channels, cut).play(check, target)


def same_verdict_for_every_cut(
    check: Check | AsyncCheck, make: Callable[[], list[Channel]], length: int, target: Target = V4
) -> Verdict:
    """The verdict, which must be the same whichever way the bytes are cut."""
    verdicts = {Player(make(), cut).play(check, target) for cut in cuts(length)}
    assert len(verdicts) == 1, verdicts
    return verdicts.pop()


def every_cut(check: Check | AsyncCheck, *script: Item) -> Verdict:
    """The verdict of one stream, the same for every cut of every answer."""
    longest = max((len(item) for item in script if isinstance(item, bytes)), default=2)
    return same_verdict_for_every_cut(check, lambda: [stream(*script)], longest)


def passed(verdict: Verdict) -> bool:
    return verdict.outcome is Outcome.PASS


def failed(verdict: Verdict, reason: Reason) -> bool:
    return verdict.outcome is Outcome.FAIL and verdict.reason is reason
