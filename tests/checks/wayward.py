"""Servers of streams that misbehave in one way each, with the reasons for which any check of a protocol must fail them.

A server that closes on unread bytes resets the connection, which may overtake what it said: so RESET is often right.
"""

from __future__ import annotations

from healthd.check import Check, Outcome, Reason, Target, Verdict
from healthd.prober.ask import ask
from tests.support import servers

PATIENCE, SHORT = 20.0, 0.4

NOT_THE_PROTOCOL = frozenset((Reason.PROTOCOL, Reason.UNEXPECTED, Reason.RESET))
WAYWARD: list[tuple[servers.Handler, frozenset[Reason]]] = [
    (servers.close_at_once, frozenset((Reason.PROTOCOL, Reason.RESET))),
    (servers.reset, frozenset((Reason.RESET,))),
    (servers.reset_in_answer, NOT_THE_PROTOCOL),
    (servers.junk, NOT_THE_PROTOCOL),
    (servers.half_line, NOT_THE_PROTOCOL),
    (servers.endless, frozenset((Reason.PROTOCOL,))),
]


async def verdict_of(check: Check, target: Target, within: float = PATIENCE) -> Verdict:
    """A verdict about the server: what this machine slept through is asked again."""
    for _ in range(20):
        verdict, _ = await ask(check, target, within)
        if verdict.outcome is not Outcome.INCONCLUSIVE:
            break
    return verdict
