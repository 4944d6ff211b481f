"""What is remembered from probe to probe: open streams and TLS sessions; and when it is not used."""

from __future__ import annotations

import socket
import ssl
import threading

import pytest

from healthd.check import CheckFailed, Connect, Keep, Outcome, Reader, Reason, Send, Tls
from healthd.health import Health, Phase
from healthd.prober.tls import RESUMES
from tests.prober import authority
from tests.prober.stage import probe, stage
from tests.prober.talk import Line, Steps, Upgrade
from tests.support import servers
from tests.support.servers import over_tls, serving

NAME = "www.example.org"
NEVER = 1e6


@pytest.fixture
def ca(tmp_path):
    return authority.trusted(tmp_path)


class Asker:
    """Asks one probe again and again, one after the other, and has what its conversations noted."""

    def __init__(self, on, check, target):
        self.on, self.check, self.target = on, check, target
        self.begun = False

    async def ask(self):
        """One probe; its verdict."""
        if not self.begun:
            self.begun = True
            await self.on.prober.assign([probe(1, self.check, self.target, interval=NEVER, health=Health(Phase.UP))])
        before = [one.at for one in await self.on.prober.latest()]
        await self.on.prober.hurry([1])
        async for last in self._latest():
            if [last.at] != before:
                return last.verdict
        return None

    async def _latest(self):
        import asyncio

        async with asyncio.timeout(30):
            while True:
                for one in await self.on.prober.latest():
                    yield one
                await asyncio.sleep(0.002)


def noting(notes, tls=None, reuse=5, keep=True):
    """A line there and back that notes whether its stream was kept, and its TLS."""

    def talk(target):
        connected = yield Connect(tls=tls, server_name=NAME, reuse=reuse)
        notes.append(connected)
        yield Send(b"hello\n")
        line = yield from Reader().line()
        if keep:
            yield Keep()
        return line.decode()

    return Steps(talk)


async def test_a_kept_stream_serves_the_next_probes_and_every_nth_is_fresh():
    notes = []
    with serving(servers.echo_lines) as server:
        async with stage() as on:
            asker = Asker(on, noting(notes, reuse=3), server.target)
            for _ in range(7):
                assert (await asker.ask()).outcome is Outcome.PASS
        assert [one.reused for one in notes] == [False, True, True, False, True, True, False]
        assert server.accepted == 3


async def test_without_keep_each_probe_has_a_fresh_stream():
    notes = []
    with serving(servers.echo_lines) as server:
        async with stage() as on:
            asker = Asker(on, noting(notes, keep=False), server.target)
            for _ in range(3):
                await asker.ask()
    assert [one.reused for one in notes] == [False, False, False]


async def test_a_stream_is_not_kept_after_a_failure():
    notes = []

    def fail(target):
        notes.append((yield Connect(reuse=10)))
        yield Keep()
        raise CheckFailed(Reason.UNEXPECTED, "no")

    with serving(servers.echo_lines) as server:
        async with stage() as on:
            asker = Asker(on, Steps(fail), server.target)
            await asker.ask()
            await asker.ask()
    assert [one.reused for one in notes] == [False, False]


async def test_a_kept_stream_that_the_server_closes_is_noticed_before_the_next_probe():
    notes, closed = [], threading.Event()

    def one_line(connection):
        connection.sendall(servers.line_of(connection))
        connection.shutdown(socket.SHUT_RDWR)
        closed.set()

    with serving(one_line) as server:
        async with stage() as on:
            asker = Asker(on, noting(notes, reuse=100), server.target)
            assert (await asker.ask()).detail == "hello"
            await on.until(closed.is_set)
            await on.until(lambda: not on.prober._engine._watched)
            assert (await asker.ask()).detail == "hello"
    assert [one.reused for one in notes] == [False, False]


async def test_a_kept_stream_that_turns_out_to_be_dead_can_be_tried_again_on_a_fresh_one():
    """The server resets the second question of a connection: only its conversation can know, and retries."""

    def once(connection):
        connection.sendall(servers.line_of(connection))
        connection.recv(1)
        servers.reset(connection)

    with serving(once) as server:
        async with stage() as on:
            asker = Asker(on, Line(reuse=100), server.target)
            for _ in range(4):
                assert (await asker.ask()).detail == "hello"
        assert server.accepted == 4


async def test_a_kept_stream_on_which_the_server_talks_unasked_is_given_up():
    notes = []

    def chatter(connection):
        connection.sendall(servers.line_of(connection))
        threading.Event().wait(0.1)
        connection.sendall(b"and another thing\n")
        connection.recv(1)

    with serving(chatter) as server:
        async with stage() as on:
            asker = Asker(on, noting(notes, reuse=100), server.target)
            for _ in range(2):
                assert (await asker.ask()).detail == "hello"
                await on.until(lambda: not on.prober._engine._watched)
    assert [one.reused for one in notes] == [False, False]


async def test_kept_streams_are_closed_when_the_probe_goes():
    ended = threading.Event()

    def wait(connection):
        try:
            servers.echo_lines(connection)
        finally:
            ended.set()

    with serving(wait) as server:
        async with stage() as on:
            await Asker(on, noting([], reuse=100), server.target).ask()
            assert not ended.is_set()
            await on.prober.assign([])
            await on.until(ended.is_set)


# --- TLS ---


async def test_a_kept_tls_stream_serves_the_next_probes(ca):
    notes = []
    with serving(over_tls(authority.serving(NAME), servers.echo_lines)) as server:
        async with stage() as on:
            asker = Asker(on, noting(notes, Tls(ca_file=ca), reuse=4), server.target)
            for _ in range(6):
                assert (await asker.ask()).detail == "hello"
        assert [one.reused for one in notes] == [False, True, True, True, False, True]
        assert all(one.tls.days_left == 30 for one in notes)
        assert server.accepted == 2


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_sessions_are_resumed_but_every_tenth_handshake_is_whole(ca, version):
    notes = []
    context = authority.serving(NAME)
    context.minimum_version = context.maximum_version = version
    with serving(over_tls(context, servers.echo_lines)) as server:
        async with stage() as on:
            asker = Asker(on, noting(notes, Tls(ca_file=ca), keep=False), server.target)
            for _ in range(22):
                assert (await asker.ask()).detail == "hello"
    resumed = [one.tls.resumed for one in notes]
    assert RESUMES == 9
    assert resumed == [False, *[True] * 9, False, *[True] * 9, False, True]
    assert all(one.tls.days_left == 30 for one in notes)


async def test_a_server_that_forgets_its_sessions_is_shaken_hands_with_anew(ca):
    notes = []
    context = authority.serving(NAME)
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    with serving(over_tls(context, servers.echo_lines)) as server:
        async with stage() as on:
            asker = Asker(on, noting(notes, Tls(ca_file=ca), keep=False), server.target)
            for _ in range(3):
                assert (await asker.ask()).detail == "hello"
    assert [one.tls.resumed for one in notes] == [False] * 3


async def test_sessions_are_resumed_after_starttls_too(ca):
    handler = servers.start_tls_after(b"secure\n", authority.serving(NAME), servers.echo_lines)
    with serving(handler) as server:
        async with stage() as on:
            asker = Asker(on, Upgrade(Tls(ca_file=ca), NAME), server.target)
            for _ in range(3):
                assert (await asker.ask()).detail == "hello by TLSv1.3"


async def test_a_changed_file_is_used_from_the_next_assignment_on(tmp_path, ca):
    import trustme

    other = trustme.CA()
    context = authority.serving(NAME, issuer=other)
    with serving(over_tls(context, servers.echo_lines)) as server:
        async with stage() as on:
            asker = Asker(on, Line(tls=Tls(ca_file=ca), name=NAME), server.target)
            assert (await asker.ask()).reason is Reason.TLS
            assert authority.trusted(tmp_path, other) == ca
            asker.begun = False
            await on.prober.assign([])
            assert (await asker.ask()).outcome is Outcome.PASS
