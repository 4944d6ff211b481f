"""How entries look at each kind of place, in each style.

In ldirectord's style a line says no level and no fields, only what ldirectord would say, in its frame:

    [Sun Nov 22 07:36:28 2026|www.cf|16623] Added real server: 10.0.0.11:80 (192.0.2.80:80) (Weight set to 10)

in a file, without instance and number on standard output, the message alone on standard error and in syslog.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from healthd.log.entry import Entry
from healthd.log.printable import printable
from healthd.log.render import IDENTIFIER, as_json, encoded, headline, prefixed_text, severity, syslog_content, text

Lines = Callable[[Entry], bytes]
LDIRECTORD = "ldirectord"


@dataclass(frozen=True, slots=True)
class Looks:
    """file, stdout, stderr: lines with their ends. to_journald: the same for a stream that journald reads.

    syslog: the text of a datagram. headline: first line of what journald gets. tag: who we are there.
    """

    file: Lines
    stdout: Lines
    stderr: Lines
    to_journald: Lines
    syslog: Callable[[Entry], str]
    headline: Callable[[Entry], str]
    tag: str


def looks(style: str, form: str, instance: str) -> Looks:
    """instance: what lines in ldirectord's style call the configuration. ValueError for what does not exist."""
    if style not in (IDENTIFIER, LDIRECTORD):
        raise ValueError(f"unknown style {style!r}; known are {IDENTIFIER}, {LDIRECTORD}")
    match form:
        case "json":
            line = partial(_json_line, as_json)
            return Looks(as_json, as_json, as_json, as_json, line, _head(style), style)
        case "text" if style == LDIRECTORD:
            content = partial(_message, trace=" | ")
            return Looks(partial(framed, instance), timed, bare, prefixed, content, _head(style), style)
        case "text":
            return Looks(text, text, text, prefixed_text, syslog_content, _head(style), style)
    raise ValueError(f"unknown format {form!r}; known are text, json")


def framed(instance: str, entry: Entry) -> bytes:
    """As ldirectord writes to a file: [TIME|INSTANCE|PID] MESSAGE, in local time."""
    return _lines(f"[{time.ctime(entry.at)}|{printable(instance)}|{os.getpid()}] ", entry)


def timed(entry: Entry) -> bytes:
    """As ldirectord writes to standard output when it is supervised: [TIME] MESSAGE."""
    return _lines(f"[{time.ctime(entry.at)}] ", entry)


def bare(entry: Entry) -> bytes:
    """As ldirectord writes to standard error when it is debugged: MESSAGE."""
    return _lines("", entry)


def prefixed(entry: Entry) -> bytes:
    """For a stream that journald reads: <SEVERITY> before each line (sd-daemon(3))."""
    return b"".join(f"<{severity(entry.level)}>".encode() + line for line in bare(entry).splitlines(keepends=True))


def _lines(prefix: str, entry: Entry) -> bytes:
    """A traceback follows in lines that begin with a blank, so that no line can be forged."""
    traced = "".join(f"    {printable(line)}\n" for line in entry.exception.splitlines())
    return encoded(f"{prefix}{_message(entry)}\n{traced}")


def _message(entry: Entry, trace: str = "") -> str:
    tail = f"{trace}{printable(entry.exception)}" if trace and entry.exception else ""
    return printable(entry.message) + tail


def _json_line(rendered: Lines, entry: Entry) -> str:
    return rendered(entry).decode().rstrip("\n")


def _head(style: str) -> Callable[[Entry], str]:
    return _message if style == LDIRECTORD else headline
