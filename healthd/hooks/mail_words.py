"""What stands in a mail: subject and body for one event or for many that come together. Pure.

The labels of the first lines are ldirectord's, so that what sorts its mail can go on sorting; after them comes what it
never told: why, on what evidence, and what was done to the table.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo

from healthd.config.schema import Stage
from healthd.events import Event, Kind
from healthd.hooks.words import sentence
from healthd.hooks.words import subject as topic
from healthd.log.printable import printable

LONGEST_SUBJECT = 200
LONGEST_LINE = 2000
MOST_NAMED = 3
MARGIN = 16

REMINDER = "server-still-down"
"""X-Healthd-Kind of a reminder."""

COUNTED = {
    Kind.SERVICE_DOWN.value: ("service without a server", "services without a server"),
    Kind.SERVER_DOWN.value: ("server down", "servers down"),
    REMINDER: ("server still down", "servers still down"),
    Kind.FALLBACK_ON.value: ("fallback in", "fallbacks in"),
    Kind.SERVICE_UP.value: ("service usable again", "services usable again"),
    Kind.SERVER_UP.value: ("server up", "servers up"),
    Kind.FALLBACK_OFF.value: ("fallback out", "fallbacks out"),
    Kind.SERVICE_REMOVED.value: ("service removed", "services removed"),
    Kind.SERVER_REMOVED.value: ("server removed", "servers removed"),
    Kind.SERVER_ADMIN.value: ("server set otherwise", "servers set otherwise"),
    Kind.SERVER_WEIGHT.value: ("weight changed", "weights changed"),
}
"""What a subject says of several, the worst first."""


@dataclass(frozen=True, slots=True)
class About:
    """What people call a service and should know of it."""

    title: str = ""
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Scene:
    """Where and when a mail is written. about: by name of the service. zone: of its times, None for the machine's."""

    host: str
    stage: Stage
    about: Mapping[str, About]
    zone: tzinfo | None = None


def kind_of(event: Event) -> str:
    """The kind of an event for mail; a server that was down and is down is a reminder."""
    reminder = event.kind is Kind.SERVER_DOWN and event.previous == event.phase
    return REMINDER if reminder else event.kind.value


def worth_sending(events: Sequence[Event]) -> tuple[Event, ...]:
    """The events without those reminders that a later event says better."""
    last = {topic(event): number for number, event in enumerate(events)}
    return tuple(
        event for number, event in enumerate(events) if kind_of(event) != REMINDER or last[topic(event)] == number
    )


# --- subject ----------------------------------------------------------------------------------------------------


def subject(events: Sequence[Event], scene: Scene) -> str:
    """One printable line: what happened, with the service's title in front where all are of one service."""
    services = list(dict.fromkeys(event.service for event in events))
    title = scene.about.get(services[0], About()).title if len(services) == 1 else ""
    what = message(events[0]) if len(events) == 1 else f"{counts(events)}: {_listed(services)}"
    return _cut(printable(f"[{title}] {what}" if title else what), LONGEST_SUBJECT)


def message(event: Event) -> str:
    """An event in one line."""
    return sentence(event)


def counts(events: Iterable[Event]) -> str:
    """How many of each kind: "40 servers down, 1 fallback in"."""
    found = Counter(kind_of(event) for event in events)
    known = [kind for kind in COUNTED if found[kind]]
    others = [kind for kind in found if kind not in COUNTED]
    named = [f"{found[kind]} {COUNTED[kind][found[kind] > 1]}" for kind in known]
    return ", ".join([*named, *(f"{found[kind]} {kind}" for kind in others)])


def _listed(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."


# --- body -------------------------------------------------------------------------------------------------------


def body(events: Sequence[Event], scene: Scene) -> str:
    """The text of the mail, with an end of line behind every line."""
    lines = [
        _field("healthd host", scene.host),
        _field("Log-Message", subject(events, scene)),
        _field("Daemon-Status", scene.stage.value),
        "",
        *(_one(events[0], scene) if len(events) == 1 else _many(events, scene)),
        "",
        "To see more:",
        *(f"  {command}" for command in commands(events)),
    ]
    return "".join(f"{line}\n" for line in lines)


def _one(event: Event, scene: Scene) -> list[str]:
    about = scene.about.get(event.service, About())
    state = f"{event.previous} -> {event.phase}" if event.previous else event.phase
    weight = "" if event.weight is None else f"weight {event.weight}"
    lines = [
        _field("Time", moment(event.at, scene.zone)),
        _field("Service name", about.title),
        _field("Service", f"{event.service}, {event.virtual}"),
        _field("Server", event.real),
        _field("State", state),
        _field("Reason", event.reason),
        _field("Detail", event.detail),
        _field("Table", weight),
        *(_field("Done", operation) for operation in event.effect),
        *_comment(about),
    ]
    return [line for line in lines if line]


def _many(events: Sequence[Event], scene: Scene) -> list[str]:
    """All that happened, service by service, each in its order."""
    lines: list[str] = []
    for service in dict.fromkeys(event.service for event in events):
        about = scene.about.get(service, About())
        mine = [event for event in events if event.service == service]
        head = [_field("Service name", about.title), _field("Service", f"{service}, {mine[0].virtual}")]
        told = [f"  {moment(event.at, scene.zone)}  {_safe(message(event))}" for event in mine]
        lines += ["", *(line for line in head if line), *told, *_comment(about)]
    return lines[1:]


def _comment(about: About) -> list[str]:
    lines = about.comment.splitlines()
    return [_field("Comment", line) if number == 0 else " " * MARGIN + _safe(line) for number, line in enumerate(lines)]


def _field(label: str, value: str) -> str:
    """A line of the body, empty if there is no value."""
    return f"{label + ':':<{MARGIN}}{_safe(value)}" if value else ""


def _safe(text: str) -> str:
    return _cut(printable(text), LONGEST_LINE)


def moment(at: float, zone: tzinfo | None) -> str:
    """A time with its zone: 2026-11-22 04:12:44 +0100. zone: None for the machine's."""
    return datetime.fromtimestamp(at, zone).astimezone(zone).strftime("%Y-%m-%d %H:%M:%S %z")


def commands(events: Sequence[Event]) -> list[str]:
    """What an operator can type to see more of these events."""
    services = list(dict.fromkeys(event.service for event in events))
    named = [_word(service) for service in services[:MOST_NAMED]]
    found = [f"healthd status {' '.join(named)}"]
    if len(events) == 1 and events[0].real and events[0].kind not in (Kind.FALLBACK_ON, Kind.FALLBACK_OFF):
        found.append(f"healthd probe {named[0]} {_word(events[0].real)}")
    return found


def _word(text: str) -> str:
    """A word for a shell, in one printable line."""
    return shlex.quote(printable(text))
