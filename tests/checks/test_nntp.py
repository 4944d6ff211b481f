"""nntp by transcripts: greeting, MODE READER, STARTTLS, AUTHINFO, CAPABILITIES, GROUP; and servers that misbehave."""

from __future__ import annotations

import socket
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checks.nntp import NntpCheck
from healthd.check import Connect, Outcome, Reason, Send, StartTls, Tls
from tests.checks.harness import (
    END,
    FACTS,
    REFUSED,
    RESET,
    Channel,
    Player,
    Sent,
    failed,
    passed,
    play,
    same_verdict_for_every_cut,
    stream,
)
from tests.checks.wayward import PATIENCE, SHORT, verdict_of
from tests.support import servers

HELLO = b"200 news.example.test ready\r\n"
ASKED = Sent(b"CAPABILITIES\r\n")
LISTED = b"101 list:\r\nVERSION 2\r\nREADER\r\nLIST ACTIVE NEWSGROUPS\r\nSTARTTLS\r\n.\r\n"
TLS = Tls(verify=False)
JOE: dict[str, Any] = {"user": "joe", "password": "secret word"}


@pytest.mark.parametrize("greeting", [HELLO, b"201 read only\r\n", b"200\r\n"])
@pytest.mark.parametrize("answer", [LISTED, b"500 What?\r\n", b"502 no\r\n", b"101 .\r\nVERSION 2\r\n.\r\n"])
def test_a_greeting_and_an_answer_to_capabilities_pass(greeting: bytes, answer: bytes):
    verdict = same_verdict_for_every_cut(NntpCheck(), lambda: [stream(greeting, ASKED, answer)], len(greeting + answer))
    assert (verdict.outcome, verdict.detail) == (Outcome.PASS, greeting.decode().strip())


def test_we_leave_politely_and_do_not_wait():
    player = Player([stream(HELLO, ASKED, LISTED)])
    assert passed(player.play(NntpCheck()))
    assert player.steps[0] == Connect()
    assert player.steps[-1] == Send(b"QUIT\r\n")


@pytest.mark.parametrize(
    ("script", "reason", "detail"),
    [
        ((b"400 busy\r\n",), Reason.UNEXPECTED, "got '400 busy', want 200 or 201"),
        ((b"502 go away\r\n",), Reason.UNEXPECTED, "got '502 go away', want 200 or 201"),
        ((b"220 mail ESMTP\r\n",), Reason.UNEXPECTED, "got '220 mail ESMTP', want 200 or 201"),
        ((b"2000 x\r\n",), Reason.PROTOCOL, "got '2000 x', which is no answer of NNTP"),
        ((b"200-more\r\n",), Reason.PROTOCOL, "got '200-more', which is no answer of NNTP"),
        ((b"\r\n",), Reason.PROTOCOL, "got '', which is no answer of NNTP"),
        ((b"* OK IMAP4rev1\r\n",), Reason.PROTOCOL, "got '* OK IMAP4rev1', which is no answer of NNTP"),
        ((b"SSH-2.0-x\r\n",), Reason.PROTOCOL, "got 'SSH-2.0-x', which is no answer of NNTP"),
        ((b"200 hel", END), Reason.PROTOCOL, "connection closed after 7 bytes"),
        ((END,), Reason.PROTOCOL, "connection closed without an answer"),
        ((HELLO, b"400 closing\r\n"), Reason.UNEXPECTED, "got '400 closing', want 101 or 500"),
        ((HELLO, b"101 list\r\nREADER\r\n.\r\n"), Reason.PROTOCOL, "capabilities without VERSION: 'READER'"),
        ((HELLO, b"101 list\r\n.\r\n"), Reason.PROTOCOL, "capabilities without VERSION: ''"),
        ((HELLO, b"101 list\r\nVERSION 2\r\n", END), Reason.PROTOCOL, "connection closed without an answer"),
        ((HELLO, RESET), Reason.RESET, "connection reset"),
    ],
)
def test_what_is_wrong_is_told(script: tuple[Any, ...], reason: Reason, detail: str):
    length = max(len(one) for one in script if isinstance(one, bytes))
    verdict = same_verdict_for_every_cut(NntpCheck(), lambda: [stream(*script)], length + 1)
    assert failed(verdict, reason)
    assert verdict.detail == detail


@pytest.mark.parametrize("said", [b"501 what is AUTHINFO PASS secret word?\r\n", b"what is PASS secret word?\r\n"])
def test_a_server_that_repeats_what_it_does_not_know_tells_nobody_the_password(said: bytes):
    verdict = play(NntpCheck(**JOE), stream(HELLO, b"381 go on\r\n", said))
    assert "PASS ***?" in verdict.detail


def test_silence_and_refusal_are_told():
    assert failed(play(NntpCheck(), Channel([], REFUSED)), Reason.REFUSED)
    assert failed(play(NntpCheck(), stream()), Reason.TIMEOUT)
    assert failed(play(NntpCheck(), stream(HELLO)), Reason.TIMEOUT)


def test_the_greeting_can_be_matched():
    assert passed(play(NntpCheck(expect="^news"), stream(HELLO, LISTED)))
    assert failed(play(NntpCheck(expect="^old"), stream(HELLO)), Reason.UNEXPECTED)


def test_mode_reader_comes_first_and_its_answer_counts():
    script = (HELLO, Sent(b"MODE READER\r\n"), b"201 not for you\r\n", ASKED, LISTED)
    assert play(NntpCheck(mode_reader=True), stream(*script)).detail == "201 not for you"
    verdict = play(NntpCheck(mode_reader=True, posting=True), stream(*script))
    assert verdict.detail == "got '201 not for you', want 200"
    assert failed(play(NntpCheck(mode_reader=True), stream(HELLO, b"502 no\r\n")), Reason.UNEXPECTED)
    assert failed(play(NntpCheck(posting=True), stream(b"201 no\r\n")), Reason.UNEXPECTED)


def test_starttls_comes_before_the_login_and_the_capabilities():
    script = (HELLO, Sent(b"STARTTLS\r\n"), b"382 go\r\n", Sent(b"AUTHINFO USER joe\r\n"), b"281 in\r\n", ASKED, LISTED)
    player = Player([stream(*script)])
    verdict = player.play(NntpCheck(starttls=TLS, **JOE))
    assert verdict.detail == "200 news.example.test ready, TLSv1.3, logged in"
    assert StartTls(TLS) in player.steps


@pytest.mark.parametrize("answer", [b"580 no\r\n", b"502 no\r\n", b"200 yes\r\n"])
def test_starttls_is_never_given_up(answer: bytes):
    player = Player([stream(HELLO, answer)])
    assert failed(player.play(NntpCheck(starttls=TLS, **JOE)), Reason.UNEXPECTED)
    assert Send(b"AUTHINFO USER joe\r\n") not in player.steps


def test_what_comes_in_the_clear_before_tls_is_not_taken_for_what_is_said_within():
    verdict = play(NntpCheck(starttls=TLS), stream(HELLO, b"382 go\r\n101 list\r\n"))
    assert failed(verdict, Reason.PROTOCOL)


def test_tls_from_the_start_is_told():
    player = Player([stream(HELLO, LISTED, tls=FACTS)])
    assert player.play(NntpCheck(tls=TLS)).detail == "200 news.example.test ready, TLSv1.3"
    assert player.steps[0] == Connect(TLS)


def test_the_login_sends_a_password_if_it_is_asked_for_and_hides_it():
    player = Player([stream(HELLO, Sent(b"AUTHINFO USER joe\r\n"), b"381 more\r\n", b"281 in\r\n", LISTED)])
    assert player.play(NntpCheck(**JOE)).detail == "200 news.example.test ready, logged in"
    assert Send(b"AUTHINFO PASS secret word\r\n", b"secret word") in player.steps


@pytest.mark.parametrize("answers", [(b"381 more\r\n", b"481 wrong\r\n"), (b"483 TLS first\r\n",), (b"482 what\r\n",)])
def test_a_login_that_is_refused_fails(answers: tuple[bytes, ...]):
    verdict = play(NntpCheck(**JOE), stream(HELLO, *answers))
    assert failed(verdict, Reason.UNEXPECTED)
    assert answers[-1].decode().strip() in verdict.detail


def test_capabilities_that_are_wanted_must_be_named():
    check = NntpCheck(capabilities=("reader", "LIST ACTIVE"))
    assert passed(play(check, stream(HELLO, LISTED)))
    verdict = play(replace(check, capabilities=("READER", "POST", "LIST OVERVIEW.FMT")), stream(HELLO, LISTED))
    assert verdict.detail == "does not offer POST, LIST OVERVIEW.FMT"
    assert failed(play(check, stream(HELLO, b"500 what?\r\n")), Reason.UNEXPECTED)


def test_a_group_must_be_there_and_may_need_articles():
    check = NntpCheck(group="local.test", min_articles=3)
    asked = Sent(b"GROUP local.test\r\n")
    verdict = play(check, stream(HELLO, asked, b"211 3 10 12 local.test selected\r\n"))
    assert verdict.detail == "200 news.example.test ready, local.test has 3 articles"
    for answer, reason, detail in (
        (b"211 2 10 12 local.test\r\n", Reason.UNEXPECTED, "local.test has 2 articles, want 3"),
        (b"211 5 1 5 other.test\r\n", Reason.UNEXPECTED, "got '211 5 1 5 other.test', want local.test"),
        (b"411 no such\r\n", Reason.UNEXPECTED, "got '411 no such', want 211"),
        (b"480 log in\r\n", Reason.UNEXPECTED, "got '480 log in', want 211"),
        (b"211 many 1 5 local.test\r\n", Reason.PROTOCOL, "got '211 many 1 5 local.test', which tells of no group"),
        (b"211 local.test\r\n", Reason.PROTOCOL, "got '211 local.test', which tells of no group"),
    ):
        verdict = play(check, stream(HELLO, asked, answer))
        assert failed(verdict, reason)
        assert verdict.detail == detail


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"tls": TLS, "starttls": TLS}, "exclude each other"),
        ({"password": "x"}, "password needs user"),
        ({"min_articles": 1}, "min_articles needs group"),
        ({"expect": "("}, "is not a regular expression"),
    ],
)
def test_options_that_make_no_sense_together_are_refused(options: dict[str, Any], text: str):
    with pytest.raises(ValueError, match=text):
        NntpCheck(**options)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("user", "a\r\nQUIT", "control characters"),
        ("user", " ", "must not be empty"),
        ("password", "a\nb", "control characters"),
        ("group", "a\r\nQUIT", "control characters"),
        ("group", "a b", "must be the name of one newsgroup"),
        ("group", "", "must be the name of one newsgroup"),
        ("group", "a.*", "must be the name of one newsgroup"),
        ("min_articles", -1, "must be 0 to"),
        ("capabilities", ("",), "must name"),
    ],
)
def test_a_value_that_would_be_another_command_is_refused(name: str, value: Any, text: str):
    rule = NntpCheck.__dataclass_fields__[name].metadata["rule"]
    with pytest.raises(ValueError, match=text):
        rule(value)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.one_of(st.binary(max_size=60), st.sampled_from([HELLO, LISTED, b"211 ", b".\r\n", b"381 \n"])), max_size=8
    )
)
def test_junk_gives_a_verdict_and_nothing_else(junk: list[bytes]):
    script = [one for one in junk if one]
    for check in (NntpCheck(), NntpCheck(group="a", mode_reader=True, starttls=TLS, capabilities=("READER",), **JOE)):
        play(check, stream(*script, END))
        play(check, stream(HELLO, *script, END))


def endless_list(connection: socket.socket) -> None:
    connection.sendall(HELLO)
    servers.line_of(connection)
    connection.sendall(b"101 list\r\nVERSION 2\r\n")
    while True:
        connection.sendall(b"X-MORE\r\n" * 100)


@pytest.mark.parametrize("tls", [None, TLS])
@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        (servers.close_at_once, Reason.PROTOCOL),
        (servers.junk, Reason.PROTOCOL),
        (servers.endless, Reason.PROTOCOL),
        (endless_list, Reason.PROTOCOL),
        (servers.drip, Reason.PROTOCOL),
        (servers.reset, Reason.RESET),
        (servers.silent, Reason.TIMEOUT),
        (servers.accept_only, Reason.TIMEOUT),
    ],
)
async def test_a_server_that_misbehaves_fails_for_its_reason(handler: servers.Handler, reason: Reason, tls: Tls | None):
    with servers.serving(handler) as server:
        verdict = await verdict_of(NntpCheck(tls=tls), server.target, SHORT if reason is Reason.TIMEOUT else PATIENCE)
    assert verdict.outcome is Outcome.FAIL
    # a server that closes on unread bytes resets the connection, which may overtake what it said
    assert verdict.reason in (reason, Reason.RESET, *([] if tls is None else [Reason.TLS]))
