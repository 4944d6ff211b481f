"""The first look at streams that have just been opened: the near ones end there, the others are watched."""

from __future__ import annotations

import errno
import socket
import time

import pytest

from healthd.check import Outcome, Reason
from healthd.prober.attempt import Question
from healthd.prober.engine import Engine
from tests.prober.talk import Line, Tcp
from tests.support import servers

TRIES = 500
"""A busy machine may take its time over a handshake, even on loopback; so often we try to catch one in time."""


class Asked:
    """An engine without a loop around it, and all its reports."""

    def __init__(self):
        self.results = []
        self.bugs = []
        self.engine = Engine(self._report, clock=time.monotonic, on_bug=self.bugs.append)
        self.after = None

    def _report(self, attempt, result):
        self.results.append(result)
        if self.after is not None:
            after, self.after = self.after, None
            after()

    def begin(self, check, target, timeout=30.0):
        """Begin one attempt."""
        return self.engine.begin(Question(check, target), timeout)

    def until(self, condition):
        """Turn the engine until `condition()` is true."""
        give_up = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < give_up
            self.engine.reap()
            time.sleep(0.001)


@pytest.fixture
async def asked():
    one = Asked()
    yield one
    await one.engine.close()
    assert one.bugs == []


async def test_a_near_server_is_done_with_at_the_first_look(asked):
    with servers.serving(servers.accept_only) as server:
        for _ in range(TRIES):
            attempt = asked.begin(Tcp(), server.target)
            asked.engine.look()
            if attempt.flight is None:
                break
        else:
            pytest.fail("no connection was found open at the first look")
    assert asked.results[-1] == "connected"


async def test_what_the_look_does_not_find_is_waited_for(asked):
    with servers.serving(servers.echo_lines) as server, servers.black_hole(socket.AF_INET) as hole:
        silent = asked.begin(Tcp(), hole)
        asked.begin(Line(), server.target)
        asked.until(lambda: asked.results)
        assert asked.results == ["hello"]
        assert silent.flight is not None
        asked.engine.expire(silent.deadline)
    assert (asked.results[1].outcome, asked.results[1].reason) == (Outcome.FAIL, Reason.TIMEOUT)


async def test_a_refusal_is_found_by_the_look_as_well(asked):
    asked.begin(Tcp(), servers.refusing(socket.AF_INET))
    asked.until(lambda: asked.results)
    assert asked.results[0].reason is Reason.REFUSED


async def test_what_was_abandoned_before_the_look_is_not_looked_at(asked):
    with servers.serving(servers.accept_only) as server:
        asked.engine.abandon(asked.begin(Tcp(), server.target))
        asked.engine.look()
    assert asked.results == []
    assert not asked.engine.busy


async def test_a_number_that_is_used_again_within_a_look_is_not_taken_for_the_old_one(asked):
    with servers.serving(servers.accept_only) as server, servers.black_hole(socket.AF_INET) as hole:
        for _ in range(TRIES):  # the server, in a thread of ours, may take the number first
            begun = []
            asked.after = lambda begun=begun: begun.append(asked.begin(Tcp(), hole))
            number = asked.begin(Tcp(), server.target).channel.fd
            asked.until(lambda begun=begun: begun)
            if begun[0].channel.fd == number:
                break
            asked.engine.abandon(begun[0])
        else:
            pytest.fail("no number was used again")
        for _ in range(5):
            asked.engine.reap()
        assert begun[0].flight is not None
        assert set(asked.results) == {"connected"}


async def test_streams_that_cannot_be_watched_say_nothing_about_their_servers(asked, monkeypatch):
    def full(fd, behind, events):
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(asked.engine, "watch", full)
    with servers.black_hole(socket.AF_INET) as hole:
        asked.begin(Tcp(), hole)
        asked.engine.look()
    assert asked.results[0].outcome is Outcome.INCONCLUSIVE
    assert "waiting for a connection" in asked.results[0].detail
