"""The radius check by transcripts: requests, verified answers, strangers' datagrams and junk."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checks import radius_packet
from checks.radius import RadiusCheck
from healthd.check import Connect, Datagram, Outcome, Reason, Send, Tls
from tests.checks.harness import END, Player, datagrams, failed, passed, play, same_verdict_for_every_cut, stream
from tests.checks.radius_words import SECRET, Reply, answer, message, signed

STATUS = RadiusCheck(SECRET.decode())
JOE = replace(STATUS, user="joe", password="guess me")


def attributes_of(packet: bytes) -> dict[int, bytes]:
    found, at = {}, 20
    while at < len(packet):
        found[packet[at]] = packet[at + 2 : at + packet[at + 1]]
        at += packet[at + 1]
    assert at == len(packet)
    return found


ACCEPT, REJECT, CHALLENGE, ACCOUNTED = answer(2), answer(3, message("no way")), answer(11), answer(5)


def asked_by(check: RadiusCheck) -> bytes:
    channel = datagrams()
    player = Player([channel])
    player.play(check)
    assert player.steps[0] == Datagram(own_port=True)
    return channel.unseen


def checked(packet: bytes) -> dict[int, bytes]:
    """The attributes of a request whose length and Message-Authenticator, its first attribute, are right."""
    assert int.from_bytes(packet[2:4], "big") == len(packet)
    assert packet[20:22] == b"\x50\x12"
    blank = packet[:22] + bytes(16) + packet[38:]
    assert hmac.new(SECRET, blank, "md5").digest() == packet[22:38]
    return attributes_of(packet)


def test_without_a_user_the_status_is_asked_for():
    packet = asked_by(STATUS)
    assert packet[0] == 12
    assert checked(packet).keys() == {80, 32}
    assert attributes_of(packet)[32] == b"healthd"


def test_with_a_user_entry_is_asked_for_and_the_password_is_hidden():
    packet = asked_by(replace(JOE, nas_address="192.0.2.7"))
    found = checked(packet)
    assert packet[0] == 1
    assert found.keys() == {80, 1, 32, 4, 2}
    assert (found[1], found[4]) == (b"joe", bytes((192, 0, 2, 7)))
    assert b"guess" not in packet
    key = hashlib.md5(SECRET + packet[4:20]).digest()
    assert bytes(a ^ b for a, b in zip(found[2], key, strict=True)) == b"guess me".ljust(16, b"\0")


def test_the_example_of_rfc_2865_hides_its_password_the_same_way():
    """RFC 2865, 7.1: nemo, arctangent, xyzzy5461."""
    authenticator = bytes.fromhex("0f403f9473978057bd83d5cb98f4227a")
    hidden = radius_packet.pap(b"arctangent", b"xyzzy5461", authenticator)
    assert hidden.hex() == "0212" + "0dbe708d93d413ce3196e43f782a0aee"


def test_the_example_of_rfc_2865_proves_its_password_by_chap_the_same_way():
    """RFC 2865, 7.2: there the challenge is the authenticator."""
    challenge = bytes.fromhex("2aee86f08d0d55969ca5978e0d3367a2")
    proof = radius_packet.chap(b"arctangent", 22, challenge)
    expected = hashlib.md5(bytes((22,)) + b"arctangent" + challenge).digest()
    assert proof == b"\x03\x13\x16" + expected + b"\x3c\x12" + challenge


def test_the_example_of_rfc_5997_is_signed_the_same_way():
    """RFC 5997, 6.1: a minimal Status-Server, and its answer."""
    authenticator = bytes.fromhex("8a54f4686fb394c52866e302185d0623")
    request = radius_packet.request(12, 218, authenticator, (), SECRET)
    assert request.hex() == "0cda0026" + authenticator.hex() + "50125a665e2e1e8411f3e243822097c84fa3"
    response = bytes.fromhex("02da0014ef0d552a4bf2d693ec2b6fe8b5411d66")
    assert radius_packet.verified(response, request, SECRET) == radius_packet.Answer(2, (), False)


def test_long_passwords_are_hidden_in_blocks():
    packet = asked_by(replace(JOE, password="0123456789abcdef" * 2 + "x"))
    hidden = attributes_of(packet)[2]
    assert len(hidden) == 48
    last, clear = packet[4:20], b""
    for at in range(0, 48, 16):
        key = hashlib.md5(SECRET + last).digest()
        last = hidden[at : at + 16]
        clear += bytes(a ^ b for a, b in zip(last, key, strict=True))
    assert clear == b"0123456789abcdef" * 2 + b"x" + bytes(15)
    assert len(attributes_of(asked_by(replace(JOE, password="")))[2]) == 16


def test_chap_proves_the_password_without_sending_it():
    found = checked(asked_by(replace(JOE, method="chap")))
    assert found.keys() == {80, 1, 32, 3, 60}
    assert found[3][1:] == hashlib.md5(found[3][:1] + b"guess me" + found[60]).digest()


def test_no_two_requests_are_alike():
    packets = [asked_by(JOE) for _ in range(40)]
    assert len({packet[4:20] for packet in packets}) == 40
    assert len({packet[1] for packet in packets}) > 20


def test_more_attributes_are_added_by_name_and_number():
    table = (("NAS-Port-Type", "5"), ("calling-station-id", "healthd"), ("26", "0x0000000901"), ("77", "wire"))
    found = checked(asked_by(replace(JOE, attributes=table, nas_identifier=None, nas_address="2001:db8::7")))
    assert (found[61], found[31], found[26], found[77]) == (b"\0\0\0\5", b"healthd", b"\0\0\0\t\1", b"wire")
    assert found[95] == bytes.fromhex("20010db8000000000000000000000007")
    assert 32 not in found


@pytest.mark.parametrize(
    ("check", "reply", "detail"),
    [
        (JOE, ACCEPT, "Access-Accept"),
        (STATUS, ACCEPT, "Access-Accept"),
        (STATUS, ACCOUNTED, "Accounting-Response"),
        (STATUS, answer(2, proof=False), "Access-Accept"),
        (replace(JOE, method="chap"), ACCEPT, "Access-Accept"),
        (replace(JOE, expect_code=("Access-Reject",)), REJECT, "Access-Reject"),
        (replace(JOE, expect_code=("Access-Accept", "Access-Challenge")), CHALLENGE, "Access-Challenge"),
        (replace(JOE, expect="^hi"), answer(2, message("hi joe") + message("more")), "Access-Accept"),
        (replace(JOE, message_authenticator="optional"), answer(2, proof=False), "Access-Accept"),
        (JOE, lambda asked: ACCEPT(asked) + b"padding", "Access-Accept"),
    ],
)
def test_a_right_answer_passes(check: RadiusCheck, reply: Reply, detail: str):
    verdict = play(check, datagrams(reply))
    assert (verdict.outcome, verdict.detail) == (Outcome.PASS, detail)


@pytest.mark.parametrize(
    ("check", "reply", "detail"),
    [
        (JOE, REJECT, "got Access-Reject (no way), want Access-Accept"),
        (JOE, CHALLENGE, "got Access-Challenge, want Access-Accept"),
        (JOE, ACCOUNTED, "got Accounting-Response, want Access-Accept"),
        (JOE, answer(52), "got Protocol-Error, want Access-Accept"),
        (STATUS, REJECT, "got Access-Reject (no way), want Access-Accept, Accounting-Response"),
        (replace(JOE, expect_code=("Access-Reject",)), ACCEPT, "got Access-Accept, want Access-Reject"),
        (replace(JOE, expect="^hi"), answer(2, message("ho")), "expect '^hi' does not match: got 'ho'"),
        (replace(JOE, expect="^hi"), ACCEPT, "expect '^hi' does not match: got nothing"),
    ],
)
def test_a_wrong_answer_fails(check: RadiusCheck, reply: Reply, detail: str):
    verdict = play(check, datagrams(reply))
    assert failed(verdict, Reason.UNEXPECTED)
    assert verdict.detail == detail


def test_an_answer_must_be_hard_to_forge_unless_told_otherwise():
    verdict = play(JOE, datagrams(answer(2, proof=False)))
    assert failed(verdict, Reason.PROTOCOL)
    assert verdict.detail.startswith("Access-Accept has no Message-Authenticator")
    lax = replace(JOE, message_authenticator="optional")
    forged = play(lax, datagrams(answer(2, b"\x21\x06junk", proof=False)))
    assert "Proxy-State that we did not send" in forged.detail
    assert passed(play(lax, datagrams(answer(2, b"\x21\x06junk"))))
    sent = replace(lax, attributes=(("33", "ours"),))
    assert passed(play(sent, datagrams(answer(2, b"\x21\x06ours", proof=False))))
    more = play(sent, datagrams(answer(2, b"\x21\x06ours\x21\x06junk", proof=False)))
    assert "Proxy-State that we did not send" in more.detail


def wrong_proof(asked: bytes) -> bytes:
    placed = b"\x50\x12" + bytes(16)
    header = bytes((2, asked[1])) + (20 + len(placed)).to_bytes(2, "big")
    return header + hashlib.md5(header + asked[4:20] + placed + SECRET).digest() + placed


STRANGERS: list[tuple[Reply, str]] = [
    (lambda asked: b"?", "it says it is 0 bytes long, and is 1"),
    (lambda asked: bytes(20), "it says it is 0 bytes long, and is 20"),
    (lambda asked: asked, "it is no answer to our request (code 12"),
    (lambda asked: ACCEPT(asked)[:-1], "it says it is 38 bytes long, and is 37"),
    (lambda asked: ACCEPT(asked[:1] + bytes((asked[1] ^ 1,)) + asked[2:]), "it is no answer to our request (code 2"),
    (lambda asked: ACCEPT(asked[:4] + bytes(16)), "its Response Authenticator is wrong"),
    (answer(2, secret=b"other"), "its Response Authenticator is wrong"),
    (answer(4), "it is no answer to our request (code 4"),
    (answer(2, b"\x12\x01"), "its attributes are malformed"),
    (answer(2, b"\x12"), "its attributes are malformed"),
    (answer(2, b"\x12\x05ab"), "its attributes are malformed"),
    (answer(2, b"\x50\x12" + bytes(16)), "its Message-Authenticator is malformed"),
    (answer(2, b"\x50\x04ab", proof=False), "its Message-Authenticator is malformed"),
    (wrong_proof, "its Message-Authenticator is wrong"),
]


@pytest.mark.parametrize(("reply", "detail"), STRANGERS)
def test_what_cannot_be_believed_is_told_when_nothing_better_comes(reply: Reply, detail: str):
    verdict = play(STATUS, datagrams(reply))
    assert failed(verdict, Reason.PROTOCOL)
    assert verdict.detail.startswith(f"no answer that can be believed: {detail}")


def test_a_right_answer_counts_whatever_came_before():
    seen: list[bytes] = []

    def remember(asked: bytes) -> bytes:
        seen.append(asked)
        return b"?"

    strangers = [(lambda _, make=make: make(seen[0])) for make, _ in STRANGERS]
    assert passed(play(STATUS, datagrams(remember, *strangers, lambda _: ACCEPT(seen[0]))))


def test_silence_is_told_as_such():
    verdict = play(JOE, datagrams())
    assert failed(verdict, Reason.TIMEOUT)
    assert verdict.detail.startswith("no answer; servers are silent, too")


def test_over_tls_a_packet_is_cut_from_the_stream_by_its_length():
    tls = Tls(server_name="a.example")
    check = replace(JOE, tls=tls)
    for reply, right in ((ACCEPT, True), (answer(2, proof=False), True), (REJECT, False)):
        verdict = same_verdict_for_every_cut(check, lambda reply=reply: [stream(reply)], length=46)
        assert passed(verdict) == right
    player = Player([stream(ACCEPT)])
    player.play(check)
    assert player.steps[0] == Connect(tls, speaks=True)


@pytest.mark.parametrize(
    ("script", "detail"),
    [
        ([END], "connection closed without an answer, 4 expected"),
        ([b"\2\0\0\x13"], "answer says it is 19 bytes long"),
        ([b"\2\0\x10\1"], "answer says it is 4097 bytes long"),
        ([b"HTTP/1.1 400 Bad Request"], "answer says it is 21584 bytes long"),
        ([lambda asked: ACCEPT(asked)[:30], END], "connection closed after 26 bytes, 34 expected"),
        ([answer(2, secret=b"other")], "answer cannot be believed: its Response Authenticator is wrong"),
    ],
)
def test_over_tls_nothing_else_is_waited_for(script: list[bytes | Reply], detail: str):
    verdict = same_verdict_for_every_cut(replace(JOE, tls=Tls()), lambda: [stream(*script)], length=30)
    assert failed(verdict, Reason.PROTOCOL)
    assert verdict.detail.startswith(detail)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"secret": ""}, "must not be empty"),
        ({"user": None}, "password and method are of no use without user"),
        ({"user": None, "password": "", "method": "chap"}, "password and method are of no use without user"),
        ({"user": "x" * 254}, "must be 1 to 253 bytes, got 254"),
        ({"password": "x" * 129}, "must not be longer than 128 bytes"),
        ({"nas_identifier": None}, "one of nas_identifier and nas_address is needed"),
        ({"nas_address": "here"}, "'here' does not appear to be an IPv4 or IPv6 address"),
        ({"expect": "("}, "is not a regular expression"),
        ({"expect_code": ("Accept",)}, "'Accept' is not an answer; Access-Accept, "),
        ({"attributes": (("Colour", "red"),)}, "Colour: is neither the number of an attribute nor one of call"),
        ({"attributes": (("NAS-Port", "x"),)}, "NAS-Port: must be a number"),
        ({"attributes": (("256", "x"),)}, "256: is neither the number"),
        ({"attributes": (("80", "x"),)}, "80: cannot be set"),
        ({"attributes": (("26", "0xzz"),)}, "26: "),
        ({"attributes": (("26", ""),)}, "26: must be 1 to 253 bytes, got 0"),
        ({"attributes": (("26", "x" * 250),) * 20}, "attributes are too long"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, object], text: str):
    with pytest.raises(ValueError, match=text):
        configured(options)


def configured(options: dict[str, object]) -> RadiusCheck:
    """A check whose options went by their rules first, as those of a configuration do."""
    rules = {name: RadiusCheck.__dataclass_fields__[name].metadata["rule"] for name in options}
    return replace(JOE, **{name: rules[name](value) if rules[name] else value for name, value in options.items()})


CHECKS = [STATUS, JOE, replace(JOE, message_authenticator="optional"), replace(STATUS, expect_code=("Access-Reject",))]


@settings(max_examples=max(400, settings().max_examples))
@given(st.sampled_from(CHECKS), st.binary(max_size=80), st.integers(0, 3), st.integers(0, 37), st.integers(1, 255))
def test_junk_gives_a_verdict_and_never_a_pass(check: RadiusCheck, junk: bytes, where: int, place: int, flip: int):
    """Junk at once, after a header, as attributes that are signed, and one byte of a good answer changed."""

    def reply(asked: bytes) -> bytes:
        good = bytearray(signed(2, asked, b""))
        good[place] ^= flip
        return [junk or b"?", bytes((2, asked[1])) + junk, signed(2, asked, junk, proof=False), bytes(good)][where]

    well_formed = where == 2 and (check.user is None or check.message_authenticator == "optional")
    assert not passed(play(check, datagrams(reply))) or well_formed
    assert not passed(play(replace(check, tls=Tls()), stream(reply, END))) or where == 2


@pytest.mark.parametrize(("method", "kind"), [("pap", 2), ("chap", 3)])
def test_nothing_secret_is_sent_as_it_is_and_what_proves_it_is_in_no_transcript(method: str, kind: int):
    player = Player([datagrams(ACCEPT)])
    player.play(replace(JOE, method=method))  # type: ignore[arg-type]
    (sent,) = (step for step in player.steps if isinstance(step, Send))
    assert b"guess" not in sent.data
    assert SECRET not in sent.data
    assert sent.hide == sent.data[-len(sent.hide) :]
    assert attributes_of(sent.data)[kind] in sent.hide
