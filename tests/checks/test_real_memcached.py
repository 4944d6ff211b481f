"""memcached against real servers: statistics and values, logins by text and SASL, TLS, a full server, silence."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest

from checks.memcached import MemcachedCheck
from healthd.check import Outcome, Reason, Tls
from tests.checks.servers import both
from tests.checks.servers_memcached import Memcached, memcached
from tests.checks.silence import silenced
from tests.checks.wayward import SHORT, verdict_of

pytestmark = pytest.mark.real
JOE = MemcachedCheck(user="joe", password="secret")


@pytest.fixture(scope="module")
def plain() -> Iterator[Memcached]:
    with memcached() as served:
        with socket.create_connection(("127.0.0.1", served.port), 20) as connection:
            connection.sendall(b"set greeting 5 0 7\r\nwelcome\r\n")
            assert connection.recv(100) == b"STORED\r\n"
        yield served


@pytest.mark.parametrize("family", [0, 1])
async def test_it_tells_its_version_statistics_and_a_value(plain: Memcached, family: int):
    target = both(plain.port)[family]
    assert (await verdict_of(MemcachedCheck(), target)).detail.startswith("version 1.")
    check = MemcachedCheck(stats=(("accepting_conns", "^1$"), ("threads", "^1$")), key="greeting", expect="^welcome$")
    assert (await verdict_of(check, target)).detail.endswith(", value of 7 bytes")


@pytest.mark.parametrize(
    ("options", "detail"),
    [
        ({"stats": (("threads", "^9$"),)}, "threads: '^9$' does not match: got '1'"),
        ({"stats": (("nothing", ""),)}, "server has no statistic 'nothing'"),
        ({"key": "gone"}, "there is no key 'gone'"),
        ({"key": "greeting", "expect": "^other"}, "expect '^other' does not match: got 'welcome'"),
        ({"user": "joe", "password": "secret", "login": "sasl"}, "login: unknown command (Unknown command)"),
    ],
)
async def test_what_is_wrong_is_told(plain: Memcached, options: dict[str, object], detail: str):
    verdict = await verdict_of(MemcachedCheck(**options), both(plain.port)[0])  # type: ignore[arg-type]
    assert (verdict.outcome, verdict.reason, verdict.detail) == (Outcome.FAIL, Reason.UNEXPECTED, detail)


async def test_a_login_by_text_lets_in_whom_it_should():
    with memcached("text") as served:
        for target in both(served.port):
            assert (await verdict_of(replace(JOE, stats=(("threads", "1"),)), target)).outcome is Outcome.PASS
            refused = await verdict_of(replace(JOE, password="guess"), target)
            assert refused.detail == "login: got 'CLIENT_ERROR authentication failure', want STORED"
            nobody = await verdict_of(MemcachedCheck(), target)
            assert nobody.detail == "version: got 'CLIENT_ERROR unauthenticated', want VERSION"


async def test_a_server_without_logins_does_not_keep_the_password(plain: Memcached):
    """To it, a login is a value to be stored, for everybody to read."""
    assert (await verdict_of(JOE, both(plain.port)[0])).outcome is Outcome.PASS
    with socket.create_connection(("127.0.0.1", plain.port), 20) as connection:
        connection.sendall(b"get healthd\r\n")
        assert connection.recv(100) == b"END\r\n"


async def test_a_login_by_sasl_lets_in_whom_it_should():
    with memcached("sasl") as served:
        for target in both(served.port):
            sasl = replace(JOE, login="sasl", stats=(("threads", "^1$"),))
            assert (await verdict_of(sasl, target)).detail.startswith("version 1.")
            assert (await verdict_of(replace(sasl, key="gone"), target)).detail == "there is no key 'gone'"
            refused = await verdict_of(replace(sasl, password="guess"), target)
            assert refused.reason is Reason.UNEXPECTED
            assert refused.detail.startswith("login: authentication failed")
            assert (await verdict_of(MemcachedCheck(), target, SHORT)).outcome is Outcome.FAIL


async def test_tls_is_spoken_and_verified():
    with memcached(tls=True) as served:
        for target in both(served.port):
            for tls in (served.certified.tls, Tls(verify=False)):
                assert (await verdict_of(MemcachedCheck(tls=tls), target)).outcome is Outcome.PASS
            for tls in (Tls(server_name="localhost.test"), replace(served.certified.tls, server_name="other.test")):
                assert (await verdict_of(MemcachedCheck(tls=tls), target)).reason is Reason.TLS


async def settled(served: Memcached, outcome: Outcome) -> str:
    """Ask until the verdict is this one; its detail."""
    for _ in range(200):
        verdict = await verdict_of(MemcachedCheck(), both(served.port)[0])
        if verdict.outcome is outcome:
            break
        await asyncio.sleep(0.1)
    assert verdict.outcome is outcome, verdict
    return verdict.detail


async def test_a_full_server_fails():
    with memcached() as served, contextlib.ExitStack() as stack:
        await settled(served, Outcome.PASS)
        for _ in range(80):
            stack.enter_context(socket.create_connection(("127.0.0.1", served.port), 20))
        verdict = await verdict_of(MemcachedCheck(), both(served.port)[0], 2.0)
        assert "ERROR Too many open connections" in verdict.detail or verdict.reason is Reason.RESET
        stack.pop_all().close()
        await settled(served, Outcome.PASS)


async def test_a_stopped_process_is_silent_and_a_gone_one_refuses():
    with memcached() as served:
        (target, _) = both(served.port)
        with silenced(served.process):
            assert (await verdict_of(MemcachedCheck(), target, SHORT)).reason is Reason.TIMEOUT
        assert "version" in await settled(served, Outcome.PASS)
    assert (await verdict_of(MemcachedCheck(), target)).reason is Reason.REFUSED
