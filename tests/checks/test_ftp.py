"""ftp by transcripts: replies, login, TLS, and a file over a second stream."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checks.ftp import FtpCheck
from healthd.check import Aside, Connect, Outcome, Reason, Send, StartTls, Tls, Turn, Verdict
from tests.checks.harness import (
    END,
    FACTS,
    REFUSED,
    RESET,
    V4,
    V6,
    Channel,
    Player,
    Sent,
    cuts,
    failed,
    passed,
    play,
    same_verdict_for_every_cut,
    stream,
)

HELLO, NAME, IN = b"220 ready\r\n", b"331 password\r\n", b"230 in\r\n"
ASKED = (HELLO, Sent(b"USER anonymous\r\n"), NAME, Sent(b"PASS healthd@\r\n"), IN)
BINARY = (Sent(b"TYPE I\r\n"), b"200 binary\r\n")
EPSV = (Sent(b"EPSV\r\n"), b"229 Extended (|||4242|)\r\n")
BEGUN = (Sent(b"RETR motd\r\n"), b"150 here it comes\r\n")
DONE = b"226 done\r\n"
FETCHED = (*ASKED, *BINARY, *EPSV, *BEGUN, DONE)
FILE = FtpCheck(file="motd", expect="fox")
TLS = Tls(verify=False)


def verdict_of_every_cut(check: FtpCheck, make: Callable[[], list[Channel]], length: int = 60) -> Verdict:
    return same_verdict_for_every_cut(check, make, length)


# --- replies and the login ---


@pytest.mark.parametrize(
    "greeting",
    [
        HELLO,
        b"220\r\n",
        b"220-hello\r\n220\r\n",
        b"220-hello\r\n 220 not the end\r\n2200\r\n221 nor this\r\n220-nor that\r\n\r\n220 ready\r\n",
    ],
)
def test_a_login_is_enough_without_a_file(greeting: bytes):
    verdict = verdict_of_every_cut(FtpCheck(), lambda: [stream(greeting, *ASKED[1:], Sent(b""))], len(greeting))
    assert (verdict.outcome, verdict.detail) == (Outcome.PASS, "logged in as anonymous")


def test_a_server_that_wants_no_password_is_sent_none_and_we_leave_politely():
    player = Player([stream(HELLO, Sent(b"USER joe\r\n"), IN)])
    assert player.play(FtpCheck(user="joe", password="secret")).detail == "logged in as joe"
    assert player.steps[-1] == Send(b"QUIT\r\n")


def test_the_password_is_hidden():
    player = Player([stream(HELLO, NAME, IN)])
    assert passed(player.play(FtpCheck(user="joe", password="secret")))
    assert Send(b"PASS secret\r\n", b"secret") in player.steps


@pytest.mark.parametrize(
    ("script", "reason", "detail"),
    [
        ((b"120 in 5 minutes\r\n",), Reason.UNEXPECTED, "got '120 in 5 minutes', want 220"),
        ((b"421 too many\r\n",), Reason.UNEXPECTED, "got '421 too many', want 220"),
        ((b"421-too\r\n421 many\r\n",), Reason.UNEXPECTED, "got '421 many', want 220"),
        ((b"SSH-2.0-x\r\n",), Reason.PROTOCOL, "got 'SSH-2.0-x', which is no reply of FTP"),
        ((b"+OK pop\r\n",), Reason.PROTOCOL, "got '+OK pop', which is no reply of FTP"),
        ((b"22 x\r\n",), Reason.PROTOCOL, "got '22 x', which is no reply of FTP"),
        ((b"2200 x\r\n",), Reason.PROTOCOL, "got '2200 x', which is no reply of FTP"),
        ((b"920 x\r\n",), Reason.PROTOCOL, "got '920 x', which is no reply of FTP"),
        ((b"\r\n",), Reason.PROTOCOL, "got '', which is no reply of FTP"),
        ((END,), Reason.PROTOCOL, "connection closed without an answer"),
        ((b"220-never ends\r\n221 x\r\n", END), Reason.PROTOCOL, "connection closed without an answer"),
        ((HELLO, b"530 not you\r\n"), Reason.UNEXPECTED, "got '530 not you', want 230 or 232"),
        ((HELLO, b"502 EHLO first\r\n"), Reason.UNEXPECTED, "got '502 EHLO first', want 230 or 232"),
        ((HELLO, NAME, b"530 wrong\r\n"), Reason.UNEXPECTED, "got '530 wrong', want 230 or 202"),
        (
            (HELLO, NAME, b"332 account\r\n"),
            Reason.UNEXPECTED,
            "server wants an account (ACCT): got '332 account', want 230",
        ),
        (
            (HELLO, b"332 account\r\n"),
            Reason.UNEXPECTED,
            "server wants an account (ACCT): got '332 account', want 230",
        ),
        ((HELLO, RESET), Reason.RESET, "connection reset"),
    ],
)
def test_what_is_wrong_with_a_login_is_told(script: tuple[Any, ...], reason: Reason, detail: str):
    verdict = verdict_of_every_cut(FtpCheck(), lambda: [stream(*script)], 30)
    assert failed(verdict, reason)
    assert verdict.detail == detail


@pytest.mark.parametrize("said", [b"500 'PASS s3cret': command not understood.\r\n", b"what is 'PASS s3cret': ?\r\n"])
def test_a_server_that_repeats_what_it_does_not_know_tells_nobody_the_password(said: bytes):
    """As the ftpd of BSD does."""
    verdict = verdict_of_every_cut(FtpCheck(user="joe", password="s3cret"), lambda: [stream(HELLO, NAME, said)])
    assert "'PASS ***':" in verdict.detail


def test_silence_and_refusal_are_told():
    assert failed(play(FtpCheck(), Channel([], REFUSED)), Reason.REFUSED)
    assert failed(play(FtpCheck(), stream()), Reason.TIMEOUT)
    assert failed(play(FtpCheck(), stream(*ASKED[:3])), Reason.TIMEOUT)


def test_the_greeting_can_be_matched():
    assert passed(play(FtpCheck(greeting="^220 ready"), stream(*ASKED)))
    assert failed(play(FtpCheck(greeting="vsftpd"), stream(*ASKED)), Reason.UNEXPECTED)
    pure = b"220---------- Welcome to Pure-FTPd [TLS] ----------\r\n220 You will be disconnected.\r\n"
    for expect in ("Pure-FTPd", "^220-", "disconnected\\.$"):
        assert passed(play(FtpCheck(greeting=expect), stream(pure, *ASKED[1:])))


def test_a_directory_must_be_there():
    check = FtpCheck(directory="pub/a b")
    assert passed(play(check, stream(*ASKED, Sent(b"CWD pub/a b\r\n"), b"250-readme\r\n250 ok\r\n")))
    verdict = play(check, stream(*ASKED, b"550 no such\r\n"))
    assert verdict.detail == "got '550 no such', want 250 or 200"


# --- TLS ---


def test_tls_from_the_start_and_auth_tls():
    player = Player([stream(*ASKED, tls=FACTS)])
    assert player.play(FtpCheck(tls=TLS)).detail == "logged in as anonymous, TLSv1.3"
    assert player.steps[0] == Connect(TLS)
    player = Player([stream(HELLO, Sent(b"AUTH TLS\r\n"), b"234 go\r\n", *ASKED[1:])])
    assert player.play(FtpCheck(starttls=TLS)).detail == "logged in as anonymous, TLSv1.3"
    assert StartTls(TLS) in player.steps


@pytest.mark.parametrize("answer", [b"500 what?\r\n", b"530 log in first\r\n", b"200 ok\r\n"])
def test_auth_tls_is_never_given_up(answer: bytes):
    player = Player([stream(HELLO, answer)])
    assert failed(player.play(FtpCheck(starttls=TLS)), Reason.UNEXPECTED)
    assert Send(b"USER anonymous\r\n") not in player.steps


def test_what_comes_in_the_clear_before_tls_is_not_taken_for_what_is_said_within():
    assert failed(play(FtpCheck(starttls=TLS), stream(HELLO, b"234 go\r\n230 in\r\n")), Reason.PROTOCOL)


@pytest.mark.parametrize("clear", [False, True])
def test_with_tls_the_file_comes_over_tls_unless_told_otherwise(clear: bool):
    protect = b"PROT C\r\n" if clear else b"PROT P\r\n"
    agreed = (Sent(b"PBSZ 0\r\n"), b"200 ok\r\n", Sent(protect), b"200 ok\r\n")
    main = stream(*ASKED, *agreed, *BINARY, *EPSV, *BEGUN, DONE, tls=FACTS)
    player = Player([main, stream(b"fox\n", END)])
    verdict = player.play(FtpCheck(file="motd", expect="fox", tls=TLS, clear_data=clear))
    assert verdict.detail == "logged in as anonymous, TLSv1.3, 4 bytes of motd"
    assert (StartTls(TLS) in player.steps) is not clear
    if not clear:  # TLS begins once the server says that the file comes, not before
        assert player.steps.index(StartTls(TLS)) > player.steps.index(Send(b"RETR motd\r\n"))


def test_protection_that_is_refused_fails():
    check = FtpCheck(file="motd", tls=TLS)
    assert failed(play(check, stream(*ASKED, b"200 ok\r\n", b"534 no\r\n", tls=FACTS)), Reason.UNEXPECTED)


# --- a file ---


def test_a_file_comes_over_a_stream_aside_however_it_is_cut():
    verdict = verdict_of_every_cut(FILE, lambda: [stream(*FETCHED), stream(b"the quick", b" brown fox\n", END)])
    assert (verdict.outcome, verdict.detail) == (Outcome.PASS, "logged in as anonymous, 20 bytes of motd")


def test_the_second_stream_is_open_before_the_file_is_asked_for_and_closed_before_its_end_is_awaited():
    player = Player([stream(*FETCHED), stream(b"fox", END)])
    assert passed(player.play(FILE))
    steps = [one for one in player.steps if isinstance(one, Aside | Turn | Send)][3:]
    assert steps[1:] == [Aside(4242), Turn(), Send(b"RETR motd\r\n"), Turn(), Turn(close=True), Send(b"QUIT\r\n")]


def test_an_empty_file_is_a_file():
    assert passed(play(FtpCheck(file="motd"), stream(*FETCHED), stream(END)))
    assert play(FILE, stream(*FETCHED), stream(END)).detail == "expect 'fox' does not match: got nothing"


def test_content_that_does_not_match_fails_and_is_shown():
    verdict = play(FILE, stream(*FETCHED), stream(b"lazy dog\n", END))
    assert failed(verdict, Reason.UNEXPECTED)
    assert verdict.detail == "expect 'fox' does not match: got 'lazy dog\\\\n'"


def test_of_a_long_file_only_so_much_is_read_and_its_end_is_not_awaited():
    main, side = stream(*FETCHED[:-1]), stream(b"0123456789" * 10)
    verdict = play(FtpCheck(file="motd", max_bytes=15, expect="4$"), main, side)
    assert verdict.detail == "logged in as anonymous, the first 15 bytes of motd"


@pytest.mark.parametrize("cut", list(cuts(8)))
def test_max_bytes_is_kept_however_it_is_cut(cut: Any):
    main, side = stream(*FETCHED[:-1]), stream(b"0123456789")
    assert play(FtpCheck(file="motd", max_bytes=5, expect="^01234$"), main, side, cut=cut).outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("answers", "reason", "detail"),
    [
        ((b"504 binary?\r\n",), Reason.UNEXPECTED, "got '504 binary?', want 200"),
        ((b"200 ok\r\n", b"530 no\r\n"), Reason.UNEXPECTED, "got '530 no', want 229 or 500"),
        ((b"200 ok\r\n", b"229 ok\r\n"), Reason.PROTOCOL, "got '229 ok', which names no port"),
        ((b"200 ok\r\n", b"229 (|||0|)\r\n"), Reason.PROTOCOL, "got '229 (|||0|)', which names no port"),
        ((b"200 ok\r\n", b"229 (|||65536|)\r\n"), Reason.PROTOCOL, "got '229 (|||65536|)', which names no port"),
        ((b"200 ok\r\n", b"229 (||!4242|)\r\n"), Reason.PROTOCOL, "got '229 (||!4242|)', which names no port"),
        ((b"200 ok\r\n", EPSV[1], b"550 none\r\n"), Reason.UNEXPECTED, "got '550 none', want 125 or 150"),
        ((b"200 ok\r\n", EPSV[1], b"226 at once\r\n"), Reason.UNEXPECTED, "got '226 at once', want 125 or 150"),
        ((b"200 ok\r\n", EPSV[1], BEGUN[1], b"426 cut\r\n"), Reason.UNEXPECTED, "got '426 cut', want 226 or 250"),
        ((b"200 ok\r\n", EPSV[1], BEGUN[1], END), Reason.PROTOCOL, "connection closed without an answer"),
        ((b"200 ok\r\n", EPSV[1], BEGUN[1]), Reason.TIMEOUT, "no answer in time"),
    ],
)
def test_what_is_wrong_on_the_way_to_a_file_is_told(answers: tuple[bytes, ...], reason: Reason, detail: str):
    verdict = play(FILE, stream(*ASKED, *answers), stream(b"fox", END))
    assert failed(verdict, reason)
    assert verdict.detail == detail


@pytest.mark.parametrize(
    ("side", "reason", "detail"),
    [
        (Channel([], REFUSED), Reason.REFUSED, "connection refused, on port 4242 for the file"),
        (stream(b"fo", RESET), Reason.RESET, "connection reset, on port 4242 for the file"),
        (stream(b"fox"), Reason.TIMEOUT, "no answer in time"),
    ],
)
def test_what_is_wrong_with_the_second_stream_is_told(side: Channel, reason: Reason, detail: str):
    verdict = play(FILE, stream(*FETCHED), side)
    assert failed(verdict, reason)
    assert verdict.detail == detail


# --- the port for it ---


PASV = b"227 Entering Passive Mode (203,0,113,7,16,146).\r\n"


@pytest.mark.parametrize("refusal", [b"500 what?\r\n", b"502 no\r\n", b"550 Permission denied.\r\n"])
@pytest.mark.parametrize("answer", [PASV, b"227 =203,0,113,7,16,146\r\n", b"227-x\r\n227 203,0,113,7,16,146\r\n"])
def test_a_server_without_epsv_is_asked_by_pasv_and_its_address_is_ignored(answer: bytes, refusal: bytes):
    main = stream(*ASKED, *BINARY, EPSV[0], refusal, Sent(b"PASV\r\n"), answer, *BEGUN, DONE)
    player = Player([main, stream(b"fox", END)])
    assert passed(player.play(FILE))
    assert Aside(16 * 256 + 146) in player.steps


@pytest.mark.parametrize(
    "answer", [b"227 ok\r\n", b"227 1,2,3,4,5\r\n", b"227 1,2,3,4,256,1\r\n", b"227 1,2,3,4,0,0\r\n"]
)
def test_an_answer_to_pasv_without_a_port_fails(answer: bytes):
    verdict = play(FtpCheck(file="motd", passive="pasv"), stream(*ASKED, *BINARY, Sent(b"PASV\r\n"), answer))
    assert failed(verdict, Reason.PROTOCOL)


def test_over_ipv6_only_epsv_will_do():
    script = (*ASKED, *BINARY, EPSV[0], b"500 what?\r\n")
    assert failed(play(FILE, stream(*script), target=V6), Reason.UNEXPECTED)
    assert passed(play(FILE, stream(*FETCHED), stream(b"fox", END), target=V6))
    pasv = play(FtpCheck(file="motd", passive="pasv"), stream(*script), target=V6)
    assert pasv.outcome is Outcome.INCONCLUSIVE


def test_epsv_alone_is_not_followed_by_pasv():
    script = (*ASKED, *BINARY, EPSV[0], b"500 what?\r\n")
    assert failed(play(FtpCheck(file="motd", passive="epsv"), stream(*script), target=V4), Reason.UNEXPECTED)


# --- options ---


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"tls": TLS, "starttls": TLS}, "exclude each other"),
        ({"expect": "x"}, "expect needs file"),
        ({"clear_data": True, "tls": TLS}, "clear_data needs file"),
        ({"clear_data": True, "file": "x"}, "clear_data needs file, and tls or starttls"),
        ({"file": "x", "expect": "("}, "is not a regular expression"),
    ],
)
def test_options_that_make_no_sense_together_are_refused(options: dict[str, Any], text: str):
    with pytest.raises(ValueError, match=text):
        FtpCheck(**options)


@pytest.mark.parametrize("name", ["user", "password", "directory", "file"])
def test_a_value_that_would_be_another_command_is_refused(name: str):
    rule = FtpCheck.__dataclass_fields__[name].metadata["rule"]
    for value in ("a\r\nDELE b", "a\nb", "\0"):
        with pytest.raises(ValueError, match="control characters"):
            rule(value)
    if name != "password":
        with pytest.raises(ValueError, match="must not be empty"):
            rule(" ")


PIECES = [HELLO, NAME, IN, b"200 ok\r\n", EPSV[1], PASV, BEGUN[1], DONE, b"220-", b"\r\n", b"229 (|||1|)\r\n"]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=60), st.sampled_from(PIECES)), max_size=12), st.binary(max_size=20))
def test_junk_gives_a_verdict_and_nothing_else(junk: list[bytes], content: bytes):
    script = [one for one in junk if one]
    for check in (FtpCheck(), FtpCheck(file="motd", starttls=TLS), FILE):
        play(check, stream(*script, END), stream(*([content] if content else []), END))
        play(check, stream(HELLO, NAME, IN, *script, END), stream(*([content] if content else []), END))
