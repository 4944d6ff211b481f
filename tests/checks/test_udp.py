"""The udp check by transcripts: answers that match or not, silence that fails or passes, errors that always fail."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.udp import UdpCheck
from healthd.check import Datagram, Outcome, Reason, Send
from tests.checks.harness import REFUSED, Player, Sent, datagrams, failed, passed, play


def test_any_answer_passes():
    player = Player([datagrams(Sent(b"hello"), b"world!")])
    verdict = player.play(UdpCheck(payload=b"hello"))
    assert (verdict.outcome, verdict.detail) == (Outcome.PASS, "answer of 6 bytes")
    assert player.steps[0] == Datagram(own_port=True)


def test_an_empty_datagram_is_sent_where_there_is_nothing_to_say():
    player = Player([datagrams(b"x")])
    assert passed(player.play(UdpCheck()))
    assert player.steps[1] == Send(b"")


def test_an_empty_answer_is_an_answer():
    assert play(UdpCheck(), datagrams(b"")).detail == "answer of 0 bytes"
    assert failed(play(UdpCheck(expect="."), datagrams(b"")), Reason.UNEXPECTED)


def test_silence_fails_by_the_deadline_unless_it_is_allowed():
    assert failed(play(UdpCheck(), datagrams()), Reason.TIMEOUT)
    verdict = play(UdpCheck(reply="optional"), datagrams())
    assert (verdict.outcome, verdict.detail) == (Outcome.PASS, "no answer, and no error")


@pytest.mark.parametrize("reply", ["required", "optional"])
def test_an_icmp_error_fails_in_any_case(reply: str):
    assert failed(play(UdpCheck(reply=reply), datagrams(REFUSED)), Reason.REFUSED)  # type: ignore[arg-type]


@pytest.mark.parametrize("reply", ["required", "optional"])
@pytest.mark.parametrize("expect", [{"expect": "^a.c"}, {"expect_hex": "61XX63"}, {"expect_line": "^a.* more$"}])
def test_an_answer_must_match(reply: str, expect: dict[str, str]):
    check = UdpCheck(payload=b"\x00\xff", reply=reply, **expect)  # type: ignore[arg-type]
    assert passed(play(check, datagrams(Sent(b"\x00\xff"), b"abc and more")))
    verdict = play(check, datagrams(b"xyz"))
    assert failed(verdict, Reason.UNEXPECTED)
    assert verdict.detail.endswith("does not match: got 'xyz'")


def test_one_line_of_the_datagram_must_match_by_itself():
    for expect, right in (("^two$", True), ("^three$", True), ("", True), ("one\\s+two", False), ("^o$", False)):
        verdict = play(UdpCheck(expect_line=expect), datagrams(b"one\ntwo\nthree"))
        assert passed(verdict) == right
    assert failed(play(UdpCheck(expect_line=""), datagrams(b"")), Reason.UNEXPECTED)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"expect": "a", "expect_line": "a"}, "exclude each other"),
        ({"expect": "a", "expect_hex": "00"}, "exclude each other"),
        ({"expect_hex": "0"}, "pairs of hex digits"),
        ({"payload": b"0" * 65508}, "must fit into one datagram"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, str], text: str):
    with pytest.raises(ValueError, match=text):
        UdpCheck(**options)  # type: ignore[arg-type]


@given(st.binary(max_size=80))
def test_junk_gives_a_verdict(junk: bytes):
    for check in (UdpCheck(), UdpCheck(expect=r"^(\xff|a)+$"), UdpCheck(expect_hex="X1X2X3", reply="optional")):
        play(check, datagrams(junk))
