"""What a prober has to say, until the director takes it. Bounded by construction, and never in the way of probing.

One slot per probe holds its last observation: a newer one takes the place of one that nobody has read, which loses a
verdict but no health, for an observation tells the health of every watch. Summaries add up. An answer to `latest` is
made batch by batch as it is taken.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice

from healthd.prober.base import Memories, Observation, Summary, Timings
from healthd.prober.totals import Totals
from healthd.prober.wire import (
    BATCH,
    MOST_TIMED,
    Latest,
    Message,
    Observed,
    Recalled,
    Summarised,
    Timed,
    batches,
    encode,
    packets,
)


class Outbox:
    """A `Sink` whose other end is a socket (non-blocking, SOCK_SEQPACKET). Needs a running loop."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._slots: dict[int, Observation] = {}
        self._totals = Totals()
        self._answers: deque[Iterator[Message]] = deque()
        self._packets: deque[bytes] = deque()
        self._planned = False
        self._blocked = False
        self._open = True

    def observed(self, batch: Sequence[Observation]) -> None:
        """As in `Sink`."""
        for one in batch:
            self._slots[one.probe] = one
        self._plan()

    def summarised(self, summary: Summary) -> None:
        """As in `Sink`."""
        self._totals.add(None, summary)
        self._plan()

    def lost(self, why: str) -> None:
        """As in `Sink`; the prober of this process cannot be lost without it."""
        raise AssertionError(why)

    def say(self, message: Message) -> None:
        """Send a message besides."""
        self._answers.append(iter((message,)))
        self._plan()

    def answer(self, number: int, observations: Sequence[Observation]) -> None:
        """Send the answer to a question for the latest observations."""
        self._answers.append(_parts(number, observations))
        self._plan()

    def answer_timings(self, number: int, timings: Timings) -> None:
        """Send the answer to a question for timings."""
        self._answers.append(_timings(number, timings))
        self._plan()

    def answer_recall(self, number: int, memories: Memories) -> None:
        """Send the answer to a question for what is remembered."""
        self._answers.append(_memories(number, memories))
        self._plan()

    def close(self) -> None:
        """Say nothing more."""
        self._open = False
        self._loop.remove_writer(self._sock)

    def _plan(self) -> None:
        if not (self._planned or self._blocked) and self._open:
            self._planned = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        """Send one message, and come back for the next: it is the probes' turn in between."""
        self._planned = False
        if not self._open:
            return
        if not self._packets:
            message = self._next()
            if message is None:
                return
            self._packets.extend(packets(encode(message)))
        if self._send():
            self._plan()

    def _next(self) -> Message | None:
        if self._slots:
            batch = [self._slots.pop(number) for number in list(islice(self._slots, BATCH))]
            return Observed(tuple(batch))
        summary = self._totals.take()
        if summary is not None:
            return Summarised(summary)
        while self._answers:
            message = next(self._answers[0], None)
            if message is not None:
                return message
            self._answers.popleft()
        return None

    def _send(self) -> bool:
        try:
            while self._packets:
                self._sock.send(self._packets[0])
                self._packets.popleft()
        except BlockingIOError:
            self._blocked = True
            self._loop.add_writer(self._sock, self._unblock)
            return False
        except OSError:
            self.close()  # the director has gone; reading finds that too, and ends us
            return False
        return True

    def _unblock(self) -> None:
        self._blocked = False
        self._loop.remove_writer(self._sock)
        self._plan()


def _parts(number: int, observations: Sequence[Observation]) -> Iterator[Message]:
    for batch in batches(observations):
        yield Latest(number, False, batch)
    yield Latest(number, True, ())


def _timings(number: int, timings: Timings) -> Iterator[Message]:
    rest = iter(timings.items())
    while some := dict(islice(rest, MOST_TIMED)):
        yield Timed(number, False, some)
    yield Timed(number, True, {})


def _memories(number: int, memories: Memories) -> Iterator[Message]:
    for probe, past in memories.items():
        yield Recalled(number, False, probe, past)
    yield Recalled(number, True, 0, ())
