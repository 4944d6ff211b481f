"""The daemon beside its files: what changes on disk comes into force, and every probe is a line in a monitor file."""

from __future__ import annotations

import json
import re
import signal

import pytest

from healthd.ipvs.memory import MemoryTable
from tests.daemon.conftest import service_text
from tests.daemon.test_serve import Serving

LINE = r"^\[[^]]{{24}}\] \[\d+\] {} \[{}\] .+$"
WATCH = '[reload]\nwatch = {watch}\ncallback = "{callback}"\n'


@pytest.fixture
def callback(tmp_path):
    """A program that writes what it is told, and the lines it wrote."""
    program, told = tmp_path / "callback", tmp_path / "told"
    program.write_text(f'#!/bin/sh\necho "$* $HEALTHD_RELOAD" >> {told}\n')
    program.chmod(0o755)
    (tmp_path / "services.d").mkdir()
    return program, lambda: told.read_text().splitlines() if told.exists() else []


def names(daemon):
    return {service["name"] for service in daemon.status()["services"]}


def test_what_changes_on_disk_comes_into_force_and_a_mistake_changes_nothing(start, write, listeners, callback):
    program, told = callback
    main = write(service_text("www", listeners), more=WATCH.format(watch="true", callback=program))
    daemon = start()
    daemon.told("READY=1")
    file = main.parent / "services.d" / "mail.toml"
    file.write_text(service_text("mail", listeners, "192.0.2.25:25"))
    daemon.until(lambda: names(daemon) == {"www", "mail"}, "the new file's service is kept")
    daemon.until(lambda: told() == [f"{main} reloaded"], "the callback was run after it")
    file.write_text("[[service]]\nvirtual = 5\n")
    daemon.until(lambda: told() == [f"{main} reloaded", f"{main} refused"], "the mistake was found")
    assert names(daemon) == {"www", "mail"}
    file.unlink()
    daemon.until(lambda: names(daemon) == {"www"}, "the service whose file is gone is gone")
    daemon.until(lambda: len(told()) == 3, "the callback was run for that, too")
    assert [kind for kind in daemon.kinds() if kind.startswith("reload")] == ["reloaded", "reload-failed", "reloaded"]
    assert daemon.stop() == 0


def test_without_watching_the_callback_is_run_and_nothing_is_read(start, write, listeners, callback):
    program, told = callback
    main = write(service_text("www", listeners), more=WATCH.format(watch="false", callback=program))
    daemon = start()
    daemon.told("READY=1")
    daemon.until(lambda: weights_known(daemon), "servers are up")
    (main.parent / "services.d" / "mail.toml").write_text("not even TOML")
    daemon.until(told, "the callback was run")
    assert told() == [f"{main} ignored"]
    assert names(daemon) == {"www"}
    assert "reload-failed" not in daemon.kinds()
    assert daemon.stop() == 0


def weights_known(daemon):
    return set(daemon.weights().values()) == {7}


async def test_what_changed_while_the_daemon_started_is_read(write, listeners):
    serving = Serving(
        write(service_text("www", listeners), more="[reload]\nwatch = true\n"), MemoryTable(), read_at=0.0
    )
    await serving.until("the configuration was read again")
    assert await serving.end(signal.SIGTERM) == 0


@pytest.mark.parametrize("processes", [True, False])
def test_every_probe_is_a_line_in_the_monitor_file(start, write, listeners, tmp_path, processes):
    file, folder = tmp_path / "monitor", tmp_path / "maintenance"
    folder.mkdir()
    keys = f'monitor_file = "{file}"\nmaintenance = "{folder}"\n'
    write(service_text("www", listeners).replace("[[service]]\n", f"[[service]]\n{keys}", 1))
    daemon = start(processes=processes)
    first, second = (f"tcp tcp {one.address} {one.port} 7 masq" for one in listeners)

    def text():
        return file.read_text() if file.exists() else ""

    def count(who, state):
        return len(re.findall(LINE.format(re.escape(who), state), text(), re.MULTILINE))

    daemon.until(lambda: count(first, "up") >= 3 and count(second, "up") >= 3, "steady passes are lines")
    either = LINE.format(f"({re.escape(first)}|{re.escape(second)})", "up")
    assert all(re.match(either, line) for line in text().splitlines())
    listeners[0].close()
    daemon.until(lambda: count(first, "down") >= 2, "failures are lines")
    file.rename(tmp_path / "monitor.1")
    daemon.until(lambda: count(second, "up") >= 2, "a file that is moved away is made anew")
    (folder / listeners[1].address).touch()
    daemon.until(lambda: f"{second} [down] Server in maintenance" in text(), "maintenance is a line")
    (hook,) = [hook for hook in daemon.status()["hooks"] if hook["name"] == "monitor files"]
    assert (hook["failed"], hook["dropped"]) == (0, 0)
    assert hook["delivered"] >= text().count("\n")
    assert daemon.stop() == 0


def test_a_monitor_file_that_cannot_be_written_costs_its_lines_alone(start, write, listeners, tmp_path):
    (tmp_path / "folder").mkdir()
    keys = f'monitor_file = "{tmp_path}/folder/monitor"\n'
    write(service_text("www", listeners).replace("[[service]]\n", f"[[service]]\n{keys}", 1))
    daemon = start()
    daemon.until(lambda: (tmp_path / "folder" / "monitor").exists(), "it is written")
    (tmp_path / "folder").rename(tmp_path / "elsewhere")
    daemon.until(lambda: any("cannot be written" in json.dumps(line) for line in daemon.events()), "it was told")
    listeners[0].close()
    daemon.until(lambda: 0 in daemon.weights().values(), "the server that failed is out")
    (tmp_path / "folder").mkdir()
    daemon.until(lambda: any("is written again" in json.dumps(line) for line in daemon.events()), "it is written again")
    assert sum("cannot be written" in json.dumps(line) for line in daemon.events()) == 1
    assert daemon.stop() == 0
