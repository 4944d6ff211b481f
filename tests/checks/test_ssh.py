"""ssh by transcripts, and against servers that are none: who the server says it is, and that nothing else passes."""

from __future__ import annotations

import socket
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checks.ssh import SshCheck
from healthd.check import Outcome, Reason, Verdict
from tests.checks.harness import (
    END,
    REFUSED,
    RESET,
    Channel,
    Player,
    Sent,
    failed,
    play,
    same_verdict_for_every_cut,
    stream,
)
from tests.checks.wayward import PATIENCE, SHORT, verdict_of
from tests.support import servers

OPENSSH = b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"
OURS = b"SSH-2.0-healthd\r\n"
LEAVING = struct.pack(">IBBII", 36, 10, 1, 11, 12) + b"health check" + bytes(4) + bytes(10)


def kexinit(payload: bytes = b"\x14" + bytes(16) + b"algorithms", padding: int = 4) -> bytes:
    return struct.pack(">IB", 1 + len(payload) + padding, padding) + payload + bytes(padding)


def judged(peer: Channel, said: bytes) -> Verdict:
    """The verdict; that of every cut where what is said is short."""
    if len(said) > 300:
        return play(SshCheck(), peer)
    return same_verdict_for_every_cut(SshCheck(), lambda: [Channel(peer.script, peer.opened)], len(said))


@pytest.mark.parametrize(
    ("said", "detail"),
    [
        (OPENSSH, "OpenSSH_9.2p1 Debian-2"),
        (b"SSH-2.0-dropbear_2022.83\r\n", "dropbear_2022.83"),
        (b"SSH-1.99-Cisco-1.25\n", "Cisco-1.25"),
        (b"welcome\r\n\r\nto SSH-2.0\r\n" + OPENSSH, "OpenSSH_9.2p1 Debian-2"),
        (b"x" * 60000 + b"\n" + OPENSSH, "OpenSSH_9.2p1 Debian-2"),
        (b"SSH-2.0-" + b"x" * 245 + b"\r\n", "x" * 245),
    ],
)
def test_a_server_of_protocol_2_says_who_it_is_however_it_is_cut(said: bytes, detail: str):
    verdict = judged(stream(said), said)
    assert verdict == Verdict(Outcome.PASS, Reason.OK, detail)


def test_we_say_who_we_are_and_that_we_leave():
    player = Player([stream(OPENSSH)])
    assert player.play(SshCheck()).outcome is Outcome.PASS
    assert player.channel is not None
    assert player.channel.unseen == OURS + LEAVING
    assert len(LEAVING) % 8 == 0


@pytest.mark.parametrize(
    ("said", "reason", "detail"),
    [
        (b"SSH-1.5-1.2.27\n", Reason.UNEXPECTED, "got SSH 1.5 ('SSH-1.5-1.2.27'), want 2.0"),
        (b"SSH-2.0\r\n", Reason.PROTOCOL, "'SSH-2.0' is no identification of SSH"),
        (b"SSH-2.0-\r\n", Reason.PROTOCOL, "'SSH-2.0-' is no identification of SSH"),
        (b"SSH-2.0-a\0b\r\n", Reason.PROTOCOL, "'SSH-2.0-a\\x00b' is no identification of SSH"),
        (b"SSH-2.0-" + b"x" * 248 + b"\n", Reason.PROTOCOL, "identification is longer than 255 bytes: 'SSH-2.0-xxxx"),
        (END, Reason.PROTOCOL, "connection closed without an answer"),
        (b"Exceeded MaxStartups\r\n", Reason.PROTOCOL, "no identification, but 'Exceeded MaxStartups"),
        (b"SSH-2.0-Ope", Reason.PROTOCOL, "no identification, but 'SSH-2.0-Ope': connection closed after 11 bytes"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", Reason.PROTOCOL, "no identification, but 'HTTP/1.1 400 Bad Request"),
        (b"220 mail\r\n" * 7000, Reason.PROTOCOL, "no identification in 65536 bytes, which begin with '220 mail"),
        (b"x" * 70000, Reason.PROTOCOL, "no identification, but 'xxxx"),
    ],
)
def test_what_is_not_ssh_2_fails(said: bytes, reason: Reason, detail: str):
    verdict = judged(stream(said, END), said)
    assert failed(verdict, reason)
    assert verdict.detail.replace("\\\\", "\\").startswith(detail)


def test_software_and_comments_are_matched():
    for expect in ("^OpenSSH_9", "Debian", r"_9\.\d+p\d+ Debian-\d+$"):
        assert play(SshCheck(expect=expect), stream(OPENSSH)).outcome is Outcome.PASS
    verdict = play(SshCheck(expect="^SSH"), stream(OPENSSH))
    assert failed(verdict, Reason.UNEXPECTED)
    assert verdict.detail == "expect '^SSH' does not match: got 'OpenSSH_9.2p1 Debian-2'"


def test_the_key_exchange_is_waited_for_if_asked():
    script = (OPENSSH, Sent(OURS), kexinit(), Sent(b""))
    check = SshCheck(key_exchange=True)
    assert same_verdict_for_every_cut(check, lambda: [stream(*script)], 40).outcome is Outcome.PASS
    together = stream(OPENSSH + kexinit() + b"more")
    assert play(check, together).outcome is Outcome.PASS
    assert together.unseen == OURS + LEAVING
    assert failed(play(check, stream(OPENSSH)), Reason.TIMEOUT)


@pytest.mark.parametrize(
    ("packet", "detail"),
    [
        (b"", "connection closed without an answer, 4 expected"),
        (kexinit()[:20], "connection closed after 16 bytes, 32 expected"),
        (kexinit(b"\x01" + bytes(16)), "the server's first message is 1, want 20 (KEXINIT)"),
        (kexinit(b""), "a packet of 5 bytes is none of SSH"),
        (kexinit(padding=3), "the server's first message is none, want 20 (KEXINIT)"),
        (struct.pack(">IB", 12, 11) + bytes(11), "the server's first message is none, want 20 (KEXINIT)"),
        (struct.pack(">I", 40000), "a packet of 40000 bytes is none of SSH"),
        (b"\xff\xff\xff\xff", "a packet of 4294967295 bytes is none of SSH"),
        (b"Protocol mismatch.\n", "a packet of 1349676916 bytes is none of SSH"),
    ],
)
def test_a_server_that_does_not_begin_the_key_exchange_fails(packet: bytes, detail: str):
    verdict = play(SshCheck(key_exchange=True), stream(OPENSSH + packet, END))
    assert failed(verdict, Reason.PROTOCOL)
    assert verdict.detail.replace("\\\\", "\\").startswith(detail)


def test_what_the_engine_cannot_do_is_told_as_it_is():
    assert failed(play(SshCheck(), Channel([], REFUSED)), Reason.REFUSED)
    assert failed(play(SshCheck(), stream(b"SSH-2.0-", RESET)), Reason.RESET)
    assert failed(play(SshCheck(), stream()), Reason.TIMEOUT)


def test_an_expression_that_is_none_is_refused():
    with pytest.raises(ValueError, match="is not a regular expression"):
        SshCheck(expect="(")


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.one_of(st.binary(max_size=80), st.just(OPENSSH[:9]), st.just(b"\r\n"), st.just(kexinit())), max_size=8)
)
def test_junk_gives_a_verdict_and_nothing_else(junk: list[bytes]):
    for check in (SshCheck(), SshCheck(key_exchange=True)):
        play(check, stream(*[one for one in junk if one], END))


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        (servers.close_at_once, Reason.PROTOCOL),
        (servers.junk, Reason.PROTOCOL),
        (servers.endless, Reason.PROTOCOL),
        (servers.reset, Reason.RESET),
        (servers.silent, Reason.TIMEOUT),
        (servers.accept_only, Reason.TIMEOUT),
        (servers.drip, Reason.PROTOCOL),
    ],
)
async def test_a_server_that_misbehaves_fails_for_its_reason(handler: servers.Handler, reason: Reason, family: int):
    with servers.serving(handler, family) as server:
        verdict = await verdict_of(SshCheck(), server.target, SHORT if reason is Reason.TIMEOUT else PATIENCE)
    assert verdict.outcome is Outcome.FAIL
    # a server that closes on unread bytes resets the connection, which may overtake what it said
    assert verdict.reason in (reason, Reason.RESET)


async def test_a_closed_port_refuses():
    assert failed(await verdict_of(SshCheck(), servers.refusing()), Reason.REFUSED)
