"""`healthd doctor` as a command: on this very machine, without and with a daemon that runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.daemon.conftest import service_text

CODES = {"ok": 0, "hint": 0, "warning": 1, "error": 2}


@pytest.fixture
def doctor(tmp_path: Path):
    """Runs the command in a process of its own; what it did. Locks are below this test's folder."""

    def run(*words: object) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "healthd", "doctor", "-s", str(tmp_path / "control.sock"), *map(str, words)]
        environment = {**os.environ, "HEALTHD_LOCKS": str(tmp_path)}
        return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60, env=environment)

    return run


def findings(done: subprocess.CompletedProcess[str]) -> dict[str, list[dict]]:
    """The findings of a call with --json, by id. Its exit code is that of the worst."""
    document = json.loads(done.stdout)
    assert done.returncode == CODES[document["worst"]], done.stderr
    found: dict[str, list[dict]] = {}
    for finding in document["findings"]:
        found.setdefault(finding["id"], []).append(finding)
    return found


def test_it_says_in_plain_words_whether_this_kernel_has_a_table(doctor, write, listeners):
    done = doctor("-c", write(service_text("www", listeners)), "--json")
    (kernel,) = findings(done)["kernel.ipvs"]
    if Path("/proc/net/ip_vs").exists():
        assert kernel["severity"] == "ok"
    else:
        assert kernel["severity"] in ("error", "warning")
        assert "IPVS" in kernel["seen"] or "not loaded" in kernel["seen"]
        assert kernel["do"] or kernel["commands"]


def test_a_virtual_address_that_is_not_here_is_found_and_one_that_is_here_is_not(doctor, write, listeners):
    path = write(service_text("www", listeners), service_text("here", listeners, virtual="127.0.0.9:80"))
    (absent,) = findings(doctor("-c", path, "--json"))["network.virtual"]
    assert (absent["severity"], absent["seen"]) == ("error", "not on this machine: virtual address 192.0.2.80 (www)")


def test_a_configuration_with_mistakes_is_an_error_and_the_rest_is_looked_at_all_the_same(doctor, tmp_path):
    (tmp_path / "healthd.toml").write_text("[[service]]\nname = 1\n")
    found = findings(doctor("-c", tmp_path / "healthd.toml", "--json"))
    assert "healthd.toml" in found["config.error"][0]["seen"]
    assert "kernel.ipvs" in found


def test_text_is_short_quiet_is_shorter_and_verbose_has_what_is_in_order(doctor, write, listeners):
    path = write(service_text("www", listeners))
    usual, quiet, verbose = doctor("-c", path), doctor("-c", path, "--quiet"), doctor("-c", path, "-v")
    assert usual.returncode == quiet.returncode == verbose.returncode == 2  # the virtual address is nowhere
    words = [{line.split()[0] for line in done.stdout.splitlines() if line[:1].isalpha()} for done in (usual, verbose)]
    assert words[1] - words[0] == {"ok"}
    assert "error    not on this machine: virtual address 192.0.2.80 (www)" in quiet.stdout
    assert "hint " not in quiet.stdout
    assert "in order" not in quiet.stdout


def test_a_daemon_that_runs_is_asked_and_its_rights_are_those_that_count(doctor, write, start, listeners):
    path = write(service_text("www", listeners))
    assert findings(doctor("-c", path, "--json"))["daemon.answers"][0]["severity"] == "hint"
    daemon = start(processes=True)
    daemon.until(lambda: daemon.weights() and None not in daemon.weights().values(), "all servers are in")
    found = findings(doctor("-c", path, "--json"))
    (answers,) = found["daemon.answers"]
    assert (answers["severity"], str(daemon.process.pid) in answers["seen"]) == ("ok", True)
    bad = [one for topic in found if topic.startswith("daemon.") for one in found[topic] if one["severity"] == "error"]
    assert bad == []
    assert all(f"process {daemon.process.pid}" in one["seen"] for one in found["rights.capability"])
    assert "clock.stepped" not in found


def test_a_daemon_whose_servers_are_all_down_is_no_secret(doctor, write, start, listeners):
    path = write(service_text("www", listeners))
    daemon = start()
    daemon.until(lambda: daemon.weights() and None not in daemon.weights().values(), "all servers are in")
    for one in listeners:
        one.close()
    daemon.until(lambda: set(daemon.weights().values()) == {0}, "all are out")
    found = findings(doctor("-c", path, "--json"))
    assert found["daemon.idle"][0]["severity"] == "error"
