"""mqtt against a real Mosquitto: both versions, logins, rights, messages, TLS, silence."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest

from checks.mqtt import MqttCheck
from healthd.check import Outcome, Reason, Tls
from tests.checks.servers import both
from tests.checks.servers_mqtt import Mosquitto, mosquitto
from tests.checks.silence import silenced
from tests.checks.wayward import SHORT, verdict_of

pytestmark = pytest.mark.real
VERSIONS = [MqttCheck(), MqttCheck(version="5.0")]


@pytest.fixture(scope="module")
def broker() -> Iterator[Mosquitto]:
    with mosquitto() as served:
        yield served


@pytest.mark.parametrize("check", VERSIONS)
@pytest.mark.parametrize("family", [0, 1])
async def test_it_is_accepted_with_and_without_a_login_and_tls(broker: Mosquitto, check: MqttCheck, family: int):
    for one, port in (
        (check, broker.free),
        (replace(check, client_id=""), broker.free),
        (replace(check, user="joe", password="secret"), broker.closed),
        (replace(check, tls=broker.certified.tls), broker.secure),
        (replace(check, tls=Tls(verify=False)), broker.secure),
    ):
        verdict = await verdict_of(one, both(port)[family])
        assert (verdict.outcome, verdict.detail) == (Outcome.PASS, "accepted")


@pytest.mark.parametrize(("check", "code"), list(zip(VERSIONS, ("0x05", "0x87"), strict=True)))
async def test_whom_it_does_not_know_it_refuses_by_name(broker: Mosquitto, check: MqttCheck, code: str):
    for login in ({}, {"user": "joe", "password": "guess"}, {"user": "nobody", "password": "secret"}):
        verdict = await verdict_of(replace(check, **login), both(broker.closed)[0])  # type: ignore[arg-type]
        assert (verdict.outcome, verdict.reason) == (Outcome.FAIL, Reason.UNEXPECTED)
        assert verdict.detail == f"connection refused: not authorized ({code})"


@pytest.mark.parametrize("check", VERSIONS)
@pytest.mark.parametrize("family", [0, 1])
async def test_a_topic_is_subscribed_to_and_its_message_read(broker: Mosquitto, check: MqttCheck, family: int):
    target = both(broker.free)[family]
    assert (await verdict_of(replace(check, topic="a/+/b/#"), target)).detail == "accepted, subscribed"
    version = replace(check, topic="$SYS/broker/version", expect="^mosquitto version [0-9]")
    assert (await verdict_of(version, target)).detail.startswith("accepted, message of ")
    other = await verdict_of(replace(version, expect="^rabbit"), target)
    assert other.detail.startswith("expect '^rabbit' does not match: got 'mosquitto version ")
    nothing = await verdict_of(replace(check, topic="nobody/speaks/here", expect="x"), target, SHORT)
    assert nothing.reason is Reason.TIMEOUT


async def test_probes_leave_no_client_and_no_complaint_behind(broker: Mosquitto):
    for check in VERSIONS:
        name = f"left{check.version}"
        await verdict_of(replace(check, client_id=name), both(broker.free)[0])
        for _ in range(200):
            if f"Client {name} disconnected." in broker.log.read_text():
                break
            await asyncio.sleep(0.05)
        assert f"Client {name} disconnected." in broker.log.read_text()


async def test_certificates_are_verified_unless_told_otherwise(broker: Mosquitto):
    for tls in (Tls(server_name="localhost.test"), replace(broker.certified.tls, server_name="other.test")):
        assert (await verdict_of(MqttCheck(tls=tls), both(broker.secure)[0])).reason is Reason.TLS
    plain = await verdict_of(MqttCheck(), both(broker.secure)[0])
    assert plain.outcome is Outcome.FAIL
    at_plain = await verdict_of(MqttCheck(tls=Tls(verify=False)), both(broker.free)[0])
    assert at_plain.outcome is Outcome.FAIL


async def test_a_stopped_process_is_silent_and_a_gone_one_refuses():
    with mosquitto() as served:
        (target, _) = both(served.free)
        with silenced(served.process):
            assert (await verdict_of(MqttCheck(), target, SHORT)).reason is Reason.TIMEOUT
        assert (await verdict_of(MqttCheck(), target)).outcome is Outcome.PASS
    assert (await verdict_of(MqttCheck(), target)).reason is Reason.REFUSED
