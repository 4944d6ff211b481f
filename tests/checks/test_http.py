"""The http check by transcripts: what it sends, what it makes of every answer, and that no cut of the bytes matters."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checks.http import HttpCheck
from healthd.check import CheckFailed, Connect, Reason, Send, Tls
from tests.checks.harness import (
    END,
    RESET,
    V4,
    V6,
    Channel,
    Item,
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

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nX-Sum: 1\r\n\r\n"
UNTIL_END = b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nhello"
GET = b"GET / HTTP/1.1\r\nHost: 192.0.2.11\r\nUser-Agent: healthd\r\nAccept: */*\r\nConnection: close\r\n\r\n"


def sent(check: HttpCheck, target=V4) -> bytes:
    channel = stream()
    Player([channel]).play(check, target)
    return channel.unseen


def every_cut(check: HttpCheck, *script: Item):
    length = sum(len(item) for item in script if isinstance(item, bytes))
    return same_verdict_for_every_cut(check, lambda: [stream(*script)], length)


def test_a_plain_request_names_the_address_as_host():
    assert sent(HttpCheck()) == GET


def test_the_port_is_in_the_host_only_if_it_is_not_the_usual_one():
    assert b"\r\nHost: [2001:db8::11]\r\n" in sent(HttpCheck(), V6)
    assert b"\r\nHost: [2001:db8::11]:80\r\n" in sent(HttpCheck(tls=Tls()), V6)
    assert b"\r\nHost: 192.0.2.11:80\r\n" in sent(HttpCheck(tls=Tls()))


def test_everything_that_can_be_said_is_said():
    check = HttpCheck(
        method="POST",
        path="/a?b=%20c",
        host="www.example.com:8080",
        headers=(("X-Probe", "1"), ("user-agent", "prober/2")),
        username="joe",
        password="p:ss",
        body="täst".encode(),
        version="1.0",
    )
    assert sent(check) == (
        b"POST /a?b=%20c HTTP/1.0\r\nHost: www.example.com:8080\r\nAccept: */*\r\nConnection: close\r\n"
        b"Authorization: Basic am9lOnA6c3M=\r\nX-Probe: 1\r\nuser-agent: prober/2\r\nContent-Length: 5\r\n\r\n"
        b"t\xc3\xa4st"
    )


def test_a_whole_url_asks_a_proxy_with_the_host_of_the_url():
    assert sent(HttpCheck(path="http://www.example.com/x")).startswith(
        b"GET http://www.example.com/x HTTP/1.1\r\nHost: www.example.com\r\n"
    )


@pytest.mark.parametrize(
    ("host", "name"), [("www.example.com:8443", "www.example.com"), ("[2001:db8::1]:8443", "2001:db8::1"), (None, None)]
)
def test_tls_asks_for_the_name_in_the_host(host: str | None, name: str | None):
    player = Player([stream(OK)])
    player.play(HttpCheck(host=host, tls=Tls()))
    assert player.steps[0] == Connect(Tls(), server_name=name, speaks=True)


@pytest.mark.parametrize("answer", [OK, CHUNKED, UNTIL_END + END, OK.replace(b"\r\n", b"\n")])
@pytest.mark.parametrize(
    "check", [HttpCheck(), HttpCheck(expect="^hello$"), HttpCheck(reject="error"), HttpCheck(reuse=5)]
)
def test_a_good_answer_passes_however_it_is_cut(check: HttpCheck, answer: bytes):
    assert every_cut(check, answer, END) == play(HttpCheck(), stream(OK))


def test_the_verdict_does_not_wait_for_a_body_that_nobody_looks_at():
    assert play(HttpCheck(), stream(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")).detail == "200 OK"


def test_the_verdict_does_not_wait_for_the_end_of_a_connection_that_stays_open():
    assert passed(play(HttpCheck(expect="hello"), stream(OK)))
    assert passed(play(HttpCheck(expect="hello"), stream(CHUNKED)))


@pytest.mark.parametrize(
    ("status", "asked", "good"),
    [
        (204, ("200-299",), True),
        (404, ("200-299",), False),
        (404, ("200-299", "404"), True),
        (302, ("3xx",), True),
        (599, ("5XX",), True),
        (999, ("900-999",), True),
    ],
)
def test_the_status_must_be_among_those_asked_for(status: int, asked: tuple[str, ...], good: bool):
    verdict = play(HttpCheck(status=asked), stream(b"HTTP/1.1 %d Whatever\r\nContent-Length: 0\r\n\r\n" % status))
    assert passed(verdict) is good


def test_a_wrong_status_says_what_came_and_what_was_wanted():
    verdict = every_cut(HttpCheck(expect="x"), b"HTTP/1.1 503 Busy\r\nContent-Length: 900\r\n\r\n")
    assert failed(verdict, Reason.UNEXPECTED)
    assert verdict.detail == "got 503 Service Unavailable, want 200-299"


def test_the_body_must_match_expect():
    verdict = every_cut(HttpCheck(expect="^bye"), OK)
    assert failed(verdict, Reason.UNEXPECTED)
    assert verdict.detail == "200 OK, but expect '^bye' does not match a body of 5 bytes"


def test_the_body_must_not_match_reject():
    verdict = every_cut(HttpCheck(reject="l+"), CHUNKED)
    assert failed(verdict, Reason.UNEXPECTED)
    assert verdict.detail == "200 OK, but reject matches 'll'"


def test_only_the_first_bytes_of_a_long_body_are_looked_at():
    check = HttpCheck(expect="^hel$", max_body=3)
    assert passed(every_cut(check, OK))
    assert passed(every_cut(check, CHUNKED))
    assert passed(every_cut(check, b"HTTP/1.1 200 OK\r\n\r\n" + b"hel" + b"x" * 99))


@pytest.mark.parametrize(
    "interim", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"]
)
@pytest.mark.parametrize("check", [HttpCheck(), HttpCheck(expect="hello"), HttpCheck(status=("100-299",), reuse=2)])
def test_interim_answers_are_skipped(check: HttpCheck, interim: bytes):
    assert every_cut(check, interim + interim + OK).detail == "200 OK"


def test_the_headers_of_an_interim_answer_are_not_those_of_the_final_one():
    interim = b"HTTP/1.1 103 Early Hints\r\nLocation: /wrong\r\n\r\n"
    verdict = every_cut(HttpCheck(redirects=1, expect="x"), interim + b"HTTP/1.1 302 Found\r\n\r\n", END)
    assert verdict.detail == "got 302 Found, want 200-299"


@pytest.mark.parametrize("check", [HttpCheck(status=("101",)), HttpCheck(status=("101",), reuse=2)])
def test_switching_protocols_is_a_final_answer(check: HttpCheck):
    answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\x81\x05hello"
    assert passed(every_cut(check, answer))


@pytest.mark.parametrize("check", [HttpCheck(method="HEAD"), HttpCheck(method="HEAD", reuse=3)])
def test_the_answer_to_head_has_no_body_whatever_its_length_says(check: HttpCheck):
    assert passed(every_cut(check, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"))


@pytest.mark.parametrize("check", [HttpCheck(), HttpCheck(expect="hello"), HttpCheck(reuse=1)])
@pytest.mark.parametrize(
    "rest",
    [
        b"X-Folded: a\r\n b: c\r\n\td\r\nContent-Length: 5\r\n\r\nhello",
        b"Content-Length:\r\n 5\r\n\r\nhello",
        b"Transfer-Encoding: chunked\r\n\r\n5  \r\nhello\r\n0  \r\n\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 9\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ],
)
def test_old_ways_of_writing_it_are_understood(check: HttpCheck, rest: bytes):
    assert passed(every_cut(check, b"HTTP/1.1 200 OK\r\n" + rest))


def test_a_body_whose_last_coding_is_not_chunked_ends_with_the_connection():
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, x-odd\r\n\r\nhello"
    assert passed(every_cut(HttpCheck(expect="hello"), answer, END))


def test_a_status_below_100_is_no_interim_one():
    verdict = every_cut(HttpCheck(), b"HTTP/1.1 000 Odd\r\n\r\n" + OK)
    assert (verdict.reason, verdict.detail) == (Reason.UNEXPECTED, "got 0, want 200-299")


@pytest.mark.parametrize("check", [HttpCheck(), HttpCheck(expect="x"), HttpCheck(reuse=1)])
@pytest.mark.parametrize(
    "junk",
    [
        b"SSH-2.0-OpenSSH_9.2p1\r\n",
        b"\x15\x03\x01\x00\x02\x02\x16",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 99 Odd\r\n\r\n",
        b"HTTP/1.1 2000 Odd\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA b: c\r\n\r\n",
        b"<html>hello</html>" * 9,
        b"RTSP/1.0 200 OK\r\n\r\n",
        b"\r\nICE/1.0 200 OK\r\n\r\n",
    ],
)
def test_what_is_not_http_fails_as_such(check: HttpCheck, junk: bytes):
    assert failed(every_cut(check, junk, END), Reason.PROTOCOL)


def test_a_body_that_breaks_off_fails():
    for broken in (OK[:-1], CHUNKED[:-2]):
        verdict = every_cut(HttpCheck(expect="hel"), broken, END)
        assert failed(verdict, Reason.PROTOCOL)
        assert verdict.detail == "connection closed in the middle of the body"


def test_headers_that_break_off_fail():
    verdict = every_cut(HttpCheck(), b"HTTP/1.1 200 OK\r\nServer: x", END)
    assert (verdict.reason, verdict.detail) == (Reason.PROTOCOL, "connection closed in the middle of the headers")


def test_a_connection_closed_without_an_answer_fails():
    verdict = play(HttpCheck(), stream(END))
    assert (verdict.reason, verdict.detail) == (Reason.PROTOCOL, "connection closed without an answer")


@pytest.mark.parametrize("check", [HttpCheck(), HttpCheck(expect="x")])
def test_headers_without_end_fail_at_a_bound(check: HttpCheck):
    endless = b"HTTP/1.1 200 OK\r\n" + b"X-Filler: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n" * 4096
    verdict = play(check, stream(endless))
    assert failed(verdict, Reason.PROTOCOL)
    assert verdict.detail == "headers are longer than 65536 bytes"


@pytest.mark.parametrize("check", [HttpCheck(), HttpCheck(expect="x")])
def test_interim_answers_without_end_fail_at_the_same_bound(check: HttpCheck):
    assert failed(play(check, stream(b"HTTP/1.1 100 Continue\r\n\r\n" * 9999)), Reason.PROTOCOL)


@pytest.mark.parametrize("framing", [(b"1;" + b"x" * 500 + b"\r\na\r\n") * 400, b"0\r\nX: " + b"y" * 200_000])
def test_framing_without_end_fails_at_a_bound(framing: bytes):
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + framing
    verdict = play(HttpCheck(expect="nothing", max_body=8192), stream(answer))
    assert (verdict.reason, verdict.detail) == (Reason.PROTOCOL, "answer has more framing than body")


def test_a_reset_is_told_as_it_is():
    assert failed(play(HttpCheck(), stream(RESET)), Reason.RESET)
    assert failed(play(HttpCheck(expect="x"), stream(OK[:-1], RESET)), Reason.RESET)


def test_a_refused_connection_is_told_as_it_is():
    assert failed(play(HttpCheck(), Channel([], CheckFailed(Reason.REFUSED, "refused"))), Reason.REFUSED)


@pytest.mark.parametrize(
    ("location", "leads_away"),
    [
        ("https://192.0.2.11/", True),
        ("http://other.example/x", True),
        ("//other.example:8080", True),
        ("http://192.0.2.11:81/", True),
        ("ftp://other.example/", False),
        ("http://[", False),
        ("mailto:joe", False),
    ],
)
def test_a_redirect_that_leads_away_passes_only_if_that_is_asked_for(location: str, leads_away: bool):
    answer = f"HTTP/1.1 301 Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()
    assert failed(every_cut(HttpCheck(redirects=7), answer), Reason.UNEXPECTED)
    verdict = every_cut(HttpCheck(redirects=7, redirect_away="pass"), answer)
    assert passed(verdict) == leads_away
    if leads_away:
        assert verdict.detail == f"301 Moved Permanently to {location}"


def test_a_redirect_that_stays_is_followed_to_its_end_also_where_others_may_lead_away():
    check = HttpCheck(redirects=2, redirect_away="pass")
    stay, nowhere = b"HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n", b"HTTP/1.1 302 Found\r\n\r\n"
    assert passed(play(check, stream(stay), stream(OK)))
    assert failed(play(check, stream(stay), stream(stay), stream(stay)), Reason.UNEXPECTED)
    assert failed(play(check, stream(nowhere)), Reason.UNEXPECTED)
    assert failed(play(check, stream(b"HTTP/1.1 404 No\r\nLocation: http://a/\r\n\r\n")), Reason.UNEXPECTED)


def test_no_transcript_shows_the_password():
    player = Player([stream(OK)])
    player.play(HttpCheck(username="joe", password="p:ss"))
    (step,) = (step for step in player.steps if isinstance(step, Send))
    assert step.hide == b"am9lOnA6c3M="
    assert step.hide in step.data


def test_equal_checks_are_equal_and_can_be_sent_to_another_process():
    check = HttpCheck(expect="a+", tls=Tls(), headers=(("A", "b"),))
    again = pickle.loads(pickle.dumps(check))
    assert again == check == HttpCheck(expect="a+", tls=Tls(), headers=(("A", "b"),))
    assert hash(again) == hash(check) != hash(HttpCheck())
    assert failed(play(again, stream(OK)), Reason.UNEXPECTED)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"method": "HEAD", "expect": "x"}, "HEAD has no body"),
        ({"username": "joe"}, "username and password need each other"),
        ({"username": "joe", "password": "x", "headers": (("authorization", "y"),)}, "exclude each other"),
        ({"path": "*"}, "OPTIONS only"),
        ({"reuse": 3, "redirects": 1}, "exclude each other"),
        ({"expect": "a(b"}, "is not a regular expression: missing ), unterminated subpattern at position 1"),
        ({"status": ("2x",)}, "neither a number nor a range"),
        ({"status": ("299-200",)}, "not within 100-999"),
        ({"path": "http://p/x", "redirects": 1}, "begins with '/'"),
        ({"redirect_away": "pass"}, "needs redirects"),
        ({"redirect_away": "pass", "redirects": 1, "expect": "x"}, "excludes expect"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: dict[str, object], text: str):
    with pytest.raises(ValueError, match=text.replace("(", r"\(").replace(")", r"\)").replace("*", r"\*")):
        HttpCheck(**options)  # type: ignore[arg-type]


CHECKS = [
    HttpCheck(),
    HttpCheck(expect="a"),
    HttpCheck(reject="(?s)a.*b", max_body=50),
    HttpCheck(reuse=4),
    HttpCheck(redirects=3),
    HttpCheck(method="HEAD", reuse=1),
    HttpCheck(version="1.0", status=("100-999",), expect="."),
]
PARTS = st.sampled_from(
    [
        b"HTTP/1.1 ", b"HTTP/1.0 ", b"200 OK", b"302 Found", b"101 Up", b"100 C", b"204 N", b"\r\n", b"\n", b"\r",
        b":", b" ",
        b"Content-Length: ", b"5", b"-1", b"99999999999999999999", b"Transfer-Encoding: chunked", b"Location: ", b"/x",
        b"http://[", b"Connection: close", b"Connection: upgrade", b"Upgrade: h2c", b"0\r\n\r\n",
        b"ffffffffffffffff\r\n",
        b"\0", b"hello",
    ]
)  # fmt: skip
JUNK = st.lists(st.one_of(PARTS, st.binary(max_size=12)), max_size=40).map(b"".join)


@settings(max_examples=max(400, settings().max_examples))
@given(st.sampled_from(CHECKS), JUNK, st.booleans(), st.integers(0, 80))
def test_junk_gives_a_verdict_and_the_same_one_for_every_cut(check: HttpCheck, junk: bytes, ends: bool, place: int):
    def channels() -> list[Channel]:
        return [stream(junk, *([END] if ends else [])), *(stream(junk, END) for _ in range(4))]

    verdicts = {Player(channels(), cut).play(check) for cut in (whole, single, at(place))}
    assert len(verdicts) == 1


def test_the_detail_for_an_odd_status_is_its_number():
    assert play(HttpCheck(status=("299",)), stream(b"HTTP/1.1 299 Fine\r\n\r\n")).detail == "299"


def test_sent_is_checked_by_the_harness_itself():
    assert passed(play(HttpCheck(), stream(Sent(GET), OK)))
    with pytest.raises(AssertionError):
        play(HttpCheck(), stream(Sent(GET + b"x"), OK))
