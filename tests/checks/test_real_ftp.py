"""ftp against a real vsftpd."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from checks.ftp import FtpCheck
from healthd.check import Outcome, Reason, Target, Tls, Verdict
from healthd.prober.ask import ask
from healthd.prober.trace import trace_text
from tests.checks.servers import both
from tests.checks.servers_ftp import BIG, CONTENT, PASSWORD, Ftp, vsftpd, vsftpd_with_users
from tests.checks.silence import silenced_group
from tests.checks.steady import asked_steadily

PATIENCE, SHORT = 20.0, 0.5
FOX = FtpCheck(directory="pub", file="motd.txt", expect="quick brown fox")
pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def ftp() -> Iterator[Ftp]:
    with vsftpd() as served:
        yield served


async def verdict_of(check: FtpCheck, target: Target, within: float = PATIENCE) -> Verdict:
    for _ in range(20):
        verdict, transcript = await ask(check, target, within)
        if "stalled" not in verdict.detail:
            break
    assert not check.password or check.password not in trace_text(transcript)
    return verdict


@pytest.mark.parametrize("family", [0, 1])
@pytest.mark.parametrize(
    ("options", "detail"),
    [
        ({}, ""),
        ({"directory": "/pub"}, ""),
        ({"file": "/pub/motd.txt", "expect": "^the quick"}, f", {len(CONTENT)} bytes of /pub/motd.txt"),
        ({"directory": "pub", "file": "motd.txt"}, f", {len(CONTENT)} bytes of motd.txt"),
        ({"file": "/pub/empty"}, ", 0 bytes of /pub/empty"),
        ({"file": "/pub/big", "max_bytes": 100}, ", the first 100 bytes of /pub/big"),
        ({"file": "/pub/big", "max_bytes": 2 * len(BIG), "expect": "cdef$"}, f", {len(BIG)} bytes of /pub/big"),
    ],
)
async def test_it_logs_in_and_fetches(ftp: Ftp, options: dict[str, Any], detail: str, family: int):
    verdict = await verdict_of(FtpCheck(**options), both(ftp.plain)[family])
    assert (verdict.outcome, verdict.detail) == (Outcome.PASS, f"logged in as anonymous{detail}")


async def test_pasv_works_too(ftp: Ftp):
    assert (await verdict_of(replace(FOX, passive="pasv"), both(ftp.plain)[0])).outcome is Outcome.PASS


@pytest.mark.parametrize("family", [0, 1])
async def test_files_come_over_tls_that_resumes_the_session_as_the_server_demands(ftp: Ftp, family: int):
    for port, way in ((ftp.starttls, "starttls"), (ftp.secure, "tls")):
        verdict = await verdict_of(replace(FOX, **{way: ftp.certified.tls}), both(port)[family])
        assert verdict.outcome is Outcome.PASS, verdict
        assert verdict.detail == f"logged in as anonymous, TLSv1.3, {len(CONTENT)} bytes of motd.txt"


async def test_tls_works_probe_after_probe(ftp: Ftp):
    """The session of one probe is taken up by the next, and by the file's stream of each."""
    assert await asked_steadily(replace(FOX, starttls=ftp.certified.tls), both(ftp.starttls)[0], 15) == []


async def test_certificates_are_verified(ftp: Ftp):
    for port, way in ((ftp.starttls, "starttls"), (ftp.secure, "tls")):
        target = both(port)[0]
        assert (await verdict_of(FtpCheck(**{way: Tls(server_name="localhost.test")}), target)).reason is Reason.TLS
        other = replace(ftp.certified.tls, server_name="other.test")
        assert (await verdict_of(FtpCheck(**{way: other}), target)).reason is Reason.TLS


@pytest.mark.parametrize(
    ("options", "detail"),
    [
        ({"password": "banned"}, "got '530 Login incorrect.', want 230 or 202"),
        ({"user": "joe", "password": "secret"}, "got '530 This FTP server is anonymous only.', want 230 or 232"),
        ({"directory": "none"}, "got '550 Failed to change directory.', want 250 or 200"),
        ({"file": "none"}, "got '550 Failed to open file.', want 125 or 150"),
        ({"file": "/pub/motd.txt", "expect": "dog"}, "expect 'dog' does not match: got 'the quick brown fox\\\\n'"),
        ({"starttls": Tls()}, "got '530 Please login with USER and PASS.', want 234"),
        ({"greeting": "ProFTPD"}, "expect 'ProFTPD' does not match: got '220 healthd test'"),
    ],
)
async def test_what_the_server_refuses_is_told(ftp: Ftp, options: dict[str, Any], detail: str):
    verdict = await verdict_of(FtpCheck(**options), both(ftp.plain)[0])
    assert (verdict.outcome, verdict.reason, verdict.detail) == (Outcome.FAIL, Reason.UNEXPECTED, detail)


async def test_a_server_that_demands_tls_refuses_to_go_without(ftp: Ftp):
    target, tls = both(ftp.starttls)[0], ftp.certified.tls
    clear = await verdict_of(FtpCheck(), target)
    assert clear.detail == "got '530 Anonymous sessions must use encryption.', want 230 or 232"
    file = await verdict_of(replace(FOX, starttls=tls, clear_data=True), target)
    assert file.detail == "got '522 Data connections must be encrypted.', want 125 or 150"


@pytest.fixture(scope="module")
def members() -> Iterator[int]:
    with vsftpd_with_users() as port:
        yield port


JOE = FtpCheck(user="joe", password=PASSWORD, greeting="vsFTPd of the test")


@pytest.mark.parametrize("family", [0, 1])
async def test_a_user_logs_in_with_his_password(members: int, family: int):
    verdict = await verdict_of(JOE, both(members)[family])
    assert (verdict.outcome, verdict.detail) == (Outcome.PASS, "logged in as joe")


@pytest.mark.parametrize("login", [{"password": "guess"}, {"password": ""}, {"user": "jane"}])
async def test_nobody_else_does(members: int, login: dict[str, str]):
    verdict = await verdict_of(replace(JOE, **login), both(members)[0])  # type: ignore[arg-type]
    assert (verdict.outcome, verdict.reason) == (Outcome.FAIL, Reason.UNEXPECTED)
    assert verdict.detail == "got '530 Login incorrect.', want 230 or 202"


async def test_a_server_that_denies_epsv_is_asked_by_pasv_where_that_can_be(members: int):
    check = replace(JOE, directory="pub", file="motd.txt", expect="quick brown fox")
    four, six = both(members)
    assert (await verdict_of(check, four)).outcome is Outcome.PASS
    denied = "got '550 Permission denied.', want 229"
    assert (await verdict_of(check, six)).detail == denied
    assert (await verdict_of(replace(check, passive="epsv"), four)).detail == denied


@pytest.mark.parametrize("family", [0, 1])
async def test_a_server_that_hangs_or_is_gone_fails(family: int):
    with vsftpd() as served:
        target, group = both(served.plain)[family], served.groups[family]
        with silenced_group(group):
            hangs = await verdict_of(FtpCheck(), target, SHORT)
        assert (hangs.outcome, hangs.reason) == (Outcome.FAIL, Reason.TIMEOUT)
        assert (await verdict_of(FOX, target)).outcome is Outcome.PASS
    assert (await verdict_of(FOX, target)).reason is Reason.REFUSED
