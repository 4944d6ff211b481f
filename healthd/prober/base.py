"""The seam between the director and its prober: values, and two small Protocols.

All times are seconds of CLOCK_MONOTONIC, which every process of one machine shares.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from healthd.check import AsyncCheck, Check, Inconclusive, Ran, Run, Target, Verdict
from healthd.health import Health, Thresholds


@dataclass(frozen=True, slots=True)
class Cadence:
    """When to ask. interval, timeout: seconds. fast: interval while a watch is in doubt. jitter: part of interval.

    connects: after the check has passed, so many probes only connect before it is asked again. One that fails to
    connect has failed, and the check is asked next.
    """

    interval: float = 5.0
    timeout: float = 2.0
    fast: float | None = None
    jitter: float = 0.1
    connects: int = 0


@dataclass(frozen=True, slots=True)
class Watch:
    """Somebody who wants a probe's verdicts folded into health. health: where it begins when the prober has none."""

    id: int
    thresholds: Thresholds
    health: Health


@dataclass(frozen=True, slots=True)
class Probe:
    """One thing to ask regularly, for all who watch it. id: stays the same as long as check, target and cadence do.

    told: somebody wants every verdict, also of passes that change nothing.
    """

    id: int
    check: Check | AsyncCheck
    target: Target
    cadence: Cadence
    watches: tuple[Watch, ...]
    told: bool = False


@dataclass(frozen=True, slots=True)
class Observation:
    """One verdict: of which probe, when it was reached, how long it took, and each watch's health after it."""

    probe: int
    verdict: Verdict
    at: float
    took: float
    healths: tuple[tuple[int, Health], ...]


LATENESS_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Seconds by which probes that started late are counted."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What the prober did since its last summary (one a second), passes included. Lateness in seconds.

    unasked: probes that have no verdict of any kind yet. late: how many probes started at most so late, one number for
    each of LATENESS_BOUNDS beyond the one before it, and one for those later still; empty for none at all.
    lateness_sum: of all of these together.
    """

    at: float
    passed: int = 0
    failed: int = 0
    inconclusive: int = 0
    missed: int = 0
    in_flight: int = 0
    lateness_p50: float = 0.0
    lateness_p99: float = 0.0
    stalls: int = 0
    unasked: int = 0
    late: tuple[int, ...] = ()
    lateness_sum: float = 0.0


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of the past. at: when it was there. took: seconds that the probe took.

    connected, secured, first_byte: seconds since the probe began until the stream was open, the TLS handshake done, the
    first byte of an answer there; None where it did not come so far, or nobody looked. trace: what was sent and
    received, as text for people; empty where that was not recorded.
    """

    at: float
    took: float
    verdict: Verdict
    connected: float | None = None
    secured: float | None = None
    first_byte: float | None = None
    trace: str = ""


Memories = Mapping[int, tuple[Answer, ...]]
"""By probe: its answers that are remembered, oldest first."""

Timings = Mapping[int, tuple[float, float]]
"""By probe: when its last verdict was reached, and how long that took."""


class Sink(Protocol):
    """Takes what a prober has to say. Called in the director's loop; must not block."""

    def observed(self, batch: Sequence[Observation]) -> None:
        """Transitions, failures, inconclusive verdicts and changed weights, at once; steady passes are not sent.

        The first pass after a failure or an inconclusive verdict is sent even where no health changes, and of probes
        that are `told` every pass is.
        """
        ...

    def summarised(self, summary: Summary) -> None:
        """Totals, once a second."""
        ...

    def lost(self, why: str) -> None:
        """The prober is gone and is being started again; until then nothing is known."""
        ...


class Prober(Protocol):
    """Asks what it is told to, regularly."""

    async def assign(self, probes: Sequence[Probe]) -> None:
        """Replace the whole assignment. A probe and a watch whose ids it already has keep their schedule and health."""
        ...

    async def hurry(self, probes: Collection[int]) -> None:
        """Ask these as soon as possible, besides their schedule."""
        ...

    async def latest(self) -> Sequence[Observation]:
        """The last observation of each probe that has one."""
        ...

    async def timings(self) -> Timings:
        """Of each probe that has a last observation: a tenth of the cost of `latest`, for who asks all the time."""
        ...

    async def recall(self, probes: Collection[int]) -> Memories:
        """What is remembered of these: failures longer than passes, the last of each with what was said."""
        ...

    async def close(self) -> None:
        """Stop asking, end what is in flight without verdicts, release everything."""
        ...


class Runner(Protocol):
    """Runs the programs of script checks; `healthd.runner` does it in a process of its own."""

    def run(self, request: Run, timeout: float, done: Callable[[Ran | Inconclusive], None]) -> Callable[[], None]:
        """Start a program; `done` is called once, later, with how it ended or why it could not be run.

        timeout: seconds after which its whole process group is killed (then `done` is told Ran(-SIGKILL, ...)).
        Returns a function that kills the group at once; `done` is not called after that.
        """
        ...
