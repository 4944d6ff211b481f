"""The sip check by transcripts: what it asks, which answers are its own, and that no cut of the bytes matters."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checks.sip import SipCheck
from healthd.check import Connect, Datagram, Outcome, Reason, Receive, Send, Target, Tls, Verdict, Whence
from tests.checks.harness import (
    END,
    REFUSED,
    RESET,
    V4,
    V6,
    Channel,
    Player,
    at,
    datagrams,
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

UDP, TCP = SipCheck(), SipCheck(tcp=True)
Answer = Callable[[bytes], bytes]


def field_of(request: bytes, name: str) -> str:
    """Value of a header field of what we sent."""
    match = re.search(rf"^{name}: (.*)\r$", request.decode(), re.MULTILINE)
    assert match is not None, (name, request)
    return match[1]


def copied(request: bytes) -> dict[str, str]:
    """What an answer must say of the request (RFC 3261, 8.2.6.2)."""
    names = ("Via", "From", "To", "Call-ID", "CSeq")
    return {name: field_of(request, name) for name in names} | {"Content-Length": "0"}


def saying(status: str = "200 OK", body: bytes = b"", /, **fields: str | None) -> Answer:
    """An answer to the request with some header fields changed, or left out (None); _ in a name stands for -."""

    def answer(request: bytes) -> bytes:
        head = copied(request) | {"Content-Length": str(len(body))}
        for name, value in fields.items():
            head[name.replace("_", "-")] = value if value is None else value.format(**copied(request))  # type: ignore[assignment]
        lines = [f"SIP/2.0 {status}", *(f"{name}: {value}" for name, value in head.items() if value is not None)]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    return answer


def sent(check: SipCheck, target: Target = V4) -> bytes:
    player = Player([datagrams() if not check.tcp and check.tls is None else stream()])
    player.play(check, target)
    (step,) = (step for step in player.steps if isinstance(step, Send))
    return step.data


def test_the_question_is_as_the_rfc_has_it():
    lines = sent(replace(UDP, user="joe@a.example:5070", caller="probe@b.example", max_forwards=0)).split(b"\r\n")
    branch = re.fullmatch(rb"Via: SIP/2\.0/UDP 192\.0\.2\.1:40000;branch=(z9hG4bK[0-9a-f]{16});rport", lines.pop(1))
    tag = re.fullmatch(rb"From: <sip:probe@b\.example>;tag=([0-9a-f]{16})", lines.pop(2))
    call_id = re.fullmatch(rb"Call-ID: ([0-9a-f]{32})", lines.pop(3))
    assert None not in (branch, tag, call_id)
    assert lines == [
        b"OPTIONS sip:joe@a.example:5070 SIP/2.0",
        b"Max-Forwards: 0",
        b"To: <sip:joe@a.example:5070>",
        b"CSeq: 1 OPTIONS",
        b"Contact: <sip:healthd@192.0.2.1:40000>",
        b"Accept: application/sdp",
        b"User-Agent: healthd",
        b"Content-Length: 0",
        b"",
        b"",
    ]


def test_without_names_the_addresses_stand_for_both():
    request = sent(UDP, V6)
    assert request.startswith(b"OPTIONS sip:[2001:db8::11]:80 SIP/2.0\r\nVia: SIP/2.0/UDP [2001:db8::1]:40000;")
    assert field_of(request, "To") == "<sip:[2001:db8::11]:80>"
    assert field_of(request, "From").startswith("<sip:healthd@[2001:db8::1]>;tag=")


def test_a_zone_of_an_address_is_our_own_affair():
    request = sent(UDP, replace(V6, address=type(V6.address)("fe80::1%lo")))
    assert request.startswith(b"OPTIONS sip:[fe80::1]:80 SIP/2.0\r\n")


@pytest.mark.parametrize(("check", "transport"), [(UDP, "UDP"), (TCP, "TCP"), (SipCheck(tls=Tls()), "TLS")])
def test_via_and_contact_name_the_transport(check: SipCheck, transport: str):
    request = sent(check)
    assert field_of(request, "Via").startswith(f"SIP/2.0/{transport} ")
    assert field_of(request, "Contact").endswith(";transport=tcp>") == (transport != "UDP")


def test_every_probe_asks_a_question_of_its_own():
    first, second = sent(UDP), sent(UDP)
    for name in ("Via", "From", "Call-ID"):
        assert field_of(first, name) != field_of(second, name)


def test_the_steps_are_no_more_than_are_needed():
    player = Player([datagrams(saying())])
    assert player.play(UDP).detail == "200 OK"
    assert [type(step) for step in player.steps] == [Datagram, Whence, Send, Receive]
    over_tls = Player([stream(saying())])
    assert passed(over_tls.play(SipCheck(tls=Tls(verify=False))))
    assert over_tls.steps[0] == Connect(Tls(verify=False), speaks=True)


def every_cut(check: SipCheck, *script: Answer | bytes) -> Verdict:
    return same_verdict_for_every_cut(check, lambda: [stream(*script)], 420)


def compact(request: bytes) -> bytes:
    """The same in compact forms, folded, with odd spaces and cases."""
    head = copied(request)
    via, tag = head["Via"], head["From"].partition("tag=")[2]
    lines = [
        "sip/2.0 200 Fine",
        f"V : {via.replace(';', ' ;').replace('branch=', 'branch = ')} ;received=192.0.2.7,",
        "   SIP/2.0/UDP outer.example;branch=z9hG4bKother",
        f'f:"Joe <;tag=no>" <sip:joe@a.example;tag=neither>\r\n\t; TAG = {tag}',
        f"I:\r\n  {head['Call-ID']}",
        "cseq:  001  OPTIONS",
        "l: 2",
        "X-Empty:",
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\nab"


@pytest.mark.parametrize("line_end", [b"\r\n", b"\n"])
def test_compact_forms_folded_lines_and_odd_spaces_are_read(line_end: bytes):
    def answer(request: bytes) -> bytes:
        return compact(request).replace(b"\r\n", line_end)

    verdict = every_cut(TCP, answer)
    assert (verdict.outcome, verdict.detail) == (Outcome.PASS, "200 Fine")
    assert play(UDP, datagrams(answer)).detail == "200 Fine"


@pytest.mark.parametrize("status", ["200", "200 ", "200 Alles  gut"])
def test_any_phrase_will_do(status: str):
    assert play(UDP, datagrams(saying(status))).detail == status.strip()


def test_bodies_are_read_and_left():
    body = b"v=0\r\n\r\nSIP/2.0 500 No\r\n\r\n"
    assert passed(every_cut(TCP, saying("200 OK", body)))
    assert passed(play(UDP, datagrams(saying("200 OK", body))))


def test_provisional_answers_are_skipped():
    at_once = (saying("100 Trying", b"xy"), lambda _: b"\r\n\r\n", saying("183 Soon"), saying())
    assert passed(every_cut(TCP, lambda request: b"".join(answer(request) for answer in at_once)))
    kept: list[bytes] = []

    def first(request: bytes) -> bytes:
        kept.append(request)
        return saying("100 Trying")(request)

    assert passed(play(UDP, datagrams(first, lambda _: saying()(kept[0]))))
    assert failed(play(UDP, datagrams(saying("100 Trying"))), Reason.TIMEOUT)


def test_a_wrong_status_is_told():
    verdict = every_cut(TCP, saying("503 Service Unavailable"))
    assert (verdict.reason, verdict.detail) == (Reason.UNEXPECTED, "got 503 Service Unavailable, want 200")


def test_the_statuses_that_are_right_are_an_option():
    check = replace(UDP, status=("200-299", "404", "6xx"))
    for status, right in (("202 A", True), ("404 N", True), ("603 D", True), ("486 Busy", False)):
        assert passed(play(check, datagrams(saying(status)))) == right
    assert play(check, datagrams(saying("486 Busy"))).detail == "got 486 Busy, want 200-299, 404, 6xx"


FOREIGN = [
    saying(Via="SIP/2.0/UDP 192.0.2.1:40000;branch=z9hG4bK0123456789abcdef;rport"),
    saying(Via="SIP/2.0/UDP other.example;branch=z9hG4bKother, {Via}"),
    saying(Via=None),
    saying(Call_ID="{Call-ID}x"),
    saying(Call_ID=None),
    saying(CSeq="2 OPTIONS"),
    saying(CSeq="1 INVITE"),
    saying(CSeq="1 OPTIONSX"),
    saying(CSeq=None),
    saying(From="<sip:healthd@192.0.2.1>;tag=other"),
    saying(From="<sip:healthd@192.0.2.1>"),
    saying(From=None),
    lambda request: request,
    lambda _: b"\r\n\r\n",
]


@pytest.mark.parametrize("foreign", FOREIGN)
@pytest.mark.parametrize("check", [UDP, TCP])
def test_what_is_not_the_answer_to_our_question_is_passed_over(check: SipCheck, foreign: Answer):
    opened = stream if check.tcp else datagrams
    assert failed(play(check, opened(foreign)), Reason.TIMEOUT)
    kept: list[bytes] = []

    def first(request: bytes) -> bytes:
        kept.append(request)
        return foreign(request)

    assert passed(play(check, opened(first, lambda _: saying()(kept[0]))))


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "answer is not SIP: 'HTTP/1.1 400 Bad Request'"),
        (b"SIP/2.0 2000 OK\r\n\r\n", "answer is not SIP: 'SIP/2.0 2000 OK'"),
        (b"SIP/2.0 099 OK\r\n\r\n", "answer is not SIP: 'SIP/2.0 099 OK'"),
        (b"SIP/3.0 200 OK\r\n\r\n", "answer is not SIP: 'SIP/3.0 200 OK'"),
        (b"220 mail.example ESMTP\r\n\r\n", "answer is not SIP: '220 mail.example ESMTP'"),
        (b"\x80abc\r\n\r\n", "answer is not SIP: '\\\\x80abc'"),
        (b"SIP/2.0 200 OK\r\nnonsense\r\n\r\n", "answer has a line that is no header: 'nonsense'"),
        (b"SIP/2.0 200 OK\r\n folded: onto nothing\r\n\r\n", None),
        (b"SIP/2.0 200 OK\r\nContent-Length: -1\r\n\r\n", "Content-Length is '-1'"),
        (b"SIP/2.0 200 OK\r\nl: 99999999\r\n\r\n", "Content-Length is '99999999'"),
    ],
)
def test_what_is_not_sip_fails_as_such(answer: bytes, detail: str | None):
    over_udp = play(UDP, datagrams(answer))
    over_tcp = same_verdict_for_every_cut(TCP, lambda: [stream(answer, END)], len(answer))
    for verdict in (over_udp, over_tcp):
        assert verdict.outcome is Outcome.FAIL
        if detail is not None:
            assert (verdict.reason, verdict.detail) == (Reason.PROTOCOL, detail)


@pytest.mark.parametrize("missing", [1, 3, 20])
def test_a_message_that_is_cut_short_never_passes(missing: int):
    def short(request: bytes) -> bytes:
        return saying("200 OK", b"12")(request)[:-missing]

    assert failed(play(UDP, datagrams(short)), Reason.PROTOCOL)
    assert failed(every_cut(TCP, short, END), Reason.PROTOCOL)


def test_an_endless_head_is_read_to_a_bound():
    endless = b"SIP/2.0 200 OK\r\n" + b"X-Filler: aaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n" * 4000
    assert play(TCP, stream(endless)).detail == "headers are longer than 65535 bytes"
    assert failed(play(TCP, stream(b"\r\n" * 40000)), Reason.PROTOCOL)
    assert failed(play(TCP, stream(b"x" * 70000)), Reason.PROTOCOL)


def test_messages_without_end_that_are_not_the_answer_are_read_to_a_bound():
    foreign = saying(CSeq="7 OPTIONS")(sent(TCP))
    for check, opened in ((TCP, stream(foreign * 101)), (UDP, datagrams(*[foreign] * 101))):
        assert play(check, opened).detail == "100 messages, and none of them is the answer"


def test_what_the_engine_cannot_do_is_told_as_it_is():
    assert play(TCP, stream(END)).detail == "connection closed without an answer"
    assert failed(play(TCP, Channel([], REFUSED)), Reason.REFUSED)
    assert failed(play(UDP, datagrams(REFUSED)), Reason.REFUSED)
    assert failed(play(TCP, stream(b"SIP/2.0 200", RESET)), Reason.RESET)


@pytest.mark.parametrize(
    "text", ["", "sip:joe@a.example", "SIPS:a.example", "joe@a>\r\nX: y", "a b", "a<b", 'a"b', "jöe@a", "a?h=v", "a\n"]
)
def test_names_that_would_break_the_request_are_refused(text: str):
    for name in ("user", "caller"):
        with pytest.raises(ValueError, match="must be user@domain"):
            SipCheck.__dataclass_fields__[name].metadata["rule"](text)


def test_names_of_every_kind_are_taken():
    for text in ("joe@a.example", "a.example", "joe@[2001:db8::1]:5060", "+4930123;phone-context=b@a"):
        assert SipCheck.__dataclass_fields__["user"].metadata["rule"](text) == text


@pytest.mark.parametrize("status", [("100",), ("700",), ()])
def test_only_final_statuses_can_be_right(status: tuple[str, ...]):
    with pytest.raises(ValueError, match=r"within 200-699|at least one"):
        SipCheck.__dataclass_fields__["status"].metadata["rule"](status)


PARTS = st.sampled_from(
    [b"SIP/2.0 200 OK", b"SIP/2.0 100 T", b"OPTIONS sip:a SIP/2.0", b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b";",
     b",", b"Via: ", b"v:", b"branch=",
     b"z9hG4bK", b"f: <sip:a>;tag=", b"l: 3", b"Content-Length: 9", b"abc", b"\0", b"\xff"]
)  # fmt: skip
JUNK = st.lists(st.one_of(PARTS, st.binary(max_size=9)), max_size=30).map(b"".join)


@settings(max_examples=max(300, settings().max_examples))
@given(JUNK, st.booleans(), st.integers(0, 60))
def test_junk_gives_a_verdict_and_the_same_one_for_every_cut(junk: bytes, ends: bool, place: int):
    script = [junk, END] if ends else [junk]
    verdicts = {play(TCP, stream(*script), cut=cut) for cut in (whole, single, at(place))}
    assert len(verdicts) == 1
    assert verdicts.pop().outcome is Outcome.FAIL
    assert play(UDP, datagrams(junk or b"\n")).outcome is Outcome.FAIL


@settings(max_examples=max(200, settings().max_examples))
@given(st.integers(0, 400), st.binary(min_size=1, max_size=3))
def test_an_answer_with_a_changed_byte_gives_a_verdict(place: int, patch: bytes):
    def changed(request: bytes) -> bytes:
        answer = saying("200 OK", b"hello")(request)
        return answer[:place] + patch + answer[place + len(patch) :]

    play(UDP, datagrams(changed))
    play(TCP, stream(changed, END))


# --- on the real engine ---


def over_tcp(answer: Answer, pieces: int) -> servers.Handler:
    def handle(connection: socket.socket) -> None:
        request = b""
        while not request.endswith(b"\r\n\r\n"):
            request += servers.line_of(connection)
        data = answer(request)
        for begin in range(0, len(data), pieces):
            connection.sendall(data[begin : begin + pieces])

    return handle


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
async def test_it_says_truly_where_it_asks_from(family: int):
    seen: list[str] = []

    def answer(request: bytes) -> list[bytes]:
        seen.append(field_of(request, "Via"))
        return [saying("100 Trying")(request), b"\r\n", saying()(request)]

    with servers.answering(answer, family) as server:
        assert (await verdict_of(UDP, server.target)).detail == "200 OK"
    own = "127.0.0.1" if family == socket.AF_INET else "[::1]"
    assert seen[-1].startswith(f"SIP/2.0/UDP {own}:{server.ports[-1]};")


@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        (servers.close_at_once, Reason.PROTOCOL),
        (servers.reset, Reason.RESET),
        (servers.reset_in_answer, Reason.RESET),
        (servers.junk, Reason.PROTOCOL),
        (servers.half_line, Reason.PROTOCOL),
        (servers.endless, Reason.PROTOCOL),
    ],
)
async def test_a_server_that_misbehaves_fails_for_its_reason(handler: servers.Handler, reason: Reason):
    with servers.serving(handler) as server:
        verdict = await verdict_of(TCP, server.target)
    # a server that closes on unread bytes resets the connection, which may overtake what it said
    assert verdict.outcome is Outcome.FAIL
    assert verdict.reason in (reason, Reason.RESET)


async def test_a_slow_drip_passes_and_silence_and_echoes_are_too_late():
    with servers.serving(over_tcp(saying("200 OK", b"body"), 7)) as server:
        assert (await verdict_of(TCP, server.target)).detail == "200 OK"
    with servers.serving(servers.silent) as server:
        assert (await verdict_of(TCP, server.target, 0.4)).reason is Reason.TIMEOUT
    with servers.serving(servers.echo_lines) as server:
        assert (await verdict_of(TCP, server.target, 0.4)).reason is Reason.TIMEOUT
    with servers.answering(lambda data: [data]) as server:
        assert (await verdict_of(UDP, server.target, 0.4)).reason is Reason.TIMEOUT


async def test_closed_ports_refuse_and_plain_servers_have_no_tls():
    assert (await verdict_of(TCP, servers.refusing())).reason is Reason.REFUSED
    assert (await verdict_of(UDP, servers.refusing(kind=socket.SOCK_DGRAM))).reason is Reason.REFUSED
    with servers.serving(servers.junk) as server:
        assert (await verdict_of(SipCheck(tls=Tls(verify=False)), server.target)).reason is Reason.TLS
