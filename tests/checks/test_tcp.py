"""The tcp check by transcripts: connect only, a greeting, a question and its answer, and what is wrong with each."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checks.tcp import TcpCheck
from healthd.check import Connect, Finish, Outcome, Reason, Receive, Send, Tls
from tests.checks.harness import (
    END,
    FACTS,
    REFUSED,
    RESET,
    Channel,
    Player,
    Sent,
    at,
    failed,
    passed,
    play,
    same_verdict_for_every_cut,
    single,
    stream,
    whole,
)

GREETING = b"220 mail.example.net ESMTP\r\n"


def test_a_connection_is_enough_and_nothing_is_sent_or_read():
    player = Player([stream()])
    verdict = player.play(TcpCheck())
    assert (verdict.outcome, verdict.detail) == (Outcome.PASS, "connected")
    assert player.steps == [Connect()]


def test_tls_is_spoken_from_the_start_and_told():
    player = Player([stream(tls=FACTS)])
    assert player.play(TcpCheck(tls=Tls(verify=False))).detail == "connected, TLSv1.3"
    assert player.steps == [Connect(Tls(verify=False))]


def test_what_the_engine_cannot_do_is_told_as_it_is():
    assert failed(play(TcpCheck(), Channel([], REFUSED)), Reason.REFUSED)
    assert failed(play(TcpCheck(expect="x"), stream(b"ab", RESET)), Reason.RESET)


@pytest.mark.parametrize("expect", [{"expect": "^220 "}, {"expect": "(?i)esmtp"}, {"expect_hex": "32 32:30XX6d"}])
def test_a_greeting_matches_however_it_is_cut(expect: dict[str, str]):
    check = TcpCheck(**expect)
    verdict = same_verdict_for_every_cut(check, lambda: [stream(GREETING)], len(GREETING))
    assert (verdict.outcome, verdict.detail) == (Outcome.PASS, "answer matches")


def test_a_message_is_sent_before_the_answer_is_awaited():
    assert passed(play(TcpCheck(send=b"PING\r\n", expect="PONG"), stream(Sent(b"PING\r\n"), b"+PONG\r\n")))


def test_a_message_alone_passes_once_it_is_sent():
    assert passed(play(TcpCheck(send=b"hello"), stream(Sent(b"hello"))))


def test_a_wrong_answer_fails_at_its_end_and_shows_how_it_begins():
    script = (b"421 too busy\r\n", END)
    verdict = same_verdict_for_every_cut(TcpCheck(expect="^220 "), lambda: [stream(*script)], 14)
    assert failed(verdict, Reason.UNEXPECTED)
    assert verdict.detail == "expect '^220 ' does not match: got '421 too busy\\\\r\\\\n'"


def test_no_answer_at_all_is_said():
    assert play(TcpCheck(expect="^220 "), stream(END)).detail == "expect '^220 ' does not match: got nothing"


def test_a_wrong_answer_in_hex_fails_as_soon_as_it_is_long_enough():
    verdict = same_verdict_for_every_cut(TcpCheck(expect_hex="000X"), lambda: [stream(b"\0\x10\0")], 3)
    assert failed(verdict, Reason.UNEXPECTED)


def test_any_digit_stands_in_either_half_of_a_byte():
    assert passed(play(TcpCheck(expect_hex="0xx0"), stream(b"\x0f\xf0")))
    assert passed(play(TcpCheck(expect_hex="0XX0"), stream(b"\x0a\x20")))
    assert failed(play(TcpCheck(expect_hex="0XX0"), stream(b"\x1a\x20")), Reason.UNEXPECTED)
    assert failed(play(TcpCheck(expect_hex="0XX0"), stream(b"\x0a\x21")), Reason.UNEXPECTED)


LINES = b"one\r\ntwo OK\n\nOK\nlast"


@pytest.mark.parametrize(
    ("expect", "right"),
    [
        ("^OK$", True),
        ("^two OK\\n$", True),
        ("^one\\r$", True),
        ("^one$", False),
        ("^$", True),
        ("", True),
        ("^last$", True),
        ("two\\s+OK", True),
        ("OK\\s+OK", False),
        ("(?s)one.*two", False),
        ("\\Atwo", True),
        ("las(?!t)", False),
        ("^tw(?!o OK)", False),
    ],
)
def test_one_line_must_match_by_itself_however_it_is_cut(expect: str, right: bool):
    verdict = same_verdict_for_every_cut(TcpCheck(expect_line=expect), lambda: [stream(LINES, END)], len(LINES))
    assert passed(verdict) == right
    if not right:
        assert verdict.detail.startswith(f"expect_line {expect!r} does not match: got 'one")


def test_a_line_that_is_complete_needs_no_end_and_one_that_is_not_waits_for_it():
    assert passed(play(TcpCheck(expect_line="^OK$"), stream(b"OK\n")))
    assert failed(play(TcpCheck(expect_line="^OK$"), stream(b"OK")), Reason.TIMEOUT)
    assert failed(play(TcpCheck(expect_line="^OK$"), stream(b"OK", RESET)), Reason.RESET)


def test_no_line_at_all_matches_nothing():
    assert play(TcpCheck(expect_line=""), stream(END)).detail == "expect_line '' does not match: got nothing"


def test_a_line_that_is_longer_than_is_looked_at_is_no_line():
    answer = b"a\n" + b"b" * 98
    for more in (b"", b"\n"):
        verdict = same_verdict_for_every_cut(
            TcpCheck(expect_line="b", max_bytes=100), lambda more=more: [stream(answer + more, END)], 101
        )
        assert failed(verdict, Reason.UNEXPECTED)
    assert passed(play(TcpCheck(expect_line="b", max_bytes=101), stream(answer, b"\n")))


def test_a_half_close_comes_after_the_message_or_in_its_place():
    for check, steps in (
        (TcpCheck(send=b"a\n", half_close=True, expect_line="b"), [Connect, Send, Finish, Receive]),
        (TcpCheck(half_close=True, expect_line="b"), [Connect, Finish, Receive]),
        (TcpCheck(half_close=True), [Connect, Finish]),
    ):
        player = Player([stream(b"b\n")])
        assert passed(player.play(check))
        assert [type(step) for step in player.steps] == steps


def test_silence_is_the_deadlines_business():
    assert failed(play(TcpCheck(expect="x"), stream(b"ab")), Reason.TIMEOUT)


def test_an_endless_answer_is_read_to_a_bound():
    player = Player([stream(*[b"y" * 1000] * 100)])
    assert failed(player.play(TcpCheck(expect="x", max_bytes=2500)), Reason.UNEXPECTED)
    assert sum(isinstance(step, Receive) for step in player.steps) == 3


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"expect": "a", "expect_hex": "00"}, "expect and expect_hex exclude each other"),
        ({"expect": "a", "expect_line": "b"}, "expect and expect_line exclude each other"),
        ({"half_close": True, "tls": Tls()}, "half_close and tls exclude each other"),
        ({"expect": "[z-a]"}, "bad character range z-a at position 1"),
        ({"expect_hex": "abc"}, "pairs of hex digits"),
        ({"expect_hex": "0g"}, "pairs of hex digits"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, object], text: str):
    with pytest.raises(ValueError, match=text):
        TcpCheck(**options)  # type: ignore[arg-type]


@settings(max_examples=max(200, settings().max_examples))
@given(st.binary(max_size=64), st.integers(0, 64), st.booleans())
def test_junk_gives_a_verdict_and_the_same_one_for_every_cut(junk: bytes, place: int, ends: bool):
    for check in (
        TcpCheck(expect="a|\\xff"),
        TcpCheck(expect_hex="XX0XX0"),
        TcpCheck(expect="b", max_bytes=9),
        TcpCheck(expect_line="^[^a]*$", max_bytes=20),
        TcpCheck(expect_line="a$", half_close=True),
    ):
        script = [junk, END] if ends else [junk]
        assert len({play(check, stream(*script), cut=cut) for cut in (whole, single, at(place))}) == 1
