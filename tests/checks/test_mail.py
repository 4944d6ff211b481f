"""smtp, imap and pop on the real engine: against servers that misbehave in one way each, and on the command line."""

from __future__ import annotations

import socket
import ssl
from argparse import ArgumentParser
from collections.abc import Iterator
from dataclasses import replace

import pytest

from checks.__main__ import main
from checks.arguments import add_options, build
from healthd.check import Outcome, Reason, Tls, Verdict
from tests.checks.mail import ANSWERS, GREETINGS, KINDS, MailCheck, mail_server
from tests.checks.servers import Certified, certify, server_context
from tests.checks.wayward import verdict_of
from tests.support import servers

SHORT = 0.4
FAMILIES = [socket.AF_INET, socket.AF_INET6]
every_kind = pytest.mark.parametrize("kind", sorted(KINDS))


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Certified:
    return certify(tmp_path_factory.mktemp("certified"))


@pytest.fixture(scope="module")
def context(certified: Certified) -> Iterator[ssl.SSLContext]:
    return server_context(certified)


def joe(kind: str) -> MailCheck:
    return KINDS[kind](user="joe", password="s3cret", auth="user" if kind == "pop" else "plain")


# --- servers in their right mind --------------------------------------------------------------------------------


@every_kind
@pytest.mark.parametrize("family", FAMILIES)
async def test_b9_a_server_passes_on_any_port_of_either_family_at_once(kind: str, family: int):
    """Defect B9 of ldirectord: imap ignored the port of an IPv4 address, and slept 5 s when it was refused."""
    with servers.serving(mail_server(kind), family) as server:
        verdict = await verdict_of(KINDS[kind](), server.target)
        assert (verdict.outcome, server.accepted) == (Outcome.PASS, 1)
        assert (await verdict_of(joe(kind), server.target)).detail.endswith(
            "logged in by USER" if kind == "pop" else "logged in by PLAIN"
        )


@every_kind
async def test_a_server_may_be_slow(kind: str, context: ssl.SSLContext, certified: Certified):
    with servers.serving(mail_server(kind, slowly=True)) as server:
        assert (await verdict_of(joe(kind), server.target)).outcome is Outcome.PASS
    with servers.serving(mail_server(kind, context, slowly=True)) as server:
        assert (await verdict_of(replace(joe(kind), starttls=certified.tls), server.target)).outcome is Outcome.PASS


@every_kind
async def test_tls_from_the_start_and_begun_later(kind: str, context: ssl.SSLContext, certified: Certified):
    with servers.serving(servers.over_tls(context, mail_server(kind))) as server:
        verdict = await verdict_of(replace(joe(kind), tls=certified.tls), server.target)
    assert verdict.outcome is Outcome.PASS
    assert ", TLSv1." in verdict.detail
    with servers.serving(mail_server(kind, context)) as server:
        begun = await verdict_of(replace(joe(kind), starttls=certified.tls), server.target)
    assert begun == verdict


@every_kind
async def test_what_a_server_does_after_our_good_bye_does_not_matter(kind: str):
    """It may close, reset, or never answer."""
    for farewell in (b"", b"?" * 100_000):
        server_of = mail_server(kind, QUIT=farewell, LOGOUT=farewell)
        with servers.serving(server_of) as server:
            assert (await verdict_of(KINDS[kind](), server.target)).outcome is Outcome.PASS

    last = {"smtp": b"EHLO", "imap": b"CAPABILITY", "pop": b"CAPA"}[kind]

    def resets(connection: socket.socket) -> None:
        connection.sendall(GREETINGS[kind])
        tag = servers.line_of(connection).split()[0]
        connection.sendall(ANSWERS[kind][last] % {b"tag": tag})
        servers.line_of(connection)
        servers.reset(connection)

    with servers.serving(resets) as server:
        assert (await verdict_of(KINDS[kind](), server.target)).outcome is Outcome.PASS


# --- servers that misbehave -------------------------------------------------------------------------------------


@every_kind
@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        (servers.close_at_once, Reason.PROTOCOL),
        (servers.reset, Reason.RESET),
        (servers.junk, Reason.PROTOCOL),
        (servers.endless, Reason.PROTOCOL),
        (servers.drip, Reason.PROTOCOL),
    ],
)
async def test_a_server_that_misbehaves_fails_for_its_reason(kind: str, handler: servers.Handler, reason: Reason):
    with servers.serving(handler) as server:
        verdict = await verdict_of(joe(kind), server.target)
    assert (verdict.outcome, verdict.reason) == (Outcome.FAIL, reason)


@every_kind
@pytest.mark.parametrize("tls", [None, Tls(verify=False)])
async def test_a_server_that_says_nothing_is_too_late(kind: str, tls: Tls | None):
    with servers.serving(servers.silent) as server:
        verdict = await verdict_of(KINDS[kind](tls=tls), server.target, SHORT)
    assert (verdict.outcome, verdict.reason) == (Outcome.FAIL, Reason.TIMEOUT)


@every_kind
@pytest.mark.parametrize("family", FAMILIES)
async def test_a_closed_port_refuses_and_a_black_hole_is_silent(kind: str, family: int):
    verdict = await verdict_of(KINDS[kind](), servers.refusing(family))
    assert (verdict.outcome, verdict.reason) == (Outcome.FAIL, Reason.REFUSED)
    with servers.black_hole(family) as target:
        assert (await verdict_of(KINDS[kind](), target, SHORT)).reason is Reason.TIMEOUT


@every_kind
async def test_a_server_that_breaks_off_in_the_middle_fails(kind: str):
    def resets(connection: socket.socket) -> None:
        connection.sendall(GREETINGS[kind])
        servers.reset_in_answer(connection)

    with servers.serving(resets) as server:
        assert (await verdict_of(KINDS[kind](), server.target)).reason is Reason.RESET

    def stops(connection: socket.socket) -> None:
        connection.sendall(GREETINGS[kind])
        servers.silent(connection)

    with servers.serving(stops) as server:
        verdict = await verdict_of(KINDS[kind](), server.target, SHORT)
    assert (verdict.outcome, verdict.reason) == (Outcome.FAIL, Reason.TIMEOUT)


@every_kind
async def test_a_server_of_another_kind_fails(kind: str):
    for other in KINDS.keys() - {kind}:
        with servers.serving(mail_server(other)) as server:
            assert (await verdict_of(KINDS[kind](), server.target)).reason is Reason.PROTOCOL


@every_kind
async def test_an_answer_without_an_end_is_read_to_a_bound(kind: str):
    more = {"smtp": b"250-more\r\n", "imap": b"* 3 EXISTS\r\n", "pop": b"more\r\n"}[kind]

    def handler(connection: socket.socket) -> None:
        connection.sendall(GREETINGS[kind])
        servers.line_of(connection)
        connection.sendall(b"+OK\r\n" if kind == "pop" else b"")
        while True:
            connection.sendall(more * 1000)

    with servers.serving(handler) as server:
        verdict = await verdict_of(KINDS[kind](), server.target)
    assert verdict == Verdict(Outcome.FAIL, Reason.PROTOCOL, "answer is longer than 65536 bytes")


# --- bad TLS ----------------------------------------------------------------------------------------------------


@every_kind
async def test_bad_tls_fails_whenever_it_begins(kind: str, context: ssl.SSLContext, certified: Certified):
    unknown = Tls(server_name="localhost.test")
    other = replace(certified.tls, server_name="other.test")
    with servers.serving(servers.over_tls(context, mail_server(kind))) as server:
        for tls in (unknown, other):
            assert (await verdict_of(KINDS[kind](tls=tls), server.target)).reason is Reason.TLS
    with servers.serving(mail_server(kind, context)) as server:
        for tls in (unknown, other):
            assert (await verdict_of(KINDS[kind](starttls=tls), server.target)).reason is Reason.TLS
    with servers.serving(mail_server(kind)) as server:  # speaks plain text where TLS should be
        assert (await verdict_of(KINDS[kind](tls=certified.tls), server.target)).reason is Reason.TLS


@every_kind
async def test_junk_where_tls_should_begin_fails(kind: str, certified: Certified):
    def handler(connection: socket.socket) -> None:
        connection.sendall(GREETINGS[kind])
        tag = b""
        for _ in range(2):
            words = servers.line_of(connection).split()
            tag = words[0]
            connection.sendall(ANSWERS[kind][words[-1 if kind == "imap" else 0]] % {b"tag": tag})
        connection.recv(65536)  # the client's hello
        servers.junk(connection)

    with servers.serving(handler) as server:
        verdict = await verdict_of(KINDS[kind](starttls=certified.tls), server.target)
    assert (verdict.outcome, verdict.reason) == (Outcome.FAIL, Reason.TLS)


@every_kind
async def test_words_slipped_in_before_tls_are_not_believed(kind: str, context: ssl.SSLContext, certified: Certified):
    with servers.serving(mail_server(kind, context, after_go=b"250 a\r\n")) as server:
        verdict = await verdict_of(KINDS[kind](starttls=certified.tls), server.target)
    assert verdict.outcome is Outcome.FAIL
    assert verdict.reason in (Reason.PROTOCOL, Reason.TLS)  # where they come a moment later, they break the handshake


# --- the command line -------------------------------------------------------------------------------------------


@every_kind
def test_both_kinds_of_tls_are_options_of_the_command_line(kind: str):
    parser = ArgumentParser()
    add_options(parser, KINDS[kind])
    values = parser.parse_args(["--starttls-server-name", "a.test", "--no-starttls-verify", "--user", "joe"])
    made = build(KINDS[kind], values, {"HEALTHD_PASSWORD": "s3cret"})
    assert made == KINDS[kind](starttls=Tls(server_name="a.test", verify=False), user="joe", password="s3cret")
    assert build(KINDS[kind], parser.parse_args(["--tls"]), {}) == KINDS[kind](tls=Tls())


@every_kind
def test_a_trace_shows_the_conversation_without_the_password(kind: str, capsys: pytest.CaptureFixture[str]):
    with servers.serving(mail_server(kind)) as server:
        argv = [kind, f"127.0.0.1:{server.port}", "--user", "joe", "--password", "s3cret", "--trace", "--timeout", "20"]
        assert main([*argv, "--auth", "user" if kind == "pop" else "plain"]) == 0
    shown = capsys.readouterr()
    assert "***" in shown.out + shown.err
    for secret in ("s3cret", "AGpvZQBzM2NyZXQ", "czNjcmV0"):
        assert secret not in shown.out + shown.err
