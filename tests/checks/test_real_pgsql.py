"""pgsql against a real PostgreSQL, and against servers that only pretend to be one."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from dataclasses import replace
from ipaddress import ip_address

import pytest

from checks.pgsql import PgsqlCheck
from healthd.check import Outcome, Reason, Tls, Verdict
from tests.checks.servers import both
from tests.checks.servers_pgsql import Postgres
from tests.checks.wayward import verdict_of
from tests.support import servers

JOE = PgsqlCheck("joe", password="secret", database="postgres")


async def asked(check: PgsqlCheck, served: Postgres, family: int = 0) -> Verdict:
    return await verdict_of(check, both(served.port)[family])


@pytest.mark.real
@pytest.mark.parametrize("family", [0, 1])
async def test_it_logs_in_and_asks_with_and_without_tls(postgres: Postgres, family: int):
    for check in (JOE, replace(JOE, tls=postgres.certified.tls), replace(JOE, tls=Tls(verify=False))):
        verdict = await asked(replace(check, query="SELECT 40 + 2", expect="^42$"), postgres, family)
        assert (verdict.outcome, verdict.detail) == (Outcome.PASS, "42")


@pytest.mark.real
@pytest.mark.parametrize(
    ("options", "detail"),
    [
        ({"password": "guess"}, "password authentication failed"),
        ({"user": "nobody"}, "password authentication failed"),
        ({"database": "none"}, 'database "none" does not exist (3D000)'),
        ({"query": "SELECT 1/0"}, "division by zero (22012)"),
        ({"query": "SELEC"}, "syntax error"),
        ({"query": "SELECT 1 WHERE false"}, "the result has no row"),
        ({"query": "SELECT 'a' || repeat('b', 500)", "expect": "^b"}, "expect '^b' does not match: got 'abbb"),
        ({"role": "standby"}, "server is not standby"),
    ],
)
async def test_what_the_server_refuses_is_told(postgres: Postgres, options: dict[str, object], detail: str):
    verdict = await asked(replace(JOE, **options), postgres)  # type: ignore[arg-type]
    assert (verdict.outcome, verdict.reason) == (Outcome.FAIL, Reason.UNEXPECTED)
    assert detail in verdict.detail


@pytest.mark.real
async def test_the_right_role_and_an_allowed_empty_result_pass(postgres: Postgres):
    for check in (
        replace(JOE, role="primary"),
        replace(JOE, role="read-write"),
        replace(JOE, query="SELECT 1 WHERE false", allow_empty=True),
        replace(JOE, query="SELECT generate_series(1, 100000000)", expect="^1$"),
        replace(JOE, query="SELECT NULL", expect="^NULL$"),
    ):
        assert (await asked(check, postgres)).outcome is Outcome.PASS


@pytest.mark.real
async def test_certificates_are_verified_unless_told_otherwise(postgres: Postgres):
    unknown = replace(JOE, tls=Tls(server_name="localhost.test"))
    assert (await asked(unknown, postgres)).reason is Reason.TLS
    other = replace(JOE, tls=replace(postgres.certified.tls, server_name="other.test"))
    assert (await asked(other, postgres)).reason is Reason.TLS
    soon = replace(JOE, tls=replace(postgres.certified.tls, min_days=1_000_000))
    assert (await asked(soon, postgres)).detail.startswith("certificate expires in")
    by_address = replace(JOE, tls=replace(postgres.certified.tls, server_name=None))
    assert (await asked(by_address, postgres)).outcome is Outcome.PASS


SLEEPERS = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'"


@pytest.mark.real
@pytest.mark.parametrize("secured", [False, True])
async def test_the_deadline_ends_a_query_that_hangs_also_on_the_server(postgres: Postgres, secured: bool):
    check = replace(JOE, tls=postgres.certified.tls if secured else None)
    slow = await verdict_of(replace(check, query="SELECT pg_sleep(3600)"), both(postgres.port)[0], 1.0)
    assert (slow.outcome, slow.reason) == (Outcome.FAIL, Reason.TIMEOUT)
    for _ in range(100):
        sleepers = await asked(replace(JOE, query=SLEEPERS), postgres)
        if sleepers.detail == "0":
            break
        await asyncio.sleep(0.1)
    assert sleepers.detail == "0"


KNOCK = PgsqlCheck()


@pytest.mark.real
@pytest.mark.parametrize("family", [0, 1])
async def test_without_a_user_it_looks_whether_somebody_is_let_in(postgres: Postgres, family: int):
    for check in (KNOCK, replace(KNOCK, tls=postgres.certified.tls)):
        verdict = await asked(check, postgres, family)
        assert (verdict.outcome, verdict.detail) == (Outcome.PASS, "takes logins")


@pytest.mark.real
@pytest.mark.parametrize("check", [JOE, KNOCK])
async def test_a_server_that_hangs_is_too_late_and_back_when_it_goes_on(postgres: Postgres, check: PgsqlCheck):
    """The postmaster is stopped: the kernel goes on accepting connections for it."""
    os.kill(postgres.pid, signal.SIGSTOP)
    try:
        verdict = await verdict_of(check, both(postgres.port)[0], 0.5)
    finally:
        os.kill(postgres.pid, signal.SIGCONT)
    assert (verdict.outcome, verdict.reason) == (Outcome.FAIL, Reason.TIMEOUT)
    assert (await asked(check, postgres)).outcome is Outcome.PASS


@pytest.mark.real
async def test_every_way_to_log_in(postgres: Postgres):
    for user in ("trusted", "clear", "old"):
        assert (await asked(replace(JOE, user=user), postgres)).outcome is Outcome.PASS, user
    for user in ("clear", "old"):
        wrong = await asked(replace(JOE, user=user, password="guess"), postgres)
        assert "password authentication failed" in wrong.detail
        none = await asked(replace(JOE, user=user, password=""), postgres)
        assert none.detail == "the server asks for a password, and none is given"
    assert "ident" in (await asked(replace(JOE, user="somebody"), postgres)).detail.lower()


@pytest.mark.real
async def test_a_password_of_any_letters_is_prepared_as_the_server_does_it(postgres: Postgres):
    for spelling in ("IXIX fi", "I\u00adX\u2168\u00a0\ufb01"):
        assert (await asked(replace(JOE, user="odd", password=spelling), postgres)).outcome is Outcome.PASS


@pytest.mark.real
@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("SELECT", "the result has no row"),
        ("-- nothing", "the result has no row"),
        ("SET search_path = public", "the result has no row"),
        ("COPY (SELECT 1) TO STDOUT", "the query copies, and has no rows"),
        ("SELECT 1; SET search_path = public", "the result has no row"),
        (
            "SELECT pg_terminate_backend(pg_backend_pid())",
            "due to administrator command (57P01)",
        ),
        ("SELECT 1 WHERE $1 = 1", "bind message supplies 0 parameters"),
    ],
)
async def test_statements_that_give_no_row_fail_and_say_why(postgres: Postgres, query: str, detail: str):
    verdict = await asked(replace(JOE, query=query), postgres)
    assert verdict.reason is Reason.UNEXPECTED
    assert detail in verdict.detail


@pytest.mark.real
async def test_values_are_as_psql_shows_them(postgres: Postgres):
    for query, shown in (
        ("SELECT true", "t"),
        ("SELECT 'grün', 2", "grün"),
        ("SELECT ARRAY[1, 2]", "{1,2}"),
        ("SELECT DATE '2026-02-03'", "2026-02-03"),
        ("VALUES ('a'), ('b')", "a"),
        ("CREATE TEMP TABLE t (a int); SELECT 5", "5"),
        ("INSERT INTO nothing SELECT 1", 'relation "nothing" does not exist (42P01)'),
        ("SHOW application_name", "healthd"),
        ("SELECT repeat('x', 1100000)", "a message is longer than"),
    ):
        assert shown in (await asked(replace(JOE, query=query), postgres)).detail


@pytest.mark.real
async def test_a_server_that_is_full_fails(postgres: Postgres):
    """`single` may have one connection at a time."""
    check = replace(JOE, user="single")
    with socket.create_connection((str(both(postgres.port)[0].address), postgres.port), 10) as other:
        pairs = b"user\0single\0database\0postgres\0\0"
        other.sendall((len(pairs) + 8).to_bytes(4, "big") + b"\0\3\0\0" + pairs)
        while b"Z\0\0\0\5I" not in other.recv(4096):
            pass
        full = await asked(check, postgres)
    assert (full.reason, full.detail) == (Reason.UNEXPECTED, 'too many connections for role "single" (53300)')
    for _ in range(100):
        if (await asked(check, postgres)).outcome is Outcome.PASS:
            break
        await asyncio.sleep(0.1)


@pytest.mark.real
async def test_probes_leave_no_complaint_in_the_servers_log(postgres: Postgres):
    name = f"user nobody{id(postgres)}"  # what must be in the log in the end, so that it was looked at late enough
    before = len(postgres.log.read_text())
    failing = [{"query": "SELECT 1/0"}, {"expect": "^2$"}, {"role": "standby"}, {"password": "guess"}]
    checks = [JOE, KNOCK, replace(JOE, user="trusted"), *(replace(JOE, **options) for options in failing)]  # type: ignore[arg-type]
    for tls in (None, postgres.certified.tls):
        for check in checks:
            for _ in range(3):
                await asked(replace(check, tls=tls), postgres)
    await asked(replace(JOE, user=name), postgres)
    log = postgres.log.read_text()[before:]
    assert name in log
    words = ("reset by peer", "unexpected", "could not receive", "could not send", "SSL", "lost", "terminat")
    assert [word for word in words if word in log] == []


@pytest.mark.real
async def test_a_file_that_is_not_there_fails_nobody(postgres: Postgres):
    verdict = await asked(replace(JOE, tls=Tls(ca_file="/nonexistent/ca.pem")), postgres)
    assert (verdict.outcome, verdict.detail) == (Outcome.INCONCLUSIVE, "/nonexistent/ca.pem: No such file or directory")


@pytest.mark.real
async def test_it_asks_from_the_address_it_is_told(postgres: Postgres):
    check = replace(JOE, query="SELECT host(inet_client_addr())", expect=r"^127\.0\.0\.9$")
    target = replace(both(postgres.port)[0], source=ip_address("127.0.0.9"))
    assert (await verdict_of(check, target)).outcome is Outcome.PASS


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
async def test_a_closed_port_refuses(family: int):
    assert (await verdict_of(JOE, servers.refusing(family))).reason is Reason.REFUSED


@pytest.mark.parametrize("tls", [None, Tls(verify=False)])
@pytest.mark.parametrize(
    "handler",
    [servers.junk, servers.close_at_once, servers.reset, servers.echo_lines, servers.endless, servers.half_line],
)
async def test_a_server_that_is_no_postgresql_fails(handler: servers.Handler, tls: Tls | None):
    with servers.serving(handler) as server:
        verdict = await verdict_of(replace(JOE, tls=tls), server.target, 1.0)
    assert verdict.outcome is Outcome.FAIL


@pytest.mark.parametrize(
    "answer", [b"N", b"S", b"E\0\0\0\x08oops", b"R\0\0\0\x08\0\0\0\x63", b"R\0\0\0\4", b"Z\0\0\0\5I"]
)
@pytest.mark.parametrize("tls", [None, Tls(verify=False)])
async def test_a_server_that_speaks_it_badly_fails(answer: bytes, tls: Tls | None):
    def handler(connection: socket.socket) -> None:
        connection.recv(8)
        connection.sendall(answer)

    with servers.serving(handler) as server:
        assert (await verdict_of(replace(JOE, tls=tls), server.target, 1.0)).outcome is Outcome.FAIL


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"tls": Tls(alpn=("h2",))}, "cannot be used with pgsql"),
        ({"direct_tls": True}, "direct_tls needs tls"),
        ({"user": None}, "password needs user"),
        ({"user": None, "password": "", "database": None, "query": "SELECT 2"}, "query needs user"),
        ({"expect": "("}, "is not a regular expression"),
        ({"expect": "1", "allow_empty": True}, "exclude each other"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, object], text: str):
    with pytest.raises(ValueError, match=text):
        replace(JOE, **options)  # type: ignore[arg-type]
