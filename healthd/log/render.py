"""An entry as the bytes of each destination."""

from __future__ import annotations

import json
import logging
import os
import re
import struct
import time

from healthd.log.entry import Entry, rfc3339
from healthd.log.printable import pairs, printable

IDENTIFIER = "healthd"
# RFC 5424, table 1; names as syslog.conf writes them.
FACILITIES = {
    "kern": 0, "user": 1, "mail": 2, "daemon": 3, "auth": 4, "syslog": 5, "lpr": 6, "news": 7, "uucp": 8, "cron": 9,
    "authpriv": 10, "ftp": 11, "local0": 16, "local1": 17, "local2": 18, "local3": 19, "local4": 20, "local5": 21,
    "local6": 22, "local7": 23,
}  # fmt: skip


def severity(level: int) -> int:
    """A level of `logging` as severity of syslog (RFC 5424, table 2): 2 critical .. 7 debug."""
    for floor, number in ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6)):
        if level >= floor:
            return number
    return 7


def level_name(level: int) -> str:
    """Name of a level in lower case."""
    return logging.getLevelName(level).lower()


def headline(entry: Entry) -> str:
    """What happened, without its fields: LABEL: MESSAGE."""
    return printable(f"{entry.label}: {entry.message}")


def body(entry: Entry) -> str:
    """What a line says besides time and level: LABEL: MESSAGE | KEY=VALUE..."""
    tail = pairs(entry.fields.items())
    return f"{headline(entry)}{' | ' if tail else ''}{tail}"


def text(entry: Entry) -> bytes:
    """One line for people; a traceback follows in lines that begin with a blank, so that no line can be forged."""
    lines = [f"{rfc3339(entry.at)} {level_name(entry.level):<8}{body(entry)}"]
    lines += [f"    {printable(line)}" for line in entry.exception.splitlines()]
    return encoded("\n".join(lines)) + b"\n"


def prefixed_text(entry: Entry) -> bytes:
    """Lines for a standard error that journald reads: <SEVERITY> before each (sd-daemon(3)); the time is journald's."""
    lines = [body(entry), *(f"    {printable(line)}" for line in entry.exception.splitlines())]
    return encoded("".join(f"<{severity(entry.level)}>{line}\n" for line in lines))


def as_json(entry: Entry) -> bytes:
    """One object in one line: at, level, logger, message, then the fields, then exception if there is one."""
    head = {"at": rfc3339(entry.at), "level": level_name(entry.level), "logger": entry.logger, "message": entry.message}
    trace = {"exception": entry.exception} if entry.exception else {}
    return json.dumps({**head, **entry.fields, **trace}).encode() + b"\n"


def syslog(entry: Entry, facility: int, content: str, tag: str = IDENTIFIER) -> bytes:
    """A datagram for /dev/log as the C library makes it: <PRI>TIME TAG[PID]: CONTENT, in local time."""
    stamp = time.localtime(entry.at)
    month = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")[stamp.tm_mon - 1]
    when = f"{month} {stamp.tm_mday:2d} {stamp.tm_hour:02d}:{stamp.tm_min:02d}:{stamp.tm_sec:02d}"
    return encoded(f"<{facility * 8 + severity(entry.level)}>{when} {tag}[{os.getpid()}]: {content}")


def syslog_content(entry: Entry) -> str:
    """The text of a datagram; a traceback in the same line, because syslog knows only lines."""
    trace = " | " + printable(entry.exception) if entry.exception else ""
    return body(entry) + trace


def journal(entry: Entry, facility: int, head: str | None = None, tag: str = IDENTIFIER) -> bytes:
    """A datagram of journald's native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL)."""
    message = "\n".join([headline(entry) if head is None else head, *entry.exception.splitlines()])
    fields = [
        ("MESSAGE", message),
        ("PRIORITY", str(severity(entry.level))),
        ("SYSLOG_IDENTIFIER", tag),
        ("SYSLOG_FACILITY", str(facility)),
        ("SYSLOG_PID", str(os.getpid())),
        ("HEALTHD_LOGGER", entry.logger),
    ]
    if entry.message_id:
        fields.append(("MESSAGE_ID", entry.message_id))
    for key, value in entry.fields.items():
        each = value if isinstance(value, list) else [] if value in (None, "") else [str(value)]
        fields += [(journal_name(key), one) for one in each]
    return b"".join(journal_field(name, value) for name, value in fields)


def journal_name(key: str) -> str:
    """A key as name of a journal field: HEALTHD_ and upper case letters, digits, underscores; at most 64."""
    return ("HEALTHD_" + re.sub(r"[^A-Z0-9_]", "_", key.upper()))[:64]


def journal_field(name: str, value: str) -> bytes:
    """One field: NAME=VALUE, or NAME, newline, length in 8 bytes and the value where it has a newline itself."""
    data = encoded(value)
    if b"\n" not in data:
        return name.encode() + b"=" + data + b"\n"
    return name.encode() + b"\n" + struct.pack("<Q", len(data)) + data + b"\n"


def encoded(value: str) -> bytes:
    """UTF-8; lone surrogates (bytes that were none) as escapes."""
    return value.encode("utf-8", "backslashreplace")
