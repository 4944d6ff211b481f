"""The ldap check on the real engine against servers that misbehave in one way each."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import replace

import pytest

from checks.ldap import LdapCheck
from healthd.check import Outcome, Reason, Tls
from healthd.health import Health, Phase, Thresholds
from healthd.prober.base import Cadence, Observation, Probe, Summary, Watch
from healthd.prober.local import LocalProber
from tests.checks.ldap_words import BOUND, DONE, TLS_BEGINS, entry, result
from tests.checks.servers import certify, server_context
from tests.checks.wayward import PATIENCE, SHORT, verdict_of
from tests.support import servers

ROOT = LdapCheck()
JOE = LdapCheck(user="cn=joe", password="xyzzy")


def endless_entries(connection: socket.socket) -> None:
    connection.recv(100)
    connection.sendall(BOUND)
    connection.recv(100)
    while True:
        connection.sendall(entry("cn=a") * 100)


def dripping(connection: socket.socket) -> None:
    for answer in (BOUND, entry() + DONE):
        connection.recv(100)
        for byte in answer:
            connection.sendall(bytes((byte,)))


def half_answer(connection: socket.socket) -> None:
    connection.recv(100)
    connection.sendall(BOUND[:9])


def reset_after_bind(connection: socket.socket) -> None:
    connection.recv(100)
    connection.sendall(BOUND)
    connection.recv(100)
    servers.reset(connection)


@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        (servers.close_at_once, Reason.PROTOCOL),
        (servers.reset, Reason.RESET),
        (reset_after_bind, Reason.RESET),
        (half_answer, Reason.PROTOCOL),
        (servers.junk, Reason.PROTOCOL),
        (servers.endless, Reason.PROTOCOL),
        (endless_entries, Reason.PROTOCOL),
    ],
)
async def test_a_server_that_misbehaves_fails_for_its_reason(handler: servers.Handler, reason: Reason):
    with servers.serving(handler) as server:
        verdict = await verdict_of(replace(ROOT, max_bytes=4096), server.target)
    assert verdict.outcome is Outcome.FAIL
    assert verdict.reason in (reason, Reason.RESET)


@pytest.mark.parametrize("handler", [servers.accept_only, servers.silent, servers.no_reader])
@pytest.mark.parametrize("check", [ROOT, replace(ROOT, starttls=Tls())])
async def test_a_server_that_says_nothing_is_too_late(handler: servers.Handler, check: LdapCheck):
    with servers.serving(handler) as server:
        verdict = await verdict_of(check, server.target, SHORT)
    assert (verdict.outcome, verdict.reason) == (Outcome.FAIL, Reason.TIMEOUT)


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
async def test_slow_answers_count_and_closed_ports_refuse(family: int):
    with servers.serving(dripping, family) as server:
        assert (await verdict_of(ROOT, server.target)).outcome is Outcome.PASS
    verdict = await verdict_of(ROOT, servers.refusing(family))
    assert (verdict.outcome, verdict.reason) == (Outcome.FAIL, Reason.REFUSED)


async def test_tls_that_cannot_be_trusted_fails_before_a_password_is_sent(tmp_path):
    certified = certify(tmp_path)
    heard: list[bytes] = []

    def promise(connection: socket.socket) -> None:
        connection.recv(100)
        connection.sendall(TLS_BEGINS)
        servers.over_tls(server_context(certified), lambda secured: heard.append(secured.recv(100)))(connection)

    for tls, handler in (
        ({"tls": Tls(server_name="localhost.test")}, servers.over_tls(server_context(certified), servers.silent)),
        ({"starttls": Tls(server_name="localhost.test")}, promise),
        ({"starttls": replace(certified.tls, server_name="other.test")}, promise),
        ({"tls": certified.tls}, servers.junk),
    ):
        with servers.serving(handler) as server:
            verdict = await verdict_of(replace(JOE, **tls), server.target)  # type: ignore[arg-type]
        assert (verdict.outcome, verdict.reason) == (Outcome.FAIL, Reason.TLS), verdict
    assert b"xyzzy" not in b"".join(heard)


class Failures:
    """Keeps what a prober says of its first failures. enough: set when the server is down."""

    def __init__(self) -> None:
        self.seen: list[tuple[Outcome, Phase]] = []
        self.enough = asyncio.Event()

    def observed(self, batch: Sequence[Observation]) -> None:
        """Take what is not a steady pass."""
        for one in batch:
            ((_, health),) = one.healths
            if one.verdict.outcome is not Outcome.INCONCLUSIVE and not self.enough.is_set():
                self.seen.append((one.verdict.outcome, health.phase))
            if health.phase is Phase.DOWN:
                self.enough.set()

    def summarised(self, summary: Summary) -> None:
        """Take totals, which nobody needs here."""

    def lost(self, why: str) -> None:
        """Never: it is in this process."""
        raise AssertionError(why)


def refuses_binds(connection: socket.socket) -> None:
    connection.recv(100)
    connection.sendall(result(2, 0x61, 49))
    connection.recv(100)


@pytest.mark.parametrize("closed", [False, True])
async def test_b6_a_connection_or_bind_that_fails_is_one_failure_and_not_two(closed: bool):
    failures = Failures()
    watch = Watch(1, Thresholds(fall=3), Health(Phase.UP))
    with servers.serving(refuses_binds) as server:
        target = servers.refusing() if closed else server.target
        prober = LocalProber(failures, freeze=False)
        try:
            await prober.assign([Probe(1, ROOT, target, Cadence(0.05, 10.0, jitter=0.0), (watch,))])
            await asyncio.wait_for(failures.enough.wait(), PATIENCE)
        finally:
            await prober.close()
    assert failures.seen == [(Outcome.FAIL, Phase.UP), (Outcome.FAIL, Phase.UP), (Outcome.FAIL, Phase.DOWN)]
