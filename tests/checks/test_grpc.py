"""The grpc check against HTTP/2 as h2's server side writes it, and against servers that misbehave."""

from __future__ import annotations

import socket
import subprocess
import sys
from dataclasses import replace
from ipaddress import ip_address

import pytest
from h2.errors import ErrorCodes
from hypothesis import given, settings
from hypothesis import strategies as st

from checks.grpc import GrpcCheck
from healthd.check import CheckFailed, Connect, Outcome, Reason, Send, Target, Tls, Verdict
from tests.checks.harness import (
    END,
    FACTS,
    V4,
    V6,
    Item,
    Player,
    failed,
    passed,
    play,
    same_verdict_for_every_cut,
    stream,
)
from tests.checks.http2_peer import SERVING, SETTINGS, Peer, answer, early, frame, framed, goaway
from tests.checks.wayward import SHORT, WAYWARD, dripping, verdict_of
from tests.support import servers


def every_cut(check: GrpcCheck, *script: Item, length: int = 150) -> Verdict:
    return same_verdict_for_every_cut(check, lambda: [stream(*script)], length)


# --- calls ------------------------------------------------------------------------------------------------------


def test_serving_passes_and_the_server_is_left_politely():
    verdict = every_cut(GrpcCheck(), answer())
    assert (verdict.outcome, verdict.detail) == (Outcome.PASS, "SERVING")
    player = Player([stream(answer())])
    player.play(GrpcCheck())
    assert player.steps[0] == Connect(speaks=True)
    farewell = player.steps[-1]
    assert isinstance(farewell, Send)
    assert farewell.data[:9] == frame(7, bytes(8))[:9]


def test_the_verdict_stands_if_there_is_nobody_to_say_good_bye_to():
    conversation = GrpcCheck().converse(V4)
    next(conversation)
    request = conversation.send(stream().opened)
    assert isinstance(request, Send)
    step, said = conversation.send(None), answer()(request.data)
    while not (isinstance(step, Send) and step.data[3] == 7):
        if isinstance(step, Send):
            step = conversation.send(None)
        else:
            piece, said = said[: step.limit], said[step.limit :]
            step = conversation.send(piece)
    with pytest.raises(StopIteration) as stop:
        conversation.throw(CheckFailed(Reason.RESET, "connection reset"))
    assert stop.value.value == "SERVING"


@pytest.mark.parametrize(
    ("check", "target", "wanted", "message"),
    [
        (GrpcCheck(), V4, {":authority": "192.0.2.11:80", ":scheme": "http"}, b""),
        (GrpcCheck(service="a.b"), V6, {":authority": "[2001:db8::11]:80"}, b"\x0a\3a.b"),
        (GrpcCheck(), Target(ip_address("fe80::11%eth0"), 443), {":authority": "[fe80::11]:443"}, b""),
        (GrpcCheck(authority="a.example:8443"), V4, {":authority": "a.example:8443"}, b""),
        (GrpcCheck(service="é" * 100), V4, {}, b"\x0a\xc8\1" + "é".encode() * 100),
    ],
)
def test_the_call_is_as_grpc_wants_it(check: GrpcCheck, target: Target, wanted: dict[str, str], message: bytes):
    peers: list[Peer] = []

    def read(request: bytes) -> bytes:
        peers.append(Peer(request))
        return answer()(request)

    assert passed(play(check, stream(read), target=target))
    headers, fixed = peers[0].headers, {":method": "POST", "te": "trailers", "content-type": "application/grpc"}
    assert headers | fixed | {":path": "/grpc.health.v1.Health/Check"} | wanted == headers
    assert peers[0].data == framed(message)
    assert peers[0].ended


@pytest.mark.parametrize(
    ("message", "detail"),
    [
        (b"", "health is UNKNOWN, want SERVING"),
        (b"\x08\0", "health is UNKNOWN, want SERVING"),
        (b"\x08\2", "health is NOT_SERVING, want SERVING"),
        (b"\x08\3", "health is SERVICE_UNKNOWN, want SERVING"),
        (b"\x08\x81\1", "health is 129, want SERVING"),
        (b"\x08\1\x08\2", "health is NOT_SERVING, want SERVING"),
        (b"\x10\1", "health is UNKNOWN, want SERVING"),
    ],
)
def test_another_health_is_told_by_its_name(message: bytes, detail: str):
    verdict = play(GrpcCheck(), stream(answer(framed(message))))
    assert (verdict.reason, verdict.detail) == (Reason.UNEXPECTED, detail)
    of_one = play(GrpcCheck(service="a"), stream(answer(framed(message))))
    assert of_one.detail == detail.replace("health is", "health of 'a' is")


def test_fields_that_nobody_knows_are_passed_over():
    others = b"\x10\x96\1" + b"\x19" + bytes(8) + b"\x22\3\x08\2x" + b"\x2d" + bytes(4)
    assert passed(play(GrpcCheck(), stream(answer(framed(others + SERVING + others)))))


@pytest.mark.parametrize(
    ("status", "words", "detail"),
    [
        ("5", "unknown service", "got NOT_FOUND (5), 'unknown service', want OK"),
        ("12", "", "got UNIMPLEMENTED (12), want OK"),
        ("14", "gone%20%C3%A9%0A%zz", "got UNAVAILABLE (14), 'gone é\\\\n%zz', want OK"),
        ("16", "", "got UNAUTHENTICATED (16), want OK"),
        ("77", "", "got status (77), want OK"),
    ],
)
def test_a_status_is_told_by_its_name_with_the_servers_words(status: str, words: str, detail: str):
    trailers = {"grpc-status": status} | ({"grpc-message": words} if words else {})
    for body in (b"", framed(b"")):
        verdict = play(GrpcCheck(), stream(answer(body, trailers=trailers)))
        assert (verdict.reason, verdict.detail) == (Reason.UNEXPECTED, detail)


@pytest.mark.parametrize(
    ("options", "reason", "detail"),
    [
        ({"status": "503"}, Reason.UNEXPECTED, "got HTTP status 503, want 200"),
        ({"content": "text/html"}, Reason.PROTOCOL, "answer is not gRPC: its content type is 'text/html'"),
        ({"content": "application/grpc-web"}, Reason.PROTOCOL, "answer is not gRPC"),
        ({"trailers": {}}, Reason.PROTOCOL, "answer has no grpc-status that is a number: got ''"),
        ({"trailers": {"grpc-status": "ok"}}, Reason.PROTOCOL, "answer has no grpc-status that is a number: got 'ok'"),
        ({"trailers": {"grpc-status": "9" * 5000}}, Reason.PROTOCOL, "answer has no grpc-status that is a number"),
        ({"body": b""}, Reason.PROTOCOL, "answer of 0 bytes is not one message"),
        ({"body": framed(SERVING) * 2}, Reason.PROTOCOL, "answer of 14 bytes is not one message"),
        ({"body": framed(SERVING)[:-1]}, Reason.PROTOCOL, "answer of 6 bytes is not one message"),
        ({"body": b"\1" + framed(SERVING)[1:]}, Reason.PROTOCOL, "message is compressed"),
        ({"body": framed(b"\x08")}, Reason.PROTOCOL, "number without an end"),
        ({"body": framed(b"\x08" + b"\xff" * 11)}, Reason.PROTOCOL, "number without an end"),
        ({"body": framed(b"\x0b")}, Reason.PROTOCOL, "field of kind 3"),
        ({"body": framed(b"\x12\5ab")}, Reason.PROTOCOL, "field without an end"),
        ({"body": framed(b"\x19abc")}, Reason.PROTOCOL, "field without an end"),
    ],
)
def test_what_is_no_answer_of_a_health_service_fails(options: dict[str, object], reason: Reason, detail: str):
    verdict = play(GrpcCheck(), stream(answer(**options)))  # type: ignore[arg-type]
    assert failed(verdict, reason)
    assert detail in verdict.detail


def test_a_content_type_may_have_a_format_and_parameters():
    for content in ("application/grpc+proto", "application/grpc; charset=utf-8"):
        assert passed(play(GrpcCheck(), stream(answer(content=content))))


# --- connections ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "detail"),
    [
        (goaway(0, 0), "server leaves without an answer (GOAWAY, NO_ERROR)"),
        (
            goaway(1, 11, b"too_many_pings"),
            "server leaves without an answer (GOAWAY, ENHANCE_YOUR_CALM, 'too_many_pings')",
        ),
        (goaway(0, 0x77), "server leaves without an answer (GOAWAY, error 0x77)"),
        (frame(7), "server leaves without an answer (GOAWAY, NO_ERROR)"),
        (frame(3, bytes((0, 0, 0, 7)), of=1), "call is reset (REFUSED_STREAM)"),
    ],
)
def test_a_server_that_gives_up_is_told(said: bytes, detail: str):
    verdict = every_cut(GrpcCheck(), SETTINGS + said, END, length=60)
    assert (verdict.reason, verdict.detail) == (Reason.UNEXPECTED, detail)


def test_a_server_that_leaves_may_still_answer():
    assert passed(every_cut(GrpcCheck(), early(goaway(2**31 - 1, 0) + frame(6, b"shutdown")), length=180))
    assert failed(play(GrpcCheck(), stream(SETTINGS + goaway(1, 0), END)), Reason.PROTOCOL)


def test_pings_are_answered_on_the_way():
    player = Player([stream(early(frame(6, b"12345678")))])
    assert passed(player.play(GrpcCheck()))
    assert Send(frame(6, b"12345678", flags=1)) in player.steps


@pytest.mark.parametrize(
    ("said", "detail"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "answer is not HTTP/2: begins with 'HTTP/1.1 '"),
        (b"220 mail.example.net ESMTP\r\n", "answer is not HTTP/2"),
        (frame(6, b"12345678"), "answer is not HTTP/2"),
        (frame(4, flags=1), "answer is not HTTP/2"),
        (SETTINGS + frame(0, bytes(20000), of=1), "server sends a frame of 20000 bytes, 16384 are allowed"),
        (SETTINGS + frame(1, b"\xff\xff\xff\xff", flags=4, of=1), "answer is not right HTTP/2"),
        (SETTINGS + frame(0, b"data before headers", of=1), "answer is not right HTTP/2"),
        (SETTINGS + frame(5, bytes(4) + b"\x82", flags=4, of=1), "answer is not right HTTP/2"),
        (SETTINGS, "connection closed without an answer"),
        (SETTINGS[:5], "connection closed after 5 bytes"),
        (b"", "connection closed without an answer"),
        (SETTINGS * 8000, "answer is longer than 65536 bytes"),
    ],
)
def test_what_is_no_http2_is_not_the_protocol(said: bytes, detail: str):
    verdict = play(GrpcCheck(), stream(said, END))
    assert failed(verdict, Reason.PROTOCOL)
    assert detail in verdict.detail


def test_headers_that_unfold_to_megabytes_are_not_unfolded():
    long_one = b"\x40\1a\x7f\xbd\x1d" + b"x" * 3900  # name "a", put into the table; its length is 127 + 3773
    verdict = play(GrpcCheck(), stream(SETTINGS + frame(1, b"\x88" + long_one + b"\xbe" * 12000, flags=4, of=1), END))
    assert failed(verdict, Reason.PROTOCOL)
    assert "header list larger than 65536" in verdict.detail


def test_tls_agrees_on_http2():
    tls = Tls(verify=False)
    player = Player([stream(answer(), tls=replace(FACTS, alpn="h2"))])
    assert passed(player.play(GrpcCheck(tls=tls, authority="a.example:1")))
    assert player.steps[0] == Connect(replace(tls, alpn=("h2",)), "a.example", speaks=True)
    for alpn, said in ((None, "nothing"), ("http/1.1", "http/1.1")):
        verdict = play(GrpcCheck(tls=tls), stream(tls=replace(FACTS, alpn=alpn)))
        assert failed(verdict, Reason.PROTOCOL)
        assert verdict.detail == f"server does not speak HTTP/2: ALPN has agreed on {said}, want h2"


# --- options and junk -------------------------------------------------------------------------------------------


def test_options_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="alpn must have h2"):
        GrpcCheck(tls=Tls(alpn=("http/1.1",)))
    with pytest.raises(ValueError, match="longer than 1024 bytes"):
        GrpcCheck.__dataclass_fields__["service"].metadata["rule"]("é" * 513)
    with pytest.raises(ValueError, match="must be a name or address"):
        GrpcCheck.__dataclass_fields__["authority"].metadata["rule"]("a b")


FRAMES = st.builds(
    frame, st.integers(0, 12), st.binary(max_size=40), st.integers(0, 255), st.sampled_from((0, 1, 1, 1, 2, 3))
)


@settings(max_examples=300)
@given(st.lists(FRAMES, max_size=6).map(b"".join), st.binary(max_size=20))
def test_junk_gives_a_verdict_and_never_passes(frames: bytes, junk: bytes):
    verdict = play(GrpcCheck(), stream(SETTINGS + frames + junk, END))
    assert verdict.outcome is Outcome.FAIL
    assert play(GrpcCheck(), stream(frames + junk, END)).outcome is Outcome.FAIL


@settings(max_examples=200)
@given(st.integers(0, 120), st.binary(min_size=1, max_size=3))
def test_an_answer_with_a_few_wrong_bytes_gives_a_verdict(place: int, junk: bytes):
    def spoiled(request: bytes) -> bytes:
        right = answer()(request)
        return right[:place] + junk + right[place + len(junk) :]

    play(GrpcCheck(), stream(spoiled, END))


@given(st.binary(max_size=30))
def test_junk_for_a_message_gives_a_verdict(message: bytes):
    play(GrpcCheck(), stream(answer(framed(message))))


# --- servers that misbehave -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("handler", "reasons"), WAYWARD)
async def test_a_server_that_misbehaves_fails_for_its_reason(handler: servers.Handler, reasons: frozenset[Reason]):
    with servers.serving(handler) as server:
        verdict = await verdict_of(GrpcCheck(), server.target)
    assert verdict.outcome is Outcome.FAIL
    assert verdict.reason in reasons


@pytest.mark.parametrize("handler", [servers.accept_only, servers.silent, dripping(SETTINGS)])
async def test_silence_is_too_late(handler: servers.Handler):
    def waiting(connection: socket.socket) -> None:
        handler(connection)
        servers.silent(connection)

    with servers.serving(waiting) as server:
        assert (await verdict_of(GrpcCheck(), server.target, SHORT)).reason is Reason.TIMEOUT


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
async def test_a_closed_port_refuses(family: int):
    assert (await verdict_of(GrpcCheck(), servers.refusing(family))).reason is Reason.REFUSED


async def test_a_server_without_tls_fails_tls():
    with servers.serving(servers.junk) as server:
        assert (await verdict_of(GrpcCheck(tls=Tls(verify=False)), server.target)).reason is Reason.TLS


async def test_a_slow_drip_is_still_an_answer():
    def drip(connection: socket.socket) -> None:
        request = b""
        while not Peer(request).ended:
            request += connection.recv(4096)
        for byte in answer()(request):
            connection.sendall(bytes([byte]))
        servers.silent(connection)

    with servers.serving(drip) as server:
        assert passed(await verdict_of(GrpcCheck(), server.target))


def test_every_error_code_of_http2_has_its_name():
    for code in ErrorCodes:
        verdict = play(GrpcCheck(), stream(SETTINGS + goaway(0, code), END))
        assert code.name in verdict.detail


def test_without_its_library_the_check_says_which_extra_brings_it():
    script = (
        "import sys; sys.modules['h2.config'] = None; from healthd.registry import check_class; check_class('grpc')"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "ImportError: the check grpc needs h2" in run.stderr
    assert "pip install 'healthd[grpc]'" in run.stderr
