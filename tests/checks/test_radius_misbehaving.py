"""The radius check on the real engine against servers that answer, keep silent or misbehave."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import replace

import pytest

from checks.radius import RadiusCheck
from healthd.check import Outcome, Reason, Tls
from tests.checks.radius_words import SECRET, answer, message
from tests.checks.servers import certify, server_context
from tests.checks.wayward import SHORT, verdict_of
from tests.support import servers

JOE = RadiusCheck(SECRET.decode(), user="joe", password="guess me")
ACCEPT, REJECT = answer(2), answer(3, message("no way"))
FAMILIES = [socket.AF_INET, socket.AF_INET6]


@pytest.mark.parametrize("family", FAMILIES)
async def test_over_udp_answers_count_and_strangers_do_not(family: int):
    with servers.answering(
        lambda asked: [b"junk", asked, answer(2, secret=b"o")(asked), ACCEPT(asked)], family
    ) as here:
        assert (await verdict_of(JOE, here.target)).outcome is Outcome.PASS
    with servers.answering(lambda asked: [REJECT(asked)], family) as here:
        assert (await verdict_of(JOE, here.target)).detail == "got Access-Reject (no way), want Access-Accept"
    refused = await verdict_of(JOE, servers.refusing(family, socket.SOCK_DGRAM))
    assert (refused.outcome, refused.reason) == (Outcome.FAIL, Reason.REFUSED)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (lambda _: [], Reason.TIMEOUT),
        (lambda _: [b"", b"junk"], Reason.PROTOCOL),
        (lambda asked: [answer(2, secret=b"other")(asked)], Reason.PROTOCOL),
        (lambda _: [b"x" * 60000] * 20, Reason.PROTOCOL),
    ],
)
async def test_silence_and_junk_over_udp_fail_when_the_deadline_comes(
    reply: Callable[[bytes], list[bytes]], reason: Reason
):
    with servers.answering(reply) as here:
        verdict = await verdict_of(JOE, here.target, SHORT)
    assert (verdict.outcome, verdict.reason) == (Outcome.FAIL, reason)


async def test_over_tls_servers_that_misbehave_fail(tmp_path):
    certified = certify(tmp_path)
    context = server_context(certified)
    check = replace(JOE, tls=certified.tls)

    def accept(connection: socket.socket) -> None:
        connection.sendall(ACCEPT(connection.recv(4096)))

    for handler, reason in (
        (servers.over_tls(context, accept), Reason.OK),
        (servers.over_tls(context, servers.junk), Reason.PROTOCOL),
        (servers.over_tls(context, servers.endless), Reason.PROTOCOL),
        (servers.junk, Reason.TLS),
        (servers.reset, Reason.RESET),
    ):
        with servers.serving(handler) as server:
            assert (await verdict_of(check, server.target)).reason in (reason, Reason.RESET)
    with servers.serving(servers.over_tls(context, accept)) as server:
        assert (await verdict_of(check, server.target)).outcome is Outcome.PASS
        assert (await verdict_of(replace(check, tls=Tls()), server.target)).reason is Reason.TLS
    with servers.serving(servers.over_tls(context, servers.silent)) as server:
        assert (await verdict_of(check, server.target, SHORT)).reason is Reason.TIMEOUT
