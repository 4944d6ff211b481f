"""pgsql against a real PgBouncer, by which many a PostgreSQL is reached."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
from dataclasses import replace

import pytest

from checks.pgsql import PgsqlCheck
from healthd.check import Outcome, Reason
from tests.checks.servers import both, program
from tests.checks.servers_pgbouncer import pgbouncer
from tests.checks.servers_pgsql import Postgres
from tests.checks.wayward import verdict_of

JOE = PgsqlCheck("joe", password="secret", database="postgres")
KNOCK = PgsqlCheck()
SESSION = "SELECT current_setting('client_connection_check_interval') || ' in ' || pg_backend_pid()"


def somebody_else(port: int) -> str:
    """What another client of the pooler finds."""
    argv = [program("psql", "postgresql-client"), "-h", "127.0.0.1", "-p", str(port), "-U", "joe", "-d", "postgres"]
    environment = {**os.environ, "PGPASSWORD": "secret"}
    return subprocess.run([*argv, "-Atc", SESSION], env=environment, check=True, capture_output=True, text=True).stdout


@pytest.mark.real
@pytest.mark.parametrize("mode", ["session", "transaction", "statement"])
async def test_it_asks_through_a_pooler_and_leaves_nothing_in_the_session_of_others(postgres: Postgres, mode: str):
    with pgbouncer(postgres, mode) as port:
        for target in both(port):
            for check in (JOE, replace(JOE, role="primary"), replace(JOE, role="read-write"), KNOCK):
                assert (await verdict_of(check, target)).outcome is Outcome.PASS
            ours = (await verdict_of(replace(JOE, query=SESSION), target)).detail
            assert ours.startswith("1s in ")
            assert somebody_else(port).strip() == ours.replace("1s", "0")
            failed = await verdict_of(replace(JOE, query="SELECT 1/0"), target)
            assert (failed.reason, failed.detail) == (Reason.UNEXPECTED, "division by zero (22012)")


@pytest.mark.real
async def test_a_pooler_that_is_full_fails_with_and_without_a_user(postgres: Postgres):
    startup = b"\0\3\0\0user\0joe\0database\0postgres\0\0"
    with pgbouncer(postgres, "transaction", clients=3) as port, contextlib.ExitStack() as stack:
        for _ in range(6):
            other = stack.enter_context(socket.create_connection(("127.0.0.1", port), 20))
            other.sendall((len(startup) + 4).to_bytes(4, "big") + startup)
            assert other.recv(1) in (b"R", b"E")
        for check in (JOE, KNOCK):
            full = await verdict_of(check, both(port)[0])
            assert (full.reason, full.detail) == (
                Reason.UNEXPECTED,
                "no more connections allowed (max_client_conn) (08P01)",
            )
