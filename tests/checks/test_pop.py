"""The pop check by transcripts: greetings, CAPA or not, STLS, each login, and what is wrong."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checks.pop import PopCheck
from healthd.check import Connect, Connected, Outcome, Reason, Receive, Send, StartTls, Tls, Verdict
from tests.checks.harness import (
    END,
    FACTS,
    REFUSED,
    RESET,
    V4,
    Channel,
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

GREETING = b"+OK POP3 server ready <1896.697170952@dbc.mtview.ca.us>\r\n"
CAPA, STAT, QUIT = Sent(b"CAPA\r\n"), Sent(b"STAT\r\n"), Sent(b"QUIT\r\n")
UNKNOWN = b"-ERR what?\r\n"
JOE = PopCheck(user="joe", password="s3cret")
CHALLENGE = b64encode(b"<1896.697170952@postoffice.reston.mci.net>")
RESPONSE = b"dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw"  # of RFC 2195, 2


def able(*lines: bytes) -> bytes:
    return b"".join(line + b"\r\n" for line in (b"+OK list follows", *lines, b"."))


def test_a_greeting_and_capabilities_pass_however_they_are_cut():
    verdict = every_cut(PopCheck(), GREETING, CAPA, able(b"UIDL", b"..dotted", b"SASL PLAIN"), QUIT)
    assert (verdict.outcome, verdict.detail) == (Outcome.PASS, GREETING.decode().strip())


def test_a_server_without_capa_passes():
    assert passed(every_cut(PopCheck(), GREETING, CAPA, UNKNOWN, QUIT))


def test_b5_a_server_without_a_login_is_really_looked_at():
    """Defect B5 of ldirectord: a server that refuses, or says -ERR, was up if there was no login."""
    assert failed(play(PopCheck(), Channel([], REFUSED)), Reason.REFUSED)
    refused = every_cut(PopCheck(), b"-ERR [SYS/TEMP] busy\r\n")
    assert refused == Verdict(Outcome.FAIL, Reason.UNEXPECTED, "got '-ERR [SYS/TEMP] busy', want '+OK'")
    assert failed(play(PopCheck(), stream(END)), Reason.PROTOCOL)
    assert failed(play(PopCheck(), stream()), Reason.TIMEOUT)
    assert failed(play(PopCheck(), stream(GREETING, END)), Reason.PROTOCOL)


def test_without_a_user_nobody_is_logged_in():
    player = Player([stream(GREETING, able(b"USER"))])
    assert passed(player.play(PopCheck()))
    assert as_shown(player.steps) == b"CAPA\r\nQUIT\r\n"


def test_a_server_that_is_gone_before_the_good_bye_has_passed():
    talk = PopCheck().converse(V4)
    next(talk)
    talk.send(Connected())
    assert isinstance(talk.send(GREETING), Send)
    talk.send(None)
    assert talk.send(UNKNOWN) == Send(b"QUIT\r\n")
    with pytest.raises(StopIteration):
        talk.throw(RESET)


@pytest.mark.parametrize(
    "greeting",
    [b"220 mail\r\n", b"* OK ready\r\n", b"+OKAY\r\n", b"+ok ready\r\n", b"OK\r\n", b"+\r\n", b"-ERROR\r\n", b"\r\n"],
)
def test_what_is_not_pop_is_known_as_that(greeting: bytes):
    verdict = every_cut(PopCheck(), greeting, able())
    assert failed(verdict, Reason.PROTOCOL)
    assert "which is no answer of POP3" in verdict.detail


@pytest.mark.parametrize("answer", [b"220 mail\r\n", b"+ \r\n", b"UIDL\r\n.\r\n"])
def test_an_answer_to_capa_that_is_none_fails(answer: bytes):
    assert failed(every_cut(PopCheck(), GREETING, answer), Reason.PROTOCOL)


@pytest.mark.parametrize("script", [(b"+OK a",), (GREETING,), (GREETING, b"+OK\r\nUIDL\r\n"), (GREETING, b"-ERR")])
def test_half_of_it_never_passes(script: tuple[bytes, ...]):
    assert failed(every_cut(PopCheck(), *script), Reason.TIMEOUT)
    assert failed(every_cut(PopCheck(), *script, END), Reason.PROTOCOL)
    assert failed(play(PopCheck(), stream(*script, RESET)), Reason.RESET)


@pytest.mark.parametrize("block", [b"UIDL\r\n" * 100, b"x" * 5000, b"..\r\n" * 200])
def test_an_endless_answer_is_read_to_a_bound(block: bytes):
    player = Player([stream(GREETING, b"+OK\r\n", *[block] * 1000)])
    verdict = player.play(PopCheck())
    assert verdict == Verdict(Outcome.FAIL, Reason.PROTOCOL, "answer is longer than 65536 bytes")
    assert sum(isinstance(step, Receive) for step in player.steps) < 200


def test_the_greeting_may_have_to_match():
    check = PopCheck(expect=r"^\+OK POP3 server")
    assert passed(play(check, stream(GREETING, UNKNOWN)))
    assert failed(play(check, stream(b"+OK other\r\n", UNKNOWN)), Reason.UNEXPECTED)


def test_what_the_server_must_be_able_to_do_is_looked_for():
    check = PopCheck(capabilities=(".dotted",))
    assert passed(every_cut(check, GREETING, able(b"UIDL", b"..dotted")))
    check = PopCheck(capabilities=("uidl", "SASL PLAIN", "TOP"))
    assert passed(play(check, stream(GREETING, able(b"TOP", b"UIDL", b"SASL LOGIN PLAIN"))))
    verdict = play(check, stream(GREETING, able(b"SASL PLAIN")))
    assert verdict == Verdict(Outcome.FAIL, Reason.UNEXPECTED, "does not offer uidl, TOP")
    assert failed(play(check, stream(GREETING, UNKNOWN)), Reason.UNEXPECTED)


# --- TLS --------------------------------------------------------------------------------------------------------


def test_tls_may_be_there_from_the_start():
    player = Player([stream(GREETING, able(), tls=FACTS)])
    assert player.play(PopCheck(tls=SECURED)).detail.endswith(", TLSv1.3")
    assert player.steps[0] == Connect(SECURED)


def test_stls_begins_tls_and_capabilities_are_asked_anew():
    check = PopCheck(starttls=SECURED, capabilities=("TOP",))
    script = (GREETING, CAPA, able(b"STLS"), Sent(b"STLS\r\n"), b"+OK go\r\n", CAPA, able(b"TOP"), QUIT)
    assert every_cut(check, *script).detail.endswith(", TLSv1.3")
    player = Player([stream(*script)])
    player.play(check)
    assert player.steps[0] == Connect()
    assert player.steps.count(StartTls(SECURED)) == 1


@pytest.mark.parametrize(
    ("script", "detail"),
    [
        ((able(b"USER"),), "does not offer STLS"),
        ((UNKNOWN,), "does not offer STLS"),
        ((able(b"STLS"), b"-ERR not now\r\n"), "got '-ERR not now', want '+OK'"),
    ],
)
def test_stls_is_never_given_up(script: tuple[bytes, ...], detail: str):
    player = Player([stream(GREETING, *script)])
    assert player.play(replace(JOE, starttls=SECURED)) == Verdict(Outcome.FAIL, Reason.UNEXPECTED, detail)
    assert b"USER" not in as_shown(player.steps)


def test_what_is_said_before_tls_begins_is_not_taken_for_what_is_said_within():
    player = Player([stream(GREETING, able(b"STLS"), b"+OK go\r\n+OK injected\r\n")])
    assert failed(player.play(PopCheck(starttls=SECURED)), Reason.PROTOCOL)
    assert StartTls(SECURED) not in player.steps


# --- logins -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("check", "offered", "talk"),
    [
        (JOE, able(b"USER"), (Sent(b"USER joe\r\n"), b"+OK go on\r\n", Sent(b"PASS s3cret\r\n"))),
        (replace(JOE, password=" a b "), UNKNOWN, (Sent(b"USER joe\r\n"), b"+OK\r\n", Sent(b"PASS  a b \r\n"))),
        (replace(JOE, auth="user"), able(b"TOP"), (Sent(b"USER joe\r\n"), b"+OK\r\n", Sent(b"PASS s3cret\r\n"))),
        # the example of RFC 1939, 7
        (
            PopCheck(user="mrose", password="tanstaaf", auth="apop"),
            able(b"USER"),
            (Sent(b"APOP mrose c4c9334bac560ecc979e58001b3e22fb\r\n"),),
        ),
        (
            JOE,
            able(b"SASL LOGIN PLAIN"),
            (Sent(b"AUTH PLAIN\r\n"), b"+ \r\n", Sent(b64encode(b"\0joe\0s3cret") + b"\r\n")),
        ),
        (
            replace(JOE, auth="plain"),
            able(b"USER", b"SASL PLAIN"),
            (Sent(b"AUTH PLAIN\r\n"), b"+\r\n", Sent(b64encode(b"\0joe\0s3cret") + b"\r\n")),
        ),
        (
            PopCheck(user="tim", password="tanstaaftanstaaf"),
            able(b"USER", b"SASL CRAM-MD5 PLAIN"),
            (Sent(b"AUTH CRAM-MD5\r\n"), b"+ " + CHALLENGE + b"\r\n", Sent(RESPONSE + b"\r\n")),
        ),
    ],
)
def test_it_logs_in_in_each_way(check: PopCheck, offered: bytes, talk: tuple[Item, ...]):
    script = (GREETING, CAPA, offered, *talk)
    verdict = every_cut(check, *script, b"+OK 3 messages\r\n", STAT, b"+OK 3 120\r\n", QUIT)
    assert passed(verdict)
    assert ">, logged in by " in verdict.detail
    refused = every_cut(check, *script, b"-ERR [AUTH] wrong\r\n")
    assert refused == Verdict(Outcome.FAIL, Reason.UNEXPECTED, "got '-ERR [AUTH] wrong', want '+OK'")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"-ERR [SYS/TEMP] no disk\r\n", Reason.UNEXPECTED),
        (b"+OK\r\n", Reason.PROTOCOL),
        (b"+OK many\r\n", Reason.PROTOCOL),
        (b"+OK 3\r\n", Reason.PROTOCOL),
    ],
)
def test_a_mailbox_that_cannot_be_opened_after_the_login_fails(answer: bytes, reason: Reason):
    verdict = every_cut(
        JOE, GREETING, able(b"USER"), Sent(CAPA.data + b"USER joe\r\n"), b"+OK\r\n", b"+OK in\r\n", answer
    )
    assert failed(verdict, reason)


@pytest.mark.parametrize("auth", ["user", "apop", "plain", "cram-md5"])
def test_a_transcript_shows_nothing_of_a_password(auth: str):
    answers = {"user": [b"+OK\r\n"], "apop": [], "plain": [b"+ \r\n"], "cram-md5": [b"+ " + CHALLENGE + b"\r\n"]}[auth]
    player = Player([stream(GREETING, able(b"USER", b"SASL PLAIN CRAM-MD5"), *answers, b"+OK in\r\n", b"+OK 0 0\r\n")])
    assert passed(player.play(PopCheck(user="tim", password="tanstaaf", auth=auth)))
    sent = as_shown(player.steps)
    assert b"***" in sent
    for secret in (b"tanstaaf", b"c4c9334bac560ecc979e58001b3e22fb", b64encode(b"\0tim\0"), b64encode(b"tim ")[:-3]):
        assert secret not in sent


@pytest.mark.parametrize("said", [b"-ERR what is PASS s3cret?\r\n", b"what is PASS s3cret?\r\n"])
def test_a_server_that_repeats_what_it_does_not_know_tells_nobody_the_password(said: bytes):
    verdict = every_cut(JOE, GREETING, able(b"USER"), b"+OK\r\n", said)
    assert "what is PASS ***?" in verdict.detail


@pytest.mark.parametrize(
    ("offered", "in_plain", "in_tls"),
    [
        ((b"USER", b"SASL PLAIN CRAM-MD5"), b"AUTH CRAM-MD5", b"USER joe"),
        ((b"SASL LOGIN PLAIN",), b"AUTH PLAIN", b"AUTH PLAIN"),
        ((b"user",), b"USER joe", b"USER joe"),
    ],
)
def test_the_best_that_is_offered_is_taken(offered: tuple[bytes, ...], in_plain: bytes, in_tls: bytes):
    for facts, want in ((None, in_plain), (FACTS, in_tls)):
        player = Player([stream(GREETING, able(*offered), tls=facts)])
        player.play(JOE)
        assert as_shown(player.steps) == b"CAPA\r\n" + want + b"\r\n"


@pytest.mark.parametrize("auth", ["auto", "cram-md5", "plain"])
def test_a_way_that_is_not_offered_is_not_tried(auth: str):
    player = Player([stream(GREETING, able(b"SASL GSSAPI"))])
    verdict = player.play(replace(JOE, auth=auth))
    assert failed(verdict, Reason.UNEXPECTED)
    assert verdict.detail.startswith("offers GSSAPI to log in with, want ")
    assert as_shown(player.steps) == CAPA.data


@pytest.mark.parametrize("greeting", [b"+OK ready\r\n", b"+OK <no stamp>\r\n", b"+OK <a b@c>\r\n", b"+OK <a@\xff>\r\n"])
def test_apop_needs_a_stamp_that_is_one(greeting: bytes):
    verdict = every_cut(replace(JOE, auth="apop"), greeting, able())
    assert failed(verdict, Reason.UNEXPECTED)
    assert "want a time stamp in it for APOP" in verdict.detail


def test_a_user_that_is_not_known_and_a_challenge_that_is_none_fail():
    assert failed(every_cut(JOE, GREETING, able(b"USER"), b"-ERR no such user\r\n"), Reason.UNEXPECTED)
    assert failed(every_cut(JOE, GREETING, able(b"SASL CRAM-MD5"), b"+ ?!\r\n"), Reason.PROTOCOL)
    assert failed(every_cut(JOE, GREETING, able(b"SASL PLAIN"), b"+OK in\r\n"), Reason.PROTOCOL)
    assert failed(every_cut(JOE, GREETING, able(b"SASL PLAIN"), b"-ERR no\r\n"), Reason.UNEXPECTED)


# --- options and junk -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"tls": Tls(), "starttls": Tls()}, "tls and starttls exclude each other"),
        ({"password": "x"}, "password needs user"),
        ({"auth": "apop"}, "auth needs user"),
        ({"expect": "("}, "is not a regular expression"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, object], text: str):
    with pytest.raises(ValueError, match=text):
        PopCheck(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value"), [("user", ""), ("user", "joe\r\nDELE 1"), ("password", "a\nDELE 1"), ("capabilities", ("\t",))]
)
def test_no_value_can_be_a_command(name: str, value: object):
    rule = next(f for f in PopCheck.__dataclass_fields__.values() if f.name == name).metadata["rule"]
    with pytest.raises(ValueError, match="must"):
        rule(value)


LINES = st.sampled_from([GREETING, able(b"USER"), able(b"SASL PLAIN"), UNKNOWN, b"+OK\r\n", b"+ \r\n", b".\r\n"])


@settings(max_examples=max(200, settings().max_examples))
@given(st.lists(LINES | st.binary(max_size=20), max_size=8).map(b"".join), st.integers(0, 64), st.booleans())
def test_junk_gives_a_verdict_and_the_same_one_for_every_cut(junk: bytes, place: int, ends: bool):
    for check in (PopCheck(), JOE, replace(JOE, auth="apop"), replace(JOE, auth="plain", expect="a")):
        script = [junk, END] if ends else [junk]
        assert len({play(check, stream(*script), cut=cut) for cut in (whole, single, at(place))}) == 1
