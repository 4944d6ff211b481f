"""The mqtt check by transcripts in both of its versions."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checks.mqtt import MqttCheck
from checks.mqtt_packets import REASON_CODES, packet, text
from healthd.check import CheckFailed, Connect, Outcome, Reason, Send
from tests.checks.harness import (
    END,
    RESET,
    Player,
    Sent,
    at,
    every_cut,
    failed,
    passed,
    play,
    single,
    stream,
    whole,
)
from tests.support import servers

OLD = MqttCheck(client_id="me")
NEW = MqttCheck(client_id="me", version="5.0")
HELLO_OLD = b"\x10\x0e\0\4MQTT\4\2\0\x3c\0\2me"
HELLO_NEW = b"\x10\x0f\0\4MQTT\5\2\0\x3c\0\0\2me"
YES_OLD, YES_NEW = b"\x20\2\0\0", b"\x20\3\0\0\0"
BYE = b"\xe0\0"


def connack(code: int, properties: bytes = b"", flags: int = 0) -> bytes:
    return packet(0x20, bytes((flags, code, len(properties))) + properties)


# --- connecting -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("check", "hello", "yes"), [(OLD, HELLO_OLD, YES_OLD), (NEW, HELLO_NEW, YES_NEW)])
def test_a_broker_that_accepts_us_passes_and_hears_good_bye(check: MqttCheck, hello: bytes, yes: bytes):
    verdict = every_cut(check, Sent(hello), yes)
    assert (verdict.outcome, verdict.detail) == (Outcome.PASS, "accepted")
    player = Player([stream(yes)])
    player.play(check)
    assert player.steps[0] == Connect(speaks=True)
    assert player.steps[-1] == Send(BYE)


def test_the_verdict_stands_if_there_is_nobody_to_say_good_bye_to():
    conversation = OLD.converse(servers.refusing())
    for answer in (None, None, None, YES_OLD[:1], YES_OLD[1:2]):
        conversation.send(answer)
    assert conversation.send(YES_OLD[2:]) == Send(BYE)
    with pytest.raises(StopIteration) as stop:
        conversation.throw(CheckFailed(Reason.RESET, "connection reset"))
    assert stop.value.value == "accepted"


def test_each_probe_is_a_client_of_its_own_unless_it_has_a_name():
    names = set()
    for _ in range(3):
        player = Player([stream(YES_OLD)])
        player.play(MqttCheck())
        names |= {step.data[14:] for step in player.steps if isinstance(step, Send) and step.data != BYE}
    assert len(names) == 3
    assert all(len(name) == 23 and name.isalnum() for name in names)  # what every broker must take (3.1.3.1)


def test_a_login_goes_with_it_and_its_password_is_hidden():
    for version, level, nothing in (("3.1.1", b"\4", b""), ("5.0", b"\5", b"\0")):
        check = MqttCheck(version=version, client_id="", user="jöe", password="sëcret")  # type: ignore[arg-type]
        body = b"\0\4MQTT" + level + b"\xc2\0\x3c" + nothing + b"\0\0" + text("jöe") + text("sëcret")
        player = Player([stream(YES_OLD if version == "3.1.1" else YES_NEW)])
        assert passed(player.play(check))
        assert player.steps[1] == Send(packet(0x10, body), "sëcret".encode())


def test_a_user_alone_or_in_version_5_a_password_alone_will_do():
    assert passed(
        play(MqttCheck(client_id="", user="a"), stream(Sent(b"\x10\x0f\0\4MQTT\4\x82\0\x3c\0\0\0\1a"), YES_OLD))
    )
    alone = MqttCheck(version="5.0", client_id="", password="a")
    assert passed(play(alone, stream(Sent(b"\x10\x10\0\4MQTT\5\x42\0\x3c\0\0\0\0\1a"), YES_NEW)))


@pytest.mark.parametrize(
    ("check", "answer", "detail"),
    [
        (OLD, b"\x20\2\0\1", "connection refused: unacceptable protocol version (0x01)"),
        (OLD, b"\x20\2\0\4", "connection refused: bad user name or password (0x04)"),
        (OLD, b"\x20\2\0\5", "connection refused: not authorized (0x05)"),
        (OLD, b"\x20\2\0\x63", "connection refused: code (0x63)"),
        (NEW, connack(0x87), "connection refused: not authorized (0x87)"),
        (NEW, connack(0x89, b"\x1f\0\4full"), "connection refused: server busy (0x89), 'full'"),
        (NEW, connack(0x9C, b"\x1c\0\1b\x1f\0\1a"), "connection refused: use another server (0x9c), 'a', 'b'"),
        (NEW, connack(0xFF), "connection refused: code (0xff)"),
        (NEW, b"\x20\2\0\1", "connection refused: unacceptable protocol version (0x01)"),
    ],
)
def test_a_refusal_is_told_by_its_name(check: MqttCheck, answer: bytes, detail: str):
    verdict = every_cut(check, answer, END)
    assert failed(verdict, Reason.UNEXPECTED)
    assert verdict.detail == detail


def test_the_names_of_codes_stand_where_the_standard_has_them():
    known = {0x80: "unspecified error", 0x8D: "keep alive timeout", 0x97: "quota exceeded", 0x9B: "QoS not supported"}
    known |= {0xA2: "wildcard subscriptions not supported", 0x90: "topic name invalid"}
    assert {code: REASON_CODES[code] for code in known} == known
    assert list(REASON_CODES) == list(range(0x80, 0xA3))


def test_properties_of_every_kind_are_read_past():
    every = b"".join(
        [
            b"\x21\0\x14",  # receive maximum
            b"\x24\1\x25\0",  # maximum quality of service, retain available
            b"\x27\0\1\0\0",  # maximum packet size
            b"\x12\0\3abc",  # assigned client identifier
            b"\x26\0\1k\0\1v\x26\0\1k\0\1w",  # user properties
            b"\x16\0\2\0\xff",  # authentication data
            b"\x0b\x80\1",  # a number of variable length
        ]
    )
    assert passed(every_cut(NEW, connack(0, every)))


@pytest.mark.parametrize(
    ("check", "answer"),
    [
        (OLD, b"\x20\2\1\0"),
        (OLD, b"\x20\3\0\0\0"),
        (OLD, b"\x20\1\0"),
        (OLD, b"\x20\0"),
        (OLD, b"\x21\2\0\0"),
        (OLD, b"\x30\2\0\0"),
        (OLD, b"\x20\xff\xff\xff\xff\x01"),
        (OLD, b"\x20"),
        (OLD, b"\x20\2\0"),
        (OLD, b""),
        (OLD, b"HTTP/1.1 400 Bad Request\r\n"),
        (OLD, b"220 mail.example.net ESMTP\r\n"),
        (NEW, YES_OLD),
        (NEW, connack(0, flags=1)),
        (NEW, b"\x20\3\0\0\5"),
        (NEW, connack(0, b"\x7e")),
        (NEW, connack(0, b"\x1f\0\x09short")),
        (NEW, b"\x20\6\0\0\2\x1f\0\0"),
        (NEW, b"\x20\7\0\0\4\x0b\xff\xff\xff"),
        (NEW, b"\x20\x08\0\0\5\x0b\xff\xff\xff\xff"),
        (NEW, b"\x20\4\0\0\0\0"),
    ],
)
def test_what_is_no_connack_is_not_the_protocol(check: MqttCheck, answer: bytes):
    assert failed(every_cut(check, answer, END), Reason.PROTOCOL)


def test_a_packet_too_long_is_not_read():
    verdict = every_cut(OLD, b"\x20\xff\xff\xff\x7f")
    assert (verdict.reason, verdict.detail) == (Reason.UNEXPECTED, "CONNACK of 268435455 bytes is longer than 65536")


# --- subscribing ------------------------------------------------------------------------------------------------

ASK_OLD, ASK_NEW = b"\x82\7\0\1\0\2a/\0", b"\x82\x08\0\1\0\0\2a/\0"
GRANTED_OLD, GRANTED_NEW = b"\x90\3\0\1\0", b"\x90\4\0\1\0\0"


def published(payload: bytes, five: bool = False, flags: int = 1) -> bytes:
    number = b"\0\7" if flags >> 1 & 3 else b""
    return packet(0x30 | flags, text("a/") + number + (b"\3\x03\0\0" if five else b"") + payload)


@pytest.mark.parametrize(
    ("check", "yes", "ask", "granted"),
    [(OLD, YES_OLD, ASK_OLD, GRANTED_OLD), (NEW, YES_NEW, ASK_NEW, GRANTED_NEW)],
)
@pytest.mark.parametrize("order", [lambda grant, message: (grant, message), lambda grant, message: (message, grant)])
def test_a_subscription_and_its_message_pass(
    check: MqttCheck, yes: bytes, ask: bytes, granted: bytes, order: Callable[..., tuple[bytes, bytes]]
):
    subscribed = MqttCheck(version=check.version, client_id="me", topic="a/")
    assert every_cut(subscribed, yes, granted).detail == "accepted, subscribed"
    message = published(b"hello world", check.version == "5.0")
    assert every_cut(subscribed, yes, message, granted).detail == "accepted, subscribed"
    expecting = MqttCheck(version=check.version, client_id="me", topic="a/", expect="^hello")
    player = Player([stream(yes, *order(granted, message))])
    assert player.play(expecting).detail == "accepted, message of 11 bytes"
    assert Send(ask) in player.steps
    assert every_cut(expecting, yes, *order(granted, message)).detail == "accepted, message of 11 bytes"
    other = published(b"other", check.version == "5.0", flags=3)
    assert every_cut(expecting, yes, *order(granted, other)).detail == "expect '^hello' does not match: got 'other'"


def test_a_broker_of_version_5_is_asked_for_no_retained_messages_that_nobody_looks_at():
    player = Player([stream(YES_NEW, GRANTED_NEW)])
    assert passed(player.play(MqttCheck(version="5.0", client_id="me", topic="a/")))
    assert Send(ASK_NEW[:-1] + b"\x20") in player.steps


@pytest.mark.parametrize(
    ("check", "answer", "reason", "detail"),
    [
        (OLD, b"\x90\3\0\1\x80", Reason.UNEXPECTED, "subscription refused: code (0x80)"),
        (NEW, b"\x90\4\0\1\0\x87", Reason.UNEXPECTED, "subscription refused: not authorized (0x87)"),
        (NEW, b"\xe0\0", Reason.UNEXPECTED, "broker disconnects: code (0x00)"),
        (NEW, b"\xe0\1\x8b", Reason.UNEXPECTED, "broker disconnects: server shutting down (0x8b)"),
        (NEW, b"\xe0\6\x8b\4\x1f\0\1x", Reason.UNEXPECTED, "broker disconnects: server shutting down (0x8b), 'x'"),
        (OLD, b"\xe0\0", Reason.PROTOCOL, "want SUBACK or PUBLISH"),
        (OLD, b"\x90\3\0\2\0", Reason.PROTOCOL, "SUBACK is of packet 2, want 1"),
        (OLD, b"\x90\4\0\1\0\0", Reason.PROTOCOL, "too long"),
        (OLD, b"\x90\2\0\1", Reason.PROTOCOL, "cut short"),
        (OLD, b"\x36\4\0\1ax", Reason.PROTOCOL, "quality of service that does not exist"),
        (OLD, b"\x30\1\0", Reason.PROTOCOL, "cut short"),
        (OLD, b"\x20\2\0\0", Reason.PROTOCOL, "want SUBACK or PUBLISH"),
        (OLD, b"", Reason.PROTOCOL, "without an answer"),
    ],
)
def test_a_subscription_that_is_not_granted_fails(check: MqttCheck, answer: bytes, reason: Reason, detail: str):
    subscribing = MqttCheck(version=check.version, topic="a/")
    verdict = every_cut(subscribing, YES_OLD if check is OLD else YES_NEW, answer, END)
    assert failed(verdict, reason)
    assert detail in verdict.detail


@pytest.mark.parametrize("size", [65600, 200000])
def test_of_a_long_message_the_beginning_is_looked_at(size: int):
    """Older brokers send what they have retained before they acknowledge the subscription, as the standard allows."""
    long = published(b"hello" + b"x" * (size - 10) + b"world")
    check = MqttCheck(client_id="me", topic="a/")
    cutting = [whole, at(3), at(65536), at(65545)]
    assert {play(check, stream(YES_OLD, long + GRANTED_OLD), cut=cut).detail for cut in cutting} == {
        "accepted, subscribed"
    }
    begins, ends = (MqttCheck(client_id="me", topic="a/", expect=one) for one in ("^hello", "world$"))
    assert play(begins, stream(YES_OLD, GRANTED_OLD, long)).detail == f"accepted, message of {size} bytes"
    assert failed(play(ends, stream(YES_OLD, GRANTED_OLD, long)), Reason.UNEXPECTED)


def test_a_message_too_long_to_be_read_past_is_told():
    verdict = play(MqttCheck(topic="a/"), stream(YES_OLD, b"\x30\xff\xff\xff\x7f"))
    assert (verdict.reason, verdict.detail) == (Reason.UNEXPECTED, "PUBLISH of 268435455 bytes is longer than 1048576")


def test_messages_without_an_acknowledgement_are_read_to_a_bound():
    verdict = play(MqttCheck(topic="a/"), stream(YES_OLD, published(b"x") * 1001))
    assert failed(verdict, Reason.PROTOCOL)
    assert verdict.detail == "broker has sent 1000 packets without an answer to SUBSCRIBE"


def test_silence_after_the_subscription_is_too_late():
    assert failed(play(MqttCheck(topic="a/", expect="x"), stream(YES_OLD, GRANTED_OLD)), Reason.TIMEOUT)


# --- options and junk -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"password": "a"}, "password needs user in MQTT 3.1.1"),
        ({"expect": "a"}, "expect needs topic"),
        ({"topic": "a", "expect": "("}, "is not a regular expression"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, object], text: str):
    with pytest.raises(ValueError, match=text):
        MqttCheck(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("topic", ["", "a+", "a/b#", "#/a", "a/#/b", "a\0", "x" * 65536])
def test_topics_that_are_none_are_refused(topic: str):
    rule = MqttCheck.__dataclass_fields__["topic"].metadata["rule"]
    with pytest.raises(ValueError, match="must"):
        rule(topic)
    for good in ("a", "/", "+/b/#", "#", "$SYS/broker/uptime", "$share/g/a/+", None):
        assert rule(good) == good


ANSWERS = [YES_OLD, YES_NEW, GRANTED_OLD, GRANTED_NEW, published(b"x"), published(b"x", True), b"\xe0\1\x8b", END]


@settings(max_examples=200)
@given(st.lists(st.one_of(st.binary(max_size=60), st.sampled_from(ANSWERS)), max_size=6))
def test_junk_gives_a_verdict(junk: list[bytes]):
    for check in (OLD, NEW, MqttCheck(version="5.0", topic="a/", expect="x"), MqttCheck(topic="a/")):
        verdict = play(check, stream(*junk, END))
        assert play(check, stream(*junk, END), cut=single) == verdict
        if not any(item.startswith(b"\x20") for item in junk):
            assert not passed(verdict)


def test_a_reset_in_the_middle_is_a_reset():
    assert failed(play(OLD, stream(b"\x20", RESET)), Reason.RESET)
