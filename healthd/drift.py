"""Edits that somebody else made to our rows, and what becomes of them. Pure.

An edit is a row that is not as we last wrote or read it. Under `drift = "repair"` nothing is remembered: the next plan
writes the row again. Otherwise the edit is *held*:

* "report": the row stays as the stranger left it until what we want of it changes (a verdict, a reload);
* "adopt": the edit becomes the configured row. A failed server still goes to weight 0 or is removed, and comes back
  with the adopted weight; a row that was deleted stays away, one that was added stays.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from healthd.config.schema import Drift
from healthd.model import DestKey, DestSpec, Service, ServiceKey, ServiceSpec, Table


@dataclass(frozen=True, slots=True)
class Edit:
    """One row that somebody else changed. dest None: the service's own row. None: the row is not there."""

    service: ServiceKey
    dest: DestKey | None
    believed: ServiceSpec | DestSpec | None
    found: ServiceSpec | DestSpec | None


@dataclass(frozen=True, slots=True)
class Hold:
    """A destination's row left as `found`. wanted: what we wanted of it when the edit was seen."""

    found: DestSpec | None
    wanted: DestSpec | None


@dataclass(frozen=True, slots=True)
class ServiceHold:
    """A service's own row left as `found`. wanted: as for `Hold`."""

    found: ServiceSpec | None
    wanted: ServiceSpec


@dataclass(frozen=True, slots=True)
class Holds:
    """What is held of one service."""

    service: ServiceHold | None = None
    dests: Mapping[DestKey, Hold] = field(default_factory=dict)


NOTHING_HELD = Holds()


def edits(believed: Table, found: Table, owned: Collection[ServiceKey]) -> list[Edit]:
    """Every difference between what we believe of our services and what was found, in the table's order."""
    listed: list[Edit] = []
    for key in sorted(owned, key=lambda k: k.rank):
        listed += _service_edits(key, believed.get(key), found.get(key))
    return listed


def _service_edits(key: ServiceKey, old: Service | None, new: Service | None) -> list[Edit]:
    was, now = (old.spec if old else None), (new.spec if new else None)
    listed = [] if was == now else [Edit(key, None, was, now)]
    before: Mapping[DestKey, DestSpec] = old.dests if old else {}
    after: Mapping[DestKey, DestSpec] = new.dests if new else {}
    dests = sorted(before.keys() | after.keys(), key=lambda d: d.rank)
    rows = ((dest, before.get(dest), after.get(dest)) for dest in dests)
    return listed + [Edit(key, dest, row, found) for dest, row, found in rows if row != found]


def foreign(edits: Iterable[Edit], wanted: Mapping[ServiceKey, Service | None]) -> list[Edit]:
    """Edits that somebody else made: a row that is as we wanted it may be our own, written but never acknowledged."""
    return [edit for edit in edits if edit.found != _row(wanted.get(edit.service), edit.dest)]


def _row(service: Service | None, dest: DestKey | None) -> ServiceSpec | DestSpec | None:
    if service is None:
        return None
    return service.spec if dest is None else service.dests.get(dest)


def worth_telling(edits: Collection[Edit]) -> list[Edit]:
    """Edits without those of rows that came or went with their whole service."""
    whole = {edit.service for edit in edits if edit.dest is None and (edit.believed is None or edit.found is None)}
    return [edit for edit in edits if edit.dest is None or edit.service not in whole]


def hold(holds: Holds, edit: Edit, wanted: Service | None) -> Holds:
    """The holds of a service after one more edit. wanted: the service as we want it without any holds."""
    if wanted is None:
        return holds
    if edit.dest is None:
        found = edit.found if isinstance(edit.found, ServiceSpec) else None
        return replace(holds, service=ServiceHold(found, wanted.spec))
    row = edit.found if isinstance(edit.found, DestSpec) else None
    return replace(holds, dests={**holds.dests, edit.dest: Hold(row, wanted.dests.get(edit.dest))})


def held_service(mode: Drift, wanted: ServiceSpec, held: ServiceHold | None) -> ServiceSpec | None:
    """The service's own row with a hold applied; None: the stranger deleted it, and so it stays."""
    if held is None or mode is Drift.REPAIR or held.wanted != wanted:
        return wanted
    return held.found


def held_row(mode: Drift, wanted: DestSpec | None, held: Hold | None) -> DestSpec | None:
    """A declared server's row with a hold applied; None: no row. An adopted row obeys the server's health."""
    if held is None or mode is Drift.REPAIR:
        return wanted
    if mode is Drift.REPORT:
        return held.found if held.wanted == wanted else wanted
    if wanted is None or held.found is None:
        return None
    return replace(held.found, weight=0) if wanted.weight == 0 else held.found


def held_stranger(mode: Drift, wanted: DestSpec | None, held: Hold) -> DestSpec | None:
    """The same for a row that is no declared server's: a stranger's own stays, an edited fallback comes and goes."""
    if mode is Drift.ADOPT and held.wanted is None:
        return held.found
    return held_row(mode, wanted, held)


def still_held(mode: Drift, holds: Holds, wanted: Service) -> Holds:
    """The holds without those that no longer apply, given what is now wanted without holds."""
    if mode is Drift.REPAIR:
        return NOTHING_HELD
    if mode is Drift.ADOPT:
        return holds
    service = holds.service if holds.service and holds.service.wanted == wanted.spec else None
    dests = {dest: held for dest, held in holds.dests.items() if held.wanted == wanted.dests.get(dest)}
    return Holds(service, dests)
