"""sip against a real Kamailio: UDP, TCP and TLS, both families, every state it can be in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from checks.sip import SipCheck
from healthd.check import Outcome, Reason, Tls, Verdict
from healthd.prober.ask import ask
from tests.checks.servers import both
from tests.checks.servers_sip import Kamailio, kamailio
from tests.checks.steady import asked_steadily
from tests.checks.wayward import PATIENCE, verdict_of

pytestmark = pytest.mark.real
SHORT = 0.5
PLAIN = [SipCheck(), SipCheck(tcp=True)]


@pytest.fixture(scope="module")
def server() -> Iterator[Kamailio]:
    with kamailio() as served:
        yield served


async def asked(check: SipCheck, port: int, family: int = 0, within: float = PATIENCE) -> Verdict:
    return await verdict_of(check, both(port)[family], within)


@pytest.mark.parametrize("family", [0, 1])
async def test_it_answers_on_both_families_over_every_transport(server: Kamailio, family: int):
    for check in PLAIN:
        assert (await asked(check, server.plain, family)).detail == "200 OK"
    assert (await asked(SipCheck(tls=server.certified.tls), server.secure, family)).detail == "200 OK"


@pytest.mark.parametrize("check", PLAIN)
async def test_provisional_answers_come_before_the_one_that_counts(server: Kamailio, check: SipCheck):
    slow = replace(check, user="slow@sip.example.test")
    _, transcript = await ask(slow, both(server.plain)[0], PATIENCE)
    heard = b"".join(line.data for line in transcript.lines if line.kind.value == "received")
    assert heard.index(b"SIP/2.0 100 Trying\r\n") < heard.index(b"SIP/2.0 180 ") < heard.index(b"SIP/2.0 200 OK\r\n")
    assert (await asked(slow, server.plain)).detail == "200 OK"


@pytest.mark.parametrize("check", PLAIN)
async def test_a_wrong_answer_is_told(server: Kamailio, check: SipCheck):
    busy = await asked(replace(check, user="busy@sip.example.test"), server.plain)
    assert busy == Verdict(Outcome.FAIL, Reason.UNEXPECTED, "got 503 Service Unavailable, want 200")
    private = replace(check, user="private@sip.example.test")
    assert (await asked(private, server.plain)).detail == "got 401 Unauthorized, want 200"
    assert (await asked(replace(private, status=("2xx", "401")), server.plain)).detail == "401 Unauthorized"


async def test_the_server_sees_who_asks_and_how_far_it_may_go(server: Kamailio):
    stranger = SipCheck(user="joe@sip.example.test", caller="stranger@elsewhere.test")
    assert (await asked(stranger, server.plain)).detail == "got 403 Forbidden, want 200"
    assert (await asked(replace(stranger, caller="friend@elsewhere.test"), server.plain)).outcome is Outcome.PASS
    assert (await asked(SipCheck(max_forwards=0), server.plain)).detail == "got 483 Too Many Hops, want 200"


async def test_certificates_are_verified_unless_told_otherwise(server: Kamailio):
    trusted = server.certified.tls
    assert (await asked(SipCheck(tls=Tls()), server.secure)).reason is Reason.TLS
    other = replace(trusted, server_name="other.test")
    assert (await asked(SipCheck(tls=other), server.secure)).reason is Reason.TLS
    assert (await asked(SipCheck(tls=replace(other, verify_name=False)), server.secure)).outcome is Outcome.PASS
    assert (await asked(SipCheck(tls=Tls(verify=False)), server.secure)).outcome is Outcome.PASS
    assert (await asked(SipCheck(tls=Tls(verify=False)), server.plain, within=SHORT)).outcome is Outcome.FAIL


@pytest.mark.parametrize("check", PLAIN)
async def test_probe_after_probe_passes(server: Kamailio, check: SipCheck):
    assert await asked_steadily(check, both(server.plain)[0], 20) == []


async def test_a_server_that_hangs_is_too_late_and_one_that_goes_on_is_not(server: Kamailio):
    tls = SipCheck(tls=server.certified.tls)
    with server.silent():
        for check in PLAIN:
            hung = await asked(check, server.plain, within=SHORT)
            assert (hung.outcome, hung.reason) == (Outcome.FAIL, Reason.TIMEOUT)
        assert (await asked(tls, server.secure, within=SHORT)).detail.startswith("TLS handshake not finished")
    for check in PLAIN:
        assert (await asked(check, server.plain)).outcome is Outcome.PASS
    assert (await asked(tls, server.secure)).outcome is Outcome.PASS


async def test_a_server_that_was_stopped_refuses():
    with kamailio() as stopped:
        assert (await asked(SipCheck(), stopped.plain)).outcome is Outcome.PASS
    for check in PLAIN:
        for family in (0, 1):
            assert (await asked(check, stopped.plain, family)).reason is Reason.REFUSED
