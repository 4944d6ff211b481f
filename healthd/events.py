"""Events: what happened, for people. The director makes them, `healthd.hooks` carries them away.

An event is made only once the table has acknowledged what it tells; it says what is, not what was meant.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """Closed list of what can happen; hooks and log watchers key on the value."""

    SERVER_UP = "server-up"
    SERVER_DOWN = "server-down"
    SERVER_WEIGHT = "server-weight"
    SERVER_CHANGED = "server-changed"
    SERVER_ADMIN = "server-admin"
    OVERRIDE_SET = "override-set"
    OVERRIDE_ENDED = "override-ended"
    SERVER_FAILING = "server-failing"
    SERVER_STEADY = "server-steady"
    SERVER_UNSURE = "server-unsure"
    SERVER_SURE = "server-sure"
    SERVER_REMOVED = "server-removed"
    FALLBACK_ON = "fallback-on"
    FALLBACK_OFF = "fallback-off"
    FALLBACK_CHANGED = "fallback-changed"
    SERVICE_DOWN = "service-down"
    SERVICE_UP = "service-up"
    SERVICE_ADDED = "service-added"
    SERVICE_CHANGED = "service-changed"
    SERVICE_REMOVED = "service-removed"
    DRIFT = "drift"
    ROW_REFUSED = "row-refused"
    TABLE_LOST = "table-lost"
    TABLE_BACK = "table-back"
    PROBER_LOST = "prober-lost"
    RELOADED = "reloaded"
    RELOAD_FAILED = "reload-failed"
    CHANGE_IGNORED = "change-ignored"
    STARTED = "started"
    STOPPING = "stopping"


RECOVERIES: Mapping[Kind, Kind] = {
    Kind.SERVER_UP: Kind.SERVER_DOWN,
    Kind.SERVER_REMOVED: Kind.SERVER_DOWN,
    Kind.SERVER_SURE: Kind.SERVER_UNSURE,
    Kind.FALLBACK_OFF: Kind.FALLBACK_ON,
    Kind.SERVICE_UP: Kind.SERVICE_DOWN,
    Kind.SERVICE_REMOVED: Kind.SERVICE_DOWN,
    Kind.TABLE_BACK: Kind.TABLE_LOST,
    Kind.RELOADED: Kind.RELOAD_FAILED,
}
"""What ends, and what it ends."""
PROBLEMS = (*dict.fromkeys(RECOVERIES.values()), Kind.ROW_REFUSED, Kind.PROBER_LOST, Kind.DRIFT)
"""What somebody should look at. Of the last three no event tells the end."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event. at: seconds since the epoch. message: one line for people, complete by itself.

    service: name in the configuration; virtual, real: as text. reason, detail: the verdict that caused it (evidence).
    Without a verdict, detail is what else programs may want to know: of a row that changed, each old and new value. Of
    a reload, reason is the files that had changed, empty if it was asked for; of the start, the command that did it.
    previous, phase: of the server. weight: what the table has now, None where there is no row. effect: what was done to
    the table, one text per operation. streak: failures in a row so far, and how many take the server down, as in 1/3.
    """

    kind: Kind
    at: float
    message: str
    service: str = ""
    virtual: str = ""
    real: str = ""
    previous: str = ""
    phase: str = ""
    reason: str = ""
    detail: str = ""
    weight: int | None = None
    effect: tuple[str, ...] = ()
    streak: str = ""
