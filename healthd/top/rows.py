"""The status document -> what the list is made of. Pure.

A row only holds on to its part of the document: what is shown of it is worked out for the rows that are on the screen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from healthd.show import telling
from healthd.top.cells import Style

Document = dict[str, Any]
Key = tuple[str, str]
Counts = tuple[int, int]

OUT = {"drained": "drain", "maintenance": "maintenance", "removed": "remove"}
"""Reasons that somebody asked for, and the kind of override that asks for it."""
TOLD_OTHERWISE = ("failed", "unknown", "reweighted", *OUT)
UNSURE = 3
"""Probes in a row that could not be made, after which the daemon, too, tells people."""


@dataclass(frozen=True, slots=True)
class Row:
    """A server within its service. change: active and inactive connections more in a second; None if not known."""

    service: Document
    real: Document
    change: tuple[float, float] | None = None

    @property
    def key(self) -> Key:
        """What it is known by from one document to the next."""
        return self.service["virtual"], self.real["address"]

    @property
    def names(self) -> tuple[str, ...]:
        """What the daemon is told to name it; of a row that is no server's, its service."""
        server = (self.real["address"],) if self.is_server else ()
        return self.service["name"], *server

    @property
    def is_server(self) -> bool:
        """False for a fallback, and for a row of the table that nobody declared."""
        return self.real["phase"] in ("up", "down", "unknown")


def rows_of(document: Document, before: Mapping[Key, Counts], seconds: float) -> tuple[Row, ...]:
    """A row for each server, fallback and stranger. before: connections so many seconds ago."""
    found = []
    for service in document["services"]:
        for real in _reals(service):
            key = (service["virtual"], real["address"])
            found.append(Row(service, real, _change(before.get(key), counts_of(real), seconds)))
    return tuple(found)


def counts_of(real: Document) -> Counts | None:
    """Active and inactive connections."""
    found = real["connections"]
    return (found["active"], found["inactive"]) if found else None


def _change(before: Counts | None, now: Counts | None, seconds: float) -> tuple[float, float] | None:
    if before is None or now is None or seconds <= 0:
        return None
    return (now[0] - before[0]) / seconds, (now[1] - before[1]) / seconds


def _reals(service: Document) -> Iterator[Document]:
    yield from service["reals"]
    fallback = service["fallback"]
    if fallback:
        yield _unchecked(fallback, "fallback in use" if fallback["active"] else "fallback")
    for other in service["others"]:
        yield _unchecked(other, "not configured")


def _unchecked(row: Document, phase: str) -> Document:
    """A row of the table that is no server's, in a server's words."""
    nothing: Document = dict.fromkeys(("for", "refused", "configured_weight", "connections"))
    return {**nothing, "name": "", "phase": phase, "overrides": [], "wishes": [], "reasons": [], "checks": [], **row}


# --- how it is ----------------------------------------------------------------------------------------------------


def state_of(row: Row) -> str:
    """The phase, what somebody asked for with their name, and what else is not as it should be."""
    real = row.real
    words = [real["phase"]]
    words += [f"{reason}{by(row, OUT[reason])}" for reason in real["reasons"] if reason in OUT]
    words += [f"weight{by(row, 'weight')}"] if "reweighted" in real["reasons"] else []
    words += [reason for reason in real["reasons"] if reason not in TOLD_OTHERWISE]
    words += ["unsure"] if is_unsure(row) else []
    return ", ".join(words)


def by(row: Row, kind: str) -> str:
    """` by` whoever asked for an override of this kind; empty where it stands in the configuration."""
    who: str | None = next((one["who"] for one in row.real["overrides"] if one["kind"] == kind), None)
    who = who or next((wish["source"] for wish in row.real["wishes"] if wish["source"] != "operators"), None)
    return f" by {who}" if who else ""


def taken_out(row: Row) -> bool:
    """Whether somebody wants it to take no connections."""
    return any(reason in OUT for reason in row.real["reasons"])


def is_unsure(row: Row) -> bool:
    """Whether a check could not be made several times in a row."""
    return any(check["inconclusive"] >= UNSURE for check in row.real["checks"])


def is_failing(row: Row) -> bool:
    """Whether it is up with its last answer to some check being no pass, or with its row refused by the table."""
    failing = any(check["streak"] and check["phase"] == "up" for check in row.real["checks"])
    return failing or bool(row.real["refused"]) or is_unsure(row)


def is_failed(row: Row) -> bool:
    """Whether it is one to look at: everything but servers that are up, and fallbacks that are not needed."""
    return row.real["phase"] not in ("up", "fallback") or is_failing(row)


def style_of(row: Row) -> Style:
    """The style of its state."""
    match row.real["phase"]:
        case "down":
            return Style.BAD
        case _ if taken_out(row):
            return Style.OUT
        case "fallback":
            return Style.DIM
        case "up" if not is_failing(row) and not row.real["reasons"]:
            return Style.GOOD
    return Style.WARNING


def streak_of(row: Row) -> tuple[int, int] | None:
    """Answers in a row that speak against its state, and how many would change it: of the check nearest to that."""
    found = [
        (check["streak"], check["fall"] if check["phase"] == "up" else check["rise"])
        for check in row.real["checks"]
        if check["streak"]
    ]
    return max(found, key=lambda each: each[0] / each[1], default=None)


def answer_of(row: Row) -> str:
    """The last answer that matters most."""
    if row.real["refused"]:
        return f"the table refused to {row.real['refused']}"
    check = telling(row.real["checks"])
    if check is None:
        return "none yet" if row.real["checks"] else ""
    last = check["last"]
    outcome = "" if last["outcome"] == "pass" else f"{last['outcome']} "
    return f"{check['kind']} {outcome}{last['detail']} ({last['took_ms']:g} ms)"


def age_of(row: Row) -> float | None:
    """Seconds since that answer."""
    check = telling(row.real["checks"])
    return check["last"]["age"] if check else None


def has_text(row: Row, text: str) -> bool:
    """Whether a text in small letters is found in its names, phase or reasons."""
    real = row.real
    words = (row.service["name"], row.service["virtual"], real["address"], real["name"], real["phase"])
    return any(text in word.lower() for word in (*words, *real["reasons"]))
