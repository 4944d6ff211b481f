"""mysql: a MySQL or MariaDB server lets us in and answers a query, by the client/server protocol, without a library.

Ways to log in: mysql_native_password and caching_sha2_password, and over TLS sha256_password and mysql_clear_password
(which PAM and LDAP use) as well.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from checks import mysql_packets as my
from checks.mysql_packets import Greeting, Packets, Refusal
from checks.rules import text_regex
from checks.sql import asks_for_rows, judge, named, needs_user, no_zero, statement
from healthd.check import CheckFailed, Connect, Conversation, Reason, StartTls, Step, Target, Tls, option, shown

Talk = Generator[Step, Any, Any]

NOBODY = "healthd"
"""Who knocks where no user is given."""

_NATIVE, _CACHING = "mysql_native_password", "caching_sha2_password"
_IN_CLEAR = ("sha256_password", "mysql_clear_password")
_OK, _MORE, _SWITCH = 0x00, 0x01, 0xFE
_CACHED, _NOT_CACHED = b"\x01\x03", b"\x01\x04"

_TURNED_AWAY = frozenset((1251, 3159))
"""Errors besides those of class 28 that say no to this login only: another way to log in, or only with TLS."""

_ENDED = ("08", "70")
"""Classes of SQLSTATE by which a server says that it is shutting down, or has ended this session."""

_LIMIT = "SET SESSION sql_select_limit = 1, {0} = IF(@@{0} > 0 AND @@{0} < {1}, @@{0}, {1})"
_LIMIT_MYSQL = _LIMIT.format("max_execution_time", 30000)
_LIMIT_MARIADB = _LIMIT.format("max_statement_time", 30)


@dataclass(frozen=True, slots=True)
class MysqlCheck:
    """A login and a query. Fails on any error of the server's, and on an empty result unless that is allowed.

    Without `user` a stranger knocks, and is refused: that passes, but servers may log it; a user without any rights is
    better. To greet and go, as simpler checks do, would make the server block this host after some time
    (max_connect_errors). TLS is never silently given up. A query that is still running at the deadline is given up by
    the server 30 seconds after it began (MariaDB: any; MySQL: one that only reads).
    """

    kind: ClassVar[str] = "mysql"
    usual_port: ClassVar[int] = 3306

    user: str | None = option(None, "user to log in as; default: do not log in", rule=named)
    password: str = option("", "password to log in with", rule=no_zero, secret=True)
    database: str | None = option(None, "database to use", rule=named)
    query: str = option(
        "SELECT 1", "one statement to run; the number of rows that it changes, if any, counts as a row", rule=statement
    )
    expect: str | None = option(
        None, "regular expression that must match the first value of the first row", rule=text_regex
    )
    allow_empty: bool = option(False, "a result without rows passes too")
    role: Literal["any", "read-write", "read-only"] = option(
        "any", "what the server must be, by its variable read_only"
    )
    tls: Tls | None = option(None, "ask for TLS")

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        asks_for_rows(self.expect, self.allow_empty)
        needs_user(self, "password", "database", "query", "expect", "allow_empty", "role")
        if self.tls is not None and self.tls.alpn:
            raise ValueError("tls: alpn cannot be used with mysql")

    def converse(self, target: Target) -> Conversation:
        """Log in, ask, and leave; or only knock."""
        yield Connect()
        packets = Packets()
        try:
            greeting = yield from packets.first()
            if self.tls is not None:
                yield from self._start_tls(packets, greeting, self.tls)
            return (yield from (self._knock if self.user is None else self._visit)(packets, greeting))
        except Refusal as refusal:
            raise CheckFailed(Reason.UNEXPECTED, str(refusal)) from None

    def _knock(self, packets: Packets, greeting: Greeting) -> Generator[Step, Any, str]:
        try:
            body = yield from self._log_in(packets, greeting)
        except Refusal as refusal:
            if not refusal.state.startswith("28") and refusal.code not in _TURNED_AWAY:
                raise
            return f"{greeting.version} takes logins: {refusal}"
        if body[0] == _MORE:
            return f"{greeting.version} takes logins"
        _expect_ok(body)
        yield from _leave(packets)
        return f"{greeting.version} takes logins, without a password"

    def _visit(self, packets: Packets, greeting: Greeting) -> Generator[Step, Any, str]:
        _expect_ok((yield from self._log_in(packets, greeting)))
        try:
            yield from self._look_at_role(packets)
            said = yield from self._ask(packets, "MariaDB" in greeting.version)
        except (Refusal, CheckFailed):
            yield from _leave(packets)
            raise
        yield from _leave(packets)
        return said

    # --- login ---

    def _capabilities(self) -> int:
        asked = (
            my.LONG_PASSWORD
            | my.FOUND_ROWS
            | my.PROTOCOL_41
            | my.TRANSACTIONS
            | my.SECURE_CONNECTION
            | my.MULTI_RESULTS
        )
        return asked | (my.SSL if self.tls else 0) | (my.WITH_DATABASE if self.database else 0)

    def _start_tls(self, packets: Packets, greeting: Greeting, tls: Tls) -> Talk:
        """SSLRequest. What came before TLS must not be taken for what came in it."""
        if not greeting.capabilities & my.SSL:
            raise CheckFailed(Reason.TLS, "the server does not offer TLS")
        if not packets.quiet():
            raise CheckFailed(Reason.PROTOCOL, "the server talks on before TLS")
        yield from packets.send(my.tls_request(self._capabilities() | greeting.capabilities & my.PLUGIN_AUTH))
        yield StartTls(tls)

    def _log_in(self, packets: Packets, greeting: Greeting) -> Generator[Step, Any, bytes]:
        """The server's last word to a login, which should be OK."""
        plugin = greeting.plugin if greeting.plugin in (_NATIVE, _CACHING) else _NATIVE
        proof = self._proof(plugin, greeting.scramble)
        capabilities = self._capabilities() | greeting.capabilities & my.PLUGIN_AUTH
        yield from packets.send(my.login(capabilities, self.user or NOBODY, proof, self.database, plugin), proof)
        body = yield from packets.next()
        if body[0] == _SWITCH:
            plugin, scramble = _switch(body)
            try:
                proof = self._proof(plugin, scramble)
            except CheckFailed:
                yield from _decline(packets)
                raise
            yield from packets.send(proof, proof)
            body = yield from packets.next()
        if body[0] == _MORE and plugin == _CACHING:
            body = yield from self._from_cache(packets, body)
        return body

    def _proof(self, plugin: str, scramble: bytes) -> bytes:
        """What shows the server that we know the password; nothing without one.

        Servers send strangers to any way to log in that they know. Whoever turned away then would have interrupted a
        handshake.
        """
        match plugin:
            case _ if not self.password:
                return b""
            case "mysql_native_password":
                return native(self.password, scramble)
            case "caching_sha2_password":
                return caching(self.password, scramble)
            case _ if plugin in _IN_CLEAR and self.tls is not None:
                return self.password.encode() + b"\0"
            case _ if plugin in _IN_CLEAR:
                raise CheckFailed(Reason.UNEXPECTED, f"the server wants the password in clear ({plugin}): set tls")
        raise CheckFailed(Reason.UNEXPECTED, f"cannot log in the way the server asks for: {plugin}")

    def _from_cache(self, packets: Packets, body: bytes) -> Generator[Step, Any, bytes]:
        """caching_sha2_password: either the server knows a hash of the password already, or it wants to see it."""
        if body == _NOT_CACHED:
            if self.tls is None:
                yield from _decline(packets)
                raise CheckFailed(
                    Reason.UNEXPECTED,
                    "the server has the password not in its cache (caching_sha2_password): set tls, or let the user "
                    "log in over TLS after each start of the server",
                )
            yield from packets.send(self.password.encode() + b"\0", self.password.encode())
        elif body != _CACHED:
            raise my.malformed("an answer to a login", body)
        return (yield from packets.next())

    # --- questions ---

    def _look_at_role(self, packets: Packets) -> Talk:
        if self.role == "any":
            return
        row = yield from packets.ask("SELECT @@global.read_only")
        read_only = not row or row[0] not in ("0", "OFF")
        if read_only != (self.role == "read-only"):
            raise CheckFailed(Reason.UNEXPECTED, f"server is not {self.role}")

    def _ask(self, packets: Packets, mariadb: bool) -> Generator[Step, Any, str]:
        """Ask for the first row, having told the server to give the query up after a while.

        Otherwise a query that hangs goes on there without us, one more with every probe. A server that does not know
        how to do that says so, and is asked nevertheless.
        """
        try:
            yield from packets.ask(_LIMIT_MARIADB if mariadb else _LIMIT_MYSQL)
        except Refusal as refusal:
            if refusal.state.startswith(_ENDED):
                raise
        row = yield from packets.ask(self.query)
        return judge(row, self.expect, self.allow_empty)


def native(password: str, scramble: bytes) -> bytes:
    """SHA1(password) XOR SHA1(scramble, SHA1(SHA1(password)))."""
    once = hashlib.sha1(password.encode(), usedforsecurity=False).digest()
    twice = hashlib.sha1(once, usedforsecurity=False).digest()
    return _mixed(once, hashlib.sha1(scramble + twice, usedforsecurity=False).digest())


def caching(password: str, scramble: bytes) -> bytes:
    """SHA256(password) XOR SHA256(SHA256(SHA256(password)), scramble)."""
    once = hashlib.sha256(password.encode()).digest()
    twice = hashlib.sha256(once).digest()
    return _mixed(once, hashlib.sha256(twice + scramble).digest())


def _mixed(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


def _switch(body: bytes) -> tuple[str, bytes]:
    """AuthSwitchRequest: how to log in instead, and with which scramble."""
    if len(body) == 1:
        raise CheckFailed(Reason.UNEXPECTED, "cannot log in the way the server asks for: passwords of MySQL 4.0")
    plugin, zero, scramble = body[1:].partition(b"\0")
    if not zero:
        raise my.malformed("an answer to a login", body)
    return shown(plugin), scramble.removesuffix(b"\0")


def _decline(packets: Packets) -> Talk:
    """Answer as if we had no password, and hear the refusal: who hangs up here has interrupted a handshake."""
    with suppress(CheckFailed, Refusal):
        yield from packets.send(b"\0")
        yield from packets.next()


def _expect_ok(body: bytes) -> None:
    if body[0] != _OK:
        raise my.malformed("an answer to a login", body)


def _leave(packets: Packets) -> Talk:
    """Say good-bye, without waiting: the verdict is out, whatever becomes of it."""
    with suppress(CheckFailed):
        yield from packets.quit()
