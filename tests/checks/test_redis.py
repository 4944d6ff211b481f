"""The redis check by transcripts, and what a trace shows of it."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checks.redis import RedisCheck
from healthd.check import Connect, Outcome, Reason, Send, Tls
from healthd.prober.ask import ask
from healthd.prober.trace import trace_text
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
from tests.checks.wayward import PATIENCE
from tests.support import servers

PING, PONG, OK = Sent(b"*1\r\n$4\r\nPING\r\n"), b"+PONG\r\n", b"+OK\r\n"
INFO = Sent(b"*2\r\n$4\r\nINFO\r\n$11\r\nreplication\r\n")


def bulk(text: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(text), text)


def info(*lines: str) -> bytes:
    return bulk("\r\n".join(("# Replication", *lines, "")).encode())


MASTER = info(
    "role:master",
    "connected_slaves:3",
    "slave0:ip=10.0.0.1,port=6379,state=online,offset=100,lag=0",
    "slave1:ip=10.0.0.2,port=6379,state=online,offset=90,lag=7",
    "slave2:ip=10.0.0.3,port=6379,state=wait_bgsave,offset=0,lag=0",
    "master_repl_offset:100",
)
REPLICA = info("role:slave", "master_host:10.0.0.9", "master_link_status:up", "master_last_io_seconds_ago:3")
CUT_OFF = info("role:slave", "master_link_status:down", "master_last_io_seconds_ago:-1", "master_sync_in_progress:1")


def test_a_pong_passes_and_nothing_else_is_asked():
    verdict = every_cut(RedisCheck(), PING, PONG)
    assert (verdict.outcome, verdict.detail) == (Outcome.PASS, "PONG")
    player = Player([stream(PONG)])
    assert passed(player.play(RedisCheck(tls=Tls(verify=False))))
    assert player.steps[0] == Connect(Tls(verify=False), speaks=True)


def test_a_login_goes_first_with_a_user_or_with_the_password_alone():
    alone = Sent(b"*2\r\n$4\r\nAUTH\r\n$6\r\nsecret\r\n")
    assert passed(every_cut(RedisCheck(password="secret"), alone, OK, PING, PONG))
    both = Sent(b"*3\r\n$4\r\nAUTH\r\n$3\r\njoe\r\n$6\r\nsecret\r\n")
    assert passed(every_cut(RedisCheck(user="joe", password="secret"), both, OK, PING, PONG))
    no_password = Sent(b"*3\r\n$4\r\nAUTH\r\n$3\r\njoe\r\n$0\r\n\r\n")
    assert passed(every_cut(RedisCheck(user="joe"), no_password, OK, PING, PONG))


def test_the_password_is_hidden_where_it_stands():
    player = Player([stream(OK, PONG)])
    player.play(RedisCheck(user="joe", password="sëcret"))
    assert player.steps[1] == Send("*3\r\n$4\r\nAUTH\r\n$3\r\njoe\r\n$7\r\nsëcret\r\n".encode(), "sëcret".encode())


def test_an_option_is_data_and_never_a_second_command():
    nasty = "x\r\nFLUSHALL\r\n"
    sent = Sent(b"*3\r\n$4\r\nAUTH\r\n$13\r\nx\r\nFLUSHALL\r\n\r\n$13\r\nx\r\nFLUSHALL\r\n\r\n")
    assert passed(play(RedisCheck(user=nasty, password=nasty), stream(sent, OK, PING, PONG)))


@pytest.mark.parametrize(
    "error",
    [
        b"NOAUTH Authentication required.",
        b"WRONGPASS invalid username-password pair or user is disabled.",
        b"LOADING Redis is loading the dataset in memory",
        b"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
        b"ERR max number of clients reached",
        b"DENIED Redis is running in protected mode because protected mode is enabled",
    ],
)
def test_an_error_is_told_in_the_servers_words(error: bytes):
    verdict = every_cut(RedisCheck(), b"-" + error + b"\r\n", END)
    assert failed(verdict, Reason.UNEXPECTED)
    assert error.decode() in verdict.detail
    assert verdict.detail.startswith("PING: got ")


def test_an_error_says_which_command_it_answers():
    refused = b"-WRONGPASS invalid\r\n"
    assert play(RedisCheck(password="x"), stream(refused)).detail == "AUTH: got '-WRONGPASS invalid'"
    assert play(RedisCheck(database=99), stream(b"-ERR DB index\r\n")).detail == "SELECT: got '-ERR DB index'"
    forbidden = stream(PONG, b"-NOPERM no\r\n")
    assert play(RedisCheck(role="master"), forbidden).detail == "INFO: got '-NOPERM no'"


@pytest.mark.parametrize("quoted", [b"'%b' ", b"`%b`, "])
@pytest.mark.parametrize("password", ["xyzzy", "x" * 200, "AUTH"])
def test_a_server_that_repeats_what_it_does_not_know_tells_nobody_the_password(quoted: bytes, password: str):
    """As Redis does where AUTH has been renamed; it repeats 128 bytes."""
    words = b"-ERR unknown command 'AUTH', with args beginning with: " + quoted % password.encode()[:128]
    verdict = every_cut(RedisCheck(password=password), words + b"\r\n", END)
    assert failed(verdict, Reason.UNEXPECTED)
    assert "unknown command" in verdict.detail
    assert password[:100] not in verdict.detail.removeprefix("AUTH: ")
    proxy = play(RedisCheck(password="xyzzy"), stream(b"-ERR cannot do AUTH xyzzy here\r\n"))
    assert proxy.detail == "AUTH: got '-ERR cannot do AUTH *** here'"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"+OK\r\n", Reason.UNEXPECTED),
        (b":1\r\n", Reason.UNEXPECTED),
        (b"*0\r\n", Reason.UNEXPECTED),
        (b"$4\r\nPONG\r\n", Reason.UNEXPECTED),
        (b"+PONG!\r\n", Reason.UNEXPECTED),
        (b"PONG\r\n", Reason.PROTOCOL),
        (b"\r\n", Reason.PROTOCOL),
        (b"220 mail.example.net ESMTP\r\n", Reason.PROTOCOL),
        (b"HTTP/1.1 400 Bad Request\r\n", Reason.PROTOCOL),
    ],
)
def test_another_answer_than_pong_fails(answer: bytes, reason: Reason):
    assert failed(every_cut(RedisCheck(), PING, answer, END), reason)


@pytest.mark.parametrize("script", [(END,), (b"+PON", END), (b"+PONG", END), (b"+PONG\n", END), (b"+PONG\r", END)])
def test_a_part_of_an_answer_never_passes(script: tuple[bytes, ...]):
    assert failed(every_cut(RedisCheck(), *script), Reason.PROTOCOL)


def test_a_database_is_selected_before_anything_is_asked():
    select = Sent(b"*2\r\n$6\r\nSELECT\r\n$1\r\n7\r\n")
    assert passed(every_cut(RedisCheck(database=7), select, OK, PING, PONG))


# --- values -----------------------------------------------------------------------------------------------------


def test_a_key_must_be_there_and_match():
    get = Sent(b"*2\r\n$3\r\nGET\r\n$4\r\nh\xc3\xa9 \r\n")
    check = RedisCheck(key="hé ", expect="^a\r\nb$")
    verdict = every_cut(check, PING, PONG, get, bulk(b"a\r\nb"))
    assert (verdict.outcome, verdict.detail) == (Outcome.PASS, "PONG, value of 4 bytes")
    wrong = every_cut(check, PONG, bulk(b"other"))
    assert wrong.detail == "expect '^a\\r\\nb$' does not match: got 'other'"
    assert every_cut(check, PONG, b"$-1\r\n").detail == "GET: there is no key 'hé '"
    assert passed(every_cut(RedisCheck(key="k"), PONG, bulk(b"")))


@pytest.mark.parametrize(
    ("answer", "reason", "detail"),
    [
        (b"-WRONGTYPE Operation against a key\r\n", Reason.UNEXPECTED, "GET: got '-WRONGTYPE"),
        (b"-MOVED 3999 127.0.0.1:6381\r\n", Reason.UNEXPECTED, "GET: got '-MOVED"),
        (b"+OK\r\n", Reason.UNEXPECTED, "want a text"),
        (b"$70000\r\n", Reason.UNEXPECTED, "answer of 70000 bytes is longer than 65534"),
        (b"$99999999999\r\n", Reason.UNEXPECTED, "want a text"),
        (b"$-2\r\n", Reason.UNEXPECTED, "want a text"),
        (b"$\r\n", Reason.UNEXPECTED, "want a text"),
        (b"value\r\n", Reason.PROTOCOL, "want a text"),
        (b"$3\r\nabcde\r\n", Reason.PROTOCOL, "longer than the 3 bytes it announces"),
        (b"$9\r\nabc\r\n", Reason.PROTOCOL, "connection closed after 5 bytes"),
    ],
)
def test_what_is_no_value_is_told(answer: bytes, reason: Reason, detail: str):
    verdict = every_cut(RedisCheck(key="k"), PONG, answer, END)
    assert failed(verdict, reason)
    assert detail in verdict.detail


def test_the_longest_value_that_is_read_is_read_whole():
    check = RedisCheck(key="k", expect="end$")
    longest = b"x" * (65534 - 3) + b"end"
    verdicts = {play(check, stream(PONG, bulk(longest)), cut=cut) for cut in (whole, at(3), at(65000))}
    assert [verdict.detail for verdict in verdicts] == ["PONG, value of 65534 bytes"]


# --- replication ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "answer", "detail"),
    [
        ({"role": "master"}, MASTER, "PONG, master"),
        ({"role": "replica"}, REPLICA, "PONG, replica, heard of its master 3 s ago"),
        ({"role": "replica", "max_lag": 3}, REPLICA, "PONG, replica, heard of its master 3 s ago"),
        ({"max_lag": 3}, MASTER, "PONG, master"),
        ({"min_replicas": 2}, MASTER, "PONG, master, good replicas: 2"),
        ({"min_replicas": 1, "max_lag": 3}, MASTER, "PONG, master, good replicas: 1"),
        ({"min_replicas": 5}, REPLICA, "PONG, replica, heard of its master 3 s ago"),
    ],
)
def test_replication_that_is_as_it_should_be_passes(options: dict[str, object], answer: bytes, detail: str):
    verdict = every_cut(RedisCheck(**options), PING, PONG, INFO, answer)  # type: ignore[arg-type]
    assert (verdict.outcome, verdict.detail) == (Outcome.PASS, detail)


@pytest.mark.parametrize(
    ("options", "answer", "detail"),
    [
        ({"role": "master"}, REPLICA, "server is a replica, want a master"),
        ({"role": "replica"}, MASTER, "server is a master, want a replica"),
        ({"role": "replica", "max_lag": 2}, REPLICA, "replica heard of its master 3 s ago, want 2 s"),
        ({"max_lag": 9}, CUT_OFF, "link of the replica to its master is down, first copy is under way"),
        ({"role": "replica"}, info("role:slave"), "link of the replica to its master is not told"),
        ({"min_replicas": 3}, MASTER, "good replicas of the master: 2, want 3"),
        ({"min_replicas": 2, "max_lag": 6}, MASTER, "good replicas of the master: 1, want 2"),
        ({"role": "master"}, info("role:sentinel"), "INFO replication names no role: got 'sentinel'"),
        ({"role": "master"}, bulk(b""), "INFO replication names no role: got None"),
        ({"role": "master"}, b"$-1\r\n", "INFO replication names no role: got None"),
    ],
)
def test_replication_that_is_not_as_it_should_be_fails(options: dict[str, object], answer: bytes, detail: str):
    verdict = every_cut(RedisCheck(**options), PONG, answer)  # type: ignore[arg-type]
    assert failed(verdict, Reason.UNEXPECTED)
    assert verdict.detail == detail


def test_a_lag_that_is_no_number_is_not_the_protocol():
    for answer in (info("role:slave", "master_link_status:up"), REPLICA.replace(b"ago:3", b"ago:x")):
        assert failed(play(RedisCheck(role="replica"), stream(PONG, answer)), Reason.PROTOCOL)
    unsure = info("role:master", "slave0:ip=10.0.0.1,state=online")
    assert failed(play(RedisCheck(min_replicas=1, max_lag=1), stream(PONG, unsure)), Reason.PROTOCOL)


# --- options and junk -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"expect": "a"}, "expect needs key"),
        ({"key": "a", "expect": "("}, "is not a regular expression"),
        ({"role": "replica", "min_replicas": 1}, "min_replicas is about a master"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, object], text: str):
    with pytest.raises(ValueError, match=text):
        RedisCheck(**options)  # type: ignore[arg-type]


ANSWERS = [PONG, OK, MASTER, REPLICA, bulk(b"abc"), b"$-1\r\n", b"$5\r\nab", b"-ERR no\r\n", b":1\r\n", b"*1\r\n", END]


@settings(max_examples=150)
@given(st.lists(st.one_of(st.binary(max_size=60), st.sampled_from(ANSWERS)), max_size=6))
def test_junk_gives_a_verdict(junk: list[bytes]):
    for check in (RedisCheck(), RedisCheck(password="x", database=1, min_replicas=1, max_lag=5, key="k", expect="^a")):
        whole_verdict = play(check, stream(*junk, END))
        assert play(check, stream(*junk, END), cut=single) == whole_verdict
        if PONG not in b"".join(junk):
            assert not passed(whole_verdict)


async def test_a_trace_shows_no_password():
    def accepting(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(OK)
        connection.recv(4096)
        connection.sendall(PONG)

    with servers.serving(accepting) as server:
        verdict, transcript = await ask(RedisCheck(password="xyzzy"), server.target, PATIENCE)
    assert passed(verdict)
    assert "***" in trace_text(transcript)
    assert "xyzzy" not in trace_text(transcript)


async def test_a_trace_shows_no_password_that_the_server_repeats():
    def repeating(connection: socket.socket) -> None:
        connection.sendall(b"-ERR what is " + connection.recv(4096).replace(b"\r\n", b" ") + b"?\r\n")

    with servers.serving(repeating) as server:
        verdict, transcript = await ask(RedisCheck(password="xyzzy"), server.target, PATIENCE)
    assert verdict.detail == "AUTH: got '-ERR what is *2 $4 AUTH $5 *** ?'"
    assert "< " in trace_text(transcript)
    assert "xyzzy" not in trace_text(transcript)


def test_a_reset_in_the_middle_is_a_reset():
    assert failed(play(RedisCheck(), stream(b"+PO", RESET)), Reason.RESET)
