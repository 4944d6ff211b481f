"""radius against a real FreeRADIUS: users, Status-Server, TLS, and a server that hangs or is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest

from checks.radius import RadiusCheck
from healthd.check import Outcome, Reason, Tls
from tests.checks.servers import both
from tests.checks.servers_radius import LONG_PASSWORD, SECRET, FreeRadius, freeradius
from tests.checks.silence import silenced
from tests.checks.wayward import verdict_of

pytestmark = pytest.mark.real
SHORT = 0.5
STATUS = RadiusCheck(SECRET)
JOE = replace(STATUS, user="joe", password="secret")
LAX = replace(JOE, message_authenticator="optional")


@pytest.fixture(scope="module")
def radius() -> Iterator[FreeRadius]:
    with freeradius() as served:
        yield served


def over_tls(check: RadiusCheck, radius: FreeRadius) -> RadiusCheck:
    return replace(check, tls=radius.certified.tls, secret="radsec")


@pytest.mark.parametrize("family", [0, 1])
async def test_a_user_is_let_in_by_pap_and_chap(radius: FreeRadius, family: int):
    chap = replace(JOE, method="chap")
    for check, port in (
        (JOE, radius.signed),
        (chap, radius.signed),
        (LAX, radius.signed),
        (LAX, radius.old),
        (replace(chap, message_authenticator="optional"), radius.old),
        (over_tls(JOE, radius), radius.secure),
        (over_tls(chap, radius), radius.secure),
    ):
        verdict = await verdict_of(check, both(port)[family])
        assert (verdict.outcome, verdict.detail) == (Outcome.PASS, "Access-Accept")


@pytest.mark.parametrize("family", [0, 1])
async def test_the_status_is_told_to_whom_asks(radius: FreeRadius, family: int):
    for check, port, detail in (
        (STATUS, radius.signed, "Access-Accept"),
        (STATUS, radius.old, "Access-Accept"),
        (STATUS, radius.accounting, "Accounting-Response"),
        (over_tls(STATUS, radius), radius.secure, "Access-Accept"),
    ):
        verdict = await verdict_of(check, both(port)[family])
        assert (verdict.outcome, verdict.detail) == (Outcome.PASS, detail)


@pytest.mark.parametrize("family", [0, 1])
async def test_wrong_users_and_passwords_are_told(radius: FreeRadius, family: int):
    for check in (
        replace(JOE, password="guess"),
        replace(JOE, password=""),
        replace(JOE, password="guess", method="chap"),
        replace(JOE, user="bob"),
    ):
        for one, port in ((check, radius.signed), (over_tls(check, radius), radius.secure)):
            verdict = await verdict_of(one, both(port)[family])
            assert (verdict.outcome, verdict.reason) == (Outcome.FAIL, Reason.UNEXPECTED)
            assert verdict.detail == "got Access-Reject (not today), want Access-Accept"
    rejected = replace(JOE, user="bob", expect_code=("Access-Reject",), expect="today$")
    assert (await verdict_of(rejected, both(radius.signed)[family])).outcome is Outcome.PASS


async def test_a_challenge_is_an_answer_where_it_is_wanted(radius: FreeRadius):
    ann = replace(JOE, user="ann")
    verdict = await verdict_of(ann, both(radius.signed)[0])
    assert verdict.detail == "got Access-Challenge (which number?), want Access-Accept"
    wanted = replace(ann, expect_code=("Access-Challenge",), expect="number")
    assert (await verdict_of(wanted, both(radius.signed)[0])).outcome is Outcome.PASS


async def test_the_server_hears_what_we_are(radius: FreeRadius):
    told = replace(JOE, nas_identifier="nas7", attributes=(("NAS-Port-Type", "5"),), expect="^hello nas7 Virtual$")
    assert (await verdict_of(told, both(radius.signed)[0])).outcome is Outcome.PASS
    address = replace(JOE, nas_identifier=None, nas_address="192.0.2.7", expect="^hello 192.0.2.7 $")
    assert (await verdict_of(address, both(radius.signed)[0])).outcome is Outcome.PASS
    wrong = await verdict_of(replace(told, expect="x"), both(radius.signed)[0])
    assert wrong.detail == "expect 'x' does not match: got 'hello nas7 Virtual'"


async def test_a_long_password_arrives_whole(radius: FreeRadius):
    """Every block of it is hidden with the one before."""
    long = replace(JOE, user="long", password=LONG_PASSWORD)
    assert (await verdict_of(long, both(radius.signed)[0])).outcome is Outcome.PASS
    short = replace(long, password=LONG_PASSWORD[:-1])
    assert (await verdict_of(short, both(radius.signed)[0])).outcome is Outcome.FAIL


async def test_a_server_from_before_2024_must_be_allowed_for(radius: FreeRadius):
    verdict = await verdict_of(JOE, both(radius.old)[0])
    assert (verdict.outcome, verdict.reason) == (Outcome.FAIL, Reason.PROTOCOL)
    assert verdict.detail.startswith("Access-Accept has no Message-Authenticator")


async def test_another_secret_gets_no_answer(radius: FreeRadius):
    for check in (replace(STATUS, secret="other"), replace(JOE, secret="other")):
        verdict = await verdict_of(check, both(radius.signed)[0], SHORT)
        assert (verdict.outcome, verdict.reason) == (Outcome.FAIL, Reason.TIMEOUT)
    for _ in range(200):
        if "invalid Message-Authenticator" in radius.log.read_text():
            return
        await asyncio.sleep(0.1)
    raise AssertionError(radius.log.read_text())


async def test_certificates_are_verified_unless_told_otherwise(radius: FreeRadius):
    check, target = over_tls(JOE, radius), both(radius.secure)[0]
    for tls in (Tls(server_name="localhost.test"), replace(radius.certified.tls, server_name="other.test")):
        assert (await verdict_of(replace(check, tls=tls), target)).reason is Reason.TLS
    assert (await verdict_of(replace(check, tls=Tls(verify=False)), target)).outcome is Outcome.PASS


@pytest.mark.parametrize("family", [0, 1])
async def test_a_server_that_hangs_or_is_gone_fails(family: int):
    with freeradius() as served:
        checks = ((STATUS, served.signed), (JOE, served.signed), (over_tls(JOE, served), served.secure))
        for check, port in checks:
            assert (await verdict_of(check, both(port)[family])).outcome is Outcome.PASS
        with silenced(served.process):
            for check, port in checks:
                silent = await verdict_of(check, both(port)[family], SHORT)
                assert (silent.outcome, silent.reason) == (Outcome.FAIL, Reason.TIMEOUT)
        for check, port in checks:
            assert (await verdict_of(check, both(port)[family])).outcome is Outcome.PASS
    for check, port in checks:
        gone = await verdict_of(check, both(port)[family])
        assert (gone.outcome, gone.reason) == (Outcome.FAIL, Reason.REFUSED)
