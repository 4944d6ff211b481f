"""The ntp check by datagrams: answers that are ours, and synchronised, and those that are not."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.ntp import NtpCheck
from healthd.check import Datagram, Outcome, Reason, Send
from tests.checks.harness import REFUSED, Player, datagrams, failed, passed, play
from tests.checks.wayward import SHORT, verdict_of
from tests.support import servers

NOW = 0xEEAD7402_25356D2F


def answer(
    leap: int = 0,
    version: int = 4,
    mode: int = 4,
    stratum: int = 3,
    delay: float = 0.25,
    dispersion: float = 0.5,
    reference: bytes = b"\x7f\x7f\1\1",
    received: int = NOW,
    sent: int = NOW,
    origin: bytes | None = None,
    more: bytes = b"",
) -> Callable[[bytes], bytes]:
    """An answer to the request it is given; origin: instead of the request's transmit time."""

    def made(request: bytes) -> bytes:
        first = leap << 6 | version << 3 | mode
        head = struct.pack(">BBbbLL4s", first, stratum, 0, -20, int(delay * 65536), int(dispersion * 65536), reference)
        times = struct.pack(">Q8sQQ", NOW - 1, request[40:48] if origin is None else origin, received, sent)
        return head + times + more

    return made


def test_a_synchronised_server_passes():
    player = Player([datagrams(answer())])
    verdict = player.play(NtpCheck())
    assert (verdict.outcome, verdict.detail) == (Outcome.PASS, "stratum 3, root distance 0.625000 s, version 4")
    assert player.steps[0] == Datagram(own_port=False)


def test_the_request_tells_nothing_but_a_fresh_number():
    sent = set()
    for _ in range(2):
        player = Player([datagrams(answer())])
        player.play(NtpCheck())
        (request,) = (step.data for step in player.steps if isinstance(step, Send))
        assert request[:40] == b"\x23" + bytes(39)
        sent.add(request[40:])
    assert len(sent) == 2
    assert all(len(number) == 8 for number in sent)


@pytest.mark.parametrize(
    "other",
    [
        {"leap": 1},
        {"leap": 2},
        {"stratum": 1, "reference": b"GPS\0"},
        {"stratum": 15},
        {"version": 3},
        {"more": bytes(20)},
        {"delay": 0, "dispersion": 0},
    ],
)
def test_what_a_good_server_may_answer_passes(other: dict[str, object]):
    assert passed(play(NtpCheck(), datagrams(answer(**other))))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "other", "detail"),
    [
        ({}, {"leap": 3}, "server is not synchronised (leap 3, stratum 3)"),
        ({}, {"leap": 3, "stratum": 0, "reference": bytes(4)}, "server is not synchronised (leap 3, stratum 0)"),
        ({}, {"stratum": 0, "reference": bytes(4)}, "server is not synchronised (leap 0, stratum 0)"),
        ({}, {"stratum": 16}, "server is not synchronised (leap 0, stratum 16)"),
        ({}, {"stratum": 255}, "server is not synchronised (leap 0, stratum 255)"),
        ({"max_stratum": 2}, {}, "got stratum 3, want 2 or less"),
        ({"max_distance": 0.6}, {}, "root distance is 0.625000 s, want below 0.6 s"),
        ({}, {"delay": 1.0, "dispersion": 15.5}, "root distance is 16.000000 s, want below 16 s"),
        ({}, {"leap": 3, "stratum": 0, "reference": b"RATE"}, "kiss-o'-death RATE: we ask too often"),
        ({}, {"stratum": 0, "reference": b"DENY"}, "kiss-o'-death DENY: access denied by the server"),
        ({}, {"stratum": 0, "reference": b"X1\0\0"}, "kiss-o'-death X1"),
        ({}, {"stratum": 0, "reference": b"\xff\n\0\0"}, "kiss-o'-death \\xff\\n"),
    ],
)
def test_a_server_that_cannot_be_trusted_fails(options: dict[str, object], other: dict[str, object], detail: str):
    verdict = play(NtpCheck(**options), datagrams(answer(**other)))  # type: ignore[arg-type]
    assert failed(verdict, Reason.UNEXPECTED)
    assert verdict.detail == detail


@pytest.mark.parametrize(
    "other", [{"mode": 3}, {"mode": 5}, {"mode": 6}, {"version": 0}, {"version": 5}, {"sent": 0}, {"received": 0}]
)
def test_an_answer_that_is_none_of_a_server_is_not_the_protocol(other: dict[str, int]):
    assert failed(play(NtpCheck(), datagrams(answer(**other))), Reason.PROTOCOL)  # type: ignore[arg-type]


STRAYS = [
    b"",
    b"junk",
    answer(origin=bytes(8)),
    answer(origin=b"elsewhen"),
    answer(leap=3, stratum=0, reference=b"DENY", origin=bytes(8)),
    lambda request: request,
    lambda request: answer()(request)[:47],
]


def test_what_does_not_answer_this_question_is_ignored():
    for stray in STRAYS:
        assert failed(play(NtpCheck(), datagrams(stray)), Reason.TIMEOUT)
    request = [b""]

    def stray_first(data: bytes) -> bytes:
        request[0] = data
        return answer(origin=bytes(8))(data)

    assert passed(play(NtpCheck(), datagrams(stray_first, lambda _: answer()(request[0]))))


def test_an_icmp_error_fails():
    assert failed(play(NtpCheck(), datagrams(REFUSED)), Reason.REFUSED)


@pytest.mark.parametrize(
    ("name", "value"), [("max_stratum", 0), ("max_stratum", 16), ("max_distance", 0.0), ("max_distance", 16.1)]
)
def test_bounds_that_make_no_sense_are_refused(name: str, value: float):
    with pytest.raises(ValueError, match="must be"):
        NtpCheck.__dataclass_fields__[name].metadata["rule"](value)


@given(st.binary(max_size=80))
def test_junk_gives_a_verdict_and_never_passes(junk: bytes):
    assert failed(play(NtpCheck(), datagrams(junk)), Reason.TIMEOUT)


@given(st.binary(min_size=24, max_size=24), st.binary(min_size=16, max_size=40))
def test_junk_around_our_number_gives_a_verdict(head: bytes, tail: bytes):
    verdict = play(NtpCheck(), datagrams(lambda request: head + request[40:48] + tail))
    assert verdict.outcome in (Outcome.PASS, Outcome.FAIL)
    if passed(verdict):
        assert head[0] & 7 == 4
        assert head[0] >> 6 != 3
        assert 1 <= head[1] <= 15


# --- servers that misbehave -------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
async def test_real_datagrams_are_told_apart(family: int):
    def good(request: bytes) -> list[bytes]:
        return [b"?", request, answer(origin=bytes(8))(request), answer()(request)]

    with servers.answering(good, family) as server:
        assert (await verdict_of(NtpCheck(), server.target)).outcome is Outcome.PASS
    with servers.answering(lambda request: [b"?" * 48, request], family) as server:
        assert (await verdict_of(NtpCheck(), server.target, SHORT)).reason is Reason.TIMEOUT
    with servers.answering(lambda _: [], family) as server:
        assert (await verdict_of(NtpCheck(), server.target, SHORT)).reason is Reason.TIMEOUT


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
async def test_a_closed_port_refuses(family: int):
    verdict = await verdict_of(NtpCheck(), servers.refusing(family, socket.SOCK_DGRAM))
    assert verdict.reason is Reason.REFUSED
