"""When to ask. Pure arithmetic, in whole milliseconds of one monotonic clock.

Each probe has an *offset*: it is due whenever `time % interval == offset`, for as long as it lives. Offsets lie on a
coarse grid of *slots*, because a wake-up costs about as much as seven probes, so it should serve many:

    slots = clamp(probes / 50, 10, interval / 10 ms)

Probes get slots by a walk whose stride has no divisor in common with their number, so any `slots` neighbours of the
walk have different slots. Targets of one host are neighbours, so a host is not asked everything at one moment. Jitter
moves a probe by a fixed part of the interval, taken from a hash of its id and the prober's seed: two directors
that check the same servers do not keep the same order.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import gcd

from healthd.prober.base import Cadence

TICK = 10
"""Least distance of two slots in milliseconds."""

PER_SLOT = 50
"""Probes that share a wake-up."""

SOON = 1000
"""Milliseconds over which first probes (and those after a stall) are spread."""

FAST_LEAST = 100
"""Least interval in doubt that we choose ourselves, in milliseconds."""

GOLDEN = 0.6180339887498949


@dataclass(frozen=True, slots=True)
class Rhythm:
    """One probe's cadence in milliseconds. fast: interval in doubt. offset: its place in the interval."""

    interval: int
    fast: int
    offset: int

    def next(self, now: int) -> int:
        """The first regular time after `now`."""
        return now - (now - self.offset) % self.interval + self.interval

    def has(self, at: int) -> bool:
        """True if `at` is a regular time."""
        return not (at - self.offset) % self.interval

    def between(self, start: int, end: int) -> int:
        """How many regular times lie in (start, end]."""
        return (end - self.offset) // self.interval - (start - self.offset) // self.interval

    def soon(self, now: int) -> int:
        """A time at most SOON after `now`, spread by the offset, never later than the next regular time."""
        window = min(self.interval, SOON)
        return min(self.next(now), now + self.offset * window // self.interval)


def interval_of(cadence: Cadence) -> int:
    """Interval in whole milliseconds, at least one tick."""
    return max(TICK, round(cadence.interval * 1000))


def fast_of(cadence: Cadence) -> int:
    """Interval in doubt: as configured, else a third of the interval but 100 ms or more; never above the interval.

    A third: a server that is gone is known to be gone after `interval + 2/3 interval` at fall = 3 in place of three
    intervals, while a restart that takes a moment is still forgiven. Probes never overlap, so one that times out is
    followed by the next at once if its timeout is longer than this.
    """
    interval = interval_of(cadence)
    fast = max(FAST_LEAST, interval // 3) if cadence.fast is None else max(TICK, round(cadence.fast * 1000))
    return min(interval, fast)


def slots_for(probes: int, interval: int) -> int:
    """Number of slots for so many probes of one interval (milliseconds)."""
    return max(1, min(max(probes // PER_SLOT, 10), interval // TICK))


def stride_of(slots: int) -> int:
    """A stride near the golden section of `slots` that shares no divisor with it."""
    stride = max(1, round(slots * GOLDEN))
    while gcd(stride, slots) != 1:
        stride += 1
    return stride


def fraction(number: int, seed: int) -> float:
    """A fixed number in [0, 1) for a probe's id and a seed (the finaliser of splitmix64)."""
    x = (number * 0x9E3779B97F4A7C15 + seed) & 0xFFFFFFFFFFFFFFFF
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & 0xFFFFFFFFFFFFFFFF
    return (x ^ (x >> 31)) / 2**64


@dataclass(frozen=True, slots=True)
class Place:
    """A probe that needs an offset: its id, whose host it asks, and its jitter (part of the interval)."""

    id: int
    host: Hashable
    jitter: float


def place(new: Sequence[Place], taken: Iterable[tuple[Hashable, int]], interval: int, seed: int) -> Mapping[int, int]:
    """Offsets (milliseconds) by id for `new` probes of one interval; targets of one host should be neighbours in it.

    taken: host and offset of the probes of this interval that stay where they are.
    """
    used: dict[Hashable, set[int]] = {}
    kept = list(taken)
    slots = slots_for(len(new) + len(kept), interval)
    for host, offset in kept:
        used.setdefault(host, set()).add(offset * slots // interval)
    stride, at = stride_of(slots), seed + len(kept)
    offsets = {}
    for position, probe in enumerate(new, at):
        slot = (position * stride + int(fraction(probe.id, seed) * probe.jitter * slots)) % slots
        slot = _free(slot, used.setdefault(probe.host, set()), slots)
        offsets[probe.id] = -(-slot * interval // slots)
    return offsets


def _free(slot: int, used: set[int], slots: int) -> int:
    """The first slot from `slot` on that the host does not use; `slot` itself if it uses all."""
    for candidate in range(slot, slot + slots):
        if candidate % slots not in used:
            slot = candidate % slots
            break
    used.add(slot)
    return slot
