"""A second stream beside the first: both live at once, and go to the same server from the same place."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from healthd.check import (
    Aside,
    CheckFailed,
    Connect,
    Outcome,
    Reader,
    Reason,
    Receive,
    Send,
    StartTls,
    Tls,
    Turn,
)
from healthd.prober.ask import ask
from tests.prober import authority
from tests.prober.ends import BOUND, Ends
from tests.prober.patience import late
from tests.prober.stage import probe, stage
from tests.prober.talk import Steps
from tests.support import servers
from tests.support.servers import over_tls, serving

FAMILIES = pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6], ids=["ipv4", "ipv6"])
AMPLE = 20.0
NAME = "www.example.org"


async def asked(talk, target, within=AMPLE):
    return (await ask(Steps(talk), target, within))[0]


# --- both live at once ---


@FAMILIES
async def test_what_is_said_on_one_stream_is_not_heard_on_the_other(family):
    def talk(target):
        yield Connect()
        first, second = Reader(), Reader()
        yield Send(b"first\n")
        yield Aside(side.port)
        yield Send(b"second\n")
        heard = [(yield from second.line())]
        yield Turn()
        heard.append((yield from first.line()))
        yield Send(b"again\n")
        heard.append((yield from first.line()))
        yield Turn()
        yield Send(b"more\n")
        heard.append((yield from second.line()))
        return b" ".join(heard).decode()

    with serving(servers.echo_lines, family) as main, serving(servers.echo_lines, family) as side:
        said = await asked(talk, main.target)
    assert (said.outcome, said.detail) == (Outcome.PASS, "second first again more")


async def test_much_more_than_buffers_hold_comes_aside_while_the_first_waits():
    much = b"x" * 5_000_000

    def pour(connection):
        connection.sendall(much)

    def talk(target):
        yield Connect()
        yield Send(b"done\n")
        yield Aside(side.port)
        total = 0
        while data := (yield Receive()):
            total += len(data)
        yield Turn(close=True)
        return f"{total} {yield from Reader().line()}"

    with serving(servers.echo_lines) as main, serving(pour) as side:
        assert (await asked(talk, main.target)).detail == f"{len(much)} b'done'"


async def test_the_end_of_the_first_is_heard_when_the_conversation_turns_to_it():
    def talk(target):
        yield Connect()
        yield Aside(side.port)
        yield Send(b"x\n")
        yield from Reader().line()
        yield Turn()
        return f"{yield Receive()}"

    with serving(servers.close_at_once) as main, serving(servers.echo_lines) as side:
        assert (await asked(talk, main.target)).detail == "b''"


async def test_closing_the_second_is_polite_and_the_first_goes_on():
    ends = []

    def until_closed(connection):
        ends.append(connection.recv(1))
        told.set()

    def talk(target):
        yield Connect()
        yield Aside(side.port)
        yield Turn(close=True)
        yield Send(b"hello\n")
        return (yield from Reader().line()).decode()

    told = threading.Event()
    with serving(servers.echo_lines) as main, serving(until_closed) as side:
        assert (await asked(talk, main.target)).detail == "hello"
        assert told.wait(BOUND)
    assert ends == [b""]


async def test_after_one_is_closed_there_may_be_another():
    def talk(target):
        yield Connect()
        for _ in range(3):
            yield Aside(side.port)
            yield Send(b"x\n")
            yield from Reader().line()
            yield Turn()
            yield Turn(close=True)
        return "three"

    with serving(servers.echo_lines) as main, serving(servers.echo_lines) as side:
        assert (await asked(talk, main.target)).outcome is Outcome.PASS
        assert side.accepted == 3


# --- where it goes, and from where ---


async def test_it_leaves_from_the_same_source():
    ends = Ends()

    def talk(target):
        yield Connect()
        yield Aside(side.port)
        return "both"

    with serving(ends.wait) as main, serving(ends.wait) as side:
        target = replace(main.target, source=ip_address("127.0.0.9"))
        assert (await asked(talk, target)).outcome is Outcome.PASS
        assert ends.both_gone()
    assert ends.peers == ["127.0.0.9", "127.0.0.9"]


async def test_a_port_that_refuses_fails_and_the_first_can_still_be_talked_through():
    closed = servers.refusing().port

    def talk(target):
        yield Connect()
        with pytest.raises(CheckFailed, match="connection refused") as failure:
            yield Aside(closed)
        assert failure.value.reason is Reason.REFUSED
        yield Aside(side.port)
        yield Turn()
        yield Send(b"hello\n")
        return (yield from Reader().line()).decode()

    with serving(servers.echo_lines) as main, serving(servers.echo_lines) as side:
        assert (await asked(talk, main.target)).detail == "hello"


async def test_a_port_that_drops_everything_is_named_at_the_deadline():
    def talk(target):
        yield Connect()
        yield Aside(hole.port)
        return "never"

    with serving(servers.silent) as main, servers.black_hole() as hole:
        said, within = await late(Steps(talk), main.target)
    assert said.detail.startswith(f"no connection on port {hole.port} within {within}; connected after ")


async def test_silence_is_told_with_the_port_it_was_on():
    def talk(target):
        yield Connect()
        yield Aside(side.port)
        yield Receive()
        return "never"

    def turned(target):
        yield Connect()
        yield Aside(side.port)
        yield Turn()
        yield Receive()
        return "never"

    with serving(servers.silent) as main, serving(servers.silent) as side:
        said, within = await late(Steps(talk), main.target)
        assert said.detail.startswith(f"no answer on port {side.port} within {within};")
        said, within = await late(Steps(turned), main.target)
        assert said.detail.startswith(f"no answer within {within};")


# --- TLS ---


async def test_tls_aside_resumes_the_session_of_the_first_every_time(tmp_path: Path):
    """Also when the first has been resumed so often that it is not resumed any more."""
    tls = Tls(ca_file=authority.trusted(tmp_path), server_name=NAME)
    context = authority.serving(NAME)
    facts = []

    def talk(target):
        connected = yield Connect(tls)
        yield Send(b"hello\n")
        yield from Reader().line()
        yield Aside(side.port)
        aside = yield StartTls(tls)
        facts.append((connected.tls.resumed, aside.resumed))
        yield Send(b"aside\n")
        line = yield from Reader().line()
        yield Turn(close=True)
        return line.decode()

    with serving(over_tls(context, servers.echo_lines)) as main, serving(over_tls(context, servers.echo_lines)) as side:
        async with stage() as on:
            await on.prober.assign([probe(1, Steps(talk), main.target, interval=0.02)])
            await on.until(lambda: len(facts) >= 14)
        assert all(one.verdict.outcome is Outcome.PASS for one in on.book.of(1))
    assert all(aside for _, aside in facts)
    assert [main for main, _ in facts[:12]] == [False, *[True] * 9, False, True]


async def test_tls_aside_of_a_first_without_it_is_a_handshake_of_its_own_in_every_probe(tmp_path: Path):
    tls = Tls(ca_file=authority.trusted(tmp_path), server_name=NAME)
    resumed = []

    def talk(target):
        yield Connect()
        yield Aside(side.port)
        resumed.append((yield StartTls(tls)).resumed)
        yield Send(b"aside\n")
        yield from Reader().line()
        yield Turn()
        yield Send(b"plain\n")
        return (yield from Reader().line()).decode()

    secured = over_tls(authority.serving(NAME), servers.echo_lines)
    with serving(servers.echo_lines) as main, serving(secured) as side:
        async with stage() as on:
            await on.prober.assign([probe(1, Steps(talk), main.target, interval=0.02)])
            await on.until(lambda: len(resumed) >= 4)
        assert on.book.of(1)[0].verdict.detail == "plain"
    assert resumed[:4] == [False] * 4


async def test_the_times_of_a_transcript_are_those_of_the_first(tmp_path: Path):
    tls = Tls(ca_file=authority.trusted(tmp_path), server_name=NAME)

    def talk(target):
        yield Connect(tls)
        yield Send(b"first\n")
        yield from Reader().line()
        yield Aside(side.port)
        yield StartTls(tls)
        return "fine"

    secured = ignoring(over_tls(authority.serving(NAME), servers.echo_lines))
    with serving(secured) as main, serving(secured) as side:
        _, transcript = await ask(Steps(talk), main.target, AMPLE)
    assert transcript.connected is not None
    assert transcript.secured is not None
    assert transcript.first_byte is not None
    assert transcript.connected <= transcript.secured <= transcript.first_byte


async def test_tls_aside_is_verified_too(tmp_path: Path):
    tls = Tls(ca_file=authority.trusted(tmp_path), server_name=NAME)

    def talk(target):
        yield Connect()
        yield Aside(side.port)
        yield StartTls(tls)
        return "never"

    secured = over_tls(authority.serving("other.example.org"), servers.echo_lines)
    with serving(servers.silent) as main, serving(ignoring(secured)) as side:
        assert (await asked(talk, main.target)).reason is Reason.TLS


def ignoring(handler):
    """A handler whose TLS errors are expected."""

    def handle(connection):
        with contextlib.suppress(ssl.SSLError):
            handler(connection)

    return handle
