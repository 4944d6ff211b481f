"""Scrapes of a real daemon with its processes, over its control socket."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from healthd.control import ask
from tests.metrics.scraping import OPENMETRICS, scrape

from .conftest import PATIENCE, RunningDaemon, service_text


def until(daemon: RunningDaemon, wanted: dict[str, float], **labels: str) -> None:
    """Wait until metrics of these labels have these values."""

    def holds() -> bool:
        now = scrape(daemon.socket)
        return {name: now.value(name, **labels) for name in wanted} == wanted

    daemon.until(holds, f"{wanted} of {labels}")


@pytest.fixture
def daemon(write, start, listeners) -> RunningDaemon:
    """A daemon with its processes, which has asked both servers."""
    write(service_text("www", listeners))
    running = start(processes=True)
    running.told("READY")
    return running


def test_a_scrape_follows_the_servers(daemon, listeners):
    dead, alive = ({"service": "www", "real": f"{one.address}:{one.port}"} for one in listeners)
    until(daemon, {"server_up": 1, "server_weight": 7, "server_wanted_weight": 7}, **dead)
    listeners[0].close()
    until(daemon, {"server_up": 0, "server_weight": 0, "server_wanted_weight": 0}, **dead)
    seen = scrape(daemon.socket, OPENMETRICS)

    assert seen.value("server_up", **alive) == seen.value("check_up", **alive, check="tcp") == 1
    assert seen.value("check_failures_total", **dead, check="tcp") >= 2
    assert seen.value("check_failures_total", **alive, check="tcp") == 0
    assert 0 < seen.value("check_duration_seconds", **alive, check="tcp") < PATIENCE
    assert seen.value("events_total", kind="server-down") == 1
    assert seen.value("table_up") == 1
    assert seen.value("table_writes_total") >= 4  # the service, two servers, one weight
    assert seen.value("ipvs_connections_total", **alive) == 0


def test_probing_is_counted_in_all_processes_and_each_process_has_its_cost(daemon):
    daemon.until(lambda: (scrape(daemon.socket).value("probe_results_total", outcome="pass") or 0) >= 6, "six passes")
    seen = scrape(daemon.socket)

    assert seen.value("probe_lateness_seconds_count") >= 6
    assert seen.value("probe_lateness_seconds_bucket", le="+Inf") == seen.value("probe_lateness_seconds_count")
    assert {labels["process"] for labels in seen.labels("process_cpu_seconds_total")} == {"director", "prober 0"}
    assert all(
        value > 0 for (name, _), value in seen.samples.items() if name == "healthd_process_resident_memory_bytes"
    )


def test_a_prober_that_dies_is_counted_and_a_scrape_answers_meanwhile(daemon, listeners):
    pid = next(int(path.name) for path in children(daemon.process.pid) if "prober" in (path / "comm").read_text())
    os.kill(pid, signal.SIGKILL)
    until(daemon, {"events_total": 1}, kind="prober-lost")
    on = {"service": "www", "real": f"{listeners[0].address}:{listeners[0].port}"}

    assert scrape(daemon.socket).value("server_up", **on) == 1


def children(pid: int) -> list[Path]:
    """Folders below /proc of the processes that a process has started."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [Path("/proc") / child for child in listed.split()]


def test_a_drain_and_a_reload_that_failed_are_told(daemon, listeners, tmp_path):
    on = {"service": "www", "real": f"{listeners[0].address}:{listeners[0].port}"}
    ask(daemon.socket, "POST", "/v1/overrides", body={"names": [on["real"]], "kind": "drain", "why": "work"})
    (tmp_path / "healthd.toml").write_text("nonsense")
    ask(daemon.socket, "POST", "/v1/reload")
    until(daemon, {"config_last_reload_successful": 0})
    seen = scrape(daemon.socket)

    assert seen.value("server_reason", **on, reason="drained") == 1
    assert seen.value("server_weight", **on) == 0
    assert [labels["kind"] for labels in seen.labels("override_set_timestamp_seconds")] == ["drain"]


@pytest.mark.real
def test_promtool_has_nothing_to_say_against_a_real_exposition(daemon):
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is missing: apt-get install prometheus")
    text = scrape(daemon.socket).text
    done = subprocess.run(
        [program, "check", "metrics"], input=text, capture_output=True, text=True, timeout=PATIENCE, check=False
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
