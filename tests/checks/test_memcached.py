"""The memcached check by transcripts in both of its protocols."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checks.memcached import MemcachedCheck
from healthd.check import Connect, Outcome, Reason, Send, Tls
from tests.checks.harness import (
    END,
    RESET,
    Player,
    Sent,
    every_cut,
    failed,
    passed,
    play,
    single,
    stream,
)

ASK, VERSION = Sent(b"version\r\n"), b"VERSION 1.6.18\r\n"
STATS = b"STAT pid 7\r\nSTAT accepting_conns 1\r\nSTAT version 1.6.18\r\nEND\r\n"
SASL = MemcachedCheck(user="joe", password="secret", login="sasl")


# --- text -------------------------------------------------------------------------------------------------------


def test_a_version_passes_and_nothing_else_is_asked():
    verdict = every_cut(MemcachedCheck(), ASK, VERSION)
    assert (verdict.outcome, verdict.detail) == (Outcome.PASS, "version 1.6.18")
    player = Player([stream(VERSION)])
    assert passed(player.play(MemcachedCheck(tls=Tls(verify=False))))
    assert player.steps[0] == Connect(Tls(verify=False), speaks=True)


def test_a_login_goes_first_and_its_password_is_hidden():
    login = b"set healthd 0 -1 10\r\njoe secret\r\n"
    check = MemcachedCheck(user="joe", password="secret")
    assert passed(every_cut(check, Sent(login), b"STORED\r\n", ASK, VERSION))
    player = Player([stream(b"STORED\r\n", VERSION)])
    player.play(check)
    assert player.steps[1] == Send(login, b"secret")
    refused = every_cut(check, b"CLIENT_ERROR authentication failure\r\n")
    assert failed(refused, Reason.UNEXPECTED)
    assert refused.detail == "login: got 'CLIENT_ERROR authentication failure', want STORED"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"ERROR\r\n", Reason.UNEXPECTED),
        (b"ERROR Too many open connections\r\n", Reason.UNEXPECTED),
        (b"CLIENT_ERROR unauthenticated\r\n", Reason.UNEXPECTED),
        (b"SERVER_ERROR out of memory\r\n", Reason.UNEXPECTED),
        (b"VERSION \r\n", Reason.PROTOCOL),
        (b"VERSION\r\n", Reason.PROTOCOL),
        (b"VERSIONS 1\r\n", Reason.PROTOCOL),
        (b"\r\n", Reason.PROTOCOL),
        (b"220 mail.example.net ESMTP\r\n", Reason.PROTOCOL),
        (b"VERSION 1.6\n", Reason.PROTOCOL),
        (b"VERSION 1.6\r", Reason.PROTOCOL),
        (b"", Reason.PROTOCOL),
    ],
)
def test_another_answer_than_a_version_fails(answer: bytes, reason: Reason):
    assert failed(every_cut(MemcachedCheck(), ASK, answer, END), reason)


def test_statistics_must_be_there_and_match():
    check = MemcachedCheck(stats=(("accepting_conns", "^1$"), ("pid", "7")))
    assert passed(every_cut(check, ASK, VERSION, Sent(b"stats\r\n"), STATS))
    wrong = MemcachedCheck(stats=(("version", "^1\\.5"),))
    assert every_cut(wrong, VERSION, STATS).detail == "version: '^1\\\\.5' does not match: got '1.6.18'"
    missing = every_cut(MemcachedCheck(stats=(("uptime", ""),)), VERSION, STATS)
    assert (missing.reason, missing.detail) == (Reason.UNEXPECTED, "server has no statistic 'uptime'")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"STAT pid 7\r\n", Reason.PROTOCOL),
        (b"STAT pid 7\r\nEN", Reason.PROTOCOL),
        (b"STAT \r\nEND\r\n", Reason.PROTOCOL),
        (b"pid 7\r\nEND\r\n", Reason.PROTOCOL),
        (b"STAT pid 7\r\nSERVER_ERROR out of memory\r\n", Reason.UNEXPECTED),
    ],
)
def test_a_list_of_statistics_that_is_none_fails(answer: bytes, reason: Reason):
    assert failed(every_cut(MemcachedCheck(stats=(("pid", "7"),)), VERSION, answer, END), reason)


def test_statistics_without_an_end_are_read_to_a_bound():
    endless = stream(VERSION, *[b"".join(b"STAT %d-%d x\r\n" % (a, b) for b in range(500)) for a in range(50)])
    verdict = play(MemcachedCheck(stats=(("pid", "7"),)), endless)
    assert failed(verdict, Reason.UNEXPECTED)
    assert "is longer than the 65536 that are read" in verdict.detail


def test_a_key_must_be_there_and_match():
    check = MemcachedCheck(key="a", expect="^x\r\nEND")
    value = b"VALUE a 0 8\r\nx\r\nEND\r\n\r\nEND\r\n"
    verdict = every_cut(check, ASK, VERSION, Sent(b"get a\r\n"), value)
    assert (verdict.outcome, verdict.detail) == (Outcome.PASS, "version 1.6.18, value of 8 bytes")
    assert every_cut(check, VERSION, b"END\r\n").detail == "there is no key 'a'"
    other = every_cut(check, VERSION, b"VALUE a 5 1\r\nb\r\nEND\r\n")
    assert other.detail == "expect '^x\\r\\nEND' does not match: got 'b'"
    assert passed(every_cut(MemcachedCheck(key="a"), VERSION, b"VALUE a 0 0\r\n\r\nEND\r\n"))


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"VALUE b 0 1\r\nx\r\nEND\r\n", Reason.PROTOCOL),
        (b"VALUE a 0 x\r\nx\r\nEND\r\n", Reason.PROTOCOL),
        (b"VALUE a 0 1\r\nxyz\r\nEND\r\n", Reason.PROTOCOL),
        (b"VALUE a 0 9\r\nx\r\nEND\r\n", Reason.PROTOCOL),
        (b"VALUE a 0 70000\r\n", Reason.UNEXPECTED),
        (b"SERVER_ERROR busy\r\n", Reason.UNEXPECTED),
        (b"STORED\r\n", Reason.PROTOCOL),
    ],
)
def test_what_is_no_value_fails(answer: bytes, reason: Reason):
    assert failed(every_cut(MemcachedCheck(key="a"), VERSION, answer, END), reason)


# --- binary -----------------------------------------------------------------------------------------------------


def packet(opcode: int, value: bytes = b"", key: bytes = b"", extras: bytes = b"", status: int = 0) -> bytes:
    body = extras + key + value
    header = (0x81, opcode, len(key), len(extras), 0, status, len(body), opcode, 9)
    return struct.pack(">BBHBBHLLQ", *header) + body


def asked(opcode: int, key: bytes = b"", value: bytes = b"") -> bytes:
    return struct.pack(">BBHBBHLLQ", 0x80, opcode, len(key), 0, 0, 0, len(key + value), opcode, 0) + key + value


LOGIN = asked(0x21, b"PLAIN", b"\0joe\0secret")
IN, TOLD = packet(0x21, b"Authenticated"), packet(0x0B, b"1.6.18")


def test_sasl_logs_in_and_asks_in_binary():
    verdict = every_cut(SASL, Sent(LOGIN), IN, Sent(asked(0x0B)), TOLD)
    assert (verdict.outcome, verdict.detail) == (Outcome.PASS, "version 1.6.18")
    player = Player([stream(IN, TOLD)])
    player.play(SASL)
    assert player.steps[1] == Send(LOGIN, b"secret")


def test_binary_statistics_and_values():
    check = MemcachedCheck(user="joe", login="sasl", stats=(("pid", "^7$"),), key="a", expect="^x$")
    listed = packet(0x10, b"7", b"pid") + packet(0x10, b"1", b"threads") + packet(0x10)
    value = packet(0x00, b"x", extras=b"\0\0\0\5")
    script = (IN, TOLD, Sent(asked(0x21, b"PLAIN", b"\0joe\0") + asked(0x0B) + asked(0x10)), listed)
    verdict = every_cut(check, *script, Sent(asked(0x00, b"a")), value)
    assert (verdict.outcome, verdict.detail) == (Outcome.PASS, "version 1.6.18, value of 1 bytes")
    gone = every_cut(check, IN, TOLD, listed, packet(0x00, b"Not found", status=1))
    assert gone.detail == "there is no key 'a'"


@pytest.mark.parametrize(
    ("answer", "reason", "detail"),
    [
        (packet(0x21, b"Auth failure", status=0x20), Reason.UNEXPECTED, "login: authentication failed (Auth failure)"),
        (packet(0x21, status=0x81), Reason.UNEXPECTED, "login: unknown command"),
        (packet(0x21, status=0x77), Reason.UNEXPECTED, "login: status 119"),
        (packet(0x21, b"x" * 70000), Reason.UNEXPECTED, "login of 70000 bytes is longer"),
        (packet(0x0B, b"1"), Reason.PROTOCOL, "does not belong to the question"),
        (b"\x81\x21\0\x09" + IN[4:], Reason.PROTOCOL, "connection closed"),
        (b"\x81\x21\xff\xff" + IN[4:], Reason.PROTOCOL, "does not belong to the question"),
        (IN[:12] + b"\0\0\0\1" + IN[16:], Reason.PROTOCOL, "does not belong to the question"),
        (b"ERROR\r\n", Reason.PROTOCOL, "login: answer begins with 'E'"),
        (IN[:20], Reason.PROTOCOL, "connection closed"),
        (IN[:-1], Reason.PROTOCOL, "connection closed"),
        (b"", Reason.PROTOCOL, "without an answer"),
    ],
)
def test_what_is_no_right_answer_in_binary_fails(answer: bytes, reason: Reason, detail: str):
    verdict = play(SASL, stream(answer, END))
    assert failed(verdict, reason)
    assert detail in verdict.detail
    assert play(SASL, stream(answer, END), cut=single) == verdict


def test_an_empty_version_is_none():
    assert failed(every_cut(SASL, IN, packet(0x0B)), Reason.PROTOCOL)


# --- options and junk -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"expect": "a"}, "expect needs key"),
        ({"key": "a", "expect": "("}, "is not a regular expression"),
        ({"password": "a"}, "password needs user"),
        ({"login": "sasl"}, "login by sasl needs user"),
        ({"user": "joe"}, "login by text needs a password"),
        ({"user": "joe", "login": "sasl", "password": "a\0b"}, "password must not contain a zero character"),
        ({"user": "joe", "password": "a\r\nflush_all"}, "login by text needs a password without spaces"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, object], text: str):
    with pytest.raises(ValueError, match=text):
        MemcachedCheck(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["key", "user", "stats"])
@pytest.mark.parametrize("value", ["a b", "a\r\nflush_all", "", "x" * 251, "\N{NO-BREAK SPACE}", "\x7f"])
def test_words_that_would_break_out_of_a_line_are_refused(name: str, value: str):
    rule = MemcachedCheck.__dataclass_fields__[name].metadata["rule"]
    with pytest.raises(ValueError, match="must"):
        rule(((value, "x"),) if name == "stats" else value)


ANSWERS = [VERSION, STATS, IN, TOLD, packet(0x10), b"STORED\r\n", b"VALUE a 0 1\r\nx\r\nEND\r\n", b"ERROR\r\n", END]


@settings(max_examples=150)
@given(st.lists(st.one_of(st.binary(max_size=60), st.sampled_from(ANSWERS)), max_size=6))
def test_junk_gives_a_verdict(junk: list[bytes]):
    more = {"stats": (("pid", "7"),), "key": "a"}
    for check in (
        MemcachedCheck(**more),  # type: ignore[arg-type]
        MemcachedCheck(user="joe", password="x", login="sasl", **more),  # type: ignore[arg-type]
    ):
        verdict = play(check, stream(*junk, END))
        assert play(check, stream(*junk, END), cut=single) == verdict
        if VERSION not in b"".join(junk) and TOLD not in b"".join(junk):
            assert not passed(verdict)


def test_a_reset_in_the_middle_is_a_reset():
    assert failed(play(MemcachedCheck(), stream(b"VERS", RESET)), Reason.RESET)
