"""The http_proxy check by transcripts: whole URLs, tunnels, redirects, who sees the password, and every cut."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checks.http_proxy import HttpProxyCheck
from healthd.check import Connect, Outcome, Reason, Receive, Send, StartTls, Tls, Verdict
from healthd.prober.trace import trace_text
from healthd.prober.transcript import Recorder
from tests.checks.harness import (
    END,
    REFUSED,
    RESET,
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
from tests.checks.wayward import verdict_of
from tests.support import servers

PLAIN = HttpProxyCheck(url="http://www.example.com/a?b=c", expect="hello")
SECURE = HttpProxyCheck(url="https://www.example.com/a", expect="hello")
TUNNEL = HttpProxyCheck(tunnel="mail.example.com:25")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
OPEN = b"HTTP/1.1 200 Connection established\r\n\r\n"
BASIC = b"Proxy-Authorization: Basic am9lOnA6c3M=\r\n"
TO_PROXY = (
    b"GET http://www.example.com/a?b=c HTTP/1.1\r\nHost: www.example.com\r\n"
    b"User-Agent: healthd\r\nAccept: */*\r\nConnection: close\r\n"
)
CONNECT = b"CONNECT www.example.com:443 HTTP/1.1\r\nHost: www.example.com:443\r\nUser-Agent: healthd\r\n"
INSIDE = b"GET /a HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: healthd\r\nAccept: */*\r\nConnection: close\r\n\r\n"
TO_MAIL = b"CONNECT mail.example.com:25 HTTP/1.1\r\nHost: mail.example.com:25\r\nUser-Agent: healthd\r\n"


def with_login(check: HttpProxyCheck) -> HttpProxyCheck:
    return HttpProxyCheck(url=check.url, tunnel=check.tunnel, expect=check.expect, username="joe", password="p:ss")


def every_cut(check: HttpProxyCheck, *script: Item) -> Verdict:
    length = sum(len(item) for item in script if isinstance(item, bytes))
    return same_verdict_for_every_cut(check, lambda: [stream(*script)], length)


def test_a_page_is_asked_for_by_its_whole_url():
    assert every_cut(PLAIN, Sent(TO_PROXY + b"\r\n"), OK).detail == "200 OK"
    assert every_cut(with_login(PLAIN), Sent(TO_PROXY + BASIC + b"\r\n"), OK).detail == "200 OK"


def test_a_page_of_https_is_fetched_through_a_tunnel_and_its_server_never_sees_our_login():
    script = (OPEN, Sent(INSIDE), OK)
    assert every_cut(SECURE, Sent(CONNECT + b"\r\n"), *script).detail == "200 OK"
    assert every_cut(with_login(SECURE), Sent(CONNECT + BASIC + b"\r\n"), *script).detail == "200 OK"


def test_tls_in_the_tunnel_is_for_the_name_in_the_url():
    for options, tls in (({}, Tls()), ({"tls": Tls(ca_file="/ca")}, Tls(ca_file="/ca"))):
        for url, name in (
            ("https://www.example.com:8443/", "www.example.com"),
            ("https://[2001:db8::1]/", "2001:db8::1"),
        ):
            player = Player([stream(OPEN, OK)])
            assert passed(player.play(HttpProxyCheck(url=url, **options)))  # type: ignore[arg-type]
            assert player.steps[0] == Connect(speaks=True)
            assert [step for step in player.steps if isinstance(step, StartTls)] == [StartTls(tls, name)]


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("https://a.example", b"a.example:443"),
        ("https://a.example:8443", b"a.example:8443"),
        ("https://[2001:db8::1]/x", b"[2001:db8::1]:443"),
        ("https://[2001:db8::1]:9/x", b"[2001:db8::1]:9"),
    ],
)
def test_the_tunnel_leads_to_the_port_of_the_url(url: str, place: bytes):
    player = Player([stream(OPEN, OK)])
    assert passed(player.play(HttpProxyCheck(url=url)))
    (connect, _) = (step.data for step in player.steps if isinstance(step, Send))
    assert connect.startswith(b"CONNECT " + place + b" HTTP/1.1\r\nHost: " + place + b"\r\n")


def test_a_tunnel_alone_passes_once_it_is_open_whatever_comes_through_it():
    assert every_cut(TUNNEL, Sent(TO_MAIL + b"\r\n"), OPEN).detail == "tunnel to mail.example.com:25"
    assert passed(every_cut(TUNNEL, OPEN + b"220 mail.example.com ESMTP\r\n"))
    assert passed(every_cut(with_login(TUNNEL), Sent(TO_MAIL + BASIC + b"\r\n"), OPEN))
    assert passed(every_cut(TUNNEL, b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Fine\r\nContent-Length: 9\r\n\r\n"))


@pytest.mark.parametrize(
    ("check", "detail"),
    [
        (PLAIN, "got 407 Proxy Authentication Required, want 200-299"),
        (SECURE, "CONNECT www.example.com:443: got 407 Proxy Authentication Required, want 200-299"),
        (TUNNEL, "CONNECT mail.example.com:25: got 407 Proxy Authentication Required, want 200-299"),
    ],
)
def test_a_proxy_that_will_not_is_told(check: HttpProxyCheck, detail: str):
    answer = b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\nContent-Length: 2\r\n\r\nno"
    verdict = every_cut(check, answer)
    assert (verdict.reason, verdict.detail) == (Reason.UNEXPECTED, detail)


def test_the_page_is_judged_as_http_judges_it():
    assert every_cut(PLAIN, b"HTTP/1.1 502 Bad Gateway\r\n\r\n").detail == "got 502 Bad Gateway, want 200-299"
    assert every_cut(SECURE, OPEN, Sent(CONNECT + b"\r\n" + INSIDE), OK[:-5] + b"hullo", END).detail == (
        "200 OK, but expect 'hello' does not match a body of 5 bytes"
    )
    gone = HttpProxyCheck(url="http://a/", status=("404",), reject="x", method="POST")
    assert passed(play(gone, stream(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")))


def test_what_comes_before_tls_in_a_tunnel_is_not_taken_for_the_page():
    verdict = play(SECURE, stream(OPEN + OK))
    assert (verdict.reason, verdict.detail) == (Reason.PROTOCOL, "more came than the answer to CONNECT")


def redirect(to: str, status: int = 302) -> bytes:
    return f"HTTP/1.1 {status} Moved\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n".encode()


def test_redirects_are_followed_to_wherever_they_lead():
    check = HttpProxyCheck(url="http://www.example.com/a", redirects=3, expect="hello", method="POST")
    player = Player(
        [
            stream(redirect("b#part", 307)),
            stream(redirect("//other.example/c", 303)),
            stream(redirect("https://third.example/d")),
            stream(OPEN, OK),
        ]
    )
    assert player.play(check).detail == "200 OK"
    asked = [step.data.partition(b"\r\n")[0] for step in player.steps if isinstance(step, Send)]
    assert asked == [
        b"POST http://www.example.com/a HTTP/1.1",
        b"POST http://www.example.com/b HTTP/1.1",
        b"GET http://other.example/c HTTP/1.1",
        b"CONNECT third.example:443 HTTP/1.1",
        b"GET /d HTTP/1.1",
    ]


def test_a_login_of_the_page_goes_to_no_other_server_that_a_redirect_leads_to():
    secrets = (("Authorization", "Bearer xyz"), ("cookie", "sid=xyz"), ("X-Probe", "1"))
    check = HttpProxyCheck(url="http://www.example.com/a", redirects=4, headers=secrets)
    places = ["/b", "https://www.example.com/c", "http://other.example/d", "http://www.example.com/e"]
    first, second, third, fourth = (redirect(to) for to in places)
    player = Player([stream(first), stream(second), stream(OPEN, third), stream(fourth), stream(OK)])
    assert passed(player.play(check))
    pages = [s.data for s in player.steps if isinstance(s, Send) and not s.data.startswith(b"CONNECT")]
    assert [b"xyz" in page for page in pages] == [True, True, False, False, True]
    assert all(b"X-Probe: 1" in page for page in pages)


def test_redirects_beyond_the_bound_or_to_nowhere_fail_with_their_status():
    round_about = HttpProxyCheck(url="http://a.example/", redirects=2)
    assert play(round_about, *(stream(redirect("/again")) for _ in range(3))).detail == (
        "got 302 Found to /again, want 200-299"
    )
    for nowhere in ("ftp://a.example/", "http://a b/", "http://joe@a.example/", "http://[/", "mailto:joe"):
        assert failed(play(round_about, stream(redirect(nowhere))), Reason.UNEXPECTED)
    over_tls = HttpProxyCheck(url="http://a.example/", redirects=2, proxy_tls=Tls())
    assert failed(play(over_tls, stream(redirect("https://a.example/"))), Reason.UNEXPECTED)


def test_the_proxy_itself_may_speak_tls():
    for check in (
        HttpProxyCheck(url="http://a.example/", proxy_tls=Tls()),
        HttpProxyCheck(tunnel="a.example:1", proxy_tls=Tls()),
    ):
        player = Player([stream(OK)])
        assert passed(player.play(check))
        assert player.steps[0] == Connect(Tls(), speaks=True)


def test_headers_of_ones_own_go_to_the_page_and_a_login_of_ones_own_to_the_proxy():
    headers = (("X-Probe", "1"), ("Proxy-Authorization", "Token xyz"), ("accept", "text/*"))
    player = Player([stream(OPEN, OK)])
    assert passed(player.play(HttpProxyCheck(url="https://a.example/", headers=headers)))
    connect, inside = (step.data for step in player.steps if isinstance(step, Send))
    assert b"Proxy-Authorization: Token xyz\r\n" in connect
    assert b"X-Probe" not in connect
    assert b"X-Probe: 1\r\naccept: text/*\r\n" in inside
    assert b"Token" not in inside
    assert b"Accept: */*" not in inside


@pytest.mark.parametrize("check", [PLAIN, SECURE, TUNNEL])
def test_no_transcript_shows_the_password(check: HttpProxyCheck):
    player = Player([stream(OPEN, OK)])
    player.play(with_login(check))
    recorder = Recorder(lambda: 0.0)
    for step in player.steps:
        recorder.wanted(step)
    text = trace_text(recorder.finish())
    assert "am9lOnA6c3M" not in text
    assert "Proxy-Authorization: Basic ***" in text


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "either url or tunnel is needed"),
        ({"url": "http://a/", "tunnel": "a:1"}, "either url or tunnel is needed"),
        ({"url": "http://a/", "username": "joe"}, "username and password need each other"),
        ({"url": "https://a/", "proxy_tls": Tls()}, "TLS within TLS"),
        ({"url": "http://a/", "method": "HEAD", "expect": "x"}, "HEAD has no body"),
        (
            {"url": "http://a/", "username": "j", "password": "x", "headers": (("proxy-authorization", "y"),)},
            "exclude each other",
        ),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: dict[str, object], text: str):
    with pytest.raises(ValueError, match=text):
        HttpProxyCheck(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        (
            "url",
            [
                "/a",
                "ftp://a/",
                "http:///a",
                "http://a b/",
                "http://a/\r\nX: y",
                "http://joe:x@a/",
                "http://ä/",
                "*",
                "",
            ],
        ),
        ("tunnel", ["a", "a:", "a:0", "a:65536", "a:b", "a:1\r\n", "[::1]", "a/b:1", ":1", "http://a:1", ""]),
    ],
)
def test_places_that_would_break_the_request_are_refused(name: str, values: list[str]):
    rule = HttpProxyCheck.__dataclass_fields__[name].metadata["rule"]
    for value in values:
        with pytest.raises(ValueError, match="must "):
            rule(value)
    for right in {"url": ["http://a", "https://[::1]:8/x?y=%20"], "tunnel": ["a:1", "[::1]:65535"]}[name]:
        assert rule(right) == right


CHECKS = [PLAIN, SECURE, TUNNEL, HttpProxyCheck(url="http://a.example/", redirects=2)]
PARTS = st.sampled_from(
    [OPEN, OK, b"HTTP/1.1 ", b"200 OK", b"407 No", b"302 F", b"100 C", b"\r\n", b"\n", b":", b" ", b"Content-Length: 5",
     b"Transfer-Encoding: chunked", b"Location: ", b"/x", b"https://b/", b"http://[", b"Upgrade: x", b"\0", b"hello"]
)  # fmt: skip
JUNK = st.lists(st.one_of(PARTS, st.binary(max_size=9)), max_size=20).map(b"".join)


@settings(max_examples=max(300, settings().max_examples))
@given(st.sampled_from(CHECKS), JUNK, st.integers(0, 60))
def test_junk_gives_a_verdict_however_it_is_cut(check: HttpProxyCheck, junk: bytes, place: int):
    for cut in (whole, single, at(place)):
        player = Player([stream(junk, END) for _ in range(3)], cut)
        verdict = player.play(check)
        assert verdict.outcome in (Outcome.PASS, Outcome.FAIL)
        assert sum(isinstance(step, Receive) for step in player.steps) <= 4 * len(junk) + 10


def test_what_the_engine_cannot_do_is_told_as_it_is():
    assert failed(play(PLAIN, Channel([], REFUSED)), Reason.REFUSED)
    assert failed(play(SECURE, stream(OPEN, RESET)), Reason.RESET)
    assert play(TUNNEL, stream(END)).detail == "connection closed without an answer"
    assert failed(play(TUNNEL, stream(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70000)), Reason.PROTOCOL)


def drip_open(connection: socket.socket) -> None:
    while servers.line_of(connection) != b"\r\n":
        pass
    for byte in OPEN:
        connection.sendall(bytes([byte]))


def open_then_no_tls(connection: socket.socket) -> None:
    drip_open(connection)
    connection.sendall(b"this is no TLS at all\r\n" * 9)
    servers.silent(connection)


@pytest.mark.parametrize("check", [PLAIN, SECURE, TUNNEL])
@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        (servers.close_at_once, Reason.PROTOCOL),
        (servers.reset, Reason.RESET),
        (servers.junk, Reason.PROTOCOL),
        (servers.half_line, Reason.PROTOCOL),
        (servers.endless, Reason.PROTOCOL),
    ],
)
async def test_a_proxy_that_misbehaves_fails_for_its_reason(
    handler: servers.Handler, check: HttpProxyCheck, reason: Reason
):
    with servers.serving(handler) as server:
        verdict = await verdict_of(check, server.target)
    # a server that closes on unread bytes resets the connection, which may overtake what it said
    assert verdict.outcome is Outcome.FAIL
    assert verdict.reason in (reason, Reason.RESET)


async def test_silence_is_too_late_closed_ports_refuse_and_a_slow_drip_passes():
    with servers.serving(servers.silent) as server:
        assert (await verdict_of(SECURE, server.target, 0.4)).reason is Reason.TIMEOUT
    assert (await verdict_of(PLAIN, servers.refusing())).reason is Reason.REFUSED
    with servers.serving(drip_open) as server:
        assert (await verdict_of(TUNNEL, server.target)).outcome is Outcome.PASS
    with servers.serving(open_then_no_tls) as server:
        verdict = await verdict_of(SECURE, server.target)
        assert verdict.outcome is Outcome.FAIL
        assert verdict.reason in (Reason.TLS, Reason.PROTOCOL)
