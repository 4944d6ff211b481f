"""The http check by transcripts where it needs a second connection: redirects, and connections kept between probes."""

from __future__ import annotations

import pytest

from checks.http import HttpCheck
from healthd.check import Connect, Keep, Outcome, Reason
from tests.checks.harness import END, RESET, Item, Player, failed, passed, play, stream
from tests.checks.test_http import CHUNKED, OK, every_cut, sent


def redirect(location: str, status: int = 302) -> bytes:
    return f"HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()


def test_a_redirect_is_not_followed_unless_asked():
    assert every_cut(HttpCheck(), redirect("/login")).detail == "got 302 Found, want 200-299"
    verdict = every_cut(HttpCheck(expect="x"), redirect("/login"))
    assert verdict.detail == "got 302 Found to /login, want 200-299"


@pytest.mark.parametrize(
    ("location", "path"),
    [
        ("/b?c", b"/b?c"),
        ("b", b"/a/b"),
        ("../x#here", b"/x"),
        ("http://www.example.com/y", b"/y"),
        ("HTTP://WWW.example.com:80", b"/"),
        ("//www.example.com/z", b"/z"),
    ],
)
def test_a_redirect_that_stays_is_followed(location: str, path: bytes):
    check = HttpCheck(path="/a/", host="www.example.com", redirects=1)
    first, second = stream(redirect(location)), stream(OK)
    assert passed(Player([first, second]).play(check))
    assert second.unseen.startswith(b"GET %b HTTP/1.1\r\nHost: www.example.com\r\n" % path)


@pytest.mark.parametrize(
    "location",
    [
        "https://www.example.com/",
        "http://other.example.com/",
        "//evil/",
        "http://[::1",
        "/\xe4",
        "http://u@www.example.com/",
    ],
)
def test_a_redirect_that_leads_away_is_judged_by_its_status(location: str):
    check = HttpCheck(host="www.example.com", redirects=3)
    verdict = play(check, stream(redirect(location)))
    assert failed(verdict, Reason.UNEXPECTED)
    assert passed(play(HttpCheck(host="www.example.com", redirects=3, status=("302",)), stream(redirect(location))))


def test_redirects_end_where_they_should():
    verdict = play(HttpCheck(redirects=2), *(stream(redirect("/again")) for _ in range(3)))
    assert failed(verdict, Reason.UNEXPECTED)


@pytest.mark.parametrize(
    ("status", "method", "onward"),
    [
        (303, "POST", b"GET"),
        (302, "POST", b"GET"),
        (307, "POST", b"POST"),
        (308, "PUT", b"PUT"),
        (303, "HEAD", b"HEAD"),
    ],
)
def test_the_method_after_a_redirect_is_that_of_the_rfc(status: int, method: str, onward: bytes):
    first, second = stream(redirect("/b", status)), stream(OK)
    body = None if method == "HEAD" else b"data"
    assert passed(Player([first, second]).play(HttpCheck(method=method, body=body, redirects=1)))
    assert second.unseen.startswith(onward + b" /b ")
    assert second.unseen.endswith(b"data") is (onward == method.encode() and body is not None)


def test_a_clean_connection_is_kept():
    for answer in (
        OK,
        CHUNKED,
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n",
    ):
        player = Player([stream(answer)])
        assert passed(player.play(HttpCheck(reuse=10)))
        assert player.steps[0] == Connect(reuse=10, speaks=True)
        assert player.kept
        assert b"close" not in sent(HttpCheck(reuse=10))


def test_version_1_0_asks_to_keep_the_connection():
    assert b"\r\nConnection: keep-alive\r\n" in sent(HttpCheck(reuse=10, version="1.0"))


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        OK + OK,
        OK + b"junk",
        b"HTTP/1.1 200 OK\r\nContent-Length: 400000\r\n\r\n" + b"x" * 400000,
        b"HTTP/1.1 500 Oops\r\nContent-Length: 5\r\n\r\noops!",
    ],
)
def test_a_connection_that_cannot_serve_again_is_not_kept(answer: bytes):
    player = Player([stream(answer)])
    player.play(HttpCheck(reuse=10))
    assert not player.kept


@pytest.mark.parametrize(
    "stale", [(END,), (RESET,), (b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n", END)]
)
def test_a_kept_connection_that_was_closed_meanwhile_is_tried_again_on_a_fresh_one(stale: tuple[Item, ...]):
    player = Player([stream(*stale, reused=True), stream(OK)])
    assert passed(player.play(HttpCheck(reuse=10)))
    assert [step for step in player.steps if isinstance(step, Connect)] == [
        Connect(reuse=10, speaks=True),
        Connect(fresh=True, speaks=True),
    ]
    assert isinstance(player.steps[-1], Keep)


@pytest.mark.parametrize("dead", [(END,), (RESET,)])
def test_a_fresh_connection_gets_no_second_chance(dead: tuple[Item, ...]):
    assert play(HttpCheck(reuse=10), stream(*dead)).outcome is Outcome.FAIL
    assert play(HttpCheck(reuse=10), stream(*dead, reused=True), stream(*dead)).outcome is Outcome.FAIL


def test_a_wrong_answer_on_a_kept_connection_is_an_answer():
    assert failed(play(HttpCheck(reuse=10), stream(b"SSH-2.0\r\n", reused=True)), Reason.PROTOCOL)
    bad = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
    assert failed(play(HttpCheck(reuse=10), stream(bad, reused=True)), Reason.UNEXPECTED)
