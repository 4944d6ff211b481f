"""redis against real servers: a master and its replica, users and passwords, TLS, too many clients, silence."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from checks.redis import RedisCheck
from healthd.check import Outcome, Reason, Tls
from tests.checks.servers import both
from tests.checks.servers_redis import Redis, redis, told
from tests.checks.silence import silenced
from tests.checks.wayward import SHORT, verdict_of

pytestmark = pytest.mark.real
JOE = RedisCheck(user="joe", password="pass word")
LOGIN = "AUTH master-password"


@pytest.fixture(scope="module")
def master() -> Iterator[Redis]:
    with redis("--requirepass", "master-password", "--repl-diskless-sync-delay", "0") as served:
        assert told(served.port, LOGIN, "SET greeting welcome", "RPUSH list x").startswith(b":")
        told(served.port, LOGIN, 'ACL SETUSER joe on ">pass word" +@all ~*', "ACL SETUSER low on >low +ping ~*")
        yield served


@pytest.fixture(scope="module")
def replica(master: Redis) -> Iterator[Redis]:
    of = ["--replicaof", f"127.0.0.1 {master.port}", "--masterauth", "master-password"]
    with redis(*of, "--replica-serve-stale-data", "no", "--repl-timeout", "60") as served:
        yield served


@pytest.mark.parametrize("family", [0, 1])
async def test_it_answers_with_and_without_tls(master: Redis, family: int):
    for check, port in (
        (JOE, master.port),
        (RedisCheck(password="master-password"), master.port),
        (replace(JOE, tls=master.certified.tls), master.secure),
        (replace(JOE, tls=Tls(verify=False)), master.secure),
    ):
        verdict = await verdict_of(check, both(port)[family])
        assert (verdict.outcome, verdict.detail) == (Outcome.PASS, "PONG")


@pytest.mark.parametrize(
    ("options", "detail"),
    [
        ({"user": None, "password": ""}, "PING: got '-NOAUTH Authentication required.'"),
        ({"password": "guess"}, "AUTH: got '-WRONGPASS"),
        ({"user": "nobody"}, "AUTH: got '-WRONGPASS"),
        ({"database": 16}, "SELECT: got '-ERR DB index is out of range'"),
        ({"key": "gone"}, "GET: there is no key 'gone'"),
        ({"key": "list"}, "GET: got '-WRONGTYPE"),
        ({"key": "greeting", "expect": "^other$"}, "expect '^other$' does not match: got 'welcome'"),
        (
            {"user": "low", "password": "low", "role": "master"},
            "-NOPERM this user has no permissions to run the 'info' command",
        ),
        ({"role": "replica"}, "server is a master, want a replica"),
        ({"min_replicas": 9}, "good replicas of the master: "),
    ],
)
async def test_what_is_wrong_is_told(master: Redis, options: dict[str, object], detail: str):
    verdict = await verdict_of(replace(JOE, **options), both(master.port)[0])  # type: ignore[arg-type]
    assert (verdict.outcome, verdict.reason) == (Outcome.FAIL, Reason.UNEXPECTED)
    assert detail in verdict.detail


async def test_a_key_has_its_value_in_its_database_only(master: Redis):
    here = replace(JOE, key="greeting", expect="^welcome$")
    assert (await verdict_of(here, both(master.port)[1])).detail == "PONG, value of 7 bytes"
    assert (await verdict_of(replace(here, database=1), both(master.port)[1])).outcome is Outcome.FAIL


async def settled(check: RedisCheck, served: Redis, outcome: Outcome) -> str:
    """Ask until the verdict is this one; its detail."""
    for _ in range(200):
        verdict = await verdict_of(check, both(served.port)[0])
        if verdict.outcome is outcome:
            break
        await asyncio.sleep(0.1)
    assert verdict.outcome is outcome, verdict
    return verdict.detail


async def test_a_replica_is_told_from_its_master_and_missed_when_it_is_cut_off(master: Redis, replica: Redis):
    follows = RedisCheck(role="replica", max_lag=30)
    assert "replica, heard of its master" in await settled(follows, replica, Outcome.PASS)
    assert "good replicas: 1" in await settled(replace(JOE, role="master", min_replicas=1), master, Outcome.PASS)
    assert (await verdict_of(RedisCheck(role="master"), both(replica.port)[0])).detail.startswith("server is a replica")
    await asyncio.to_thread(told, replica.port, f"REPLICAOF 127.0.0.1 {replica.secure}")
    try:
        assert "-MASTERDOWN Link with MASTER is down" in await settled(follows, replica, Outcome.FAIL)
        await asyncio.to_thread(told, replica.port, "CONFIG SET replica-serve-stale-data yes")
        assert (await settled(follows, replica, Outcome.FAIL)).startswith("link of the replica to its master is down")
    finally:
        await asyncio.to_thread(told, replica.port, f"REPLICAOF 127.0.0.1 {master.port}")


async def test_certificates_are_verified_unless_told_otherwise(master: Redis):
    for tls in (Tls(server_name="localhost.test"), replace(master.certified.tls, server_name="other.test")):
        verdict = await verdict_of(replace(JOE, tls=tls), both(master.secure)[0])
        assert (verdict.outcome, verdict.reason) == (Outcome.FAIL, Reason.TLS)
    plain = await verdict_of(replace(JOE, tls=master.certified.tls), both(master.port)[0], SHORT)
    assert (plain.outcome, plain.reason) == (Outcome.FAIL, Reason.TIMEOUT)  # it waits for a line's end


async def test_a_full_server_says_so_and_a_stopped_one_is_silent():
    with redis("--maxclients", "1") as served:
        (target, _) = both(served.port)
        await settled(RedisCheck(), served, Outcome.PASS)  # once the connections of its start are closed there
        with socket.create_connection(("127.0.0.1", served.port), 20) as other:
            other.sendall(b"PING\r\n")
            assert other.recv(100) == b"+PONG\r\n"
            verdict = await verdict_of(RedisCheck(), target)
            assert verdict.outcome is Outcome.FAIL
            assert "max number of clients reached" in verdict.detail or verdict.reason is Reason.RESET
        with silenced(served.process):
            assert (await verdict_of(RedisCheck(), target, SHORT)).reason is Reason.TIMEOUT
        assert "PONG" in await settled(RedisCheck(), served, Outcome.PASS)
    assert (await verdict_of(RedisCheck(), target)).reason is Reason.REFUSED


async def test_a_server_that_does_not_know_auth_is_told_without_the_password():
    with redis("--rename-command", "AUTH", "") as served:
        verdict = await verdict_of(JOE, both(served.port)[0])
    assert (verdict.outcome, verdict.reason) == (Outcome.FAIL, Reason.UNEXPECTED)
    assert verdict.detail == "AUTH: got \"-ERR unknown command 'AUTH'\""


async def test_a_server_that_is_loading_its_data_says_so(tmp_path: Path):
    with redis("--enable-debug-command", "yes", "--dir", str(tmp_path)) as served:
        assert told(served.port, "DEBUG POPULATE 5000", "SAVE") == b"+OK\r\n"
    slowly = ["--key-load-delay", "10000", "--loading-process-events-interval-bytes", "1024"]
    with redis("--dir", str(tmp_path), *slowly) as served:
        verdict = await verdict_of(RedisCheck(), both(served.port)[0])
    assert (verdict.outcome, verdict.reason) == (Outcome.FAIL, Reason.UNEXPECTED)
    assert "-LOADING Redis is loading the dataset in memory" in verdict.detail
