"""pgsql by transcripts: what it sends, what it makes of every answer, in every cut."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks import pgsql_messages as pg
from checks.pgsql import PgsqlCheck
from checks.pgsql_messages import Messages, columns
from healthd.check import Connect, Outcome, Reason, Send, StartTls, Tls, Verdict
from tests.checks.harness import END, RESET, Channel, Item, Player, Sent, failed, passed, play, stream
from tests.checks.harness import same_verdict_for_every_cut as every_cut
from tests.checks.played_pgsql import (
    CLEAR,
    DONE,
    END_OF_ONE,
    GREET,
    JOE,
    KNOCK,
    LET_IN,
    MD5,
    NEW,
    OLD,
    ONE,
    READY,
    SASL,
    STARTUP,
    TERMINATE,
    WATCH,
    asking,
    error,
    facts,
    row,
    said,
    startup,
    verdict_for,
)


def test_a_login_and_a_query_are_sent_as_the_protocol_has_it():
    verdict = verdict_for(JOE, Sent(STARTUP), GREET, Sent(asking(WATCH, b"SELECT 1")), DONE + ONE)
    assert (verdict.outcome, verdict.detail) == (Outcome.PASS, "1")
    talk = Player([stream(GREET, DONE + ONE)])
    talk.play(JOE)
    assert talk.steps[-1] == Send(TERMINATE)


@pytest.mark.parametrize("extra", [said(b"N", b"SNOTICE\0Mhello\0\0"), said(b"A", b"\0\0\0\1x\0y\0"), NEW])
def test_what_the_server_says_aside_changes_nothing(extra: bytes):
    assert passed(verdict_for(JOE, extra * (extra != NEW) + GREET[:-6] + extra + READY, DONE + extra + ONE))


def scram_server(password: str, lie: bytes = b"") -> list[Item]:
    """An honest server, by RFC 5802; or one that signs with `lie`."""
    seen: list[bytes] = []

    def challenge(first: bytes) -> bytes:
        assert first.startswith(STARTUP + b"p")
        seen.append(first[first.index(b"n=") :])
        nonce = seen[0].partition(b"r=")[2]
        seen.append(b"r=" + nonce + b"Server,s=" + b64encode(b"salt") + b",i=4096")
        return said(b"R", b"\0\0\0\x0b" + seen[1])

    def judge(last: bytes) -> bytes:
        text, _, proof = last[5:].partition(b",p=")
        salted = hashlib.pbkdf2_hmac("sha256", password.encode(), b"salt", 4096)
        signed = b",".join([*seen, text])
        key = hmac.digest(salted, b"Client Key", "sha256")
        mask = hmac.digest(hashlib.sha256(key).digest(), signed, "sha256")
        if bytes(a ^ b for a, b in zip(mask, b64decode(proof), strict=True)) != key:
            return error(b"28P01", b'password authentication failed for user "joe"', b"FATAL")
        signature = lie or hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), signed, "sha256")
        return said(b"R", b"\0\0\0\x0cv=" + b64encode(signature)) + GREET

    return [SASL, challenge, judge, DONE + ONE]


def test_scram_lets_us_in_and_the_server_must_prove_itself():
    def of(password: str, lie: bytes = b"") -> Verdict:
        return every_cut(JOE, lambda: [stream(*scram_server(password, lie))], 60)

    assert passed(of("secret"))
    assert of("other").detail == 'password authentication failed for user "joe" (28P01)'
    assert of("secret", b"x" * 32).detail == "the server cannot prove that it knows the password"


def test_a_server_must_not_skip_the_proof_that_it_knows_the_password():
    verdict = every_cut(JOE, lambda: [stream(*scram_server("secret")[:2], lambda _: GREET)], 60)
    assert failed(verdict, Reason.PROTOCOL)
    assert "out of turn" in verdict.detail


def test_md5_and_clear_passwords():
    inner = hashlib.md5(b"secretjoe").hexdigest().encode()
    md5 = b"md5" + hashlib.md5(inner + b"salt").hexdigest().encode()
    for asked, answer in ((MD5, md5), (CLEAR, b"secret")):
        script = (Sent(STARTUP), asked, Sent(said(b"p", answer + b"\0")), GREET, DONE + ONE)
        assert passed(verdict_for(JOE, *script))


@pytest.mark.parametrize("script", [[CLEAR, GREET], [MD5, GREET], scram_server("secret")])
def test_no_transcript_shows_a_password_or_what_it_can_be_guessed_from(script: list[Item]):
    player = Player([stream(*script, DONE + ONE)])
    player.play(JOE)
    sent = [step for step in player.steps if isinstance(step, Send) and step.data[:1] == b"p"]
    assert sent[-1].hide
    for step in sent:
        assert b"secret" not in step.data.replace(step.hide or b"?", b"")


@pytest.mark.parametrize(
    ("answer", "reason", "detail"),
    [
        (said(b"R", b"\0\0\0\7"), Reason.UNEXPECTED, "cannot log in the way the server asks for: GSSAPI"),
        (said(b"R", b"\0\0\0\nOAUTHBEARER\0\0"), Reason.UNEXPECTED, "the way the server asks for: OAUTHBEARER"),
        (said(b"R", b"\0\0\0\5abc"), Reason.PROTOCOL, "md5: a salt of 3 bytes, want 4"),
        (said(b"R", b"\0\0\0\x0b"), Reason.UNEXPECTED, "number 11 out of turn"),
        (said(b"R", b"\0\0\0\x63"), Reason.PROTOCOL, "out of turn"),
        (said(b"R", b"\0"), Reason.PROTOCOL, "out of turn"),
        (READY, Reason.PROTOCOL, "out of turn: 'Z' with 'I'"),
        (CLEAR + CLEAR, Reason.PROTOCOL, "out of turn"),
        (LET_IN + ONE, Reason.PROTOCOL, "out of turn: '1'"),
        (error(b"57P03", b"the database system is starting up", b"FATAL"), Reason.UNEXPECTED, "starting up (57P03)"),
        (
            error(b"53300", b"sorry,\ntoo many clients", b"FATAL"),
            Reason.UNEXPECTED,
            "sorry,\\ntoo many clients (53300)",
        ),
        (LET_IN + error(b"3D000", b"no such database", b"FATAL"), Reason.UNEXPECTED, "no such database (3D000)"),
        (said(b"E", b"oops"), Reason.PROTOCOL, "an error that cannot be read: 'oops'"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", Reason.PROTOCOL, "not PostgreSQL: got 'SSH-2"),
        (b"HTTP/1.1 400 Bad Request\r\n", Reason.PROTOCOL, "not PostgreSQL: got 'HTTP/"),
        (b"R\0\0\0\3", Reason.PROTOCOL, "not PostgreSQL"),
        (b"E\x7f\xff\xff\xff", Reason.PROTOCOL, "not PostgreSQL"),
    ],
)
def test_a_login_that_comes_to_nothing(answer: bytes, reason: Reason, detail: str):
    verdicts = {play(JOE, stream(*given, END)) for given in ([answer], [answer[:5], answer[5:]])}
    assert {(one.outcome, one.reason) for one in verdicts} == {(Outcome.FAIL, reason)}
    assert any(detail in one.detail for one in verdicts)


@pytest.mark.parametrize(
    ("answer", "reason", "detail"),
    [
        (error(b"42601", b"syntax error") + READY, Reason.UNEXPECTED, "syntax error (42601)"),
        (said(b"1") + said(b"2") + row(b"1") + error(b"40001", b"undone") + READY, Reason.UNEXPECTED, "undone (40001)"),
        (error(b"57P01", b"shutting down", b"FATAL"), Reason.UNEXPECTED, "shutting down (57P01)"),
        (said(b"1") + said(b"2") + said(b"C", b"SELECT 0\0") + READY, Reason.UNEXPECTED, "the result has no row"),
        (said(b"1") + said(b"2") + said(b"I") + READY, Reason.UNEXPECTED, "the result has no row"),
        (said(b"1") + said(b"2") + row() + said(b"s") + READY, Reason.UNEXPECTED, "the result has no row"),
        (said(b"1") + said(b"2") + said(b"G", b"\0\0\0"), Reason.UNEXPECTED, "the query copies, and has no rows"),
        (said(b"1") + said(b"2") + said(b"D", b"\0\2\0\0\0\1a"), Reason.PROTOCOL, "a row that cannot be read"),
        (said(b"R", b"\0\0\0\0"), Reason.PROTOCOL, "out of turn: 'R'"),
        (READY, Reason.PROTOCOL, "out of turn: 'Z'"),
        (row(b"1") + READY, Reason.PROTOCOL, "out of turn: 'Z'"),
        (b"D\0\x10\0\6", Reason.PROTOCOL, "a message is longer than 1048576 bytes"),
        (said(b"1") + said(b"2") + row(b"1"), Reason.PROTOCOL, "connection closed without an answer, 5 expected"),
        (said(b"1")[:3], Reason.PROTOCOL, "connection closed after 3 bytes, 5 expected"),
    ],
)
def test_a_query_that_comes_to_nothing(answer: bytes, reason: Reason, detail: str):
    verdict = verdict_for(JOE, GREET, DONE + answer, END)
    assert (verdict.outcome, verdict.reason) == (Outcome.FAIL, reason)
    assert detail in verdict.detail


def test_a_server_that_cannot_watch_over_us_is_asked_all_the_same():
    assert passed(verdict_for(JOE, GREET, error(b"42704", b"unrecognized parameter") + READY + ONE))
    gone = verdict_for(JOE, GREET, error(b"57P01", b"shutting down", b"FATAL"), END)
    assert gone.detail == "shutting down (57P01)"


def test_what_a_query_is_watched_with_is_no_row_of_its():
    nothing = said(b"1") + said(b"2") + said(b"C", b"SELECT 0\0") + READY
    assert verdict_for(JOE, GREET, DONE + nothing).detail == "the result has no row"
    assert passed(verdict_for(replace(JOE, expect="^1$"), GREET, DONE + ONE))


def test_a_query_that_fails_is_not_asked_again():
    """... without its limit: it may have failed for having come to it."""
    player = Player([stream(GREET, DONE + error(b"57014", b"canceling statement due to statement timeout") + READY)])
    assert player.play(JOE).detail == "canceling statement due to statement timeout (57014)"
    assert sum(b"SELECT 1" in step.data for step in player.steps if isinstance(step, Send)) == 1


def test_of_what_a_server_says_of_itself_only_what_matters_is_kept():
    talk = Messages().parameters()
    next(talk)
    for number in range(1000):
        talk.send(facts(**{f"junk{number}": "x" * 1000}))
    with pytest.raises(StopIteration) as stop:
        talk.send(NEW + READY)
    assert stop.value.value == {
        "server_version": "17.2",
        "in_hot_standby": "off",
        "default_transaction_read_only": "off",
    }


def test_an_old_server_gives_up_after_half_a_minute_unless_it_would_earlier():
    def answer(sent: bytes) -> bytes:
        assert (
            b"set_config('statement_timeout', '30000', true) WHERE current_setting('statement_timeout') = '0'" in sent
        )
        return said(b"T", b"\0\0") + DONE + ONE

    assert passed(verdict_for(JOE, LET_IN + OLD + READY, answer))
    assert passed(verdict_for(JOE, LET_IN + READY, answer))


def test_the_first_value_of_the_first_row_is_what_counts():
    for answer, options, want in (
        (row(b"7", b"8"), {"expect": "^7$"}, Outcome.PASS),
        (row(b"7") + row(b"8"), {"expect": "8"}, Outcome.FAIL),
        (row(None), {"expect": "^NULL$"}, Outcome.PASS),
        (row("grün".encode()), {"expect": "^gr.n$"}, Outcome.PASS),
        (b"", {"allow_empty": True}, Outcome.PASS),
        (row(b"7"), {"allow_empty": True}, Outcome.PASS),
    ):
        check: Any = replace(JOE, **options)
        end = said(b"C", b"SELECT 0\0") + READY
        assert verdict_for(check, GREET, DONE + said(b"1") + answer + end).outcome is want


@pytest.mark.parametrize(
    ("tag", "want"),
    [(b"UPDATE 4", "4"), (b"INSERT 0 1", "1"), (b"UPDATE 0", None), (b"INSERT 0 0", None), (b"SET", None)],
)
def test_the_number_of_rows_that_are_changed_stands_for_a_row(tag: bytes, want: str | None):
    verdict = verdict_for(replace(JOE, query="UPDATE a SET b = 1"), GREET, DONE + said(b"C", tag + b"\0") + READY)
    assert verdict.detail == (want or "the result has no row")


def test_of_several_statements_the_last_one_counts():
    """... which go as one text, because a prepared statement is one."""
    several = replace(JOE, query="SELECT 7; SELECT 8;", expect="^8$")
    one, none = row(b"7") + said(b"C", b"SELECT 1\0"), said(b"C", b"SELECT 0\0")
    player = Player([stream(GREET, DONE + one + row(b"8") + said(b"C", b"SELECT 1\0") + READY)])
    assert passed(player.play(several))
    (asked,) = [step.data for step in player.steps if isinstance(step, Send) and b"SELECT 7" in step.data]
    assert (asked[:1], asked[-20:]) == (b"Q", b"SELECT 7; SELECT 8;\0")
    assert verdict_for(several, GREET, DONE + one + none + READY).detail == "the result has no row"
    assert b"Q" not in pg.first_row_of("SELECT 1;", "SELECT 2 ; ")[:1]


@pytest.mark.parametrize(
    ("standby", "read_only", "fine"),
    [
        ("off", "off", ("any", "primary", "read-write")),
        ("off", "on", ("any", "primary", "read-only")),
        ("on", "off", ("any", "standby", "read-only")),
        ("on", "on", ("any", "standby", "read-only")),
    ],
)
@pytest.mark.parametrize("role", ["any", "primary", "standby", "read-write", "read-only"])
def test_the_role_is_told_or_asked_for(standby: str, read_only: str, role: Any, fine: tuple[str, ...]):
    check = replace(JOE, role=role)
    told = facts(server_version="15.1", in_hot_standby=standby, default_transaction_read_only=read_only)

    def asked(sent: bytes) -> bytes:
        if role in ("primary", "standby"):
            assert b"SELECT pg_is_in_recovery()" in sent
            return row(b"t" if standby == "on" else b"f") + END_OF_ONE + READY
        assert b"SHOW transaction_read_only" in sent
        return row(b"on" if "on" in (standby, read_only) else b"off") + END_OF_ONE + READY

    new = verdict_for(check, LET_IN + told + READY, DONE + ONE)
    old = verdict_for(check, LET_IN + OLD + READY, *([] if role == "any" else [asked]), DONE + ONE)
    for verdict in (new, old):
        assert passed(verdict) == (role in fine)
        assert passed(verdict) or verdict.detail == f"server is not {role}"


@pytest.mark.parametrize(
    ("answer", "outcome", "detail"),
    [
        (SASL, Outcome.PASS, "takes logins"),
        (CLEAR, Outcome.PASS, "takes logins"),
        (GREET, Outcome.PASS, "takes logins, without a password"),
        (error(b"28000", b"no entry", b"FATAL"), Outcome.PASS, "takes logins: no entry (28000)"),
        (LET_IN + error(b"3D000", b"no database", b"FATAL"), Outcome.PASS, "takes logins: no database (3D000)"),
        (error(b"57P03", b"starting up", b"FATAL"), Outcome.FAIL, "starting up (57P03)"),
        (error(b"53300", b"too many clients", b"FATAL"), Outcome.FAIL, "too many clients (53300)"),
        (
            error(b"08P01", b"no more connections allowed (max_client_conn)", b"FATAL"),
            Outcome.FAIL,
            "no more connections allowed (max_client_conn) (08P01)",
        ),
        (LET_IN + error(b"XX000", b"broken", b"FATAL"), Outcome.FAIL, "broken (XX000)"),
    ],
)
def test_without_a_user_it_knocks(answer: bytes, outcome: Outcome, detail: str):
    verdict = verdict_for(KNOCK, Sent(startup("healthd", "healthd")), answer)
    assert (verdict.outcome, verdict.detail) == (outcome, detail)


@pytest.mark.parametrize(
    "answer", [READY, said(b"R", b"\0\0\0\x63"), said(b"E", b""), b"220 mail ESMTP\r\n", b"R", END]
)
def test_what_is_no_answer_to_a_knock_never_passes(answer: bytes):
    assert failed(verdict_for(KNOCK, answer, END), Reason.PROTOCOL)


TLS = Tls(server_name="db.example")


def test_tls_is_asked_for_and_one_byte_is_read_before_it():
    player = Player([stream(Sent(b"\0\0\0\x08\x04\xd2\x16\x2f"), b"S", Sent(STARTUP), GREET, DONE + ONE)])
    assert passed(player.play(replace(JOE, tls=TLS)))
    assert player.steps[0] == Connect(speaks=True)
    assert player.steps[2].limit == 1  # type: ignore[union-attr]
    assert player.steps[3] == StartTls(TLS)


@pytest.mark.parametrize(
    ("answer", "reason", "detail"),
    [
        (b"N", Reason.TLS, "the server does not offer TLS"),
        (b"E", Reason.TLS, "the server answers the request for TLS with an error"),
        (b"G", Reason.PROTOCOL, "not PostgreSQL: got 'G', want 'S' or 'N'"),
        (END, Reason.PROTOCOL, "connection closed without an answer to the request for TLS"),
    ],
)
def test_tls_that_is_not_to_be_had_fails(answer: bytes, reason: Reason, detail: str):
    verdict = play(replace(JOE, tls=TLS), stream(answer, END))
    assert (verdict.outcome, verdict.reason, verdict.detail) == (Outcome.FAIL, reason, detail)


def test_tls_from_the_start_names_the_protocol():
    player = Player([stream(Sent(STARTUP), GREET, DONE + ONE)])
    assert passed(player.play(replace(JOE, tls=TLS, direct_tls=True)))
    assert player.steps[0] == Connect(replace(TLS, alpn=("postgresql",)), speaks=True)
    assert StartTls not in map(type, player.steps)


def test_a_farewell_that_cannot_be_said_changes_nothing():
    talk = JOE.converse(Channel)  # type: ignore[arg-type]
    next(talk)
    for sent in (None, None):
        talk.send(sent)
    for sent in (GREET, None):
        step = talk.send(sent)
    step = talk.send(DONE + ONE)
    assert step == Send(TERMINATE)
    with pytest.raises(StopIteration) as stop:
        talk.throw(RESET)
    assert stop.value.value == "1"


PHASES: list[Callable[[bytes], list[Item]]] = [
    lambda junk: [junk, END],
    lambda junk: [LET_IN + junk, END],
    lambda junk: [said(b"R", junk), END],
    lambda junk: [said(b"E", junk), END],
    lambda junk: [GREET, junk, END],
    lambda junk: [GREET, DONE + said(b"D", junk), READY, END],
    lambda junk: [SASL, said(b"R", b"\0\0\0\x0b" + junk), END],
]


@given(st.sampled_from(PHASES), st.binary(max_size=80), st.sampled_from([JOE, KNOCK]))
def test_junk_is_a_verdict_and_nothing_else(phase: Callable[[bytes], list[Item]], junk: bytes, check: PgsqlCheck):
    assert play(check, stream(*phase(junk))).outcome in (Outcome.PASS, Outcome.FAIL)


@given(st.lists(st.none() | st.binary(max_size=20), max_size=6))
def test_rows_are_read_as_they_are_written(values: list[bytes | None]):
    assert columns(row(*values)[5:]) == [None if v is None else v.decode(errors="replace") for v in values]


@given(st.binary(max_size=40))
def test_a_row_of_junk_is_a_failure_or_a_row(body: bytes):
    verdict = play(replace(JOE, allow_empty=True), stream(GREET, DONE + said(b"D", body) + END_OF_ONE + READY))
    assert passed(verdict) or verdict.detail.startswith("a row that cannot be read")
