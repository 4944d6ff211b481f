"""Servers of streams that misbehave in one way each, with the reasons for which any check of a protocol must fail them.

A server that closes on unread bytes resets the connection, which may overtake what it said: so RESET is often right.
"""

from __future__ import annotations

import socket

from healthd.check import Check, Outcome, Reason, Target, Verdict
from healthd.prober.ask import ask
from tests.support import servers

PATIENCE, SHORT = 20.0, 0.4


def half_answer(connection: socket.socket) -> None:
    """Close in the middle of an answer."""
    connection.recv(4096)
    connection.sendall(b"half an ans")


def reset_in_answer(connection: socket.socket) -> None:
    """Begin an answer and reset the connection."""
    half_answer(connection)
    servers.reset(connection)


NOT_THE_PROTOCOL = frozenset((Reason.PROTOCOL, Reason.UNEXPECTED, Reason.RESET))
WAYWARD: list[tuple[servers.Handler, frozenset[Reason]]] = [
    (servers.close_at_once, frozenset((Reason.PROTOCOL, Reason.RESET))),
    (servers.reset, frozenset((Reason.RESET,))),
    (reset_in_answer, NOT_THE_PROTOCOL),
    (servers.junk, NOT_THE_PROTOCOL),
    (half_answer, NOT_THE_PROTOCOL),
    (servers.endless, frozenset((Reason.PROTOCOL,))),
]


async def verdict_of(check: Check, target: Target, within: float = PATIENCE) -> Verdict:
    """A verdict about the server: what this machine slept through is asked again."""
    for _ in range(20):
        verdict, _ = await ask(check, target, within)
        if verdict.outcome is not Outcome.INCONCLUSIVE:
            break
    return verdict


def dripping(answer: bytes) -> servers.Handler:
    """Answer whatever is asked, one byte at a time."""

    def handle(connection: socket.socket) -> None:
        connection.recv(4096)
        for byte in answer:
            connection.sendall(bytes([byte]))

    return handle
