"""Checks on the real engine against servers that misbehave in one way each: always a verdict, and the right reason."""

from __future__ import annotations

import socket
import threading
from ipaddress import ip_address
from pathlib import Path

import pytest

from checks.dns import DnsCheck
from checks.http import HttpCheck
from checks.ping import PingCheck
from checks.script import ScriptCheck
from checks.tcp import TcpCheck
from checks.udp import UdpCheck
from healthd.check import Check, Outcome, Reason, Target
from healthd.config.schema import RunnerSettings
from healthd.prober.ask import ask
from healthd.runner.process import start_runner
from tests.checks.steady import asked_steadily
from tests.checks.wayward import PATIENCE, SHORT, verdict_of
from tests.support import servers

FAMILIES = [socket.AF_INET, socket.AF_INET6]
TCP = TcpCheck(send=b"hello\n", expect="^ok$")
HTTP = HttpCheck(expect="ok", max_body=1000)
DNS = DnsCheck("www.example.test", tcp=True)
DNS_UDP = DnsCheck("www.example.test")


@pytest.mark.parametrize(
    ("handler", "check", "reason"),
    [
        (servers.close_at_once, TCP, Reason.UNEXPECTED),
        (servers.close_at_once, HTTP, Reason.PROTOCOL),
        (servers.close_at_once, DNS, Reason.PROTOCOL),
        (servers.reset, TCP, Reason.RESET),
        (servers.reset, HTTP, Reason.RESET),
        (servers.reset, DNS, Reason.RESET),
        (servers.junk, TCP, Reason.UNEXPECTED),
        (servers.junk, HTTP, Reason.PROTOCOL),
        (servers.junk, HttpCheck(), Reason.PROTOCOL),
        (servers.junk, DNS, Reason.PROTOCOL),
        (servers.half_line, TCP, Reason.UNEXPECTED),
        (servers.half_line, HTTP, Reason.PROTOCOL),
        (servers.endless, TCP, Reason.UNEXPECTED),
        (servers.endless, HTTP, Reason.PROTOCOL),
        (servers.endless, DNS, Reason.PROTOCOL),
    ],
)
async def test_a_server_that_misbehaves_fails_for_its_reason(handler: servers.Handler, check: Check, reason: Reason):
    with servers.serving(handler) as server:
        verdict = await verdict_of(check, server.target)
    # a server that closes on unread bytes resets the connection, which may overtake what it said
    assert verdict.outcome is Outcome.FAIL
    assert verdict.reason in (reason, Reason.RESET)


@pytest.mark.parametrize("handler", [servers.accept_only, servers.silent, servers.no_reader])
@pytest.mark.parametrize("check", [TCP, HTTP, HttpCheck(), DNS])
async def test_a_server_that_says_nothing_is_too_late(handler: servers.Handler, check: Check):
    with servers.serving(handler) as server:
        verdict = await verdict_of(check, server.target, SHORT)
    assert (verdict.outcome, verdict.reason) == (Outcome.FAIL, Reason.TIMEOUT)


def endless_headers(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        connection.sendall(b"X-More: and more\r\n" * 100)


def endless_chunks(connection: socket.socket) -> None:
    servers.line_of(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        connection.sendall(b"1;" + b"x" * 4096 + b"\r\na\r\n")


def endless_body(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    servers.endless(connection)


@pytest.mark.parametrize(
    ("handler", "detail"),
    [
        (endless_headers, "headers are longer than 65536 bytes"),
        (endless_chunks, "answer has more framing than body"),
        (endless_body, "200 OK, but expect 'ok' does not match a body of 1000 bytes"),
    ],
)
async def test_what_never_ends_is_read_to_a_bound(handler: servers.Handler, detail: str):
    with servers.serving(handler) as server:
        assert (await verdict_of(HTTP, server.target)).detail == detail


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("check", [TcpCheck(), HttpCheck(), DNS])
async def test_a_closed_port_refuses(check: Check, family: int):
    verdict = await verdict_of(check, servers.refusing(family))
    assert (verdict.outcome, verdict.reason) == (Outcome.FAIL, Reason.REFUSED)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("check", [UdpCheck(), UdpCheck(reply="optional"), DNS_UDP])
async def test_a_closed_udp_port_refuses(check: Check, family: int):
    verdict = await verdict_of(check, servers.refusing(family, socket.SOCK_DGRAM))
    assert (verdict.outcome, verdict.reason) == (Outcome.FAIL, Reason.REFUSED)


@pytest.mark.parametrize("family", FAMILIES)
async def test_udp_answers_match_or_do_not(family: int):
    with servers.answering(lambda data: [data[::-1]], family) as server:
        assert (await verdict_of(UdpCheck(payload=b"abc", expect="^cba$"), server.target)).outcome is Outcome.PASS
        assert (await verdict_of(UdpCheck(payload=b"abc", expect_hex="63XX61"), server.target)).outcome is Outcome.PASS
        assert (await verdict_of(UdpCheck(payload=b"abc", expect="abc"), server.target)).reason is Reason.UNEXPECTED


async def test_udp_silence_passes_only_where_it_may():
    with servers.answering(lambda _: []) as server:
        quiet = await verdict_of(UdpCheck(payload=b"x", reply="optional"), server.target, SHORT)
        assert (quiet.outcome, quiet.detail) == (Outcome.PASS, "no answer, and no error")
        assert (await verdict_of(UdpCheck(payload=b"x"), server.target, SHORT)).reason is Reason.TIMEOUT
        assert (await verdict_of(DNS_UDP, server.target, SHORT)).reason is Reason.TIMEOUT


async def test_dns_junk_is_not_an_answer():
    with servers.answering(lambda query: [b"?", query, query[:2] + b"\x81\x80junk", b""]) as server:
        assert (await verdict_of(DNS_UDP, server.target, SHORT)).reason is Reason.TIMEOUT


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_loopback_answers_pings(address: str):
    verdict = await verdict_of(PingCheck(size=1000, count=3), Target(ip_address(address), 0))
    if verdict.outcome is Outcome.INCONCLUSIVE:
        pytest.skip(f"needs the right to send pings: {verdict.detail}")
    assert (verdict.outcome, verdict.detail) == (Outcome.PASS, "3 answered")


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "check.sh"
    path.write_text('#!/bin/sh\necho "$@ $HEALTHD_VIRTUAL $LANG"\n[ -z "$LOOP" ] || sleep 60\nexit "${CODE:-0}"\n')
    path.chmod(0o755)
    return path


async def test_a_script_really_runs(script: Path):
    runner = start_runner(RunnerSettings())
    target = Target(servers.refusing(socket.AF_INET6).address, 80)
    try:
        for env, outcome, detail in (
            ((("LANG", "x"),), Outcome.PASS, "[::1] 80 [::1] 80 ::1 x"),
            ((("CODE", "3"), ("LANG", "x")), Outcome.FAIL, "exit code 3: [::1] 80 [::1] 80 ::1 x"),
        ):
            verdict, _ = await ask(ScriptCheck(str(script), env=env), target, PATIENCE, runner)
            assert (verdict.outcome, verdict.detail) == (outcome, detail)
        for _ in range(20):
            slow, _ = await ask(ScriptCheck(str(script), env=(("LOOP", "1"),)), target, 1.0, runner)
            if slow.outcome is not Outcome.INCONCLUSIVE:
                break
        assert (slow.outcome, slow.reason) == (Outcome.FAIL, Reason.TIMEOUT)
        gone, _ = await ask(ScriptCheck(str(script.with_name("gone"))), target, PATIENCE, runner)
        assert gone.outcome is Outcome.INCONCLUSIVE
        assert "gone" in gone.detail
    finally:
        await runner.close()


@pytest.mark.parametrize(("forgets", "most"), [(1000, 0.5), (2, 1.0)])
async def test_connections_are_kept_and_stale_ones_forgiven(forgets: int, most: float):
    """The server closes each connection, without saying so, after `forgets` answers."""
    answers = threading.Lock(), [0]

    def keep_alive(connection: socket.socket) -> None:
        for _ in range(forgets):
            while servers.line_of(connection) not in (b"\r\n", b""):
                pass
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            with answers[0]:
                answers[1][0] += 1

    with servers.serving(keep_alive) as server:
        assert await asked_steadily(HttpCheck(reuse=5, expect="ok"), server.target, 20) == []
        assert server.accepted <= answers[1][0] * most + 2
