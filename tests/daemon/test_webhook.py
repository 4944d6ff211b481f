"""Webhooks of a whole daemon: a kill -9 loses none, a dead receiver is seen and hinders nothing, secrets stay so."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from datetime import UTC, datetime

from healthd.ipvs.memory import MemoryTable
from healthd.show import status_text
from tests.daemon.conftest import service_text
from tests.hooks.receiver import hang, receiver, saying
from tests.hooks.samples import until

from .test_serve import BOUND, Serving

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def hook(url: str, folder, more: str = "") -> str:
    return (
        f'[state]\nfile = "{folder}/state.db"\n[[hook]]\ntype = "webhook"\nname = "pager"\nurl = "{url}"\n'
        f'group = "100ms"\nsecret = "{SECRET}"\nheaders = {{ "X-Key" = "s3cret-header" }}\n{more}\n'
    )


def stats(document: dict) -> dict:
    (found,) = [one for one in document["hooks"] if one["name"] == "webhook pager"]
    return found


async def test_a_kill_loses_no_message(write, listeners, start, tmp_path):
    async with receiver() as there:
        there.always = hang
        write(service_text("www", listeners), more=hook(there.url, tmp_path, 'on = ["server-down", "server-up"]'))
        first = start()
        await asyncio.to_thread(first.told, "READY")
        listeners[0].close()
        await until(lambda: "server-down" in first.kinds(), BOUND)
        await until(lambda: "server-down" in _shelved(tmp_path), BOUND)
        assert await asyncio.to_thread(first.stop, signal.SIGKILL) == -signal.SIGKILL
        first.close()
        (tmp_path / "notify").unlink()
        assert there.taken == []
        there.always = None
        second = start()
        await asyncio.to_thread(second.told, "READY")
        wanted = f"{listeners[0].address}:{listeners[0].port}"
        await until(lambda: ("server-down", wanted) in [(one["kind"], one["real"]) for one in there.events], BOUND)
        await until(lambda: not _shelved(tmp_path), BOUND)
        status = await asyncio.to_thread(second.status)
        assert (stats(status)["queued"], stats(status)["failed"]) == (0, 0)
        assert await asyncio.to_thread(second.stop) == 0


def _shelved(folder) -> str:
    """What is on the shelf, as another process sees it."""
    code = "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute('SELECT event FROM shelf').fetchall())"
    ended = subprocess.run([sys.executable, "-c", code, f"{folder}/state.db"], capture_output=True, timeout=60)
    return ended.stdout.decode().strip().replace("[]", "")


async def test_a_dead_receiver_is_seen_and_delays_nothing(write, listeners, tmp_path):
    async with receiver() as there:
        there.always = hang
        path = write(service_text("www", listeners), more=hook(there.url, tmp_path, 'timeout = "200ms"'))
        serving = Serving(path, MemoryTable())
        for listener in listeners:
            await serving.until(f"{listener.port}", "server-up")
        await serving.until("webhook pager does not take messages: no answer within 0.2 s")
        status = await serving.ask()
        assert stats(status)["queued"] >= len(listeners)
        assert "no answer" in stats(status)["last_error"]
        assert "webhook pager: " in status_text(status)
        (service,) = (await serving.table.snapshot()).services.values()
        assert [row.weight for row in service.dests.values()] == [7, 7]
        there.always = None
        await serving.until("webhook pager takes messages again")
        await until(lambda: {f"127.0.0.1:{listeners[0].port}"} <= {one["real"] for one in there.events}, BOUND)
        assert await serving.end(signal.SIGTERM) == 0


async def test_secrets_are_nowhere_to_be_read(write, listeners, tmp_path):
    async with receiver() as there:
        there.answers = [saying(403, f"no: {SECRET} s3cret-header /hook/s3cret-path")]
        serving = Serving(write(service_text("www", listeners), more=hook(there.url, tmp_path)), MemoryTable())
        await serving.until("webhook pager does not take messages", "403 Forbidden: no: ")
        await until(lambda: there.taken, BOUND)
        status, config = await serving.ask(), await serving.ask("GET", "/v1/config")
        assert await serving.end(signal.SIGTERM) == 0
    said = json.dumps([status, config, serving.log()])
    assert "webhook-signature" in there.taken[0].headers
    assert "s3cret" not in said
    assert SECRET not in said


async def test_what_waits_goes_where_a_reload_says(write, listeners, tmp_path):
    async with receiver() as there, receiver() as other:
        there.always = hang
        text = service_text("www", listeners)
        serving = Serving(write(text, more=hook(there.url, tmp_path, 'timeout = "100ms"')), MemoryTable())
        await serving.until("webhook pager does not take messages")
        write(text, more=hook(other.url, tmp_path))
        reloaded = await serving.ask("POST", "/v1/reload")
        assert reloaded["ok"], reloaded
        await until(lambda: "started" in [one["kind"] for one in other.events], BOUND)
        assert await serving.end(signal.SIGTERM) == 0
    assert there.taken == []


async def test_what_ended_while_healthd_was_away_is_told_by_the_next(write, listeners, start, tmp_path):
    """That the service is usable again is no news to a healthd that never saw it otherwise; its receiver must know."""
    async with receiver() as there:
        more = 'template = "alertmanager"\non = ["service-down", "server-down"]'
        write(service_text("www", listeners), more=hook(there.url, tmp_path, more))
        first = start()
        await asyncio.to_thread(first.told, "READY")
        for listener in listeners:
            listener.close()
        await until(lambda: "service-down" in _shelved(tmp_path) and _firing(there) >= {"HealthdServiceDown"}, BOUND)
        assert await asyncio.to_thread(first.stop, signal.SIGKILL) == -signal.SIGKILL
        first.close()
        (tmp_path / "notify").unlink()
        for listener in listeners:
            listener.reopen()
        second = start()
        await asyncio.to_thread(second.told, "READY")
        await until(lambda: not _firing(there), BOUND)
        await until(lambda: not _shelved(tmp_path), BOUND)
        assert await asyncio.to_thread(second.stop) == 0


def _firing(there) -> set[str]:
    """What an Alertmanager would believe."""
    told = {json.dumps(alert["labels"]): alert for one in there.taken for alert in one.body}
    now = datetime.now(UTC).isoformat()
    return {alert["labels"]["alertname"] for alert in told.values() if alert["endsAt"] > now}
