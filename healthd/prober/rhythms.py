"""Rhythms for new probes of an assignment, group by group of equal interval. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from healthd.prober.base import Probe
from healthd.prober.fold import Entry
from healthd.prober.schedule import Place, Rhythm, fast_of, interval_of, place


def rhythms_for(new: Sequence[Probe], kept: Iterable[Entry], seed: int) -> Mapping[int, Rhythm]:
    """A rhythm for each new probe by id; those that stay keep theirs and are made room for."""
    stay: dict[int, list[tuple[object, int]]] = {}
    for entry in kept:
        stay.setdefault(entry.rhythm.interval, []).append((entry.probe.target.address, entry.rhythm.offset))
    ordered = sorted(new, key=_rank)
    rhythms = {}
    for interval, group in groupby(ordered, key=lambda probe: interval_of(probe.cadence)):
        members = list(group)
        places = [Place(probe.id, probe.target.address, probe.cadence.jitter) for probe in members]
        offsets = place(places, stay.get(interval, ()), interval, seed)
        for probe in members:
            rhythms[probe.id] = Rhythm(interval, fast_of(probe.cadence), offsets[probe.id])
    return rhythms


def _rank(probe: Probe) -> tuple[int, int, bytes, int, int]:
    """Order in which probes get places: by interval, then targets of one host side by side."""
    target = probe.target
    return (interval_of(probe.cadence), target.address.version, target.address.packed, target.port, probe.id)
