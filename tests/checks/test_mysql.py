"""mysql by transcripts: what it sends, what it makes of every answer, in every cut."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.mysql import MysqlCheck
from checks.mysql_packets import columns
from healthd.check import CheckFailed, Outcome, Reason, Send, Tls
from tests.checks.harness import END, RESET, V4, Item, Player, Sent, passed, play, stream
from tests.checks.played_mysql import (
    CACHING,
    JOE,
    KNOCK,
    LET_IN,
    LIMIT,
    NATIVE,
    OK,
    QUIT,
    SCRAMBLE,
    SET,
    caching,
    error,
    hello,
    login,
    native,
    packet,
    packets,
    result,
    row,
    verdict_for,
)


@pytest.mark.parametrize(("plugin", "proof"), [(NATIVE, native(b"secret")), (CACHING, caching(b"secret"))])
def test_a_login_and_a_query_are_sent_as_the_protocol_has_it(plugin: str, proof: bytes):
    answer = LET_IN if plugin == NATIVE else packets(2, b"\1\3", OK)
    asked = Sent(login(b"joe", proof, plugin)), answer, Sent(packet(0, b"\3" + LIMIT)), SET
    script = hello(plugin), *asked, Sent(packet(0, b"\3SELECT 1")), result(row(b"1"))
    verdict = verdict_for(JOE, *script)
    assert (verdict.outcome, verdict.detail) == (Outcome.PASS, "1")
    player = Player([stream(*script)])
    player.play(JOE)
    assert player.steps[-1] == Send(QUIT)
    assert [step.hide for step in player.steps if isinstance(step, Send)] == [proof, b"", b"", b""]


def test_mariadb_is_told_of_its_own_limit_and_known_by_its_name():
    def limit(sent: bytes) -> bytes:
        assert b"max_statement_time = IF(" in sent
        assert b"@@max_statement_time, 30)" in sent
        return SET

    greeting = hello(version="5.5.5-10.11.19-MariaDB")
    assert passed(verdict_for(JOE, greeting, lambda _: LET_IN, limit, result(row(b"1"))))
    said = play(KNOCK, stream(greeting, packet(2, error(1045, "28000", "Access denied"))))
    assert said.detail == "10.11.19-MariaDB takes logins: Access denied (1045)"


@pytest.mark.parametrize("check", [JOE, KNOCK])
@pytest.mark.parametrize(
    ("greeting", "reason", "detail"),
    [
        (packet(0, error(1040, "08004", "Too many connections")), Reason.UNEXPECTED, "Too many connections (1040)"),
        (packet(0, error(1129, "", "Host 'x' is blocked")), Reason.UNEXPECTED, "Host 'x' is blocked (1129)"),
        (packet(0, error(1130, "HY000", "not allowed")), Reason.UNEXPECTED, "not allowed (1130)"),
        (packet(0, b"\xff\x10\x04"), Reason.PROTOCOL, "an error that cannot be read"),
        (packet(0, b"\x09" + bytes(40)), Reason.PROTOCOL, "protocol 9, want 10"),
        (packet(0, b"\x0a8.0\0short"), Reason.PROTOCOL, "a greeting that cannot be read"),
        (packet(0, b"\x0a" + bytes(40)), Reason.PROTOCOL, "does not speak the protocol of MySQL 4.1"),
        (hello()[:50] + b"\0\0\0\0" + hello()[54:-30], Reason.PROTOCOL, "connection closed"),
        (hello(capabilities=0xFFFFFFFF)[:3] + b"\1" + hello()[4:], Reason.PROTOCOL, "not MySQL"),
        (b"220 mail.example ESMTP\r\n", Reason.PROTOCOL, "not MySQL: got '220 '"),
        (b"HTTP/1.1 400 Bad Request\r\n", Reason.PROTOCOL, "not MySQL: got 'HTTP'"),
        (b"\x05\0\0\0\x0b\x08\x05\x1a\0", Reason.PROTOCOL, "protocol 11, want 10"),
        (b"J\0", Reason.PROTOCOL, "connection closed after 2 bytes, 4 expected"),
        (END, Reason.PROTOCOL, "connection closed without an answer"),
        (RESET, Reason.RESET, "connection reset"),
    ],
)
def test_a_greeting_that_is_none_fails(check: MysqlCheck, greeting: Item, reason: Reason, detail: str):
    verdict = play(check, stream(greeting, END))
    assert (verdict.outcome, verdict.reason) == (Outcome.FAIL, reason)
    assert detail in verdict.detail


@pytest.mark.parametrize(
    ("answer", "reason", "detail"),
    [
        (packet(1, error(1064, "42000", "syntax")), Reason.UNEXPECTED, "syntax (1064)"),
        (packet(1, error(1053, "08S01", "shutdown")), Reason.UNEXPECTED, "shutdown (1053)"),
        (packet(1, OK), Reason.UNEXPECTED, "the result has no row"),
        (result(), Reason.UNEXPECTED, "the result has no row"),
        (result(row(b"2")), Reason.UNEXPECTED, "expect '^1$' does not match: got '2'"),
        (result(row(None)), Reason.UNEXPECTED, "got 'NULL'"),
        (packet(1, b"\xfb/etc/passwd"), Reason.UNEXPECTED, "the query asks for a file of ours"),
        (result(row(b"1"))[:-9] + packet(5, error(1969, "70100", "too slow")), Reason.UNEXPECTED, "too slow (1969)"),
        (result(row(b"1", b"2")), Reason.PROTOCOL, "a row that cannot be read"),
        (result(b"\xfa1"), Reason.PROTOCOL, "a row that cannot be read"),
        (result(b"\xfd"), Reason.PROTOCOL, "a length that cannot be read"),
        (packet(1, b"\1\1"), Reason.PROTOCOL, "a number of columns that cannot be read"),
        (packet(1, b"\xfc\xff\xff"), Reason.PROTOCOL, "a number of columns that cannot be read"),
        (packets(1, b"\1", b"\3def", b"\3def"), Reason.PROTOCOL, "an end of columns that cannot be read"),
        (packet(1, b"\0"), Reason.PROTOCOL, "that cannot be read"),
        (result(row(b"1"), turn=2), Reason.PROTOCOL, "packet number 2, want 1"),
    ],
)
def test_a_query_that_comes_to_nothing(answer: bytes, reason: Reason, detail: str):
    verdict = verdict_for(replace(JOE, expect="^1$"), hello(), lambda _: LET_IN, SET, lambda _: answer, END)
    assert (verdict.outcome, verdict.reason) == (Outcome.FAIL, reason)
    assert detail in verdict.detail


def test_a_server_that_cannot_limit_a_query_is_asked_all_the_same():
    unknown = packet(1, error(1193, "HY000", "Unknown system variable"))
    assert passed(verdict_for(JOE, hello(), LET_IN, unknown, result(row(b"1"))))
    gone = verdict_for(JOE, hello(), LET_IN, packet(1, error(1053, "08S01", "Server shutdown in progress")), END)
    assert gone.detail == "Server shutdown in progress (1053)"


def test_the_first_value_of_the_first_row_of_the_first_result_is_what_counts():
    further = result(row(b"7"), status=0x0A) + result(row(b"8"), turn=6)
    for answer, options, want in (
        (result(row(b"7", b"8"), columns=2), {"expect": "^7$"}, Outcome.PASS),
        (result(row(b"7"), row(b"8")), {"expect": "8"}, Outcome.FAIL),
        (further, {"expect": "^7$"}, Outcome.PASS),
        (result(row(b"7"), status=0x0A) + packet(6, OK), {}, Outcome.PASS),
        (result(row(b"7"), status=0x0A) + packet(6, error(1, "42000", "no")), {}, Outcome.FAIL),
        (result(row("grün".encode())), {"expect": "^gr.n$"}, Outcome.PASS),
        (result(row(b"x" * 300)), {"expect": "^x{300}$"}, Outcome.PASS),
        (result(), {"allow_empty": True}, Outcome.PASS),
        (packet(1, OK), {"allow_empty": True}, Outcome.PASS),
        (packet(1, OK), {}, Outcome.FAIL),
        (packet(1, b"\0\4" + OK[2:]), {"expect": "^4$"}, Outcome.PASS),
    ):
        check: Any = replace(JOE, **options)
        assert verdict_for(check, hello(), LET_IN, SET, answer).outcome is want, (answer, options)


def test_a_result_without_an_end_is_left_in_the_middle_of_it():
    """... without QUIT, which a server that is still talking would not read."""
    endless = result(row(b"1"))[:-9] + b"".join(packet((5 + n) % 256, row(b"x" * 60000)) for n in range(30))
    player = Player([stream(hello(), LET_IN, SET, endless)])
    verdict = player.play(JOE)
    assert (verdict.outcome, verdict.detail) == (Outcome.PASS, "1")
    assert [step.data for step in player.steps if isinstance(step, Send)][-1] == packet(0, b"\3SELECT 1")


@pytest.mark.parametrize(("value", "role"), [(b"0", "read-write"), (b"1", "read-only"), (b"OFF", "read-write")])
@pytest.mark.parametrize("wanted", ["any", "read-write", "read-only"])
def test_the_role_is_asked_for(value: bytes, role: str, wanted: Any):
    check = replace(JOE, role=wanted)
    asked: list[Item] = [SET, Sent(packet(0, b"\3SELECT 1")), result(row(b"1"))]
    if wanted != "any":
        asked = [Sent(packet(0, b"\3SELECT @@global.read_only")), result(row(value)), *asked]
        asked[2:3] = [lambda _: SET]
    else:
        asked[:1] = [lambda _: SET]
    verdict = verdict_for(check, hello(), lambda _: LET_IN, *asked)
    assert passed(verdict) == (wanted in ("any", role))
    assert passed(verdict) or verdict.detail == f"server is not {wanted}"


@pytest.mark.parametrize(
    ("answer", "outcome", "detail"),
    [
        (packet(2, error(1045, "28000", "Access denied")), Outcome.PASS, "8.4.3 takes logins: Access denied (1045)"),
        (packet(2, error(3159, "HY000", "insecure")), Outcome.PASS, "8.4.3 takes logins: insecure (3159)"),
        (LET_IN, Outcome.PASS, "8.4.3 takes logins, without a password"),
        (packet(2, error(1040, "08004", "Too many connections")), Outcome.FAIL, "Too many connections (1040)"),
        (packet(2, error(1053, "08S01", "shutdown")), Outcome.FAIL, "shutdown (1053)"),
        (packet(2, b"junk"), Outcome.FAIL, "an answer to a login that cannot be read: 'junk'"),
    ],
)
def test_without_a_user_it_knocks(answer: bytes, outcome: Outcome, detail: str):
    verdict = verdict_for(KNOCK, hello(), Sent(login(b"healthd", b"", NATIVE)), answer)
    assert (verdict.outcome, verdict.detail) == (outcome, detail)


@pytest.mark.parametrize("plugin", [CACHING, "client_ed25519", "sha256_password", "what_comes_next"])
def test_a_knock_follows_a_server_to_any_other_way_to_log_in(plugin: str):
    """Servers send strangers there; who turned away then would count as an interrupted handshake."""
    switch = packet(2, b"\xfe" + plugin.encode() + b"\0" + SCRAMBLE + b"\0")
    refused = packet(4, error(1045, "28000", "Access denied"))
    assert passed(verdict_for(KNOCK, hello(), lambda _: switch, Sent(packet(3, b"")), refused))
    asked = verdict_for(KNOCK, hello(), lambda _: switch, Sent(packet(3, b"")), packet(4, b"\1Password: "))
    assert passed(asked) == (plugin != CACHING)


def test_a_farewell_that_cannot_be_said_changes_nothing():
    talk = JOE.converse(V4)
    next(talk)
    talk.send(None)
    for heard in (hello(), None, LET_IN, None, SET, None):
        talk.send(heard)
    assert talk.send(result(row(b"1"))) == Send(QUIT)
    with pytest.raises(StopIteration) as stop:
        talk.throw(RESET)
    assert stop.value.value == "1"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"expect": "("}, "is not a regular expression"),
        ({"expect": "1", "allow_empty": True}, "exclude each other"),
        ({"user": None}, "password needs user"),
        ({"user": None, "password": "", "role": "read-only"}, "role needs user"),
        ({"tls": Tls(alpn=("mysql",))}, "alpn cannot be used with mysql"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, object], words: str):
    with pytest.raises(ValueError, match=words):
        replace(JOE, **options)  # type: ignore[arg-type]


PHASES: list[Callable[[bytes], list[Item]]] = [
    lambda junk: [junk, END],
    lambda junk: [packet(0, junk), END],
    lambda junk: [packet(0, b"\x0a8.0\0" + junk), END],
    lambda junk: [hello(), packet(2, junk), END],
    lambda junk: [hello(CACHING), packets(2, b"\xfe" + junk, OK), END],
    lambda junk: [hello(), LET_IN, SET, packet(1, junk), END],
    lambda junk: [hello(), LET_IN, SET, result(junk), END],
    lambda junk: [hello(), LET_IN, SET, packets(1, b"\1", b"\3def", junk), END],
]


@given(st.sampled_from(PHASES), st.binary(max_size=80), st.sampled_from([JOE, KNOCK]))
def test_junk_is_a_verdict_and_nothing_else(phase: Callable[[bytes], list[Item]], junk: bytes, check: MysqlCheck):
    assert play(check, stream(*phase(junk))).outcome in (Outcome.PASS, Outcome.FAIL)


@given(st.lists(st.none() | st.binary(max_size=300), min_size=1, max_size=6))
def test_rows_are_read_as_they_are_written(values: list[bytes | None]):
    assert columns(row(*values), len(values)) == [None if v is None else v.decode(errors="replace") for v in values]


@given(st.binary(max_size=40), st.integers(1, 5))
def test_a_row_of_junk_is_a_failure_or_a_row(body: bytes, count: int):
    try:
        found = columns(body, count)
    except CheckFailed:
        return
    assert len(found) == count
