"""The imap check by transcripts: greetings, tags, literals, STARTTLS, each login, mailboxes, and what is wrong."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checks.imap import ImapCheck
from healthd.check import Connect, Connected, Outcome, Reason, Receive, Send, StartTls, Tls, Verdict
from tests.checks.harness import (
    END,
    FACTS,
    RESET,
    V4,
    Item,
    Player,
    Sent,
    at,
    every_cut,
    failed,
    passed,
    play,
    single,
    stream,
    whole,
)
from tests.checks.mail import SECURED, as_shown

GREETING = b"* OK IMAP4rev1 at mail.example.net\r\n"
ASK = Sent(b"h1 CAPABILITY\r\n")
JOE = ImapCheck(user="joe", password="s3cret")
CHALLENGE = b64encode(b"<1896.697170952@postoffice.reston.mci.net>")
RESPONSE = b"dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw"  # of RFC 2195, 2


def able(words: bytes, tag: bytes = b"h1") -> bytes:
    return b"* CAPABILITY IMAP4rev1 %b\r\n%b OK done\r\n" % (words, tag)


def test_a_greeting_and_capabilities_pass_however_they_are_cut():
    verdict = every_cut(ImapCheck(), GREETING, ASK, able(b"IDLE"), Sent(b"h2 LOGOUT\r\n"))
    assert (verdict.outcome, verdict.detail) == (Outcome.PASS, "* OK IMAP4rev1 at mail.example.net")


def test_a_server_that_is_gone_before_the_good_bye_has_passed():
    talk = ImapCheck().converse(V4)
    next(talk)
    talk.send(Connected())
    assert isinstance(talk.send(GREETING), Send)
    talk.send(None)
    assert talk.send(able(b"")) == Send(b"h2 LOGOUT\r\n")
    with pytest.raises(StopIteration):
        talk.throw(RESET)


def test_what_is_told_of_a_greeting_is_what_is_for_people():
    greeting = b"* OK [CAPABILITY IMAP4rev1 STARTTLS] hello [there]\r\n"
    assert play(ImapCheck(), stream(greeting, able(b""))).detail == "* OK hello [there]"


@pytest.mark.parametrize("greeting", [b"* OK\r\n", b"* ok Dovecot {5}\r\n", b"* PREAUTH come in\r\n", b"* OK a\n"])
def test_greetings_that_are_welcomes(greeting: bytes):
    assert passed(every_cut(ImapCheck(), greeting, able(b"")))


@pytest.mark.parametrize(
    "greeting",
    [
        b"220 mail ESMTP\r\n",
        b"+OK ready\r\n",
        b"OK ready\r\n",
        b"*OK ready\r\n",
        b"* OKAY\r\n",
        b"* NO\r\n",
        b"h1 OK done\r\n",
        b"* CAPABILITY IMAP4rev1\r\n",
        b"\r\n",
        b"* 5 EXISTS\r\n",
    ],
)
def test_what_is_not_imap_is_known_as_that(greeting: bytes):
    verdict = every_cut(ImapCheck(), greeting, able(b""))
    assert failed(verdict, Reason.PROTOCOL)
    assert "which is no greeting of IMAP" in verdict.detail


def test_a_server_that_sends_us_away_fails():
    verdict = every_cut(ImapCheck(), b"* BYE too many\r\n", END)
    assert verdict == Verdict(Outcome.FAIL, Reason.UNEXPECTED, "got '* BYE too many', want '* OK'")
    later = every_cut(ImapCheck(), GREETING, b"* BYE going down\r\n", END)
    assert later == Verdict(Outcome.FAIL, Reason.UNEXPECTED, "got '* BYE going down'")


@pytest.mark.parametrize("script", [(b"* OK a",), (GREETING,), (GREETING, b"* CAPABILITY IMAP4rev1\r\nh1 O")])
def test_half_of_it_never_passes(script: tuple[bytes, ...]):
    assert failed(every_cut(ImapCheck(), *script), Reason.TIMEOUT)
    assert failed(every_cut(ImapCheck(), *script, END), Reason.PROTOCOL)
    assert failed(play(ImapCheck(), stream(*script, RESET)), Reason.RESET)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"h2 OK done\r\n", Reason.PROTOCOL),
        (b"h01 OK done\r\n", Reason.PROTOCOL),
        (b"H1 OK done\r\n", Reason.PROTOCOL),
        (b"h1 DONE\r\n", Reason.PROTOCOL),
        (b"h1 OKAY\r\n", Reason.PROTOCOL),
        (b"+ go on\r\n", Reason.PROTOCOL),
        (b"\r\n", Reason.PROTOCOL),
        (b"h1 OK done\r\n", Reason.PROTOCOL),
        (b"* CAPABILITY IDLE\r\nh1 OK done\r\n", Reason.PROTOCOL),
        (b"* CAPABILITYIMAP4rev1\r\nh1 OK done\r\n", Reason.PROTOCOL),
        (b"h1 NO not now\r\n", Reason.UNEXPECTED),
        (b"h1 bad what?\r\n", Reason.UNEXPECTED),
    ],
)
def test_only_the_answer_to_our_own_question_counts(answer: bytes, reason: Reason):
    assert failed(every_cut(ImapCheck(), GREETING, answer, END), reason)


def test_what_is_said_besides_is_skipped_with_its_literals():
    besides = b"* OK [ALERT] wait {9}\r\n* LIST () NIL {9}\r\nh1 OK {2}\r {3}\r\n\r\n  \r\n* 3 EXISTS\r\n"
    assert passed(every_cut(ImapCheck(), GREETING, besides + able(b"")))
    assert passed(every_cut(ImapCheck(), GREETING, b"* X {3}\r\n{9}\r\n" + able(b"")))
    split = b"* CAPABILITY IMAP4rev1\r\n* CAPABILITY IDLE\r\nh1 OK\r\n"
    assert passed(play(ImapCheck(capabilities=("idle", "IMAP4rev1")), stream(GREETING, split)))


@pytest.mark.parametrize(
    "block",
    [
        b"* 1 EXISTS\r\n" * 100,
        b"x" * 5000,
        b"* LIST {900000000}\r\n",
        b"* X {70000}\r\n",
        b"* X {1000}\r\n" + b"y" * 1000,
    ],
)
def test_an_endless_answer_is_read_to_a_bound(block: bytes):
    player = Player([stream(GREETING, *[block] * 1000)])
    verdict = player.play(ImapCheck())
    assert verdict == Verdict(Outcome.FAIL, Reason.PROTOCOL, "answer is longer than 65536 bytes")
    assert sum(isinstance(step, Receive) for step in player.steps) < 100


def test_a_number_with_thousands_of_digits_is_no_literal():
    digits = b"* X {" + b"9" * 6000 + b"}\r\n"
    assert passed(play(ImapCheck(), stream(GREETING, digits + able(b""))))


def test_the_greeting_may_have_to_match():
    check = ImapCheck(expect=r"at mail\.example\.net$")
    assert passed(play(check, stream(GREETING, able(b""))))
    assert failed(play(check, stream(b"* OK other\r\n", able(b""))), Reason.UNEXPECTED)


def test_what_the_server_must_be_able_to_do_is_looked_for():
    check = ImapCheck(capabilities=("idle", "AUTH=PLAIN", "MOVE"))
    assert passed(play(check, stream(GREETING, able(b"MOVE Idle AUTH=PLAIN"))))
    verdict = play(check, stream(GREETING, able(b"AUTH=PLAIN")))
    assert verdict == Verdict(Outcome.FAIL, Reason.UNEXPECTED, "does not offer idle, MOVE")


# --- TLS --------------------------------------------------------------------------------------------------------


def test_tls_may_be_there_from_the_start():
    player = Player([stream(GREETING, able(b""), tls=FACTS)])
    assert player.play(ImapCheck(tls=SECURED)).detail.endswith("example.net, TLSv1.3")
    assert player.steps[0] == Connect(SECURED)


def test_starttls_begins_tls_and_capabilities_are_asked_anew():
    check = ImapCheck(starttls=SECURED, capabilities=("MOVE",))
    script = (GREETING, ASK, able(b"STARTTLS"), Sent(b"h2 STARTTLS\r\n"), b"h2 OK go\r\n", Sent(b"h3 CAPABILITY\r\n"))
    script = (*script, able(b"MOVE", b"h3"), Sent(b"h4 LOGOUT\r\n"))
    assert every_cut(check, *script).detail.endswith("example.net, TLSv1.3")
    player = Player([stream(*script)])
    player.play(check)
    assert player.steps[0] == Connect()
    assert player.steps.count(StartTls(SECURED)) == 1


@pytest.mark.parametrize(
    ("script", "detail"),
    [
        ((able(b""),), "does not offer STARTTLS"),
        ((able(b"STARTTLS"), b"h2 NO not now\r\n"), "got 'h2 NO not now', want OK"),
    ],
)
def test_starttls_is_never_given_up(script: tuple[bytes, ...], detail: str):
    player = Player([stream(GREETING, *script)])
    assert player.play(replace(JOE, starttls=SECURED)) == Verdict(Outcome.FAIL, Reason.UNEXPECTED, detail)
    assert b"LOGIN" not in as_shown(player.steps)


def test_what_is_said_before_tls_begins_is_not_taken_for_what_is_said_within():
    player = Player([stream(GREETING, able(b"STARTTLS"), b"h2 OK go\r\n* CAPABILITY IMAP4rev1\r\n")])
    assert failed(player.play(ImapCheck(starttls=SECURED)), Reason.PROTOCOL)
    assert StartTls(SECURED) not in player.steps


@pytest.mark.parametrize("check", [JOE, ImapCheck(starttls=SECURED)])
def test_a_preauth_greeting_rules_out_login_and_tls(check: ImapCheck):
    verdict = play(check, stream(b"* PREAUTH come in\r\n", able(b"STARTTLS")))
    assert failed(verdict, Reason.UNEXPECTED)
    assert "rules out" in verdict.detail


# --- logins -----------------------------------------------------------------------------------------------------

PLAIN = b64encode(b"\0joe\0s3cret")


@pytest.mark.parametrize(
    ("check", "offered", "talk"),
    [
        (JOE, b"", (Sent(b'h2 LOGIN "joe" "s3cret"\r\n'),)),
        (
            replace(JOE, user='a "b" c', password="\\back\\"),
            b"AUTH=LOGIN",
            (Sent(b'h2 LOGIN "a \\"b\\" c" "\\\\back\\\\"\r\n'),),
        ),
        (
            replace(JOE, password="pä"),
            b"",
            (Sent(b'h2 LOGIN "joe" {3}\r\n'), b"* OK hi\r\n+ go on\r\n", Sent("pä\r\n".encode())),
        ),
        (
            replace(JOE, user="jö", password="ß"),
            b"",
            (Sent(b"h2 LOGIN {3}\r\n"), b"+\r\n", Sent("jö {2}\r\n".encode()), b"+ \r\n", Sent("ß\r\n".encode())),
        ),
        (replace(JOE, user="jö"), b"", (Sent(b"h2 LOGIN {3}\r\n"), b"+\r\n", Sent('jö "s3cret"\r\n'.encode()))),
        (JOE, b"LOGINDISABLED AUTH=PLAIN SASL-IR", (Sent(b"h2 AUTHENTICATE PLAIN " + PLAIN + b"\r\n"),)),
        (
            replace(JOE, auth="plain"),
            b"AUTH=PLAIN",
            (Sent(b"h2 AUTHENTICATE PLAIN\r\n"), b"+ \r\n", Sent(PLAIN + b"\r\n")),
        ),
        (
            ImapCheck(user="tim", password="tanstaaftanstaaf"),
            b"AUTH=PLAIN AUTH=CRAM-MD5 SASL-IR",
            (Sent(b"h2 AUTHENTICATE CRAM-MD5\r\n"), b"+ " + CHALLENGE + b"\r\n", Sent(RESPONSE + b"\r\n")),
        ),
    ],
)
def test_it_logs_in_in_each_way(check: ImapCheck, offered: bytes, talk: tuple[Item, ...]):
    script = (GREETING, ASK, able(offered), *talk)
    verdict = every_cut(check, *script, b"* CAPABILITY IMAP4rev1 MOVE\r\nh2 OK in\r\n", Sent(b"h3 LOGOUT\r\n"))
    assert passed(verdict)
    assert "example.net, logged in by " in verdict.detail
    refused = every_cut(check, *script, b"h2 NO [AUTHENTICATIONFAILED] wrong\r\n")
    assert refused == Verdict(Outcome.FAIL, Reason.UNEXPECTED, "got 'h2 NO [AUTHENTICATIONFAILED] wrong', want OK")


@pytest.mark.parametrize("password", ['tan"staaf', "tänstaaf", "tanstaaf"])
@pytest.mark.parametrize("offered", [b"", b"LOGINDISABLED AUTH=PLAIN", b"AUTH=CRAM-MD5", b"AUTH=PLAIN SASL-IR"])
def test_a_transcript_shows_nothing_of_a_password(password: str, offered: bytes):
    go = b"+ " + CHALLENGE + b"\r\n"
    waits = [go] * (offered in (b"LOGINDISABLED AUTH=PLAIN", b"AUTH=CRAM-MD5") or not (offered or password.isascii()))
    player = Player([stream(GREETING, able(offered), *waits, b"h2 OK in\r\n")])
    assert passed(player.play(ImapCheck(user="joe", password=password)))
    sent = as_shown(player.steps)
    assert b"***" in sent
    assert b"staaf" not in sent
    assert b64encode(b"\0joe\0")[:-3] not in sent
    assert b64encode(b"joe ")[:-3] not in sent


def test_a_server_that_repeats_what_it_does_not_know_tells_nobody_the_password():
    said = b'h2 BAD what is LOGIN "joe" "s3cret"?\r\n'
    verdict = every_cut(JOE, GREETING, able(b""), said)
    assert verdict.detail == "got 'h2 BAD what is LOGIN \"joe\" ***?', want OK"
    assert "s3cret" not in every_cut(JOE, GREETING, able(b""), said[3:]).detail
    assert "s3cret" not in every_cut(JOE, GREETING, able(b""), b"* BYE" + said[6:]).detail


@pytest.mark.parametrize(
    ("offered", "in_plain", "in_tls"),
    [
        (b"AUTH=PLAIN AUTH=LOGIN AUTH=CRAM-MD5", b"AUTHENTICATE CRAM-MD5", b"AUTHENTICATE PLAIN"),
        (b"AUTH=CRAM-MD5", b"AUTHENTICATE CRAM-MD5", b"LOGIN "),
        (b"AUTH=PLAIN LOGINDISABLED", b"AUTHENTICATE PLAIN", b"AUTHENTICATE PLAIN"),
        (b"AUTH=XOAUTH2", b"LOGIN ", b"LOGIN "),
    ],
)
def test_the_best_that_is_offered_is_taken(offered: bytes, in_plain: bytes, in_tls: bytes):
    for facts, want in ((None, in_plain), (FACTS, in_tls)):
        player = Player([stream(GREETING, able(offered), tls=facts)])
        player.play(JOE)
        assert b"\r\nh2 " + want in as_shown(player.steps)


@pytest.mark.parametrize("auth", ["auto", "login"])
def test_a_way_that_is_not_offered_is_not_tried(auth: str):
    player = Player([stream(GREETING, able(b"LOGINDISABLED AUTH=LOGIN AUTH=GSSAPI"))])
    verdict = player.play(replace(JOE, auth=auth))
    assert failed(verdict, Reason.UNEXPECTED)
    assert verdict.detail.startswith("offers GSSAPI to log in with, want ")
    assert as_shown(player.steps) == ASK.data


def test_a_challenge_that_does_not_come_or_is_none_fails():
    script = (GREETING, able(b"AUTH=CRAM-MD5"))
    assert failed(every_cut(JOE, *script, b"+ ?!\r\n"), Reason.PROTOCOL)
    assert failed(every_cut(JOE, *script, b"h1 NO late\r\n"), Reason.PROTOCOL)
    verdict = every_cut(JOE, *script, b"h2 OK in\r\n")
    assert verdict == Verdict(Outcome.FAIL, Reason.UNEXPECTED, "got 'h2 OK in', want +")


# --- mailboxes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("INBOX", b'"INBOX"'),
        ('a "b"', b'"a \\"b\\""'),
        ("R&D", b'"R&-D"'),
        ("~peter/mail/台北/日本語", b'"~peter/mail/&U,BTFw-/&ZeVnLIqe-"'),
        ("Entwürfe 😀", b'"Entw&APw-rfe &2D3eAA-"'),
    ],
)
def test_a_mailbox_is_only_looked_into(name: str, written: bytes):
    script = (GREETING, ASK, able(b""), Sent(b'h2 LOGIN "joe" "s3cret"\r\n'), b"h2 OK in\r\n")
    script = (*script, Sent(b"h3 EXAMINE " + written + b"\r\n"))
    opened = (b"* 0 EXISTS\r\n* OK [UIDVALIDITY 1] {3}\r\nh3 OK [READ-ONLY] done\r\n", Sent(b"h4 LOGOUT\r\n"))
    verdict = every_cut(replace(JOE, mailbox=name), *script, *opened)
    assert verdict.detail.endswith("logged in by LOGIN, mailbox is there")
    missing = every_cut(replace(JOE, mailbox=name), *script, b"h3 NO [NONEXISTENT] none\r\n")
    assert missing == Verdict(Outcome.FAIL, Reason.UNEXPECTED, "got 'h3 NO [NONEXISTENT] none', want OK")


# --- options and junk -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"tls": Tls(), "starttls": Tls()}, "tls and starttls exclude each other"),
        ({"password": "x"}, "password needs user"),
        ({"auth": "plain"}, "auth needs user"),
        ({"expect": "("}, "is not a regular expression"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, object], text: str):
    with pytest.raises(ValueError, match=text):
        ImapCheck(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("user", ""),
        ("user", "joe\r\nh9 LOGOUT"),
        ("password", "a\nb"),
        ("mailbox", "a\r\n"),
        ("mailbox", ""),
        ("capabilities", (" ",)),
    ],
)
def test_no_value_can_be_a_command(name: str, value: object):
    rule = next(f for f in ImapCheck.__dataclass_fields__.values() if f.name == name).metadata["rule"]
    with pytest.raises(ValueError, match="must"):
        rule(value)


LINES = st.sampled_from(
    [GREETING, able(b"AUTH=PLAIN"), able(b"LOGINDISABLED"), b"h2 OK in\r\n", b"+ \r\n", b"* X {4}\r\n", b"h1 OK\r\n"]
)


@settings(max_examples=max(200, settings().max_examples))
@given(st.lists(LINES | st.binary(max_size=20), max_size=8).map(b"".join), st.integers(0, 64), st.booleans())
def test_junk_gives_a_verdict_and_the_same_one_for_every_cut(junk: bytes, place: int, ends: bool):
    for check in (ImapCheck(), JOE, replace(JOE, password="ä"), replace(JOE, auth="plain", mailbox="a")):
        script = [junk, END] if ends else [junk]
        assert len({play(check, stream(*script), cut=cut) for cut in (whole, single, at(place))}) == 1
