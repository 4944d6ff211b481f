"""pgsql: a PostgreSQL server lets us in and answers a query. Needs the extra `pgsql`, which brings asyncpg.

asyncpg insists on doing its own I/O, so this is a coroutine and not a conversation. What follows from that: it cannot
ask from a source address, an interface or with a mark of ours.
"""

from __future__ import annotations

import os
import re
import ssl
import struct
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, ClassVar, Literal

from checks.rules import one_line, text_pattern, text_regex
from healthd.check import REQUIRED, CheckFailed, Inconclusive, Passed, Reason, Target, Tls, option, shown

try:
    import asyncpg
    from asyncpg.connect_utils import SessionAttribute
except ImportError as error:
    raise ImportError("the check pgsql needs asyncpg, which the extra brings: pip install 'healthd[pgsql]'") from error

_GRACE = 0.5
"""Seconds a server has to hear that we are leaving."""

_RESET = frozenset(("08000", "08003", "08006"))  # asyncpg's own words for a connection that was lost


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty")
    if "\0" in text:
        raise ValueError("must not contain a zero byte")
    return text


def _named(text: str | None) -> str | None:
    return one_line(text) if text is None else one_line(_not_blank(text))


@dataclass(frozen=True, slots=True)
class PgsqlCheck:
    """A login and a query. Fails on any error of the server's, and on an empty result unless that is allowed.

    TLS is as the protocol has it (SSLRequest), never silently given up. The query runs in a transaction of its own, as
    any statement does; take one that only reads.
    """

    kind: ClassVar[str] = "pgsql"
    usual_port: ClassVar[int] = 5432

    user: str = option(REQUIRED, "user to log in as", rule=_named)
    password: str = option("", "password to log in with", secret=True)
    database: str | None = option(None, "database to log in to; default: one named like the user", rule=_named)
    query: str = option("SELECT 1", "one statement to run", rule=_not_blank)
    expect: str | None = option(
        None, "regular expression that must match the first value of the first row", rule=text_regex
    )
    allow_empty: bool = option(False, "a result without rows passes too")
    role: Literal["any", "primary", "standby", "read-write", "read-only"] = option(
        "any", "what the server must be; read-write and read-only look at the session, as libpq does"
    )
    tls: Tls | None = option(None, "ask for TLS")

    _expect: re.Pattern[str] | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse what TLS inside of this protocol cannot have."""
        if self.tls is not None and (self.tls.min_days or self.tls.alpn):
            raise ValueError("tls: min_days and alpn cannot be used with pgsql")
        if self.expect is not None and self.allow_empty:
            raise ValueError("expect and allow_empty exclude each other")
        object.__setattr__(self, "_expect", None if self.expect is None else text_pattern(self.expect))

    async def probe(self, target: Target) -> str | Passed:
        """Log in, ask, and leave."""
        if target.source or target.interface or target.mark:
            raise Inconclusive("pgsql cannot ask from a source address, an interface or with a mark")
        context: ssl.SSLContext | bool = False if self.tls is None else _context(self.tls, _stamps(self.tls))
        try:
            row = await self._first_row(target, context)
        except Exception as error:
            if (meant := self._meaning(error)) is None:
                raise
            raise meant from error
        return self._judge(row)

    async def _first_row(self, target: Target, context: ssl.SSLContext | bool) -> Any:
        connection = await asyncpg.connect(
            host=str(target.address),
            port=target.port,
            user=self.user,
            password=self.password,
            database=self.database or self.user,
            ssl=context,
            direct_tls=False,
            target_session_attrs=SessionAttribute(self.role),
            statement_cache_size=0,
            server_settings={"application_name": "healthd"},
        )
        try:
            return await connection.fetchrow(self.query)
        finally:
            await _leave(connection)

    def _judge(self, row: Any) -> str:
        """What the first row says; a row may have no columns."""
        if not row:
            if self.allow_empty:
                return "no row"
            raise CheckFailed(Reason.UNEXPECTED, "the result has no row")
        value = str(row[0])
        if self._expect is not None and not self._expect.search(value):
            got = shown(value.encode(errors="replace"))
            raise CheckFailed(Reason.UNEXPECTED, f"expect {self.expect!r} does not match: got {got!r}")
        return shown(value.encode(errors="replace"))

    def _meaning(self, error: Exception) -> CheckFailed | Inconclusive | None:
        """What an exception of asyncpg says about the server; None for what the engine knows better or a mistake."""
        match error:
            case asyncpg.PostgresError():
                reason = Reason.RESET if error.sqlstate in _RESET else Reason.UNEXPECTED
                return CheckFailed(reason, f"{error} ({error.sqlstate})")
            case asyncpg.exceptions.TargetServerAttributeNotMatched():
                return CheckFailed(Reason.UNEXPECTED, f"server is not {self.role}")
            case asyncpg.InterfaceError() | asyncpg.InternalClientError():
                return CheckFailed(Reason.PROTOCOL, f"{error}")
            case ConnectionError(errno=None):
                return CheckFailed(Reason.TLS if self.tls else Reason.RESET, f"{error}")
            case OSError():
                return None
            case AttributeError() | LookupError() | ValueError() | AssertionError() | struct.error():
                return CheckFailed(Reason.PROTOCOL, f"asyncpg cannot read the answer ({error!r})")
        return None


async def _leave(connection: Any) -> None:
    """Say good-bye, so that the server neither logs a reset nor goes on with a query that hangs.

    A query goes on there without its client, one more with every probe; when asyncpg is cancelled it asks the server,
    over a connection of its own, to give it up, and `close` waits for that. Whether any of it works does not matter:
    the verdict is out, and after the grace the connection is aborted.
    """
    try:
        with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError):
            await connection.close(timeout=_GRACE)
    finally:
        if not connection.is_closed():
            connection.terminate()


class _NamedContext(ssl.SSLContext):
    """Verifies the name that the configuration gives instead of the address that asyncpg connects to."""

    name: str | None = None

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """As of `SSLContext`."""
        return super().wrap_bio(incoming, outgoing, server_side, self.name or server_hostname, session)


def _stamps(tls: Tls) -> tuple[tuple[int, int], ...]:
    """What changes when a file of a context does. Raises Inconclusive if one is not there."""
    names = [name for name in (tls.ca_file, tls.cert_file, tls.key_file) if name is not None]
    return tuple((status.st_mtime_ns, status.st_ino) for status in map(_stat, names))


def _stat(name: str) -> os.stat_result:
    try:
        return os.stat(name)  # noqa: PTH116 - a path would only be made for this
    except OSError as error:
        raise Inconclusive(f"{name}: {error.strerror}") from None


@lru_cache(maxsize=64)
def _context(tls: Tls, _stamps: tuple[tuple[int, int], ...]) -> ssl.SSLContext:
    context = _NamedContext(ssl.PROTOCOL_TLS_CLIENT)
    context.name = tls.server_name
    if not (tls.verify and tls.verify_name):
        context.check_hostname = False
    if not tls.verify:
        context.verify_mode = ssl.CERT_NONE
    try:
        if tls.ca_file is not None:
            context.load_verify_locations(tls.ca_file)
        elif tls.verify:
            context.load_default_certs()
        if tls.cert_file is not None:
            context.load_cert_chain(tls.cert_file, tls.key_file, password="")  # else OpenSSL asks the terminal
    except OSError as error:
        raise Inconclusive(f"files of tls cannot be used: {error}") from None
    return context
