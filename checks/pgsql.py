"""pgsql: a PostgreSQL server lets us in and answers a query, by protocol 3.0, without a library.

Everybody since PostgreSQL 7.4 speaks that protocol, and so do the servers and poolers that resemble it.
"""

from __future__ import annotations

import hashlib
import os
import re
from binascii import b2a_base64
from collections.abc import Generator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

from checks import pgsql_messages as pg
from checks.pgsql_messages import Messages, Refusal
from checks.rules import text_regex
from checks.scram import MECHANISM, Scram
from checks.sql import asks_for_rows, judge, named, needs_user, no_zero, statement
from healthd.check import (
    CheckFailed,
    Connect,
    Conversation,
    Reason,
    Receive,
    Send,
    StartTls,
    Step,
    Target,
    Tls,
    option,
    shown,
)

Talk = Generator[Step, Any, Any]

NOBODY = "healthd"
"""Who knocks where no user is given: a name must be said."""

_UNABLE = ("08", "53", "57", "58", "XX")
"""Classes of SQLSTATE by which a server says that it lets nobody in: out of resources, starting, stopping, broken.

08 is what PgBouncer says of everything, also of being full.
"""

_WATCH = "SELECT set_config('client_connection_check_interval', '1000', true)"
_GIVE_UP = "SELECT set_config('statement_timeout', '30000', true) WHERE current_setting('statement_timeout') = '0'"
_WATCHES_SINCE = 14


@dataclass(frozen=True, slots=True)
class PgsqlCheck:
    """A login and a query. Fails on any error of the server's, and on an empty result unless that is allowed.

    Without `user` the server is only asked to let somebody in; it passes if it asks for a password or says why not,
    and fails if it says that it is starting, stopping or full. TLS is never silently given up. The query runs in a
    transaction of its own, as any statement does; take one that only reads. A query that is still running at the
    deadline is given up by the server a second later (before PostgreSQL 14: 30 seconds after it began).
    """

    kind: ClassVar[str] = "pgsql"
    usual_port: ClassVar[int] = 5432

    user: str | None = option(None, "user to log in as; default: do not log in", rule=named)
    password: str = option("", "password to log in with", rule=no_zero, secret=True)
    database: str | None = option(None, "database to log in to; default: one named like the user", rule=named)
    query: str = option(
        "SELECT 1",
        "statement to run, or several, of which the last counts; the number of rows that it changes, if any, counts as "
        "a row",
        rule=statement,
    )
    expect: str | None = option(
        None, "regular expression that must match the first value of the first row, as psql shows it", rule=text_regex
    )
    allow_empty: bool = option(False, "a result without rows passes too")
    role: Literal["any", "primary", "standby", "read-write", "read-only"] = option(
        "any", "what the server must be; read-write and read-only look at the session, as libpq does"
    )
    tls: Tls | None = option(None, "ask for TLS")
    direct_tls: bool = option(False, "speak TLS from the start, as servers since PostgreSQL 17 do")

    _connect: Connect = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        asks_for_rows(self.expect, self.allow_empty)
        needs_user(self, "password", "database", "query", "expect", "allow_empty", "role")
        if self.tls is not None and self.tls.alpn:
            raise ValueError("tls: alpn cannot be used with pgsql")
        if self.direct_tls and self.tls is None:
            raise ValueError("direct_tls needs tls")
        direct = replace(self.tls, alpn=("postgresql",)) if self.tls and self.direct_tls else None
        object.__setattr__(self, "_connect", Connect(direct, speaks=True))

    def converse(self, target: Target) -> Conversation:
        """Log in, ask, and leave; or only knock."""
        yield self._connect
        if self.tls is not None and not self.direct_tls:
            yield from _start_tls(self.tls)
        user = self.user or NOBODY
        facts = {"user": user, "database": self.database or user, "application_name": "healthd"}
        yield Send(pg.startup(**facts, client_encoding="UTF8"))
        try:
            return (yield from (self._knock if self.user is None else self._visit)(Messages()))
        except Refusal as refusal:
            raise CheckFailed(Reason.UNEXPECTED, str(refusal)) from None

    def _knock(self, messages: Messages) -> Generator[Step, Any, str]:
        try:
            code, _ = yield from messages.authentication()
            if code != pg.OK:
                return "takes logins"
            yield from messages.parameters()
        except Refusal as refusal:
            if refusal.state.startswith(_UNABLE):
                raise
            return f"takes logins: {refusal}"
        yield from _leave()
        return "takes logins, without a password"

    def _visit(self, messages: Messages) -> Generator[Step, Any, str]:
        yield from self._log_in(messages)
        facts = yield from messages.parameters()
        try:
            yield from self._look_at_role(messages, facts)
            said = yield from self._ask(messages, facts)
        except (Refusal, CheckFailed):
            yield from _leave()
            raise
        yield from _leave()
        return said

    # --- login ---

    def _log_in(self, messages: Messages) -> Talk:
        code, data = yield from messages.authentication()
        if code == pg.OK:
            return
        if not self.password and code in (pg.CLEARTEXT, pg.MD5, pg.SASL):
            raise CheckFailed(Reason.UNEXPECTED, "the server asks for a password, and none is given")
        match code:
            case pg.CLEARTEXT:
                yield _said(self.password.encode())
            case pg.MD5:
                yield _said(_md5(self.user or "", self.password, data))
            case pg.SASL:
                yield from self._scram(messages, data)
            case _:
                raise CheckFailed(Reason.UNEXPECTED, f"cannot log in the way the server asks for: {pg.method(code)}")
        code, data = yield from messages.authentication()
        if code != pg.OK:
            raise pg.out_of_turn(b"R", code.to_bytes(4, "big") + data)

    def _scram(self, messages: Messages, data: bytes) -> Talk:
        offered = [name.decode("ascii", "replace") for name in data.split(b"\0") if name]
        if MECHANISM not in offered:
            ways = shown(", ".join(offered).encode())
            raise CheckFailed(Reason.UNEXPECTED, f"cannot log in the way the server asks for: {ways}")
        scram = Scram("", self.password, b2a_base64(os.urandom(18), newline=False))
        first = scram.first()
        yield Send(pg.message(b"p", pg.text(MECHANISM), len(first).to_bytes(4, "big"), first))
        proof = scram.answer((yield from _sasl(messages, pg.SASL_MORE)))
        yield Send(pg.message(b"p", proof.message), proof.secret)
        proof.accept((yield from _sasl(messages, pg.SASL_LAST)))

    # --- questions ---

    def _look_at_role(self, messages: Messages, facts: Mapping[str, str]) -> Talk:
        """What the server said of itself since PostgreSQL 14, and what it must be asked before."""
        match self.role:
            case "any":
                return
            case "primary" | "standby":
                state = facts.get("in_hot_standby") or (yield from _value(messages, "SELECT pg_is_in_recovery()"))
            case _ if {"in_hot_standby", "default_transaction_read_only"} <= facts.keys():
                state = "on" if "on" in (facts["in_hot_standby"], facts["default_transaction_read_only"]) else "off"
            case _:
                state = yield from _value(messages, "SHOW transaction_read_only")
        if (state in ("on", "t")) != (self.role in ("standby", "read-only")):
            raise CheckFailed(Reason.UNEXPECTED, f"server is not {self.role}")

    def _ask(self, messages: Messages, facts: Mapping[str, str]) -> Generator[Step, Any, str]:
        """Ask for the first row, having told the server to give the query up if we are gone.

        Otherwise a query that hangs goes on there without us, one more with every probe. It is told for the query's own
        transaction only: behind a pooler somebody else has the session next. A server that does not know how to do
        that says so, and is asked nevertheless.
        """
        release = re.match(r"\d+", facts.get("server_version", ""))
        care = _WATCH if release and int(release[0]) >= _WATCHES_SINCE else _GIVE_UP
        yield Send(pg.first_row_of(care, self.query))
        try:
            row = yield from messages.row(statements=2)
        except Refusal as refusal:
            if refusal.last or refusal.after:
                raise
            yield Send(pg.first_row_of(self.query))
            row = yield from messages.row()
        return judge(row, self.expect, self.allow_empty)


def _start_tls(tls: Tls) -> Talk:
    """SSLRequest. One byte is read, so that nothing that came before TLS is taken for what came in it."""
    yield Send(pg.SSL_REQUEST)
    answer: bytes = yield Receive(1)
    match answer:
        case b"S":
            yield StartTls(tls)
        case b"N":
            raise CheckFailed(Reason.TLS, "the server does not offer TLS")
        case b"E":
            raise CheckFailed(Reason.TLS, "the server answers the request for TLS with an error")
        case b"":
            raise CheckFailed(Reason.PROTOCOL, "connection closed without an answer to the request for TLS")
        case _:
            raise CheckFailed(Reason.PROTOCOL, f"not PostgreSQL: got {shown(answer)!r}, want 'S' or 'N'")


def _said(password: bytes) -> Send:
    return Send(pg.message(b"p", password, b"\0"), password)


def _md5(user: str, password: str, salt: bytes) -> bytes:
    if len(salt) != 4:
        raise CheckFailed(Reason.PROTOCOL, f"md5: a salt of {len(salt)} bytes, want 4")
    inner = hashlib.md5(password.encode() + user.encode(), usedforsecurity=False).hexdigest()
    return b"md5" + hashlib.md5(inner.encode() + salt, usedforsecurity=False).hexdigest().encode()


def _sasl(messages: Messages, want: int) -> Generator[Step, Any, bytes]:
    code, data = yield from messages.authentication()
    if code != want:
        raise pg.out_of_turn(b"R", code.to_bytes(4, "big") + data)
    return data


def _value(messages: Messages, query: str) -> Generator[Step, Any, str]:
    yield Send(pg.message(b"Q", pg.text(query)))
    row = yield from messages.row()
    return (row and row[0]) or ""


def _leave() -> Talk:
    """Terminate, without waiting: the verdict is out, whatever becomes of it."""
    with suppress(CheckFailed):
        yield Send(pg.TERMINATE)
