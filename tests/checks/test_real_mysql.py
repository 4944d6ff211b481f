"""mysql against a real MariaDB, and against servers that only pretend to be one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import ssl
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from checks.mysql import MysqlCheck
from healthd.check import Outcome, Reason, Tls, Verdict
from tests.checks.played_mysql import SSL, error, hello, packet
from tests.checks.servers import both, certify, server_context
from tests.checks.servers_mysql import MariaDb, mariadb
from tests.checks.wayward import PATIENCE, verdict_of
from tests.support import servers

JOE = MysqlCheck("joe", password="secret", database="app")
KNOCK = MysqlCheck()


@pytest.fixture(scope="session", name="mariadb")
def started() -> Iterator[MariaDb]:
    with mariadb() as served:
        yield served


async def asked(check: MysqlCheck, served: MariaDb, family: int = 0) -> Verdict:
    return await verdict_of(check, both(served.port)[family])


@pytest.mark.real
@pytest.mark.parametrize("family", [0, 1])
async def test_it_logs_in_and_asks_with_and_without_tls(mariadb: MariaDb, family: int):
    for check in (JOE, replace(JOE, tls=mariadb.certified.tls), replace(JOE, tls=Tls(verify=False))):
        verdict = await asked(replace(check, query="SELECT 40 + 2", expect="^42$"), mariadb, family)
        assert (verdict.outcome, verdict.detail) == (Outcome.PASS, "42")


@pytest.mark.real
@pytest.mark.parametrize(
    ("options", "detail"),
    [
        ({"password": "guess"}, "Access denied for user 'joe'"),
        ({"password": ""}, "(using password: NO) (1045)"),
        ({"user": "nobody", "password": ""}, "Access denied for user 'nobody'"),
        ({"database": "none"}, "Unknown database 'none' (1049)"),
        ({"user": "curve", "database": None}, "cannot log in the way the server asks for: client_ed25519"),
        ({"user": "secured", "database": None}, "Access denied for user 'secured'"),
        ({"query": "SELEC"}, "You have an error in your SQL syntax"),
        ({"query": "SELECT 1 FROM nothing"}, "Table 'app.nothing' doesn't exist (1146)"),
        ({"query": "SELECT 1 WHERE false"}, "the result has no row"),
        ({"query": "DO 1"}, "the result has no row"),
        ({"query": "SELECT 1; SELECT 2"}, "You have an error in your SQL syntax"),
        ({"query": "KILL CONNECTION_ID()"}, "Connection was killed (1927)"),
        ({"query": "LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE numbers"}, "local infile"),
        ({"query": "SELECT CONCAT('a', REPEAT('b', 500))", "expect": "^b"}, "expect '^b' does not match: got 'abbb"),
        ({"role": "read-only"}, "server is not read-only"),
    ],
)
async def test_what_the_server_refuses_is_told(mariadb: MariaDb, options: dict[str, object], detail: str):
    verdict = await asked(replace(JOE, **options), mariadb)  # type: ignore[arg-type]
    assert (verdict.outcome, verdict.reason) == (Outcome.FAIL, Reason.UNEXPECTED)
    assert detail in verdict.detail


@pytest.mark.real
@pytest.mark.parametrize(
    ("query", "value"),
    [
        ("SELECT seq, 'x' FROM numbers ORDER BY seq", "1"),
        ("SELECT NULL", "NULL"),
        ("SELECT 'grün'", "grün"),
        ("CALL healthy()", "1"),
        ("SHOW VARIABLES LIKE 'version'", "version"),
        ("SELECT @@max_statement_time", "30.000000"),
        ("SELECT a.seq FROM numbers a, numbers b, numbers c, numbers d, numbers e, numbers f, numbers g", "1"),
        ("SELECT 1 WHERE false", "no row"),
    ],
)
async def test_the_first_value_of_the_first_row_is_what_counts(mariadb: MariaDb, query: str, value: str):
    verdict = await asked(replace(JOE, query=query, allow_empty=True), mariadb)
    assert (verdict.outcome, verdict.detail) == (Outcome.PASS, value)


@pytest.mark.real
async def test_a_lower_limit_of_the_operators_stays(mariadb: MariaDb):
    set_one = replace(JOE, query="SET GLOBAL max_statement_time = {}", allow_empty=True)
    try:
        assert (await asked(replace(set_one, query=set_one.query.format(7)), mariadb)).outcome is Outcome.PASS
        assert (await asked(replace(JOE, query="SELECT @@max_statement_time"), mariadb)).detail == "7.000000"
    finally:
        assert (await asked(replace(set_one, query=set_one.query.format(0)), mariadb)).outcome is Outcome.PASS


@pytest.mark.real
async def test_the_role_follows_the_servers_variable(mariadb: MariaDb):
    change = replace(JOE, allow_empty=True)
    for value, role, other in ((1, "read-only", "read-write"), (0, "read-write", "read-only")):
        assert (await asked(replace(change, query=f"SET GLOBAL read_only = {value}"), mariadb)).outcome is Outcome.PASS
        assert (await asked(replace(JOE, role=role), mariadb)).outcome is Outcome.PASS  # type: ignore[arg-type]
        wrong = await asked(replace(JOE, role=other), mariadb)  # type: ignore[arg-type]
        assert wrong.detail == f"server is not {other}"


@pytest.mark.real
async def test_certificates_are_verified_unless_told_otherwise(mariadb: MariaDb):
    tls = mariadb.certified.tls
    assert (await asked(replace(JOE, tls=Tls(server_name="localhost.test")), mariadb)).reason is Reason.TLS
    assert (await asked(replace(JOE, tls=replace(tls, server_name="other.test")), mariadb)).reason is Reason.TLS
    assert (await asked(replace(JOE, tls=replace(tls, server_name=None)), mariadb)).outcome is Outcome.PASS
    secured = MysqlCheck("secured", password="secret", tls=tls)
    assert (await asked(secured, mariadb)).outcome is Outcome.PASS


@pytest.mark.real
@pytest.mark.parametrize("family", [0, 1])
async def test_without_a_user_it_looks_whether_somebody_is_let_in(mariadb: MariaDb, family: int):
    for check in (KNOCK, replace(KNOCK, tls=mariadb.certified.tls)):
        verdict = await asked(check, mariadb, family)
        assert verdict.outcome is Outcome.PASS
        assert "takes logins: Access denied for user 'healthd'" in verdict.detail


@pytest.mark.real
async def test_it_asks_from_the_address_it_is_told(mariadb: MariaDb):
    target = replace(both(mariadb.port)[0], source=ip_address("127.0.0.9"))
    check = replace(JOE, query="SELECT USER()", expect=r"^joe@127\.0\.0\.9$")
    assert (await verdict_of(check, target)).outcome is Outcome.PASS


@pytest.mark.real
@pytest.mark.parametrize("check", [JOE, KNOCK])
async def test_a_server_that_is_stopped_is_too_late_and_back_when_it_goes_on(mariadb: MariaDb, check: MysqlCheck):
    os.kill(mariadb.pid, signal.SIGSTOP)
    try:
        verdict = await verdict_of(check, both(mariadb.port)[0], 0.5)
    finally:
        os.kill(mariadb.pid, signal.SIGCONT)
    assert (verdict.outcome, verdict.reason) == (Outcome.FAIL, Reason.TIMEOUT)
    assert (await asked(check, mariadb)).outcome is Outcome.PASS


@pytest.mark.real
async def test_a_query_that_hangs_fails_at_the_deadline(mariadb: MariaDb):
    slow = await verdict_of(replace(JOE, query="SELECT SLEEP(3600)"), both(mariadb.port)[0], 1.0)
    assert (slow.outcome, slow.reason) == (Outcome.FAIL, Reason.TIMEOUT)


@pytest.mark.real
async def test_a_server_that_is_full_fails_with_and_without_a_user(mariadb: MariaDb):
    change = replace(JOE, allow_empty=True)
    assert (await asked(replace(change, query="SET GLOBAL max_connections = 10"), mariadb)).outcome is Outcome.PASS
    with contextlib.ExitStack() as stack:
        for _ in range(11):  # one more is for who has all rights
            other = stack.enter_context(socket.create_connection(("127.0.0.1", mariadb.port), 10))
            assert other.recv(4096)
        for check in (JOE, KNOCK):
            full = await asked(check, mariadb)
            assert (full.reason, full.detail) == (Reason.UNEXPECTED, "Too many connections (1040)")
    for _ in range(200):
        if (await asked(replace(change, query="SET GLOBAL max_connections = 100"), mariadb)).outcome is Outcome.PASS:
            break
        await asyncio.sleep(0.1)
    assert (await asked(JOE, mariadb)).outcome is Outcome.PASS


@pytest.mark.real
async def test_probes_leave_no_interrupted_connection_behind(mariadb: MariaDb):
    """Those are what a MySQL blocks a host for (max_connect_errors)."""
    name = f"nobody{id(mariadb)}"  # what must be in the log in the end, so that it was looked at late enough
    before = len(mariadb.log.read_text())
    failing = [{"query": "SELEC"}, {"expect": "^2$"}, {"role": "read-only"}, {"password": "guess"}]
    checks = [JOE, KNOCK, *(replace(JOE, **options) for options in failing)]  # type: ignore[arg-type]
    checks.append(MysqlCheck("curve", password="secret"))
    for tls in (None, mariadb.certified.tls):
        for check in checks:
            for _ in range(3):
                await asked(replace(check, tls=tls), mariadb)
    await asked(MysqlCheck(name), mariadb)
    for _ in range(200):
        if name in (log := mariadb.log.read_text()[before:]):
            break
        await asyncio.sleep(0.1)
    assert name in log
    assert [line for line in log.splitlines() if "Access denied" not in line] == []


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
async def test_a_closed_port_refuses(family: int):
    assert (await verdict_of(JOE, servers.refusing(family))).reason is Reason.REFUSED


def slow_greeting(connection: socket.socket) -> None:
    """One byte at a time, and then an error."""
    for byte in hello():
        connection.sendall(bytes((byte,)))
    connection.recv(4096)
    connection.sendall(packet(2, error(1040, "08004", "Too many connections")))


def reset_after_greeting(connection: socket.socket) -> None:
    connection.sendall(hello())
    connection.recv(4096)
    servers.reset(connection)


@pytest.mark.parametrize("check", [JOE, KNOCK])
@pytest.mark.parametrize(
    ("handler", "reasons"),
    [
        (servers.junk, (Reason.PROTOCOL, Reason.RESET)),
        (servers.close_at_once, (Reason.PROTOCOL,)),
        (servers.reset, (Reason.RESET,)),
        (servers.endless, (Reason.PROTOCOL,)),
        (servers.echo_lines, (Reason.TIMEOUT,)),
        (servers.accept_only, (Reason.TIMEOUT,)),
        (servers.silent, (Reason.TIMEOUT,)),
        (slow_greeting, (Reason.UNEXPECTED,)),
        (reset_after_greeting, (Reason.RESET,)),
    ],
)
async def test_a_server_that_is_no_mysql_fails(
    handler: servers.Handler, reasons: tuple[Reason, ...], check: MysqlCheck
):
    within = 0.4 if Reason.TIMEOUT in reasons else PATIENCE
    with servers.serving(handler) as server:
        verdict = await verdict_of(check, server.target, within)
    assert verdict.outcome is Outcome.FAIL
    assert verdict.reason in reasons


@pytest.mark.parametrize("after", [servers.junk, servers.close_at_once, servers.reset, servers.silent])
async def test_tls_that_comes_to_nothing_fails(after: servers.Handler):
    def handler(connection: socket.socket) -> None:
        connection.sendall(hello())
        connection.recv(36, socket.MSG_WAITALL)
        after(connection)

    with servers.serving(handler) as server:
        verdict = await verdict_of(replace(JOE, tls=Tls(verify=False)), server.target, 0.5)
    assert verdict.outcome is Outcome.FAIL
    assert verdict.reason in (Reason.TLS, Reason.RESET, Reason.TIMEOUT)


async def test_a_server_that_breaks_off_behind_tls_fails(tmp_path: Path):
    context: ssl.SSLContext = server_context(certify(tmp_path))

    def handler(connection: socket.socket) -> None:
        connection.sendall(hello(capabilities=0xFFFFFFFF | SSL))
        connection.recv(36, socket.MSG_WAITALL)
        servers.over_tls(context, lambda secured: secured.sendall(b"half"))(connection)

    with servers.serving(handler) as server:
        verdict = await verdict_of(replace(JOE, tls=Tls(verify=False)), server.target)
    assert verdict.outcome is Outcome.FAIL
