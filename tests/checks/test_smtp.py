"""The smtp check by transcripts: replies of many lines, HELO, STARTTLS, each login, recipients, and what is wrong."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checks.smtp import SmtpCheck
from healthd.check import CheckFailed, Connect, Connected, Outcome, Reason, Receive, Send, StartTls, Tls, Verdict
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

GREETING = b"220 mail.example.net ESMTP\r\n"
EHLO, HELO = Sent(b"EHLO localhost.localdomain\r\n"), Sent(b"HELO localhost.localdomain\r\n")
FEATURES = (
    b"250-mail.example.net\r\n250-SIZE 1000\r\n250-STARTTLS\r\n250-AUTH PLAIN\r\n250-auth LOGIN\r\n250 8BITMIME\r\n"
)
JOE = SmtpCheck(user="joe", password="s3cret")
# the example of RFC 2195, 2
TIM = SmtpCheck(user="tim", password="tanstaaftanstaaf")
CHALLENGE = b64encode(b"<1896.697170952@postoffice.reston.mci.net>")
RESPONSE = b"dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw"


def offering(mechanisms: bytes) -> bytes:
    return b"250-mail.example.net\r\n250 AUTH %b\r\n" % mechanisms


def test_a_greeting_and_an_answer_to_ehlo_pass_however_they_are_cut():
    verdict = every_cut(SmtpCheck(), GREETING, EHLO, FEATURES, Sent(b"QUIT\r\n"))
    assert (verdict.outcome, verdict.detail) == (Outcome.PASS, "220 mail.example.net ESMTP")


def test_it_says_good_bye_and_waits_for_no_answer():
    player = Player([stream(GREETING, FEATURES)])
    assert passed(player.play(SmtpCheck()))
    assert player.steps[-1] == Send(b"QUIT\r\n")


def test_a_server_that_is_gone_before_the_good_bye_has_passed():
    talk = SmtpCheck().converse(V4)
    next(talk)
    talk.send(Connected())
    assert isinstance(talk.send(GREETING), Send)
    talk.send(None)
    assert talk.send(FEATURES) == Send(b"QUIT\r\n")
    with pytest.raises(StopIteration):
        talk.throw(RESET)


def test_greetings_may_have_many_lines_and_no_text():
    assert passed(every_cut(SmtpCheck(), b"220-one\r\n220-\r\n220 two\r\n", b"250\r\n"))
    assert play(SmtpCheck(), stream(b"220-one\r\n220 two\r\n", FEATURES)).detail == "220 one"
    assert play(SmtpCheck(), stream(b"220\r\n", FEATURES)).detail == "220"


@pytest.mark.parametrize("code", [500, 501, 502, 504, 550])
def test_where_ehlo_is_not_known_helo_will_do(code: int):
    script = (GREETING, EHLO, b"%d what?\r\n" % code, HELO, b"250 mail\r\n", Sent(b"QUIT\r\n"))
    assert passed(every_cut(SmtpCheck(), *script))
    refused = play(SmtpCheck(), stream(GREETING, b"%d what?\r\n" % code, b"%d what?\r\n" % code))
    assert refused == Verdict(Outcome.FAIL, Reason.UNEXPECTED, f"got '{code} what?', want 250")


@pytest.mark.parametrize("answer", [b"421 busy\r\n", b"554 no\r\n", b"220 again\r\n", b"530 log in first\r\n"])
def test_other_answers_to_ehlo_fail(answer: bytes):
    verdict = every_cut(SmtpCheck(), GREETING, answer)
    assert verdict == Verdict(Outcome.FAIL, Reason.UNEXPECTED, f"got '{answer.decode().strip()}' to EHLO, want 250")


def test_a_greeting_that_is_no_welcome_fails():
    assert every_cut(SmtpCheck(), b"554-no\r\n554 service\r\n").detail == "got '554 no', want 220"
    assert failed(play(SmtpCheck(), stream(b"421 busy\r\n")), Reason.UNEXPECTED)


@pytest.mark.parametrize(
    "greeting",
    [
        b"+OK ready\r\n",
        b"* OK ready\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 400 Bad Request\r\n",
        b"2200 mail\r\n",
        b"220mail\r\n",
        b"22\r\n",
        b"\r\n",
        b"120 soon\r\n",
        b"620 mail\r\n",
        b" 220 mail\r\n",
        b"220-mail\r\n221 mail\r\n",
        b"220-mail\r\nmail\r\n",
    ],
)
def test_what_is_not_smtp_is_known_as_that(greeting: bytes):
    verdict = every_cut(SmtpCheck(), greeting, FEATURES)
    assert failed(verdict, Reason.PROTOCOL)
    assert "which is no reply of SMTP" in verdict.detail


@pytest.mark.parametrize("script", [(b"220 a",), (b"220-a\r\n",), (GREETING, b"250-a\r\n"), (GREETING,)])
def test_half_of_it_never_passes(script: tuple[bytes, ...]):
    assert failed(every_cut(SmtpCheck(), *script), Reason.TIMEOUT)
    assert failed(every_cut(SmtpCheck(), *script, END), Reason.PROTOCOL)
    assert failed(play(SmtpCheck(), stream(*script, RESET)), Reason.RESET)


@pytest.mark.parametrize("line", [b"220-more\r\n", b"220-" + b"x" * 5000 + b"\r\n", b"220-\r\n", b"x" * 5000])
def test_an_endless_greeting_is_read_to_a_bound(line: bytes):
    player = Player([stream(*[line * 100] * 1000)])
    verdict = player.play(SmtpCheck())
    assert verdict == Verdict(Outcome.FAIL, Reason.PROTOCOL, "answer is longer than 65536 bytes")
    assert sum(isinstance(step, Receive) for step in player.steps) < 200


def test_each_answer_may_be_long():
    lines = 4000
    assert passed(play(SmtpCheck(), stream(b"220-more\r\n" * lines + b"220\r\n", b"250-more\r\n" * lines + b"250\r\n")))


def test_the_greeting_may_have_to_match():
    check = SmtpCheck(expect=r"example\.net ESMTP$")
    assert passed(play(check, stream(GREETING, FEATURES)))
    assert passed(play(check, stream(b"220-hello\r\n220 example.net ESMTP\r\n", FEATURES)))
    verdict = play(check, stream(b"220 other.test ESMTP\r\n"))
    assert failed(verdict, Reason.UNEXPECTED)
    assert "got 'other.test ESMTP'" in verdict.detail


def test_what_must_be_offered_is_looked_for_in_any_case_and_order():
    for wanted in (("SIZE",), ("size 1000", "8BITMIME"), ("AUTH LOGIN PLAIN",), ("starttls",)):
        assert passed(every_cut(SmtpCheck(capabilities=wanted), GREETING, FEATURES))
    verdict = play(SmtpCheck(capabilities=("SIZE 2000", "CHUNKING", "AUTH")), stream(GREETING, FEATURES))
    assert verdict == Verdict(Outcome.FAIL, Reason.UNEXPECTED, "does not offer SIZE 2000, CHUNKING")
    assert failed(play(SmtpCheck(capabilities=("SIZE",)), stream(GREETING, b"250 SIZE\r\n")), Reason.UNEXPECTED)


# --- TLS --------------------------------------------------------------------------------------------------------


def test_tls_may_be_there_from_the_start():
    player = Player([stream(GREETING, FEATURES, tls=FACTS)])
    assert player.play(SmtpCheck(tls=SECURED)).detail == "220 mail.example.net ESMTP, TLSv1.3"
    assert player.steps[0] == Connect(SECURED)


def test_starttls_begins_tls_and_what_is_offered_is_asked_anew():
    check = SmtpCheck(starttls=SECURED, capabilities=("CHUNKING",))
    script = (GREETING, EHLO, FEATURES, Sent(b"STARTTLS\r\n"), b"220 go\r\n", EHLO, b"250-a\r\n250 CHUNKING\r\n")
    assert every_cut(check, *script, Sent(b"QUIT\r\n")).detail == "220 mail.example.net ESMTP, TLSv1.3"
    player = Player([stream(*script)])
    player.play(check)
    assert player.steps[0] == Connect()
    assert player.steps.count(StartTls(SECURED)) == 1


@pytest.mark.parametrize(
    ("script", "detail"),
    [
        ((b"250 a\r\n",), "does not offer STARTTLS"),
        ((b"502 what?\r\n", b"250 a\r\n"), "does not offer STARTTLS"),
        ((FEATURES, b"454 not now\r\n"), "got '454 not now', want 220"),
    ],
)
def test_starttls_is_never_given_up(script: tuple[bytes, ...], detail: str):
    player = Player([stream(GREETING, *script)])
    assert player.play(replace(JOE, starttls=SECURED)) == Verdict(Outcome.FAIL, Reason.UNEXPECTED, detail)
    assert b"AUTH" not in as_shown(player.steps)


def test_what_is_said_before_tls_begins_is_not_taken_for_what_is_said_within():
    player = Player([stream(GREETING, FEATURES, b"220 go\r\n250 injected\r\n")])
    assert failed(player.play(SmtpCheck(starttls=SECURED)), Reason.PROTOCOL)
    assert StartTls(SECURED) not in player.steps


# --- logins -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("check", "talk"),
    [
        (replace(JOE, auth="plain"), (Sent(b"AUTH PLAIN AGpvZQBzM2NyZXQ=\r\n"),)),
        (
            replace(JOE, auth="login"),
            (
                Sent(b"AUTH LOGIN\r\n"),
                b"334 VXNlcm5hbWU6\r\n",
                Sent(b"am9l\r\n"),
                b"334 UGFzc3dvcmQ6\r\n",
                Sent(b"czNjcmV0\r\n"),
            ),
        ),
        (
            replace(TIM, auth="cram-md5"),
            (Sent(b"AUTH CRAM-MD5\r\n"), b"334 " + CHALLENGE + b"\r\n", Sent(RESPONSE + b"\r\n")),
        ),
        (
            SmtpCheck(user="jö", password="pä ß", auth="plain"),
            (Sent(b"AUTH PLAIN " + b64encode("\0jö\0pä ß".encode()) + b"\r\n"),),
        ),
    ],
)
def test_it_logs_in_in_each_way(check: SmtpCheck, talk: tuple[Item, ...]):
    script = (GREETING, EHLO, offering(b"PLAIN LOGIN CRAM-MD5"), *talk)
    verdict = every_cut(check, *script, b"235-welcome\r\n235 in\r\n", Sent(b"QUIT\r\n"))
    assert verdict.detail == f"220 mail.example.net ESMTP, logged in by {check.auth.upper()}"
    refused = every_cut(check, *script, b"535 5.7.8 wrong\r\n")
    assert refused == Verdict(Outcome.FAIL, Reason.UNEXPECTED, "got '535 5.7.8 wrong', want 235")


@pytest.mark.parametrize("auth", ["plain", "login", "cram-md5"])
def test_a_transcript_shows_nothing_of_a_password(auth: str):
    challenge = b"334 " + CHALLENGE + b"\r\n"
    answers = {"plain": [], "login": [challenge] * 2, "cram-md5": [challenge]}[auth]
    player = Player([stream(GREETING, offering(b"PLAIN LOGIN CRAM-MD5"), *answers, b"235 in\r\n")])
    assert passed(player.play(replace(TIM, auth=auth)))
    sent = as_shown(player.steps)
    assert b"AUTH " + auth.upper().encode() in sent
    assert b"***" in sent
    for secret in (b"tanstaaf", b64encode(b"tanstaaftanstaaf"), RESPONSE, b64encode(b"\0tim\0tanstaaftanstaaf")):
        assert secret not in sent


def test_a_server_that_repeats_what_it_does_not_know_tells_nobody_the_password():
    """As sendmail does."""
    said = b'500 5.5.1 Command unrecognized: "AUTH PLAIN AGpvZQBzM2NyZXQ="\r\n'
    verdict = every_cut(replace(JOE, auth="plain"), GREETING, offering(b"PLAIN"), said)
    assert verdict.detail == "got '500 5.5.1 Command unrecognized: \"AUTH PLAIN ***\"', want 235"


@pytest.mark.parametrize(
    ("offered", "in_plain", "in_tls"),
    [
        (b"PLAIN LOGIN CRAM-MD5", b"CRAM-MD5", b"PLAIN"),
        (b"cram-md5 login", b"CRAM-MD5", b"LOGIN"),
        (b"GSSAPI LOGIN", b"LOGIN", b"LOGIN"),
    ],
)
def test_the_best_that_is_offered_is_taken(offered: bytes, in_plain: bytes, in_tls: bytes):
    for facts, want in ((None, in_plain), (FACTS, in_tls)):
        player = Player([stream(GREETING, offering(offered), tls=facts)])
        player.play(JOE)
        assert b"\r\nAUTH " + want in as_shown(player.steps)


@pytest.mark.parametrize(
    ("auth", "offered", "detail"),
    [
        ("auto", b"GSSAPI NTLM", "offers GSSAPI, NTLM to log in with, want CRAM-MD5 or PLAIN or LOGIN"),
        ("plain", b"LOGIN", "offers LOGIN to log in with, want PLAIN"),
        ("plain", b"", "offers nothing to log in with, want PLAIN"),
    ],
)
def test_a_way_that_is_not_offered_is_not_tried(auth: str, offered: bytes, detail: str):
    player = Player([stream(GREETING, offering(offered))])
    assert player.play(replace(JOE, auth=auth)) == Verdict(Outcome.FAIL, Reason.UNEXPECTED, detail)
    assert as_shown(player.steps) == EHLO.data


def test_a_challenge_that_is_none_fails():
    script = (GREETING, offering(b"CRAM-MD5"), b"334 ?!\r\n")
    assert failed(every_cut(JOE, *script), Reason.PROTOCOL)
    assert failed(every_cut(replace(JOE, auth="login"), GREETING, offering(b"LOGIN"), b"235 in\r\n"), Reason.UNEXPECTED)


# --- recipients -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [b"250 fine\r\n", b"251 will forward\r\n", b"252 maybe\r\n"])
def test_a_recipient_is_asked_for_and_nothing_is_sent(answer: bytes):
    check = SmtpCheck(recipient="joe@example.net")
    script = (GREETING, EHLO, FEATURES, Sent(b"MAIL FROM:<>\r\n"), b"250 ok\r\n")
    script = (*script, Sent(b"RCPT TO:<joe@example.net>\r\n"), answer, Sent(b"QUIT\r\n"))
    assert every_cut(check, *script).detail == "220 mail.example.net ESMTP, recipient is taken"


@pytest.mark.parametrize(
    ("script", "detail"),
    [
        ((b"530 log in first\r\n",), "got '530 log in first', want 250"),
        ((b"250 ok\r\n", b"451 4.3.0 no table\r\n"), "got '451 4.3.0 no table', want 250 or 251 or 252"),
        ((b"250 ok\r\n", b"354 go on\r\n"), "got '354 go on', want 250 or 251 or 252"),
    ],
)
def test_a_recipient_that_is_not_taken_fails(script: tuple[bytes, ...], detail: str):
    check = SmtpCheck(recipient="joe@example.net", sender="prober@example.net")
    talk = (GREETING, EHLO, FEATURES, Sent(b"MAIL FROM:<prober@example.net>\r\n"), *script)
    assert every_cut(check, *talk) == Verdict(Outcome.FAIL, Reason.UNEXPECTED, detail)


# --- options and junk -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hello", ["mail.example.net", "[192.0.2.1]", "[IPv6:2001:db8::1]"])
def test_it_greets_by_its_name(hello: str):
    assert passed(play(SmtpCheck(hello=hello), stream(GREETING, Sent(f"EHLO {hello}\r\n".encode()), FEATURES)))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"tls": Tls(), "starttls": Tls()}, "tls and starttls exclude each other"),
        ({"password": "x"}, "password needs user"),
        ({"auth": "plain"}, "auth needs user"),
        ({"sender": "a@b"}, "sender needs recipient"),
        ({"expect": "("}, "is not a regular expression"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, object], text: str):
    with pytest.raises(ValueError, match=text):
        SmtpCheck(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hello", "a b"),
        ("hello", "a\r\nQUIT"),
        ("hello", ""),
        ("recipient", "a>\r\nDATA"),
        ("recipient", "a> b"),
        ("recipient", ""),
        ("sender", "jö@example.net"),
        ("user", ""),
        ("user", "joe\r\nQUIT"),
        ("password", "a\nb"),
        ("capabilities", ("",)),
        ("capabilities", ("SÏZE",)),
    ],
)
def test_no_value_can_be_a_command(name: str, value: object):
    rule = next(f for f in SmtpCheck.__dataclass_fields__.values() if f.name == name).metadata["rule"]
    with pytest.raises(ValueError, match="must"):
        rule(value)


LINES = st.sampled_from(
    [
        b"220 a\r\n",
        b"250-AUTH PLAIN\r\n",
        b"250 a\r\n",
        b"334 \r\n",
        b"334 ?\r\n",
        b"235 in\r\n",
        b"502 no\r\n",
        b"\r\n",
    ]
)


@settings(max_examples=max(200, settings().max_examples))
@given(st.lists(LINES | st.binary(max_size=20), max_size=8).map(b"".join), st.integers(0, 64), st.booleans())
def test_junk_gives_a_verdict_and_the_same_one_for_every_cut(junk: bytes, place: int, ends: bool):
    for check in (SmtpCheck(), JOE, replace(JOE, auth="login"), SmtpCheck(recipient="a@b", expect="a")):
        script = [junk, END] if ends else [junk]
        assert len({play(check, stream(*script), cut=cut) for cut in (whole, single, at(place))}) == 1


def test_junk_alone_raises_nothing_but_failures():
    talk = SmtpCheck().converse(V4)
    next(talk)
    talk.send(Connected())
    with pytest.raises(CheckFailed):
        talk.send(bytes(range(256)) * 300)
