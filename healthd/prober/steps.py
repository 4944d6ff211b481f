"""What the engine does for each step a conversation may yield. Each gives back the step's answer, or WAIT."""

from __future__ import annotations

import _socket
import signal
from collections.abc import Callable, Mapping
from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from healthd.check import (
    Aside,
    CheckFailed,
    Connect,
    Connected,
    Datagram,
    Echo,
    Endpoint,
    Finish,
    Inconclusive,
    Keep,
    Ran,
    Reason,
    Receive,
    Run,
    Send,
    StartTls,
    TlsFacts,
    Turn,
    Whence,
)
from healthd.prober.attempt import WAIT, Attempt, Beside, Wait, late_detail
from healthd.prober.datagram import OwnPort, open_datagram
from healthd.prober.sockets import STREAM, socket_address
from healthd.prober.stream import REUSED, Stream, begin
from healthd.prober.tls import Secured, secure

if TYPE_CHECKING:
    from healthd.prober.engine import Engine

GRACE = 5.0
"""Seconds beyond the deadline until a runner that has not said how a program ended is taken for hung."""


def connect(engine: Engine, attempt: Attempt, step: Connect) -> Connected | Wait:
    """Take the kept stream or open one."""
    if attempt.channel is not None or attempt.keep:
        _leave(attempt)
    question = attempt.question
    if question.kept is not None:
        taken = _take_kept(attempt, step)
        if taken is not None:
            return taken
    question.uses = 1
    return _open_stream(engine, attempt, step)


def _take_kept(attempt: Attempt, step: Connect) -> Connected | None:
    """Go on with the stream that the last probe left, if it is there and its turn."""
    question = attempt.question
    kept, question.kept = question.kept, None
    if kept is None or kept.fd < 0:
        return None
    if not step.reuse or step.fresh or question.uses % step.reuse == 0:
        kept.close(hard=False)
        return None
    kept.take(attempt)
    attempt.channel = kept
    question.uses += 1
    return REUSED if isinstance(kept, Stream) else Connected(True, kept.facts)


def _open_stream(engine: Engine, attempt: Attempt, step: Connect) -> Wait:
    question = attempt.question
    origin, address = question.origin, question.address
    if origin is None or address is None:
        engine.check_namespace(question.target)
        origin, address = question.where()
    sock = origin.open(STREAM)
    if step.speaks or step.tls is not None:
        # on a client's socket it keeps the handshake's last ACK back for our data (tcp_rcv_synsent_state_process in
        # net/ipv4/tcp_input.c): one packet less, and the server wakes once, to a connection that has something to say
        sock.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_DEFER_ACCEPT, 1)
    attempt.channel = stream = begin(engine, attempt, sock, address)
    if step.tls is not None:
        stream.on_open = partial(_secured, attempt, step.tls, step.server_name, _connected)
    return WAIT


def _secured(attempt: Attempt, tls: Any, name: str | None, tell: Callable[[TlsFacts], Any], stream: Stream) -> Any:
    return secure(stream, attempt.question, tls, name, tell)


def _connected(facts: TlsFacts) -> Connected:
    return Connected(tls=facts)


def _facts(facts: TlsFacts) -> TlsFacts:
    return facts


def start_tls(_engine: Engine, attempt: Attempt, step: StartTls) -> TlsFacts | Wait:
    """Speak TLS on the open stream from here on."""
    if not isinstance(attempt.channel, Stream):
        raise TypeError("StartTls needs an open stream without TLS")
    if attempt.beside is not None and attempt.beside.talking and isinstance(attempt.beside.other, Secured):
        attempt.question.ticket = attempt.beside.other.shared_session()
    return _secured(attempt, step.tls, step.server_name, _facts, attempt.channel)  # type: ignore[no-any-return]


def aside(engine: Engine, attempt: Attempt, step: Aside) -> Wait:
    """Open a second stream beside the first and turn to it."""
    first = attempt.channel
    if attempt.beside is not None or not isinstance(first, Stream | Secured):
        raise TypeError("Aside needs one open stream")
    if not 0 < step.port < 65536:
        raise ValueError(f"Aside needs a port, got {step.port}")
    target, origin = attempt.question.target, attempt.question.where()[0]
    address = socket_address(target.address, step.port, target.interface)
    attempt.channel = begin(engine, attempt, origin.open(STREAM), address)
    attempt.beside = Beside(step.port, first)
    return WAIT


def turn(_engine: Engine, attempt: Attempt, step: Turn) -> None:
    """Turn to the other one of two streams, or close the second."""
    beside, channel = attempt.beside, attempt.channel
    if beside is None or channel is None:
        raise TypeError("Turn needs a stream aside")
    if step.close:
        return attempt.leave_aside(hard=False)
    attempt.channel, beside.other, beside.talking = beside.other, channel, not beside.talking
    return None


def datagram(engine: Engine, attempt: Attempt, step: Datagram) -> None:
    """Open a datagram conversation."""
    _leave(attempt)
    engine.check_namespace(attempt.question.target)
    if step.own_port:
        open_datagram(engine, attempt)
    else:
        engine.shared.join(attempt)


def send(_engine: Engine, attempt: Attempt, step: Send) -> Wait | None:
    """Send all of the data."""
    attempt.sent += len(step.data)
    return attempt.channel.send(step.data)  # type: ignore[union-attr]


def finish(_engine: Engine, attempt: Attempt, _step: Finish) -> None:
    """Half-close the open stream. One that is broken says so at the next step."""
    if not isinstance(attempt.channel, Stream):
        raise TypeError("Finish needs an open stream without TLS")
    attempt.channel.finish()


def whence(_engine: Engine, attempt: Attempt, _step: Whence) -> Endpoint:
    """Our own end of what is open."""
    channel = attempt.channel
    if isinstance(channel, Secured):
        channel = channel.stream
    if not isinstance(channel, Stream | OwnPort):
        raise TypeError("Whence needs an open stream or a datagram conversation with a port of its own")
    address, port = channel.sock.getsockname()[:2]
    return Endpoint(ip_address(address.partition("%")[0]), port)


def receive(_engine: Engine, attempt: Attempt, step: Receive) -> bytes | Wait:
    """Wait for data."""
    attempt.optional = step.optional
    return attempt.channel.receive(step.limit)  # type: ignore[union-attr]


def keep(_engine: Engine, attempt: Attempt, _step: Keep) -> None:
    """Leave the stream open if the probe passes."""
    attempt.keep = True


def echo(engine: Engine, attempt: Attempt, step: Echo) -> Wait:
    """Send one ICMP echo request and wait for its reply."""
    _leave(attempt)
    engine.check_namespace(attempt.question.target)
    return engine.echoes.ask(attempt, step.payload)


def run(engine: Engine, attempt: Attempt, step: Run) -> Wait:
    """Have the runner run a program.

    The deadline is the runner's to keep: only it knows whether the program had its time, or stood in a queue.
    """
    if engine.runner is None:
        raise Inconclusive("nothing is there that runs programs")
    deadline = attempt.deadline
    engine.hand_over(attempt, GRACE)

    def done(how: Ran | Inconclusive) -> None:
        attempt.cancel = None
        attempt.overseen, attempt.deadline = False, deadline
        if isinstance(how, Inconclusive):
            engine.throw(attempt, how)
        elif how.status == -signal.SIGKILL and engine.clock() >= deadline:
            engine.throw(attempt, CheckFailed(Reason.TIMEOUT, late_detail(attempt)))
        else:
            engine.resume(attempt, how)

    attempt.waiting = "the program did not end"
    attempt.cancel = engine.runner.run(step, deadline - engine.clock(), done)
    return WAIT


def _leave(attempt: Attempt) -> None:
    """A conversation that opens a channel anew gives up what it had."""
    attempt.leave_aside(hard=True)
    if attempt.channel is not None:
        channel, attempt.channel = attempt.channel, None
        channel.close(hard=True)
    attempt.keep = False


HANDLERS: Mapping[type, Callable[[Engine, Attempt, Any], Any]] = {
    Connect: connect,
    StartTls: start_tls,
    Aside: aside,
    Turn: turn,
    Datagram: datagram,
    Send: send,
    Finish: finish,
    Whence: whence,
    Receive: receive,
    Keep: keep,
    Echo: echo,
    Run: run,
}
