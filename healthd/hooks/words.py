"""Events as hooks give them away: which fields, variables, level, MESSAGE_ID. The sentence itself is the director's."""

from __future__ import annotations

import json
import logging
from collections.abc import Hashable
from uuid import UUID, uuid5

from healthd.events import Event, Kind
from healthd.log.entry import rfc3339
from healthd.log.printable import printable

# MESSAGE_ID of a kind is uuid5 of this and the kind's value, so that a new kind has one without a table to forget.
MESSAGE_IDS = UUID("7c1f6a0e-3f0e-4d0b-9a55-6d1f3b1f8c27")
# Linux takes 128 KiB per variable of an environment (MAX_ARG_STRLEN) and counts all of them together.
VARIABLE_LIMIT = 16_384

_MESSAGE_IDS = {kind: uuid5(MESSAGE_IDS, kind.value).hex for kind in Kind}
_WARNINGS = frozenset({Kind.SERVER_DOWN, Kind.SERVER_UNSURE, Kind.FALLBACK_ON, Kind.SERVICE_DOWN, Kind.DRIFT})
QUIET = frozenset({Kind.SERVER_FAILING, Kind.SERVER_STEADY})
"""Kinds that change nothing: the log has them, and a program only if it names them."""

_ERRORS = frozenset({Kind.ROW_REFUSED, Kind.TABLE_LOST, Kind.PROBER_LOST, Kind.RELOAD_FAILED})


def level(kind: Kind) -> int:
    """Level of `logging`: what somebody should look at is a warning, what healthd cannot do is an error."""
    if kind in _ERRORS:
        return logging.ERROR
    return logging.WARNING if kind in _WARNINGS else logging.INFO


def message_id(kind: Kind) -> str:
    """MESSAGE_ID for journald: 32 hexadecimal digits, the same for ever."""
    return _MESSAGE_IDS[kind]


def subject(event: Event) -> Hashable:
    """What the event tells the state of: a newer event of the same subject makes it outdated. None: of nothing."""
    row = (event.service, event.virtual, event.real)
    match event.kind:
        case Kind.SERVER_UP | Kind.SERVER_DOWN:
            return ("phase", *row)
        case Kind.SERVER_WEIGHT:
            return ("weight", *row)
        case Kind.SERVER_CHANGED:
            return ("changed", *row)
        case Kind.SERVER_ADMIN:
            return ("admin", *row)
        case Kind.OVERRIDE_SET | Kind.OVERRIDE_ENDED:
            return ("override", event.service, event.real, event.detail)
        case Kind.SERVER_FAILING | Kind.SERVER_STEADY:
            return ("streak", *row)
        case Kind.SERVER_UNSURE | Kind.SERVER_SURE:
            return ("sure", *row)
        case Kind.SERVER_REMOVED:
            return ("removed", *row)
        case Kind.FALLBACK_ON | Kind.FALLBACK_OFF:
            return ("fallback", *row)
        case Kind.FALLBACK_CHANGED:
            return ("fallback changed", *row)
        case Kind.SERVICE_DOWN | Kind.SERVICE_UP:
            return ("usable", event.service, event.virtual)
        case Kind.SERVICE_ADDED | Kind.SERVICE_REMOVED:
            return ("service", event.service, event.virtual)
        case Kind.SERVICE_CHANGED:
            return ("service changed", event.service, event.virtual)
        case Kind.ROW_REFUSED:
            return ("refused", *row)
        case Kind.TABLE_LOST | Kind.TABLE_BACK:
            return ("table",)
        case Kind.RELOADED | Kind.RELOAD_FAILED:
            return ("configuration",)
        case Kind.STARTED | Kind.STOPPING:
            return ("daemon",)
        case Kind.CHANGE_IGNORED:
            return ("unread",)
        case Kind.DRIFT | Kind.PROBER_LOST:
            return None


def sentence(event: Event) -> str:
    """The event in one line for people; never empty."""
    return event.message or event.kind.value


def fields(event: Event) -> dict[str, object]:
    """All but time and message, always the same keys in the same order."""
    return {
        "kind": event.kind.value,
        "service": event.service,
        "virtual": event.virtual,
        "real": event.real,
        "previous": event.previous,
        "phase": event.phase,
        "reason": event.reason,
        "detail": event.detail,
        "weight": event.weight,
        "effect": list(event.effect),
        "streak": event.streak,
    }


def values(event: Event) -> dict[str, object]:
    """The event as values of JSON: at (RFC 3339, UTC), message, then its fields."""
    return {"at": rfc3339(event.at), "message": sentence(event), **fields(event)}


def document(event: Event) -> bytes:
    """The event as one JSON object in one line."""
    return json.dumps(values(event)).encode() + b"\n"


def variables(event: Event) -> dict[str, str]:
    """The event as HEALTHD_* variables: all of them, empty where there is nothing; one printable line each."""
    told = values(event)
    told["effect"] = "; ".join(event.effect)
    told["weight"] = "" if event.weight is None else event.weight
    return {f"HEALTHD_{key.upper()}": _value(str(value)) for key, value in told.items()}


def _value(text: str) -> str:
    line = printable(text)
    while len(line.encode()) > VARIABLE_LIMIT:
        line = line[: len(line) // 2] + "..."
    return line
