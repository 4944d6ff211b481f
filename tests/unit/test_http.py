"""HTTP on TCP: who is let in, with which rights, what other sites cannot do, TLS, limits, changed settings."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from hashlib import sha256

import pytest
import trustme

from healthd.api import HttpListener, Order, door
from healthd.config.schema import HttpSettings, Token

BOUND = 20.0
READER, WRITER = "reader-token-0123456789", "writer-token-0123456789"
PLAIN = HttpSettings(
    listen=(("127.0.0.1", 0),),
    tokens=(
        Token("bob", sha256(READER.encode()).digest()),
        Token("alice", sha256(WRITER.encode()).digest(), writes=True),
    ),
    write=True,
    names=frozenset({"lb.example.net"}),
)


class Answers:
    """What is asked."""

    def __init__(self) -> None:
        self.orders: list[Order] = []

    async def status(self, counters: bool) -> dict[str, object]:
        """Something."""
        return {"counters": counters}

    async def override(self, order: Order) -> dict[str, object]:
        """Remember it."""
        self.orders.append(order)
        return {"unsaved": ""}

    async def follow(self, *asked: object) -> AsyncIterator[object]:
        """Nothing happens, ever."""
        await asyncio.sleep(3600)
        yield None


@asynccontextmanager
async def serving(settings: HttpSettings = PLAIN, answers: Answers | None = None, **patience: float):
    listener = HttpListener(settings, **patience)
    try:
        await listener.start(answers or Answers())
        yield listener
    finally:
        await listener.close()


@pytest.fixture
def port(caplog):
    """The port of the last address that was told in the log."""
    caplog.set_level(logging.INFO, "healthd.api.tcp")
    return lambda: int(caplog.messages[-1].rstrip("/").rpartition(":")[2])


async def asked(port, what="GET /v1/status", token=READER, body=b"", host="127.0.0.1", tls=None, **headers):
    """Status, headers and body of one answer."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=tls, server_hostname="lb.example.net" if tls else None
    )
    lines = [f"{what} HTTP/1.1", f"Host: {host}", f"Content-Length: {len(body)}"]
    lines += [f"Authorization: Bearer {token}"] if token else []
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    try:
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        async with asyncio.timeout(BOUND):
            answer = await reader.read()
    finally:
        writer.transport.abort()
    if not answer:
        raise ConnectionResetError("it hung up")
    head, _, content = answer.partition(b"\r\n\r\n")
    first, *rest = head.decode().split("\r\n")
    return int(first.split()[1]), dict(line.lower().split(": ", 1) for line in rest), content


DRAIN = json.dumps({"names": ["www"], "kind": "drain", "why": "work"}).encode()
ORDER = "POST /v1/overrides"


async def test_a_token_says_who_asks_and_whether_they_may_write(port):
    answers = Answers()
    async with serving(answers=answers):
        assert (await asked(port()))[0] == 200
        code, _, body = await asked(port(), ORDER, READER, DRAIN)
        assert (code, json.loads(body)["error"]) == (403, "bob may not POST /v1/overrides")
        assert answers.orders == []
        assert (await asked(port(), ORDER, WRITER, DRAIN))[0] == 200
        assert json.loads((await asked(port(), "GET /v1/caller", WRITER))[2])["may_write"] is True
    assert [(order.who, order.names) for order in answers.orders] == [("alice", ("www",))]


async def test_nobody_writes_unless_the_settings_say_so(port):
    async with serving(replace(PLAIN, write=False)):
        assert (await asked(port(), ORDER, WRITER, DRAIN))[0] == 403
        assert (await asked(port(), "GET /v1/config", WRITER))[0] == 403
        assert json.loads((await asked(port(), "GET /v1/caller", WRITER))[2])["may_write"] is False


@pytest.mark.parametrize("settings", [PLAIN, replace(PLAIN, anonymous=True)])
@pytest.mark.parametrize("token", ["", READER[:-1], READER + "0", f"{READER} ", "caf\u00e9", f"sha256:{'0' * 64}"])
async def test_whoever_has_no_token_or_a_wrong_one_is_told_so(port, settings, token):
    known = token.strip() == READER or (not token and settings.anonymous)
    async with serving(settings):
        code, headers, _ = await asked(port(), token=token)
    assert code == (200 if known else 401)
    assert known or headers["www-authenticate"].startswith("bearer")


async def test_another_scheme_is_no_token(port):
    async with serving(replace(PLAIN, anonymous=True)):
        assert (await asked(port(), token="", Authorization="Basic YTpi"))[0] == 401


async def test_anybody_may_read_where_the_settings_say_so_and_never_write(port):
    async with serving(replace(PLAIN, anonymous=True)):
        assert (await asked(port(), token=""))[0] == 200
        assert (await asked(port(), ORDER, "", DRAIN))[0] == 403


@pytest.mark.parametrize(
    ("host", "code"),
    [
        ("127.0.0.1:9180", 200),
        ("[2001:db8::1]:9180", 200),
        ("localhost", 200),
        ("LB.example.net.", 200),
        (socket.gethostname(), 200),
        ("evil.example.org", 421),
        ("127.0.0.1.evil.example.org", 421),
        ("lb.example.net@evil.example.org", 421),
        ("[", 421),
        ("", 421),
    ],
)
@pytest.mark.parametrize("path", ["/", "/v1/status"])
async def test_a_name_that_is_not_ours_gets_nothing_so_rebinding_it_to_us_is_of_no_use(port, path, host, code):
    async with serving(replace(PLAIN, anonymous=True)):
        assert (await asked(port(), f"GET {path}", token="", host=host))[0] == code


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, 200),
        ({"Origin": "https://127.0.0.1:9180", "Sec_Fetch_Site": "same-origin"}, 200),
        ({"Origin": "https://evil.example.org"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://["}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),
    ],
)
async def test_another_site_changes_nothing_even_with_a_token(port, headers, code):
    answers = Answers()
    async with serving(answers=answers):
        assert (await asked(port(), ORDER, WRITER, DRAIN, host="127.0.0.1:9180", **headers))[0] == code
    assert len(answers.orders) == (code == 200)


async def test_every_answer_carries_the_rules_and_data_is_never_kept(port):
    async with serving():
        for what in ("/", "/page.js", "/v1/status", "/nothing"):
            _, headers, _ = await asked(port(), f"GET {what}")
            policy = headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["cache-control"] == ("no-cache" if what in ("/", "/page.js") else "no-store")
            assert headers["server"] == "healthd"


async def test_the_page_needs_no_token_and_is_not_sent_twice(port):
    async with serving():
        code, headers, body = await asked(port(), "GET /", token="")
        assert (code, headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert body.startswith(b"<!doctype html>")
        code, _, body = await asked(port(), "GET /", token="", If_None_Match=headers["etag"])
        assert (code, body) == (304, b"")
        assert (await asked(port(), "GET /../api/tcp.py", token=""))[0] == 404


async def test_a_body_that_is_too_large_is_refused(port):
    async with serving():
        assert (await asked(port(), ORDER, WRITER, b" " * (door.MOST_BYTES + 1)))[0] == 413


async def test_connections_have_a_limit(port):
    async with serving():
        there = [await asyncio.open_connection("127.0.0.1", port()) for _ in range(door.MOST_CLIENTS)]
        for _, writer in there:
            writer.write(b"GET / HT")
        reader, writer = await asyncio.open_connection("127.0.0.1", port())
        async with asyncio.timeout(BOUND):
            assert await reader.read() == b""
        for _, one in [*there, (reader, writer)]:
            one.close()


async def follower(port, token=READER):
    """Somebody who follows events, once they are let in."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET /v1/events/follow HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
    async with asyncio.timeout(BOUND):
        assert b" 200 " in await reader.readline()
    return reader, writer


async def test_a_token_that_is_taken_away_ends_what_it_follows(port):
    async with serving() as listener:
        reader, writer = await follower(port())
        listener.apply(replace(PLAIN, tokens=PLAIN.tokens[1:]))
        async with asyncio.timeout(BOUND):
            with suppress(ConnectionResetError):
                await reader.read()
        assert (await asked(port()))[0] == 401
        assert (await asked(port(), token=WRITER))[0] == 200
        writer.close()


async def test_a_reload_that_changes_nothing_leaves_followers_alone(port):
    async with serving() as listener:
        reader, writer = await follower(port())
        listener.apply(replace(PLAIN))
        assert (await asked(port()))[0] == 200
        assert not reader.at_eof()
        writer.close()


async def test_an_address_that_is_taken_is_told_once_and_had_as_soon_as_it_is_free(port, caplog):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = replace(PLAIN, listen=(taken.getsockname(),))
        async with serving(settings, retry=0.02):
            await asyncio.sleep(0.2)
            assert len(caplog.messages) == 1
            assert f"no status page on 127.0.0.1:{taken.getsockname()[1]}" in caplog.messages[0]
            taken.close()
            async with asyncio.timeout(BOUND):
                while len(caplog.messages) < 2:  # noqa: ASYNC110 (a log has no event to wait for)
                    await asyncio.sleep(0.01)
            assert (await asked(port()))[0] == 200


# --- TLS ----------------------------------------------------------------------------------------------------------


def issued(authority: trustme.CA, folder, name="pair.pem"):
    file = folder / name
    authority.issue_cert("lb.example.net").private_key_and_cert_chain_pem.write_to_path(file)
    return file


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


async def test_tls_and_a_renewed_certificate_after_a_reload(port, tmp_path):
    first, second = trustme.CA(), trustme.CA()
    settings = replace(PLAIN, cert_file=issued(first, tmp_path))
    async with serving(settings) as listener:
        assert (await asked(port(), tls=trusting(first)))[0] == 200
        issued(second, tmp_path)
        listener.apply(settings)
        assert (await asked(port(), tls=trusting(second)))[0] == 200
        with pytest.raises(ssl.SSLCertVerificationError):
            await asked(port(), tls=trusting(first))


async def test_a_certificate_that_is_broken_at_a_reload_leaves_the_old_one(port, tmp_path, caplog):
    authority = trustme.CA()
    settings = replace(PLAIN, cert_file=issued(authority, tmp_path))
    async with serving(settings) as listener:
        where = port()
        settings.cert_file.write_text("broken")
        listener.apply(settings)
        assert "the old one stays" in caplog.messages[-1]
        assert (await asked(where, tls=trusting(authority)))[0] == 200


async def test_whoever_does_not_finish_the_greeting_keeps_no_place(port, tmp_path):
    authority = trustme.CA()
    async with serving(replace(PLAIN, cert_file=issued(authority, tmp_path)), greeting=1.0):
        silent = [await asyncio.open_connection("127.0.0.1", port()) for _ in range(door.MOST_CLIENTS)]
        async with asyncio.timeout(BOUND):
            while True:
                try:
                    assert (await asked(port(), tls=trusting(authority)))[0] == 200
                    break
                except (ConnectionError, ssl.SSLError):
                    await asyncio.sleep(0.05)
        for _, writer in silent:
            writer.transport.abort()
