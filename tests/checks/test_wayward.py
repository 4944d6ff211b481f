"""Checks that speak first, on the real engine, against servers that misbehave in one way each."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import replace

import pytest

from checks.memcached import MemcachedCheck
from checks.mqtt import MqttCheck
from checks.redis import RedisCheck
from healthd.check import Outcome, Reason, Tls
from tests.checks.harness import passed
from tests.checks.wayward import SHORT, WAYWARD, dripping, verdict_of
from tests.support import servers

Speaker = RedisCheck | MemcachedCheck | MqttCheck
SPEAKERS: Mapping[str, tuple[Speaker, bytes]] = {
    "redis": (RedisCheck(), b"+PONG\r\n"),
    "memcached": (MemcachedCheck(), b"VERSION 1.6.18\r\n"),
    "memcached, binary": (MemcachedCheck(user="joe", password="x", login="sasl"), b""),
    "mqtt": (MqttCheck(), b"\x20\2\0\0"),
    "mqtt 5": (MqttCheck(version="5.0"), b"\x20\3\0\0\0"),
}
"""Each with all that a server has to say to pass; nothing where that takes more than one answer."""

every_speaker = pytest.mark.parametrize("name", SPEAKERS)


@every_speaker
@pytest.mark.parametrize(("handler", "reasons"), WAYWARD)
async def test_a_server_that_misbehaves_fails_for_its_reason(
    handler: servers.Handler, reasons: frozenset[Reason], name: str
):
    with servers.serving(handler) as server:
        verdict = await verdict_of(SPEAKERS[name][0], server.target)
    assert verdict.outcome is Outcome.FAIL
    assert verdict.reason in reasons


@every_speaker
@pytest.mark.parametrize("handler", [servers.accept_only, servers.silent])
async def test_silence_is_too_late(handler: servers.Handler, name: str):
    with servers.serving(handler) as server:
        assert (await verdict_of(SPEAKERS[name][0], server.target, SHORT)).reason is Reason.TIMEOUT


@every_speaker
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
async def test_a_closed_port_refuses(family: int, name: str):
    assert (await verdict_of(SPEAKERS[name][0], servers.refusing(family))).reason is Reason.REFUSED


@every_speaker
async def test_a_server_without_tls_fails_tls(name: str):
    with servers.serving(servers.junk) as server:
        check = replace(SPEAKERS[name][0], tls=Tls(verify=False))
        assert (await verdict_of(check, server.target)).reason is Reason.TLS


@pytest.mark.parametrize("name", [name for name, (_, answer) in SPEAKERS.items() if answer])
async def test_a_slow_drip_is_still_an_answer(name: str):
    check, answer = SPEAKERS[name]
    with servers.serving(dripping(answer)) as server:
        assert passed(await verdict_of(check, server.target))
