"""A daemon on an ldirectord.cf reads it again as it read it first, and an error in it stops nothing."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import replace
from pathlib import Path

from healthd.config.load import load
from healthd.config.schema import Config, ControlSettings, LogSettings
from healthd.daemon import Options
from healthd.ipvs.memory import MemoryTable
from healthd.startup import serve
from tests.daemon.conftest import Listener
from tests.daemon.test_serve import BOUND, Serving

HEAD = "checkinterval = 1\nchecktimeout = 1\nquiescent = yes\nvirtual = 192.0.2.80:80\n    checktype = connect\n"


class OnFile(Serving):
    """The daemon on such a file, with a control socket and a log beside it."""

    def __init__(self, path: Path) -> None:
        self.table = MemoryTable()
        self.folder = path.parent
        loaded = load(path)
        assert loaded.config is not None, loaded.problems
        options = Options(path, self.table, in_process=True, adapt=self.adapted)
        self.task = asyncio.create_task(serve(self.adapted(loaded.config), options, loaded.problems))

    def adapted(self, config: Config) -> Config:
        """The configuration with our own places."""
        log = LogSettings(to=str(self.folder / "log"), format="json")
        control = ControlSettings(self.folder / "control.sock")
        return replace(config, settings=replace(config.settings, log=log, control=control))

    async def weights(self) -> list[int]:
        """Weights of the real servers in the table, sorted."""
        services = (await self.table.snapshot()).services.values()
        return sorted(row.weight for service in services for row in service.dests.values())

    async def come_to(self, *weights: int) -> None:
        """Wait until the table has these weights."""
        async with asyncio.timeout(BOUND):
            while await self.weights() != list(weights):  # noqa: ASYNC110
                await asyncio.sleep(0.02)


def text(listeners: list[Listener], *weights: int) -> str:
    reals = (f"    real = {one.address}:{one.port} masq {w}\n" for one, w in zip(listeners, weights, strict=True))
    return HEAD + "".join(reals)


async def test_b2_after_a_reload_with_an_error_servers_are_still_taken_out_and_brought_in(tmp_path, listeners):
    path = tmp_path / "test.cf"
    path.write_text(text(listeners, 3, 4))
    serving = OnFile(path)
    await serving.until("server-up", f"127.0.0.1:{listeners[0].port}")
    await serving.come_to(3, 4)
    path.write_text(text(listeners, 5, 6) + "    real = nonsense\n")
    answer = await serving.ask("POST", "/v1/reload")
    assert answer["ok"] is False
    assert "test.cf:8" in answer["message"]
    assert await serving.weights() == [3, 4]
    listeners[0].close()
    await serving.come_to(0, 4)
    listeners[0].reopen()
    await serving.come_to(3, 4)
    path.write_text(text(listeners, 5, 6))
    assert (await serving.ask("POST", "/v1/reload"))["ok"] is True
    await serving.come_to(5, 6)
    assert await serving.end(signal.SIGTERM) == 0


async def test_a_file_to_execute_that_is_not_there_takes_nothing_away(tmp_path, listeners):
    main, other = tmp_path / "test.cf", tmp_path / "other.cf"
    main.write_text("execute = other.cf\n" + text(listeners[:1], 3))
    serving = OnFile(main)
    await serving.come_to(3)
    other.write_text(text(listeners[1:2], 4).replace("192.0.2.80", "192.0.2.81"))
    assert (await serving.ask("POST", "/v1/reload"))["ok"] is True
    await serving.come_to(3, 4)
    other.unlink()
    answer = await serving.ask("POST", "/v1/reload")
    assert answer["ok"] is False
    assert "test.cf:1:11: error: execute: other.cf is part of the running configuration" in answer["message"]
    assert await serving.weights() == [3, 4]
    main.write_text(text(listeners[:1], 3))
    assert (await serving.ask("POST", "/v1/reload"))["ok"] is True
    await serving.come_to(3)
    assert await serving.end(signal.SIGTERM) == 0
