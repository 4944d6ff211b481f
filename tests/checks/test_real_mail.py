"""smtp against a real Postfix, imap and pop against a real Dovecot: up, wrong answer or password, silent, gone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

from checks.imap import ImapCheck
from checks.pop import PopCheck
from checks.smtp import SmtpCheck
from healthd.check import Outcome, Reason, Tls, Verdict
from tests.checks import servers_mail
from tests.checks.mail import MailCheck
from tests.checks.servers import both
from tests.checks.servers_mail import Dovecot, Postfix
from tests.checks.silence import silenced_group
from tests.checks.wayward import PATIENCE, verdict_of

pytestmark = pytest.mark.real
SHORT = 0.5
JOE = {"user": "joe", "password": 'sec"ret'}
JOERG = {"user": "jörg", "password": "pä ß\\"}
families = pytest.mark.parametrize("family", [0, 1])


@pytest.fixture(scope="module")
def dovecot() -> Iterator[Dovecot]:
    with servers_mail.dovecot() as served:
        yield served


@pytest.fixture(scope="module")
def postfix(dovecot: Dovecot) -> Iterator[Postfix]:
    with servers_mail.postfix(dovecot) as served:
        yield served


async def asked(check: MailCheck, port: int, family: int = 0, within: float = PATIENCE) -> Verdict:
    """A verdict about the server at a port of one family of loopback."""
    return await verdict_of(check, both(port)[family], within)


async def ways_in(check: MailCheck, dovecot: Dovecot, family: int) -> list[Verdict]:
    """Asked in plain, over TLS begun later, and over TLS from the start."""
    plain, secure = (dovecot.imap, dovecot.imaps) if check.kind == "imap" else (dovecot.pop, dovecot.pops)
    tls = dovecot.certified.tls
    return [
        await asked(check, plain, family),
        await asked(replace(check, starttls=tls), plain, family),
        await asked(replace(check, tls=tls), secure, family),
    ]


# --- Postfix ----------------------------------------------------------------------------------------------------


@families
async def test_postfix_answers_with_and_without_tls(postfix: Postfix, family: int):
    tls = postfix.certified.tls
    check = SmtpCheck(expect=r"^mail\.test ESMTP Postfix", capabilities=("PIPELINING", "SIZE 10240000"))
    assert (await asked(check, postfix.smtp, family)).detail == "220 mail.test ESMTP Postfix"
    assert ", TLSv1." in (await asked(replace(check, starttls=tls), postfix.smtp, family)).detail
    assert ", TLSv1." in (await asked(replace(check, tls=tls), postfix.smtps, family)).detail


@families
@pytest.mark.parametrize("auth", ["auto", "plain", "login", "cram-md5"])
async def test_postfix_lets_in_who_knows_the_password(postfix: Postfix, auth: str, family: int):
    for known in (JOE, JOERG):
        check = SmtpCheck(**known, auth=auth, starttls=postfix.certified.tls)  # type: ignore[arg-type]
        assert ", logged in by " in (await asked(check, postfix.smtp, family)).detail
    plain = await asked(replace(check, starttls=None), postfix.smtp, family)
    assert plain.detail.endswith("logged in by CRAM-MD5" if auth == "auto" else f"logged in by {auth.upper()}")
    wrong = await asked(replace(check, password="guess"), postfix.smtp, family)
    assert (wrong.outcome, wrong.reason) == (Outcome.FAIL, Reason.UNEXPECTED)
    assert wrong.detail.startswith("got '535 5.7.8 Error: authentication failed")


@families
async def test_submission_takes_nothing_without_tls(postfix: Postfix, family: int):
    check = SmtpCheck(**JOE, recipient="joe@localhost.test", sender="prober@localhost.test")
    assert (await asked(check, postfix.submission, family)).detail.startswith("offers nothing to log in with")
    stranger = replace(check, user=None, password="")
    verdict = await asked(stranger, postfix.submission, family)
    assert verdict.detail == "got '530 5.7.0 Must issue a STARTTLS command first', want 250"
    secured = await asked(replace(check, starttls=postfix.certified.tls), postfix.submission, family)
    assert secured.detail.endswith(", logged in by PLAIN, recipient is taken")


@pytest.mark.parametrize(
    ("recipient", "detail"),
    [
        ("jane@localhost.test", "got '550 5.1.1 <jane@localhost.test>: Recipient address"),
        ("joe@elsewhere.test", "got '554 5.7.1 <joe@elsewhere.test>: Relay access denied'"),
    ],
)
async def test_postfix_tells_whom_it_takes_mail_for(postfix: Postfix, recipient: str, detail: str):
    known = SmtpCheck(recipient="joe@localhost.test")
    assert (await asked(known, postfix.smtp)).detail.endswith(", recipient is taken")
    verdict = await asked(replace(known, recipient=recipient), postfix.smtp)
    assert (verdict.outcome, verdict.reason) == (Outcome.FAIL, Reason.UNEXPECTED)
    assert verdict.detail.startswith(detail)


async def test_a_postfix_that_welcomes_nobody_fails(postfix: Postfix):
    verdict = await asked(SmtpCheck(), postfix.rejecting)
    assert (verdict.outcome, verdict.reason) == (Outcome.FAIL, Reason.UNEXPECTED)
    assert verdict.detail.startswith("got '554 5.7.1 <unknown[127.0.0.1]>: Client host rejected")


@families
async def test_a_greeting_in_two_halves_is_waited_for(postfix: Postfix, family: int):
    """Postscreen sends the first line of it, and a second later, to those who have kept silent, the rest."""
    check = SmtpCheck(**JOE, starttls=postfix.certified.tls, recipient="joe@localhost.test")
    verdict = await asked(check, postfix.screened, family)
    assert verdict.detail.endswith(", logged in by PLAIN, recipient is taken"), verdict
    log = postfix.log.read_text()
    assert f"PASS NEW [{both(postfix.screened)[family].address}]" in log
    assert "PREGREET" not in log


async def test_probes_that_pass_leave_no_complaint_in_postfix_s_log(dovecot: Dovecot):
    tls = dovecot.certified.tls
    with servers_mail.postfix(dovecot) as fresh:
        for check in (SmtpCheck(), SmtpCheck(**JOE, starttls=tls), SmtpCheck(recipient="joe@localhost.test")):
            assert (await asked(check, fresh.smtp)).outcome is Outcome.PASS
        assert (await asked(SmtpCheck(recipient="last@localhost.test"), fresh.smtp)).outcome is Outcome.FAIL
        log, found, _ = fresh.log.read_text().partition("<last@localhost.test>")
    assert found, "the log was looked at too early"
    assert "quit=1" in log
    assert re.findall("lost connection after (?!CONNECT).*|.*improper.*|.*too many.*", log) == []


# --- Dovecot ----------------------------------------------------------------------------------------------------


@families
async def test_dovecot_answers_with_and_without_tls(dovecot: Dovecot, family: int):
    for check, greeting in (
        (ImapCheck(expect="mail.test ready$", capabilities=("IDLE", "AUTH=PLAIN")), "* OK mail.test ready"),
        (
            PopCheck(expect=r"^\+OK mail.test ready", capabilities=("UIDL", "SASL PLAIN CRAM-MD5")),
            "+OK mail.test ready <",
        ),
    ):
        for verdict in await ways_in(check, dovecot, family):
            assert verdict.outcome is Outcome.PASS, verdict
            assert verdict.detail.startswith(greeting)


@families
@pytest.mark.parametrize("auth", ["auto", "plain", "login", "cram-md5"])
async def test_dovecot_lets_in_who_knows_the_password_by_imap(dovecot: Dovecot, auth: str, family: int):
    for known in (JOE, JOERG):
        check = ImapCheck(**known, auth=auth)  # type: ignore[arg-type]
        for verdict in await ways_in(check, dovecot, family):
            assert ", logged in by " in verdict.detail, verdict
    wrong = await asked(replace(check, password="guess"), dovecot.imap, family)
    assert (wrong.outcome, wrong.reason) == (Outcome.FAIL, Reason.UNEXPECTED)
    assert "NO [AUTHENTICATIONFAILED]" in wrong.detail


@families
@pytest.mark.parametrize("auth", ["auto", "user", "apop", "plain", "cram-md5"])
async def test_dovecot_lets_in_who_knows_the_password_by_pop(dovecot: Dovecot, auth: str, family: int):
    for known in (JOE, JOERG):
        check = PopCheck(**known, auth=auth)  # type: ignore[arg-type]
        for verdict in await ways_in(check, dovecot, family):
            assert ", logged in by " in verdict.detail, verdict
    wrong = await asked(replace(check, password="guess"), dovecot.pop, family)
    assert (wrong.outcome, wrong.reason) == (Outcome.FAIL, Reason.UNEXPECTED)
    assert wrong.detail == "got '-ERR [AUTH] Authentication failed.', want '+OK'"


async def test_a_mailbox_is_there_or_not(dovecot: Dovecot):
    for name in ("INBOX", "Entwürfe"):
        check = ImapCheck(**JOE, mailbox=name)
        assert (await asked(check, dovecot.imap)).detail.endswith(", mailbox is there")
    missing = await asked(replace(check, mailbox='not "there"'), dovecot.imap)
    assert (missing.outcome, missing.reason) == (Outcome.FAIL, Reason.UNEXPECTED)
    assert missing.detail.startswith("got 'h3 NO Mailbox doesn't exist")
    stranger = await asked(ImapCheck(mailbox="INBOX"), dovecot.imap)
    assert (stranger.outcome, stranger.reason) == (Outcome.FAIL, Reason.UNEXPECTED)


async def test_the_deeper_a_check_asks_the_more_it_finds(dovecot: Dovecot):
    """The disk with the mailboxes is gone: Dovecot greets as ever and lets people in."""
    disk = dovecot.certified.folder / "mail"
    aside = disk.rename(disk.with_name("aside"))
    disk.touch()
    try:
        for check, port in (
            (ImapCheck(), dovecot.imap),
            (ImapCheck(**JOE), dovecot.imap),
            (PopCheck(), dovecot.pop),
        ):
            assert (await asked(check, port)).outcome is Outcome.PASS
        for check, port in ((ImapCheck(**JOE, mailbox="INBOX"), dovecot.imap), (PopCheck(**JOE), dovecot.pop)):
            verdict = await asked(check, port)
            assert (verdict.outcome, verdict.reason) == (Outcome.FAIL, Reason.UNEXPECTED)
    finally:
        disk.unlink()
        aside.rename(disk)


# --- both -------------------------------------------------------------------------------------------------------


def every_port(dovecot: Dovecot, postfix: Postfix) -> list[tuple[MailCheck, int]]:
    """A check of each kind with its port, in plain and over TLS."""
    tls = dovecot.certified.tls
    return [
        (SmtpCheck(), postfix.smtp),
        (SmtpCheck(tls=tls), postfix.smtps),
        (ImapCheck(), dovecot.imap),
        (ImapCheck(tls=tls), dovecot.imaps),
        (PopCheck(), dovecot.pop),
        (PopCheck(tls=tls), dovecot.pops),
    ]


async def test_certificates_are_verified_unless_told_otherwise(dovecot: Dovecot, postfix: Postfix):
    for check, port in every_port(dovecot, postfix):
        option = "tls" if check.tls is not None else "starttls"
        unknown = replace(check, **{option: Tls(server_name="localhost.test")})  # type: ignore[arg-type]
        assert (await asked(unknown, port)).reason is Reason.TLS
        other = replace(check, **{option: replace(dovecot.certified.tls, server_name="b.test")})  # type: ignore[arg-type]
        assert (await asked(other, port)).reason is Reason.TLS
        trusting = replace(check, **{option: Tls(verify=False)})  # type: ignore[arg-type]
        assert (await asked(trusting, port)).outcome is Outcome.PASS


@families
async def test_silence_fails_and_is_forgiven(dovecot: Dovecot, postfix: Postfix, family: int):
    for group in (dovecot.group, postfix.group):
        ports = [one for one in every_port(dovecot, postfix) if (one[0].kind == "smtp") is (group == postfix.group)]
        with silenced_group(group):
            for check, port in ports:
                verdict = await asked(check, port, family, SHORT)
                assert (verdict.outcome, verdict.reason) == (Outcome.FAIL, Reason.TIMEOUT)
        for check, port in ports:
            assert (await asked(check, port, family)).outcome is Outcome.PASS


@families
async def test_servers_that_were_stopped_refuse(family: int):
    with servers_mail.dovecot() as dovecot, servers_mail.postfix(dovecot) as postfix:
        gone = every_port(dovecot, postfix)
        for check, port in gone:
            assert (await asked(check, port, family)).outcome is Outcome.PASS
    for check, port in gone:
        verdict = await asked(check, port, family)
        assert (verdict.outcome, verdict.reason) == (Outcome.FAIL, Reason.REFUSED)
