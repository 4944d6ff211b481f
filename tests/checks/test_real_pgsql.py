"""pgsql against a real PostgreSQL, and against servers that only pretend to be one."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from dataclasses import replace

import pytest

from checks.pgsql import PgsqlCheck
from healthd.check import Outcome, Reason, Target, Tls, Verdict
from healthd.prober.ask import ask
from tests.checks.servers import Postgres, both
from tests.support import servers

PATIENCE = 20.0
JOE = PgsqlCheck("joe", password="secret", database="postgres")


async def verdict_of(check: PgsqlCheck, target: Target, within: float = PATIENCE) -> Verdict:
    for _ in range(20):
        verdict, _ = await ask(check, target, within)
        if "stalled" not in verdict.detail:
            break
    return verdict


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
        replace(JOE, query="SELECT NULL", expect="^None$"),
    ):
        assert (await asked(check, postgres)).outcome is Outcome.PASS


@pytest.mark.real
async def test_certificates_are_verified_unless_told_otherwise(postgres: Postgres):
    unknown = replace(JOE, tls=Tls(server_name="localhost.test"))
    assert (await asked(unknown, postgres)).reason is Reason.TLS
    other = replace(JOE, tls=replace(postgres.certified.tls, server_name="other.test"))
    assert (await asked(other, postgres)).reason is Reason.TLS
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


@pytest.mark.real
async def test_probes_leave_no_complaint_in_the_servers_log(postgres: Postgres):
    name = f"user nobody{id(postgres)}"  # what must be in the log in the end, so that it was looked at late enough
    before = len(postgres.log.read_text())
    for tls in (None, postgres.certified.tls):
        for _ in range(3):
            await asked(replace(JOE, tls=tls), postgres)
    await asked(replace(JOE, user=name), postgres)
    log = postgres.log.read_text()[before:]
    assert name in log
    words = ("reset by peer", "unexpected", "could not receive", "could not send", "SSL", "lost", "terminat")
    assert [word for word in words if word in log] == []


async def test_a_file_that_is_not_there_fails_nobody():
    target = servers.refusing()
    verdict = await verdict_of(replace(JOE, tls=Tls(ca_file="/nonexistent/ca.pem")), target)
    assert (verdict.outcome, verdict.detail) == (Outcome.INCONCLUSIVE, "/nonexistent/ca.pem: No such file or directory")


async def test_a_source_of_ours_cannot_be_had():
    target = replace(servers.refusing(), mark=1)
    assert (await verdict_of(JOE, target)).outcome is Outcome.INCONCLUSIVE


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
        ({"tls": Tls(min_days=3)}, "cannot be used with pgsql"),
        ({"expect": "("}, "is not a regular expression"),
        ({"expect": "1", "allow_empty": True}, "exclude each other"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, object], text: str):
    with pytest.raises(ValueError, match=text):
        replace(JOE, **options)  # type: ignore[arg-type]


def test_without_its_library_the_check_says_which_extra_brings_it():
    program = (
        "import sys; sys.modules['asyncpg'] = None; from healthd.registry import check_class; check_class('pgsql')"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "ImportError: the check pgsql needs asyncpg" in run.stderr
    assert "pip install 'healthd[pgsql]'" in run.stderr
