"""One message over HTTP: what goes with it, what its receiver may do to it, and what is told of that."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import time
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path

import pytest

from healthd.config.schema import Template, Webhook
from healthd.events import Kind
from healthd.hooks.base import DeliveryFailed
from healthd.hooks.templates import News
from healthd.hooks.webhook import LONGEST_WAIT, Client, read_secrets, signed
from tests.prober.authority import serving, trusted

from .receiver import hang, receiver, reset, saying, trickle
from .samples import AT, sample

KEY = base64.b64encode(b"0123456789abcdef01234567").decode()
NEWS = News("msg_1", "lb1", AT, (sample(Kind.SERVER_DOWN),))


@pytest.fixture
async def client():
    found = Client()
    yield found
    await found.close()


def to(url: str, **changes) -> Webhook:
    return replace(Webhook("test", url=url, timeout=20.0), **changes)


async def refused(client: Client, settings: Webhook) -> DeliveryFailed:
    with pytest.raises(DeliveryFailed) as failure:
        await client.send(settings, NEWS)
    assert "s3cret" not in str(failure.value) + failure.value.output
    return failure.value


async def test_a_message_arrives_as_json(client):
    async with receiver() as there:
        await client.send(to(there.url, headers=(("X-Team", "web"),)), NEWS)
    (told,) = there.taken
    assert told.path == "/hook/s3cret-path"
    assert told.headers["Content-Type"] == "application/json"
    assert told.headers["X-Team"] == "web"
    assert told.headers["User-Agent"].startswith("healthd/")
    assert told.body["events"][0]["real"] == "10.0.0.11:80"
    assert not {"Authorization", "webhook-signature"} & told.headers.keys()


async def test_a_signature_is_that_of_standard_webhooks(client):
    """https://www.standardwebhooks.com: HMAC-SHA256 of id.timestamp.body, in base64, behind its version."""
    async with receiver() as there:
        await client.send(to(there.url, secret=f"whsec_{KEY}"), NEWS)
    (told,) = there.taken
    at = told.headers["webhook-timestamp"]
    assert abs(int(at) - time.time()) < 60
    content = b".".join([told.headers["webhook-id"].encode(), at.encode(), told.data])
    expected = base64.b64encode(hmac.digest(base64.b64decode(KEY), content, hashlib.sha256)).decode()
    assert told.headers["webhook-signature"] == f"v1,{expected}"


def test_the_example_of_the_specification_has_this_signature():
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = signed("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}', key)
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


async def test_secrets_are_read_anew_from_files_and_credentials(client, tmp_path, monkeypatch):
    (tmp_path / "url").write_text("")
    (tmp_path / "token").write_text("first\n")
    (tmp_path / "key").write_text(f"whsec_{KEY}\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    files = {"url_file": tmp_path / "url", "token_file": Path("token"), "secret_file": Path("key")}
    async with receiver() as there:
        (tmp_path / "url").write_text(f"{there.url}\n")
        settings = to("", **files)
        settings = replace(settings, url=None)
        await client.send(settings, NEWS)
        (tmp_path / "token").write_text("second")
        await client.send(settings, NEWS)
    assert [told.headers["Authorization"] for told in there.taken] == ["Bearer first", "Bearer second"]
    assert all("webhook-signature" in told.headers for told in there.taken)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "token_file: .*token: No such file or directory"),
        ("", "token_file: .*token is empty"),
        ("a\x01b", "letters, digits and marks of ASCII"),
        ("geheim-ü", "letters, digits and marks of ASCII"),
    ],
)
async def test_a_secret_that_cannot_be_read_is_told_and_tried_again(client, tmp_path, content, told):
    if content is not None:
        (tmp_path / "token").write_text(content)
    async with receiver() as there:
        with pytest.raises(DeliveryFailed, match=told) as failure:
            await client.send(to(there.url, token_file=tmp_path / "token"), NEWS)
    assert not failure.value.final
    assert there.told == []


async def test_a_credential_that_systemd_did_not_give_is_told(monkeypatch):
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(DeliveryFailed, match="'pager' is the name of a credential, but systemd gave healthd none"):
        await read_secrets(to("http://localhost/", token_file=Path("pager")))


@pytest.mark.parametrize("content", ["whsec_c2hvcnQ=", "whsec_%%%", "plain"])
async def test_a_key_in_a_file_that_is_none_is_told_but_not_shown(client, tmp_path, content):
    (tmp_path / "key").write_text(content)
    with pytest.raises(DeliveryFailed, match="secret_file: expected whsec_ and base64 of 24 to 64 bytes") as failure:
        await client.send(to("http://127.0.0.1:9/", secret_file=tmp_path / "key"), NEWS)
    assert content not in str(failure.value)


# --- receivers that misbehave -----------------------------------------------------------------------------------


async def test_one_that_refuses_connections(client):
    async with receiver() as there:
        url = there.url
    failure = await refused(client, to(url))
    assert str(failure).endswith("cannot connect: Connection refused")
    assert not failure.final


async def test_one_whose_name_nobody_knows(client):
    failure = await refused(client, to("http://nobody.invalid/s3cret-path"))
    assert str(failure).startswith("nobody.invalid: cannot connect: ")


@pytest.mark.parametrize("behaviour", [hang, trickle])
async def test_one_that_takes_for_ever(client, behaviour):
    async with receiver() as there:
        there.always = behaviour
        failure = await refused(client, to(there.url, timeout=0.5))
    assert "no answer within 0.5 s" in str(failure) or "500" in str(failure)


async def test_one_that_breaks_off(client):
    async with receiver() as there:
        there.always = reset
        failure = await refused(client, to(there.url))
    assert "closed the connection without an answer" in str(failure) or "reset" in str(failure)


async def test_one_that_speaks_no_http(client):
    async def babble(reader, writer):
        writer.write(b"220 s3cret mail server\r\n")
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    failure = await refused(client, to(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"))
    assert "not a proper answer" in str(failure) or "reset" in str(failure)
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize(("status", "final"), [(400, True), (413, True), (401, False), (404, False), (500, False)])
async def test_one_that_says_no(client, status, final):
    async with receiver() as there:
        there.answers = [saying(status, "you are wrong, /hook/s3cret-path\x1b[2J\n" + "x" * 5000)]
        failure = await refused(client, to(there.url))
    assert f"answers {status} " in str(failure)
    assert "you are wrong, /***" in str(failure)
    assert "\x1b" not in str(failure)
    assert len(str(failure)) < 400
    assert failure.final is final


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [
        ("17", 17, 17),
        (formatdate(time.time() + 900, usegmt=True), 600, 901),
        (formatdate(time.time() - 900, usegmt=True), 0, 0),
        ("99999999", LONGEST_WAIT, LONGEST_WAIT),
        ("9" * 500, LONGEST_WAIT, LONGEST_WAIT),
        ("-5", 0, 0),
        ("soon", 0, 0),
    ],
    ids=["number", "date", "past", "too long", "endless", "negative", "words"],
)
async def test_one_that_asks_to_be_left_alone(client, header, least, most):
    async with receiver() as there:
        there.answers = [saying(429, Retry_After=header)]
        failure = await refused(client, to(there.url))
    assert least <= failure.after <= most


async def test_a_redirect_is_not_followed_and_only_its_host_is_told(client):
    async with receiver() as there, receiver() as other:
        there.answers = [saying(status, Location=other.url) for status in (301, 307, 308)]
        failures = [await refused(client, to(there.url)) for _ in range(3)]
        there.answers = [saying(302, Location="/elsewhere")]
        relative = await refused(client, to(there.url))
    assert all("a redirect to 127.0.0.1:" in str(failure) and not failure.final for failure in failures)
    assert "a redirect, which is not followed" in str(relative)
    assert other.told == []


async def test_one_that_nobody_vouches_for(client, tmp_path):
    context = serving("127.0.0.1")
    async with receiver(context=context) as there:
        failure = await refused(client, to(there.url))
        assert "TLS: the certificate is not trusted: " in str(failure)
        await client.send(to(there.url, ca_file=Path(trusted(tmp_path))), NEWS)
        await client.send(to(there.url, verify=False), NEWS)
    assert len(there.taken) == 2


async def test_one_with_the_certificate_of_another(client, tmp_path):
    async with receiver(context=serving("elsewhere.test")) as there:
        failure = await refused(client, to(there.url, ca_file=Path(trusted(tmp_path))))
    assert "not valid for '127.0.0.1'" in str(failure)


async def test_tls_with_one_that_has_none(client):
    async with receiver() as there:
        failure = await refused(client, to(there.url.replace("http:", "https:"), verify=False))
    assert "TLS: " in str(failure)


async def test_ntfy_gets_its_topic_beside_the_text(client):
    async with receiver() as there:
        await client.send(to(there.url, template=Template.NTFY), NEWS)
        with pytest.raises(DeliveryFailed, match="ends with the topic"):
            await client.send(to(there.url.removesuffix("/hook/s3cret-path"), template=Template.NTFY), NEWS)
    (told,) = there.taken
    assert told.path == "/hook"
    assert told.body["topic"] == "s3cret-path"
