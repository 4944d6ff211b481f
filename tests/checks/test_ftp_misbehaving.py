"""ftp on the real engine, against servers that misbehave on the first stream or on the file's."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from checks.ftp import FtpCheck
from healthd.check import Outcome, Reason, Tls, Verdict
from healthd.prober.ask import ask
from healthd.prober.trace import trace_text
from tests.checks.harness import failed
from tests.support import servers

HELLO, NAME, IN, DONE = b"220 ready\r\n", b"331 password\r\n", b"230 in\r\n", b"226 done\r\n"
TLS = Tls(verify=False)
PATIENCE, SHORT = 20.0, 0.4


@pytest.mark.parametrize("tls", [None, TLS])
@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        (servers.close_at_once, Reason.PROTOCOL),
        (servers.junk, Reason.PROTOCOL),
        (servers.endless, Reason.PROTOCOL),
        (servers.drip, Reason.PROTOCOL),
        (servers.reset, Reason.RESET),
        (servers.silent, Reason.TIMEOUT),
        (servers.accept_only, Reason.TIMEOUT),
    ],
)
async def test_a_server_that_misbehaves_fails_for_its_reason(handler: servers.Handler, reason: Reason, tls: Tls | None):
    with servers.serving(handler) as server:
        verdict = await asked(FtpCheck(tls=tls), server, SHORT if reason is Reason.TIMEOUT else PATIENCE)
    assert verdict.outcome is Outcome.FAIL
    # a server that closes on unread bytes resets the connection, which may overtake what it said
    assert verdict.reason in (reason, Reason.RESET, *([] if tls is None else [Reason.TLS]))


async def asked(check: FtpCheck, server: servers.Server, within: float = PATIENCE) -> Verdict:
    for _ in range(20):
        verdict, transcript = await ask(check, server.target, within)
        assert check.password not in trace_text(transcript).replace("anonymous", "")
        if verdict.outcome is not Outcome.INCONCLUSIVE:
            break
    return verdict


def endless_reply(connection: socket.socket) -> None:
    connection.sendall(b"220-more\r\n")
    while True:
        connection.sendall(b"and more\r\n" * 100)


async def test_a_reply_without_an_end_is_read_to_a_bound():
    with servers.serving(endless_reply) as server:
        assert (await asked(FtpCheck(), server)).detail == "answer is longer than 65536 bytes"


@contextlib.contextmanager
def fetching(handler: servers.Handler, family: int = socket.AF_INET) -> Iterator[servers.Server]:
    """A server whose files come from `handler`, on a port of its own."""

    def control(connection: socket.socket) -> None:
        connection.sendall(HELLO)
        answers = {
            b"USER": NAME,
            b"PASS": IN,
            b"TYPE": b"200 ok\r\n",
            b"EPSV": b"229 (|||%d|)\r\n" % side.port,
            b"RETR": b"150 comes\r\n",
        }
        while line := servers.line_of(connection):
            connection.sendall(answers.get(line[:4], b"221 bye\r\n"))
            if line.startswith(b"RETR"):
                over.wait(PATIENCE)
                connection.sendall(DONE)

    def data(connection: socket.socket) -> None:
        try:
            handler(connection)
        finally:
            over.set()

    over = threading.Event()
    with servers.serving(data, family) as side, servers.serving(control, family) as main:
        yield main
        over.set()


def pour(connection: socket.socket) -> None:
    connection.sendall(b"the quick brown fox\n" * 10000)


def drip_file(connection: socket.socket) -> None:
    for byte in b"the slow brown fox":
        connection.sendall(bytes([byte]))
        threading.Event().wait(0.005)


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
@pytest.mark.parametrize(
    ("handler", "options", "detail"),
    [
        (drip_file, {"expect": "slow brown fox$"}, ", 18 bytes of motd"),
        (pour, {"expect": "fox\n$", "max_bytes": 1000000}, ", 200000 bytes of motd"),
        (pour, {"max_bytes": 1000}, ", the first 1000 bytes of motd"),
        (servers.endless, {}, ", the first 65536 bytes of motd"),
        (servers.close_at_once, {}, ", 0 bytes of motd"),
    ],
)
async def test_a_file_is_fetched(handler: servers.Handler, options: dict[str, Any], detail: str, family: int):
    with fetching(handler, family) as server:
        verdict = await asked(FtpCheck(file="motd", **options), server)
    assert (verdict.outcome, verdict.detail) == (Outcome.PASS, f"logged in as anonymous{detail}")


@pytest.mark.parametrize(
    ("handler", "reason", "detail"),
    [
        (servers.reset, Reason.RESET, "connection reset, on port "),
        (servers.accept_only, Reason.TIMEOUT, "no complete answer on port "),
    ],
)
async def test_a_file_that_does_not_come_fails(handler: servers.Handler, reason: Reason, detail: str):
    with fetching(handler) as server:
        verdict = await asked(FtpCheck(file="motd"), server, 1.0 if reason is Reason.TIMEOUT else PATIENCE)
    assert failed(verdict, reason)
    assert verdict.detail.startswith(detail)
