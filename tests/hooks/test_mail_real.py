"""Mail through a real Postfix: in plain, over both kinds of TLS, logged in, refused; and read back from its queue."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from healthd.config.schema import Config, MailSettings, MailTls
from healthd.events import Kind
from healthd.hooks.mail import MailHook
from healthd.hooks.postbox import Pace, Way
from tests.checks import servers_mail
from tests.checks.servers import program
from tests.checks.servers_mail import Postfix

from .samples import WWW, sample, until

pytestmark = pytest.mark.real
JOE, SENDER = "joe@localhost.test", "healthd@lb1.example.org"
LOGIN = {"username": "joe", "password": 'sec"ret'}
# what a header, an end of a text or a list of recipients could be made of
TITLE = "Bücher\r\nBcc: eve@localhost.test"
COMMENT = ".\r\n\r\n.\r\nRCPT TO:<eve@localhost.test>\n..ö" + "x" * 3000


@pytest.fixture(scope="module")
def postfix() -> Iterator[Postfix]:
    program("postcat", "postfix")
    with servers_mail.dovecot() as users, servers_mail.postfix(users) as served:
        yield served


def queued(postfix: Postfix) -> set[Path]:
    """The files of mail that it has taken."""
    return {path for path in (postfix.log.parent / "queue" / "incoming").rglob("*") if path.is_file()}


async def mailed(postfix: Postfix, port: int, **changes) -> tuple[MailHook, list[Path]]:
    """A hook that was given one event, and what that left in the queue."""
    before = queued(postfix)
    ours = {"ca_file": postfix.certified.folder / "ca.pem", **changes}
    mail = MailSettings((JOE,), f"lb one <{SENDER}>", f"127.0.0.1:{port}", **ours)
    hook = MailHook(Way(Pace(quiet=0.01, longest=0.1)))
    hook.configure(Config(services=(replace(WWW, mail=mail, title=TITLE, comment=COMMENT),)))
    hook.event(sample(Kind.SERVER_DOWN))
    await until(lambda: hook.stats().delivered or hook.stats().last_error)
    await hook.close(20)
    return hook, sorted(queued(postfix) - before)


def read(postfix: Postfix, path: Path, what: str) -> bytes:
    """What Postfix itself says of a mail. what: -e for its envelope, -bh for the mail."""
    command = [program("postcat", "postfix"), "-c", str(postfix.log.parent), what, str(path)]
    return subprocess.run(command, check=True, capture_output=True, timeout=60).stdout


@pytest.mark.parametrize(
    ("port", "changes", "protocol"),
    [
        ("smtp", {"tls": MailTls.NONE}, "ESMTP"),
        ("smtp", {}, "ESMTPS"),
        ("submission", {"tls": MailTls.STARTTLS}, "ESMTPS"),
        ("submission", LOGIN, "ESMTPSA"),
        ("smtps", {"tls": MailTls.TLS, **LOGIN}, "ESMTPSA"),
    ],
)
async def test_a_letter_arrives_as_it_was_written_and_at_nobody_else(postfix, port, changes, protocol):
    hook, (path,) = await mailed(postfix, getattr(postfix, port), **changes)
    assert (hook.stats().delivered, hook.stats().last_error) == (1, "")
    envelope = read(postfix, path, "-e").decode()
    assert f"sender: {SENDER}\n" in envelope
    assert [line for line in envelope.splitlines() if line.startswith("recipient:")] == [f"recipient: {JOE}"]
    raw = read(postfix, path, "-bh")
    assert raw.isascii()
    assert max(map(len, raw.splitlines())) <= 998, "RFC 5322, 2.1.1"
    mail = message_from_bytes(raw, EmailMessage, policy=default)
    assert mail.defects == []
    assert f"with {protocol} id" in mail["Received"]
    assert (mail["From"], mail["To"], mail["Bcc"]) == (f"lb one <{SENDER}>", JOE, None)
    assert mail["Subject"].startswith(r"[Bücher\r\nBcc: eve@localhost.test] www: 10.0.0.11:80 is down")
    assert parsedate_to_datetime(mail["Date"]).tzinfo is not None
    assert [mail.get_all(name) is not None and len(mail.get_all(name)) for name in ("Date", "Message-ID", "From")] == [
        1
    ] * 3
    text = mail.get_content()
    assert "Comment:        .\n" in text
    assert " RCPT TO:<eve@localhost.test>\n" in text
    assert " ..öxxx" in text


@pytest.mark.parametrize(
    ("port", "changes", "told"),
    [
        ("submission", {"tls": MailTls.NONE}, "Must issue a STARTTLS command first"),
        ("submission", {**LOGIN, "password": "wrong"}, "535"),
        ("smtps", {"tls": MailTls.TLS, "ca_file": None}, "the certificate is not trusted"),
    ],
)
async def test_a_letter_that_is_not_taken_is_told_and_leaves_nothing(postfix, port, changes, told):
    hook, left = await mailed(postfix, getattr(postfix, port), **changes)
    assert told in hook.stats().last_error
    assert (hook.stats().delivered, left) == (0, [])
