"""One line of log as a value, and how a record of `logging` becomes one."""

from __future__ import annotations

import logging
import math
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

Plain = str | int | float | bool | None | list[str]
RESERVED = frozenset({"at", "level", "logger", "message", "exception"})
# What every record has, and what formatters of other handlers leave in one. All else in a record are extras.
OF_RECORDS = frozenset({*vars(logging.makeLogRecord({})), "message", "asctime"})


@dataclass(frozen=True, slots=True)
class Entry:
    """One line. at: seconds since the epoch. level: of `logging`. fields: in the order they are shown.

    exception: a whole traceback, several lines. message_id: what journald calls so.
    """

    at: float
    level: int
    logger: str
    message: str
    fields: Mapping[str, Plain] = field(default_factory=dict)
    exception: str = ""
    message_id: str = ""

    @property
    def label(self) -> str:
        """What a line of text begins with: the kind of an event, or who speaks."""
        return str(self.fields.get("kind") or self.logger)


def entry_of(record: logging.LogRecord) -> Entry:
    """The entry of a record. Done by whoever logs, because what the arguments point at may change later."""
    extras = {key: value for key, value in vars(record).items() if key not in OF_RECORDS}
    fields = {free(key): plain(value) for key, value in extras.items() if not key.startswith("_")}
    message_id = str(extras.get("_message_id", ""))
    return Entry(record.created, record.levelno, record.name, message_of(record), fields, trace_of(record), message_id)


def free(key: str) -> str:
    """A key that does not hide one of ours."""
    return f"{key}_" if key in RESERVED else key


def message_of(record: logging.LogRecord) -> str:
    """The message with its arguments; arguments that do not fit are shown, not raised."""
    try:
        return record.getMessage()
    except (TypeError, ValueError, KeyError) as error:
        return f"{record.msg} {record.args!r} ({error})"


def trace_of(record: logging.LogRecord) -> str:
    """The traceback of a record, empty if there is none."""
    if record.exc_info and record.exc_info[0] is not None:
        return "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
    return (record.exc_text or record.stack_info or "").rstrip("\n")


def plain(value: object) -> Plain:
    """A value that JSON can carry; anything else as its text."""
    match value:
        case None | bool() | int() | str():
            return value
        case float() if math.isfinite(value):
            return value
        case list() | tuple():
            return [str(each) for each in value]
    return str(value)


def rfc3339(at: float) -> str:
    """Seconds since the epoch as 2026-11-22T03:12:44.123Z (RFC 3339, UTC, milliseconds)."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
