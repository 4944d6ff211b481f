"""A program: one login and one query at an Oracle database, for `checks/oracle.py`.

HEALTHD_ORACLE in its environment is what is asked, in JSON; its output is one line of JSON: {"row": [value] or null},
{"failure": reason, "detail": text} or {"doubt": text}. It stands alone and imports nothing of healthd: it is started
once for each probe, isolated from whatever the folder it lies in is called.
"""

from __future__ import annotations

import errno
import json
import os
import re
import resource
from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Any

_MEMORY = 2 << 30
"""Bytes of address space. The library reserves what a server says that it will send."""

_GRACE = 500
"""Milliseconds that a server has for our good-bye: the answer is there."""

_MOST = 16384
"""Most characters of a value."""

_REASONS: Mapping[int, tuple[str, str]] = MappingProxyType(
    {
        errno.ECONNREFUSED: ("refused", "connection refused"),
        errno.ECONNRESET: ("reset", "connection reset"),
        errno.EPIPE: ("reset", "connection reset"),
        errno.EHOSTUNREACH: ("unreachable", "no route to host"),
        errno.ENETUNREACH: ("unreachable", "network unreachable"),
        errno.ETIMEDOUT: ("timeout", "no answer until the kernel gave up"),
    }
)

_CLOSED = "DPY-4011"
_TOO_LATE = "DPY-4024"
_UNREADABLE = ("DPY-4019", "DPY-4035", "DPY-5")
_FOR_SUPPORT = re.compile(r" \(CONNECTION_ID=[^)]*\)")

Said = dict[str, Any]


def main() -> None:
    """Ask, and say what came of it."""
    asked = json.loads(os.environ.pop("HEALTHD_ORACLE"))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # it would hold the password
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    import oracledb

    oracledb.defaults.fetch_lobs = False
    try:
        said = _ask(oracledb, asked)
    except oracledb.Error as error:
        said = _meaning(error)
    except Exception as error:  # noqa: BLE001 - the library's own parts trip over what they cannot read
        said = _failure("protocol", f"oracledb cannot read the answer ({error!r})")
    print(json.dumps(said), flush=True)
    os._exit(0)  # nothing that the library has begun may keep us


def _ask(oracledb: Any, asked: Mapping[str, Any]) -> Said:
    connection = oracledb.connect(
        user=asked["user"],
        password=asked["password"],
        host=asked["host"],
        port=asked["port"],
        service_name=asked["service"],
        sid=asked["sid"],
        program="healthd",
    )
    try:
        connection.call_timeout = max(1, int(asked["query_time"] * 1000))
        with connection.cursor() as cursor:
            cursor.prefetchrows = cursor.arraysize = 1
            cursor.execute(asked["query"])
            row = cursor.fetchone() if cursor.description else None
            return {"row": None if row is None else [_text(value) for value in row[:1]]}
    finally:
        with suppress(Exception):
            connection.call_timeout = _GRACE
            connection.close()


def _text(value: object) -> str | None:
    if isinstance(value, bytes):
        return value[:_MOST].hex()
    return None if value is None else str(value)[:_MOST]


def _meaning(error: Exception) -> Said:
    """What an error of the library says about the server; of a wrapped one, what it wraps."""
    cause = error.__cause__
    if isinstance(cause, OSError):
        known = _REASONS.get(cause.errno or 0)
        return {"doubt": f"asking: {cause}"} if known is None else _failure(*known)
    told = cause if isinstance(cause, Exception) and type(cause).__module__.startswith("oracledb") else error
    detail, code = _words(told), getattr(told.args[0] if told.args else None, "full_code", "")
    if code == _CLOSED:
        return _failure("reset", "connection closed by the server")
    if code == _TOO_LATE:
        return _failure("timeout", detail)
    return _failure("protocol" if code.startswith(_UNREADABLE) else "unexpected", detail)


def _words(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line and not line.startswith("Help:")]
    return _FOR_SUPPORT.sub("", " ".join(lines))[:300]


def _failure(reason: str, detail: str) -> Said:
    return {"failure": reason, "detail": detail}


if __name__ == "__main__":
    main()
