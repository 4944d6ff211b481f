"""Mail of a whole daemon, in this process: what it says of each stage, reminders, and that a stop still sends."""

from __future__ import annotations

import asyncio
import signal

import pytest

from healthd.ipvs.memory import MemoryTable
from tests.daemon.conftest import service_text
from tests.hooks.post import Post, post_office
from tests.hooks.samples import until

from .test_serve import BOUND, Serving


def mail(server: str, more: str = "") -> str:
    return f'[mail]\nto = ["ops@example.org", "root"]\nfrom = "lb@example.org"\nserver = "{server}"\n{more}\n'


def told(post: Post) -> list[tuple[str, str]]:
    """Of each mail what healthd was doing, and the subject without what differs from run to run."""
    found = []
    for one in post.mails:
        status = next(line for line in one.get_content().splitlines() if line.startswith("Daemon-Status:"))
        found.append((status.split()[1], one["X-Healthd-Kind"]))
    return found


async def test_the_stages_of_a_daemon(write, listeners):
    first, second = listeners[:2]
    async with post_office() as post:
        path = write(service_text("www", [first, second]), on_stop="quiesce", more=mail(post.server))
        serving = Serving(path, MemoryTable())
        await until(lambda: len(post.envelopes) == 1, BOUND)
        first.close()
        await until(lambda: len(post.envelopes) == 2, BOUND)
        write(service_text("www", [second]), on_stop="quiesce", more=mail(post.server))
        reloaded = await serving.ask("POST", "/v1/reload")
        assert reloaded["ok"], reloaded
        await until(lambda: len(post.envelopes) == 3, BOUND)
        status = await serving.ask()
        assert await serving.end(signal.SIGTERM) == 0
    kinds = [kind for _, kind in told(post)]
    assert kinds == ["server-up", "server-down", "server-removed", "server-weight"]
    assert told(post)[1][0] == "running"
    assert told(post)[3][0] == "stopping"
    assert "2 servers up: www" in post.mails[0]["Subject"]
    assert f":{first.port} is down (refused" in post.mails[1]["Subject"]
    assert [envelope.rcpt_tos for envelope in post.envelopes] == [["ops@example.org", "root"]] * 4
    (stats,) = [hook for hook in status["hooks"] if hook["name"] == "mail"]
    assert (stats["delivered"], stats["failed"], stats["queued"]) == (4, 0, 0)


@pytest.mark.parametrize(("during", "mailed"), [("starting", True), ("running", False)])
async def test_what_the_first_round_finds_is_of_the_start(write, listeners, during, mailed):
    async with post_office() as post:
        path = write(service_text("www", listeners), more=mail(post.server, f'during = "{during}"'))
        serving = Serving(path, MemoryTable())
        for listener in listeners:
            await serving.until(f"{listener.port}", "server-up")
        assert await serving.end(signal.SIGTERM) == 0
    assert bool(post.envelopes) is mailed


async def test_a_server_that_was_down_before_the_start_is_reminded_of(write, listeners):
    """The table says so, so it is no news; but somebody should still look after it."""
    listeners[0].close()
    table = MemoryTable()
    first = Serving(write(service_text("www", listeners)), table)
    await first.until(f"{listeners[0].port}", "server-down")
    await first.until(f"{listeners[1].port}", "server-up")
    assert await first.end(signal.SIGTERM) == 0
    async with post_office() as post:
        path = write(service_text("www", listeners), more=mail(post.server, 'reminder = "3s"'))
        second = Serving(path, table)
        await until(lambda: post.envelopes, BOUND)
        assert await second.end(signal.SIGTERM) == 0
    assert {mail["X-Healthd-Kind"] for mail in post.mails} == {"server-still-down"}
    assert f":{listeners[0].port} is still down, for " in post.mails[0]["Subject"]


async def test_a_mail_server_that_refuses_everybody_is_seen_and_hinders_nothing(write, listeners):
    async with post_office() as post:
        refused = post.server
    serving = Serving(write(service_text("www", listeners), on_stop="remove", more=mail(refused)), MemoryTable())
    for listener in listeners:
        await serving.until(f"{listener.port}", "server-up")
    await serving.until("hook mail to", "Connection refused")
    status = await serving.ask()
    (stats,) = [hook for hook in status["hooks"] if hook["name"] == "mail"]
    assert stats["queued"] == len(listeners)
    assert "Connection refused" in stats["last_error"]
    async with asyncio.timeout(BOUND):
        assert await serving.end(signal.SIGTERM) == 0
    assert (await serving.table.snapshot()).services == {}
