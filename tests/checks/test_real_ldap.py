"""ldap against a real OpenLDAP: binds, searches, TLS both ways, and a server that hangs or is gone."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

from checks.ldap import LdapCheck
from healthd.check import Outcome, Reason, Tls, Verdict
from tests.checks.servers import both
from tests.checks.servers_ldap import SURNAME, Slapd, slapd
from tests.checks.silence import silenced
from tests.checks.wayward import verdict_of

pytestmark = pytest.mark.real
SHORT = 0.5
TOP = "dc=example,dc=test"
ROOT = LdapCheck()
JOE = LdapCheck(user=f"cn=joe,ou=people,{TOP}", password="secret")
PEOPLE = LdapCheck(base=f"ou=people,{TOP}", scope="sub", attributes=("sn", "mail"))


@pytest.fixture(scope="module")
def directory() -> Iterator[Slapd]:
    with slapd() as served:
        yield served


@pytest.fixture(scope="module")
def strict() -> Iterator[Slapd]:
    """A directory that lets nobody bind as nobody, nor send a password without TLS."""
    with slapd("disallow bind_anon\nsecurity simple_bind=112") as served:
        yield served


async def asked(check: LdapCheck, served: Slapd, family: int = 0) -> Verdict:
    return await verdict_of(check, both(served.secure if check.tls else served.port)[family])


@pytest.mark.parametrize("family", [0, 1])
async def test_it_binds_and_searches_with_and_without_tls(directory: Slapd, family: int):
    tls = directory.certified.tls
    for check in (ROOT, JOE, replace(JOE, base=JOE.user), replace(ROOT, bind=False)):
        for secured in (check, replace(check, tls=tls), replace(check, starttls=tls)):
            verdict = await asked(secured, directory, family)
            assert (verdict.outcome, verdict.detail) == (Outcome.PASS, "success, 1 entry")


@pytest.mark.parametrize("family", [0, 1])
async def test_wrong_passwords_and_unknown_names_are_refused(directory: Slapd, family: int):
    for check in (replace(JOE, password="guess"), replace(JOE, user=f"cn=nobody,{TOP}")):
        verdict = await asked(check, directory, family)
        assert (verdict.outcome, verdict.reason) == (Outcome.FAIL, Reason.UNEXPECTED)
        assert verdict.detail == "bind: got invalidCredentials (49), want success"


async def test_what_a_directory_demands_is_told(strict: Slapd):
    assert (await asked(ROOT, strict)).detail.startswith("bind: got inappropriateAuthentication (48): anonymous bind")
    assert (await asked(JOE, strict)).detail.startswith("bind: got confidentialityRequired (13): ")
    assert (await asked(replace(ROOT, bind=False), strict)).outcome is Outcome.PASS
    assert (await asked(replace(JOE, starttls=strict.certified.tls), strict)).outcome is Outcome.PASS
    assert (await asked(replace(JOE, tls=strict.certified.tls), strict)).outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("check", "detail"),
    [
        (PEOPLE, "success, 1 entry and more"),
        (replace(PEOPLE, min_entries=2), "success, 2 entries"),
        (replace(PEOPLE, scope="one"), "success, 1 entry"),
        (replace(PEOPLE, scope="base"), "success, 1 entry"),
        (replace(PEOPLE, expect="^second@"), "success, 1 matching entry of 2"),
        (replace(PEOPLE, expect="Müller"), "success, 1 matching entry of 2"),
        (replace(PEOPLE, expect_dn="^cn=joe,"), "success, 1 matching entry of 2"),
        (replace(ROOT, attributes=("+",), expect="^1.3.6.1.4.1.1466.20037$"), "success, 1 entry"),
        (replace(ROOT, attributes=("*", "namingContexts"), expect=f"^{TOP}$"), "success, 1 entry"),
        (LdapCheck(base=f"ou=also,{TOP}", expect_dn="^ou=people"), "success, 1 entry"),
        (LdapCheck(base=f"ou=private,{TOP}", result=("noSuchObject",)), "noSuchObject, 0 entries"),
        (replace(JOE, base=f"ou=private,{TOP}", scope="one", min_entries=20), "success, 20 entries and more"),
        (replace(JOE, base=f"ou=private,{TOP}", scope="one", filter="(cn=n1*)", max_entries=11), "success, 11 entries"),
    ],
)
async def test_it_finds_what_is_there(directory: Slapd, check: LdapCheck, detail: str):
    verdict = await asked(check, directory)
    assert (verdict.outcome, verdict.detail) == (Outcome.PASS, detail)


@pytest.mark.parametrize(
    ("check", "detail"),
    [
        (LdapCheck(base=f"cn=gone,{TOP}"), "search: got noSuchObject (32), want success"),
        (LdapCheck(base="junk"), "search: got invalidDNSyntax (34): invalid DN, want success"),
        (
            LdapCheck(base="dc=other"),
            "search: got referral (10) to ldap://elsewhere.test/dc=other??base, want success",
        ),
        (
            LdapCheck(base=TOP, scope="sub", filter="(cn=gone)"),
            f"got 0 entries, want 1 or more; referred to ldap://far.test/ou=far,{TOP}??sub",
        ),
        (replace(PEOPLE, filter="(cn=j*)", max_entries=0, min_entries=0), "got 1 entry, want 0"),
        (replace(JOE, base=f"ou=private,{TOP}", scope="one", min_entries=21), "search: got sizeLimitExceeded (4)"),
        (
            LdapCheck(base=TOP, attributes=("description",), expect="^down$"),
            "got 0 matching entries of 1, want 1 or more: expect '^down$' does not match: got 'up'",
        ),
    ],
)
async def test_what_is_not_there_is_told(directory: Slapd, check: LdapCheck, detail: str):
    verdict = await asked(check, directory)
    assert (verdict.outcome, verdict.reason) == (Outcome.FAIL, Reason.UNEXPECTED)
    assert verdict.detail.startswith(detail)


@pytest.mark.parametrize(
    "text",
    [
        "(objectClass=*)",
        "(&(objectClass=person)(|(cn=joe)(cn=jim))(!(cn=jack)))",
        "(cn=j*o*e)",
        "(cn=*o*)",
        "(createTimestamp>=20010101000000Z)",
        "(createTimestamp<=29990101000000Z)",
        "(cn~=joe)",
        r"(sn=*\28joe\29 \2A \5C)",
        r"(sn=m\C3\BCller*)",
        "(cn:caseExactMatch:=joe)",
        "(ou:dn:caseIgnoreMatch:=people)",
        "(:caseIgnoreMatch:=joe)",
    ],
)
async def test_the_directory_reads_the_filter_we_wrote_and_finds_joe(directory: Slapd, text: str):
    """Its log has every filter as it was understood, written again."""
    before = len(directory.log.read_text())
    verdict = await asked(replace(PEOPLE, filter=text, expect_dn="^cn=joe,"), directory)
    assert verdict.outcome is Outcome.PASS, verdict.detail
    (line,) = (line for line in directory.log.read_text()[before:].splitlines() if "filter=" in line)
    assert line.partition('filter="')[2][:-1] == text


async def test_escapes_reach_the_value_they_mean(directory: Slapd):
    written = "".join(f"\\{byte:02x}" for byte in SURNAME.encode())
    assert (await asked(replace(PEOPLE, filter=f"(sn={written})"), directory)).outcome is Outcome.PASS
    other = "".join(f"\\{byte:02x}" for byte in SURNAME[:-1].encode())
    assert (await asked(replace(PEOPLE, filter=f"(sn={other})"), directory)).outcome is Outcome.FAIL


async def test_certificates_are_verified_unless_told_otherwise(directory: Slapd):
    certified = directory.certified.tls
    for tls in (Tls(server_name="localhost.test"), replace(certified, server_name="other.test")):
        for check in (replace(JOE, tls=tls), replace(JOE, starttls=tls)):
            assert (await asked(check, directory)).reason is Reason.TLS
    for tls in (Tls(verify=False), replace(certified, server_name=None), replace(certified, min_days=1)):
        for check in (replace(JOE, tls=tls), replace(JOE, starttls=tls)):
            assert (await asked(check, directory)).outcome is Outcome.PASS


async def test_tls_on_the_wrong_port_fails(directory: Slapd):
    plain, secure = both(directory.port)[0], both(directory.secure)[0]
    assert (await verdict_of(replace(ROOT, tls=directory.certified.tls), plain, 2.0)).outcome is Outcome.FAIL
    assert (await verdict_of(ROOT, secure, 2.0)).outcome is Outcome.FAIL


async def test_every_probe_says_good_bye():
    with slapd() as served:
        for check in (JOE, replace(JOE, password="guess"), replace(JOE, base="junk")):
            for secured in (check, replace(check, tls=served.certified.tls)):
                await asked(secured, served)
        for _ in range(200):  # good-byes may still be under way
            if served.log.read_text().count("UNBIND") >= 6:
                break
            await asyncio.sleep(0.1)
        log = served.log.read_text()
    bound, left, lost = (set(re.findall(rf"(conn=\d+) .*{words}", log)) for words in (" BIND ", "UNBIND", "lost"))
    assert len(bound) == 6
    assert bound == left
    assert not bound & lost


@pytest.mark.parametrize("family", [0, 1])
async def test_a_directory_that_hangs_or_is_gone_fails(family: int):
    with slapd() as served:
        assert (await asked(ROOT, served, family)).outcome is Outcome.PASS
        with silenced(served.process):
            for check in (ROOT, replace(ROOT, tls=served.certified.tls), replace(ROOT, starttls=served.certified.tls)):
                target = both(served.secure if check.tls else served.port)[family]
                silent = await verdict_of(check, target, SHORT)
                assert (silent.outcome, silent.reason) == (Outcome.FAIL, Reason.TIMEOUT)
        assert (await asked(ROOT, served, family)).outcome is Outcome.PASS
    gone = await asked(ROOT, served, family)
    assert (gone.outcome, gone.reason) == (Outcome.FAIL, Reason.REFUSED)
