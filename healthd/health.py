"""Verdicts -> the health of one real server. Pure.

The invariant: `streak` counts the verdicts *in a row* that contradict `phase`; 0 <= streak < the threshold that
would change the phase. RISING and FALLING are therefore not states, they are `streak > 0`.

* From UNKNOWN one conclusive verdict settles the phase.
* INCONCLUSIVE says something about us, nothing about the server: it changes nothing, and does not break a row.
* A restart adopts the kernel's row (`adopt`), so that the thresholds still hold right after it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum

from healthd.check import Outcome


class Phase(Enum):
    """What we believe of a server."""

    UNKNOWN = "unknown"
    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Verdicts in a row: `rise` passes bring a server up, `fall` failures take it down; both 1 or more."""

    rise: int = 2
    fall: int = 3


@dataclass(frozen=True, slots=True)
class Health:
    """Health by one check. since: monotonic seconds of the last change of phase. weight: what the check asked for."""

    phase: Phase = Phase.UNKNOWN
    streak: int = 0
    since: float = 0.0
    weight: int | None = None

    @property
    def in_doubt(self) -> bool:
        """True while the next verdicts matter most: nothing known yet, or the last ones contradict the phase."""
        return self.streak > 0 or self.phase is Phase.UNKNOWN


def observe(health: Health, outcome: Outcome, limits: Thresholds, now: float, weight: int | None = None) -> Health:
    """Fold one outcome into the health. weight: what a passing check asks for, None for the configured one."""
    if outcome is Outcome.INCONCLUSIVE:
        return health
    said = Phase.UP if outcome is Outcome.PASS else Phase.DOWN
    asked = weight if said is Phase.UP else health.weight
    if said is health.phase:
        if not health.streak and asked == health.weight:
            return health
        return replace(health, streak=0, weight=asked)
    needed = {Phase.UNKNOWN: 1, Phase.UP: limits.fall, Phase.DOWN: limits.rise}[health.phase]
    if health.streak + 1 >= needed:
        return Health(said, since=now, weight=asked)
    return replace(health, streak=health.streak + 1)


def adopt(weight: int | None, now: float) -> Health:
    """Health to begin with, from the weight of the kernel's row; None: there is no row."""
    if weight is None:
        return Health(since=now)
    return Health(Phase.UP if weight > 0 else Phase.DOWN, since=now)


def combine(phases: Iterable[Phase]) -> Phase:
    """Phase of a server with several checks: all must pass. Down if any is down, else unknown if any is; none: up."""
    worst_first = (Phase.DOWN, Phase.UNKNOWN, Phase.UP)
    return min(phases, key=worst_first.index, default=Phase.UP)
