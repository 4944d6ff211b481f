"""One mail to one SMTP server: encryption, login, and servers that refuse, keep silent, drop or talk nonsense."""

from __future__ import annotations

import asyncio
import socket
import ssl
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from healthd.config.schema import MailSettings, MailTls, Stage
from healthd.events import Kind
from healthd.hooks.base import DeliveryFailed
from healthd.hooks.letter import letter
from healthd.hooks.mail_words import About, Scene
from healthd.hooks.smtp import Envelope, Sent, host_and_port, send
from tests.checks.servers import certify, server_context

from .post import post_office, speaking
from .samples import sample, until

BOUND = 30.0
TO = ("ops@example.org", "root@example.org")
NOW = datetime(2026, 11, 22, 3, 12, 44, tzinfo=UTC)


@pytest.fixture(scope="module")
def certified(tmp_path_factory):
    return certify(tmp_path_factory.mktemp("certificates"))


def settings(server, **changes):
    return replace(MailSettings(TO, "healthd@lb1.example.org", server), **changes)


async def sent(using, to=TO, sender="healthd@lb1.example.org", bound=BOUND):
    scene = Scene("lb1.example.org", Stage.RUNNING, {"www": About("Bücher")})
    mail = letter([sample(Kind.SERVER_DOWN)], scene, sender, to, NOW)
    return await send(using, Envelope(sender, to), mail, bound)


async def failure(using, **more):
    with pytest.raises(DeliveryFailed) as failed:
        await sent(using, **more)
    return failed.value


# --- a server as it should be -----------------------------------------------------------------------------------


async def test_every_recipient_is_one_of_its_own_and_the_text_arrives():
    async with post_office() as post:
        assert await sent(settings(post.server)) == Sent()
    (envelope,) = post.envelopes
    assert envelope.mail_from == "healthd@lb1.example.org"
    assert envelope.rcpt_tos == list(TO)
    assert post.mails[0]["Subject"].startswith("[Bücher] www: 10.0.0.11:80 is down")
    assert post.over_tls == [False]


async def test_by_default_it_is_encrypted_where_that_is_offered_whoever_answers(certified):
    """The certificate is of an authority that nobody here trusts."""
    async with post_office(starttls=server_context(certified)) as post:
        await sent(settings(post.server))
    assert post.over_tls == [True]


async def test_none_means_none(certified):
    async with post_office(starttls=server_context(certified)) as post:
        await sent(settings(post.server, tls=MailTls.NONE))
    assert post.over_tls == [False]


async def test_by_default_a_server_whose_encryption_is_broken_gets_the_mail_all_the_same():
    nothing = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)  # without a certificate no handshake succeeds
    async with post_office(starttls=nothing) as post:
        await sent(settings(post.server))
    assert post.over_tls == [False]
    assert post.sessions == 2


async def test_starttls_is_verified(certified):
    trusted = {"tls": MailTls.STARTTLS, "ca_file": certified.folder / "ca.pem"}
    async with post_office(starttls=server_context(certified)) as post:
        await sent(settings(post.server, **trusted))
        failed = await failure(settings(post.server, tls=MailTls.STARTTLS))
        assert "TLS: the certificate is not trusted" in str(failed)
        assert not failed.final
        await sent(settings(post.server, tls=MailTls.STARTTLS, verify=False))
    assert post.over_tls == [True, True]


async def test_starttls_that_is_not_offered_is_a_failure():
    async with post_office() as post:
        failed = await failure(settings(post.server, tls=MailTls.STARTTLS))
    assert "STARTTLS" in str(failed)
    assert post.envelopes == []


async def test_tls_from_the_first_byte(certified):
    async with post_office(tls=server_context(certified)) as post:
        await sent(settings(post.server, tls=MailTls.TLS, ca_file=certified.folder / "ca.pem"))
        failed = await failure(settings(post.server, tls=MailTls.TLS))
    assert "TLS: the certificate is not trusted" in str(failed)
    assert post.over_tls == [True]


async def test_the_name_is_verified_too(certified):
    """The certificate is for 127.0.0.1 and another name, not for localhost."""
    async with post_office(tls=server_context(certified)) as post:
        named = settings(f"localhost:{post.port}", tls=MailTls.TLS, ca_file=certified.folder / "ca.pem")
        assert "not trusted" in str(await failure(named))
    assert post.envelopes == []


async def test_logging_in(certified, tmp_path):
    (tmp_path / "password").write_text("s3cret\n")
    ann = {"username": "ann", "ca_file": certified.folder / "ca.pem"}
    async with post_office(starttls=server_context(certified)) as post:
        await sent(settings(post.server, password="s3cret", **ann))
        await sent(settings(post.server, password_file=tmp_path / "password", **ann))
        failed = await failure(settings(post.server, password="wr0ng", **ann))
    assert failed.final
    assert "535" in str(failed)
    assert "wr0ng" not in str(failed)
    assert post.over_tls == [True, True]
    assert post.logins[:2] == [("ann", "s3cret")] * 2


async def test_a_password_is_never_sent_unencrypted_unless_that_is_said():
    async with post_office() as post:
        failed = await failure(settings(post.server, username="ann", password="s3cret"))
        assert "STARTTLS" in str(failed)
        assert post.logins == []
        await sent(settings(post.server, username="ann", password="s3cret", tls=MailTls.NONE))
    assert post.logins == [("ann", "s3cret")]


async def test_a_password_file_that_is_gone_is_told(tmp_path):
    async with post_office() as post:
        missing = tmp_path / "password"
        failed = await failure(settings(post.server, username="ann", password_file=missing, tls=MailTls.NONE))
    assert f"{missing}: No such file" in str(failed)


async def test_addresses_of_the_world():
    async with post_office() as post:
        await sent(settings(post.server), to=("büro@exämple.org",))
    assert post.envelopes[0].rcpt_tos == ["büro@exämple.org"]
    assert post.mails[0]["To"] == "büro@exämple.org"


async def test_a_server_that_thinks_long_about_a_mail_gets_it_once():
    """RFC 5321, 4.5.3.2.6: who gives up too early after the last dot sends it again, and again."""
    async with post_office() as post:
        post.thinking = 2.5
        assert await sent(settings(post.server), bound=2.0) == Sent()
    assert len(post.envelopes) == 1


# --- servers that say no ----------------------------------------------------------------------------------------


async def test_recipients_that_are_refused_or_put_off_do_not_keep_the_others_from_their_mail():
    async with post_office() as post:
        post.replies = {"gone@example.org": "550 no such user", "busy@example.org": "451 later, please"}
        result = await sent(settings(post.server), to=("ops@example.org", "gone@example.org", "busy@example.org"))
    assert result == Sent(("busy@example.org",), {"gone@example.org": "550 no such user"})
    assert post.envelopes[0].rcpt_tos == ["ops@example.org"]


async def test_nobody_taken_for_good_is_final_and_nobody_taken_for_now_is_not():
    async with post_office() as post:
        post.replies = dict.fromkeys(TO, "550 no such user")
        failed = await failure(settings(post.server))
        assert failed.final
        assert "ops@example.org: 550 no such user" in str(failed)
        post.replies = {TO[0]: "550 no such user", TO[1]: "450 greylisted"}
        assert await sent(settings(post.server)) == Sent((TO[1],), {TO[0]: "550 no such user"})


@pytest.mark.parametrize(("reply", "final"), [("554 it is spam", True), ("452 disk full", False)])
async def test_a_text_that_is_refused(reply, final):
    async with post_office() as post:
        post.data_reply = reply
        failed = await failure(settings(post.server))
    assert failed.final is final
    assert str(failed).endswith(f": {reply}")


# --- servers that are no servers --------------------------------------------------------------------------------


async def test_nobody_listens():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        failed = await failure(settings(f"127.0.0.1:{taken.getsockname()[1]}"))
    assert "cannot connect: 127.0.0.1 port" in str(failed)
    assert "Connection refused" in str(failed)
    assert not failed.final


@pytest.mark.parametrize(
    ("said", "closes", "told"),
    [
        (None, False, "not ready within"),
        (b"", True, ""),
        (b"220 mail", False, "not ready within"),
        (b"220 mail.test\r\n", False, "not ready within"),
        (b"220 mail.test\r\n", True, ""),
        (b"554 not today\x1b[2J\r\n", False, r"554 not today\x1b[2J"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", True, "Malformed"),
        (b"220-" + b"x" * 100_000, False, "too long"),
        (b"\x00\xff" * 40 + b"\r\n", False, "Malformed"),
    ],
)
async def test_servers_that_keep_silent_drop_or_talk_nonsense_fail_in_time(said, closes, told):
    async with speaking(said, then_close=closes) as post:
        failed = await failure(settings(post.server), bound=0.3 if told == "not ready within" else BOUND)
    assert told in str(failed)
    assert str(failed).isprintable()
    assert not failed.final


async def test_it_gives_up_at_once_when_it_is_told_to():
    async with speaking(None, then_close=False) as post:
        task = asyncio.create_task(sent(settings(post.server)))
        await until(lambda: post.sessions)
        task.cancel()
        await asyncio.wait({task}, timeout=BOUND)
    assert task.cancelled()


async def test_a_name_that_nobody_knows():
    failed = await failure(settings("mail.invalid"))
    assert "no address of mail.invalid is known" in str(failed)


@pytest.mark.parametrize(
    ("server", "tls", "found"),
    [
        ("mail", MailTls.AUTO, ("mail", 25)),
        ("mail.example.org", MailTls.TLS, ("mail.example.org", 465)),
        ("mail.example.org:587", MailTls.STARTTLS, ("mail.example.org", 587)),
        ("192.0.2.1:26", MailTls.TLS, ("192.0.2.1", 26)),
        ("[2001:db8::1]", MailTls.AUTO, ("2001:db8::1", 25)),
        ("[2001:db8::1]:26", MailTls.AUTO, ("2001:db8::1", 26)),
    ],
)
def test_where_the_server_is(server, tls, found):
    assert host_and_port(settings(server, tls=tls)) == found
