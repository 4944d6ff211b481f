"""The daemon in this process, on tables that misbehave: what it says, how it ends, and that nobody waits for ever."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from healthd.config.load import load
from healthd.control import ask
from healthd.daemon import Options, needs_restart
from healthd.ipvs.base import RowRefused
from healthd.ipvs.memory import MemoryTable
from healthd.ops import Op
from healthd.startup import serve
from tests.daemon.conftest import Listener, service_text

BOUND = 60.0


class Buggy(MemoryTable):
    """A table with a fault in it."""

    async def apply(self, ops: Sequence[Op]) -> list[RowRefused | None]:
        """Raise what no caller expects."""
        raise ZeroDivisionError("a fault of our own")


class Serving:
    """`serve` as a task, and what it can be asked."""

    def __init__(self, path: Path, table: MemoryTable, **options: Any) -> None:
        loaded = load(path)
        assert loaded.config is not None
        self.table = table
        self.folder = path.parent
        started = Options(path, table, in_process=True, **options)
        self.task = asyncio.create_task(serve(loaded.config, started, loaded.problems))

    async def ask(self, method: str = "GET", what: str = "/v1/status") -> dict:
        """Ask over the control socket, in a thread."""
        return await asyncio.to_thread(ask, self.folder / "control.sock", method, what, BOUND)

    async def until(self, *words: str) -> None:
        """Wait for a line of log with these words."""
        async with asyncio.timeout(BOUND):
            while not any(all(word in line for word in words) for line in self.log()):
                assert not self.task.done(), self.log()
                await asyncio.sleep(0.02)

    def log(self) -> list[str]:
        """The lines of the log as they stand in the file."""
        path = self.folder / "log"
        return path.read_text().splitlines() if path.exists() else []

    async def end(self, *numbers: int) -> int:
        """Send ourselves these signals; the exit code."""
        for number in numbers:
            os.kill(os.getpid(), number)
        async with asyncio.timeout(BOUND):
            return await self.task


async def test_a_fault_of_its_own_ends_it_with_the_traceback_in_the_log(write, listeners):
    heard: list[str] = []
    serving = Serving(write(service_text("www", listeners)), Buggy(), decided=heard.append)
    assert await serving.end() == 70
    assert heard[-1:] == ["a fault of healthd's own ended it; the log has it, please report it"]
    (line,) = [json.loads(line) for line in serving.log() if "fault of its own" in line]
    assert "ZeroDivisionError: a fault of our own" in json.dumps(line)
    assert not (serving.folder / "control.sock").exists()


async def test_of_many_warnings_the_log_has_the_first_and_their_number(write, listeners):
    many = [Listener() for _ in range(25)]
    serving = Serving(write(service_text("www", many)), MemoryTable())
    await serving.until("and 5 more")
    assert sum("masquerades" in line for line in serving.log()) == 20
    assert await serving.end(signal.SIGTERM) == 0
    for one in many:
        one.close()


async def test_no_table_at_the_start_is_one_sentence(write, listeners):
    serving = Serving(write(service_text("www", listeners)), MemoryTable(unavailable="no permission"))
    assert await serving.end() == 69
    assert "healthd cannot start: no permission" in json.loads(serving.log()[-1])["message"]


@pytest.mark.parametrize(("policy", "code"), [("leave", 0), ("quiesce", 69), ("remove", 69)])
async def test_a_stop_policy_that_cannot_be_carried_out_is_told(write, listeners, policy, code):
    serving = Serving(write(service_text("www", listeners), on_stop=policy), MemoryTable())
    await serving.until("server-up")
    serving.table.unavailable = "the module is gone"
    assert await serving.end(signal.SIGTERM) == code
    assert any("the module is gone" in line and policy in line for line in serving.log()) is (code != 0)


@pytest.mark.parametrize(("policy", "rows"), [("leave", [7, 7]), ("quiesce", [0, 0]), ("remove", None)])
async def test_what_a_stop_policy_leaves_in_the_table(write, listeners, policy, rows):
    serving = Serving(write(service_text("www", listeners), on_stop=policy), MemoryTable())
    await serving.until(f"{listeners[0].port}", "server-up")
    await serving.until(f"{listeners[1].port}", "server-up")
    assert await serving.end(signal.SIGINT) == 0
    found = [[row.weight for row in each.dests.values()] for each in (await serving.table.snapshot()).services.values()]
    assert found == ([rows] if rows else [])


class Hanging(MemoryTable):
    """A table that takes no more once it hangs."""

    hangs = False

    async def apply(self, ops: Sequence[Op]) -> list[RowRefused | None]:
        """Take nothing any more, once it hangs."""
        if self.hangs:
            await asyncio.Event().wait()
        return await super().apply(ops)


async def test_a_table_that_hangs_does_not_keep_the_daemon_from_stopping(write, listeners):
    serving = Serving(write(service_text("www", listeners), on_stop="remove"), Hanging(), stop_patience=0.2)
    await serving.until("server-up")
    serving.table.hangs = True
    assert await serving.end(signal.SIGTERM) == 69
    assert any("the table did not take it within 0.2 s; the rows stay as they are" in line for line in serving.log())


async def test_a_service_may_have_a_stop_policy_of_its_own(write, listeners):
    own = service_text("www", listeners).replace("[[service]]", '[[service]]\non_stop = "quiesce"', 1)
    serving = Serving(write(own, service_text("mail", listeners, "192.0.2.25:25"), on_stop="remove"), MemoryTable())
    await serving.until("www", f"{listeners[0].port}", "server-up")
    await serving.until("www", f"{listeners[1].port}", "server-up")
    assert await serving.end(signal.SIGTERM) == 0
    (left,) = (await serving.table.snapshot()).services.values()
    assert [row.weight for row in left.dests.values()] == [0, 0]


async def test_a_maintenance_file_takes_a_server_out_and_its_end_brings_it_back(write, listeners, tmp_path):
    folder = tmp_path / "maintenance"
    folder.mkdir()
    text = service_text("www", listeners)
    serving = Serving(write(text, more=f'[maintenance]\nfolder = "{folder}"\n'), MemoryTable())
    await serving.until(f"{listeners[0].port}", "server-up")
    await serving.until(f"{listeners[1].port}", "server-up")
    file = folder / f"127.0.0.2:{listeners[1].port}"
    file.touch()
    await serving.until("is now maintenance", str(file), "weight 0")
    (service,) = (await serving.table.snapshot()).services.values()
    assert sorted(row.weight for row in service.dests.values()) == [0, 7]
    file.unlink()
    await serving.until("is now enabled", "weight 7")
    assert await serving.end(signal.SIGTERM) == 0


async def test_a_server_in_maintenance_at_the_start_never_gets_traffic(write, listeners, tmp_path):
    (tmp_path / "127.0.0.2").touch()
    text = service_text("www", listeners)
    serving = Serving(write(text, more=f'[maintenance]\nfolder = "{tmp_path}"\n'), MemoryTable())
    await serving.until(f"127.0.0.1:{listeners[0].port}", "server-up")
    await serving.until(f"127.0.0.2:{listeners[1].port}", "server-up")
    assert await serving.end(signal.SIGTERM) == 0
    assert not any("127.0.0.2" in line and "weight=7" in line for line in serving.log())


async def test_a_reload_while_the_table_is_away_is_answered_and_says_so(write, listeners):
    """It is in force for the probes, and is written when the table is back."""
    path = write(service_text("www", listeners))
    serving = Serving(path, MemoryTable())
    await serving.until("server-up")
    serving.table.unavailable = "the module is gone"
    path.write_text(path.read_text().replace("weight = 7", "weight = 9"))
    answer = await serving.ask("POST", "/v1/reload")
    serving.table.unavailable = ""
    assert answer["ok"] is True
    assert "once the table is back: the module is gone" in answer["message"]
    async with asyncio.timeout(BOUND):
        while {real["weight"] for s in (await serving.ask())["services"] for real in s["reals"]} != {9}:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert await serving.end(signal.SIGTERM) == 0


async def test_counters_that_cannot_be_read_are_no_secret(write, listeners):
    """Who asks for connections of a table that is away hears that it is, before the director has noticed."""
    serving = Serving(write(service_text("www", listeners)), MemoryTable())
    await serving.until("server-up")
    serving.table.unavailable = "the module is gone"
    answer = await serving.ask("GET", "/v1/status?counters")
    serving.table.unavailable = ""

    assert (answer["table"]["ok"], answer["table"]["error"]) == (False, "the module is gone")
    assert await serving.end(signal.SIGTERM) == 0


async def test_reloads_at_the_same_time_take_turns(write, listeners):
    path = write(service_text("www", listeners))
    serving = Serving(path, MemoryTable())
    await serving.until("server-up")
    path.write_text(path.read_text() + service_text("two", listeners, "192.0.2.81:80"))
    answers = await asyncio.gather(*(serving.ask("POST", "/v1/reload") for _ in range(3)))
    assert all("2 services" in answer["message"] for answer in answers)
    assert await serving.end(signal.SIGTERM, signal.SIGHUP) == 0


async def test_a_change_that_needs_a_restart_is_told_until_it_is_taken_back(write, listeners):
    path = write(service_text("www", listeners))
    serving = Serving(path, MemoryTable())
    await serving.until("server-up")
    before = path.read_text()
    path.write_text(before + "[prober]\nprocesses = 2\n")
    for _ in range(2):
        assert "changes of prober take effect at the next start" in (await serving.ask("POST", "/v1/reload"))["message"]
    path.write_text(before)
    assert "next start" not in (await serving.ask("POST", "/v1/reload"))["message"]
    assert await serving.end(signal.SIGTERM) == 0


async def test_an_end_while_somebody_waits_for_a_reload_is_an_end(write, listeners):
    """Who waits is answered or hung up on; the daemon does not wait for them."""
    path = write(service_text("www", listeners))
    serving = Serving(path, MemoryTable())
    await serving.until("server-up")
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(serving.folder / "control.sock"))
        client.sendall(b"POST /v1/reload HTTP/1.1\r\nHost: x\r\n\r\n")
        assert await serving.end(signal.SIGTERM) == 0
    assert not [thread for thread in threading.enumerate() if thread.name == "healthd-log"]


def test_settings_that_are_read_only_at_the_start_are_named(write):
    plain = load(write()).config
    other = load(write(more="[runner]\nparallel = 3\n")).config
    assert plain is not None
    assert other is not None
    assert needs_restart(plain.settings, other.settings) == ["runner"]
    assert needs_restart(plain.settings, plain.settings) == []
