"""Signals at every moment of the daemon's life: none ends it in the middle of something, none is lost."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path

import pytest

from tests.daemon.conftest import PATIENCE, service_text


def test_a_signal_before_the_start_is_complete_ends_it_in_order(start, write, listeners):
    """It is told to stop as soon as there is a process, whatever that is doing just then."""
    write(service_text("www", listeners))
    daemon = start(processes=True)
    end = time.monotonic() + PATIENCE
    while not _heeds(daemon.process.pid, signal.SIGTERM):
        assert time.monotonic() < end
        time.sleep(0.001)
    assert daemon.stop() == 0
    assert not daemon.socket.exists()
    assert daemon.errors.read_text() in (daemon.all_is_well, "healthd: told to stop before it had started\n")


def _heeds(pid: int, number: int) -> bool:
    """True once a process has a handler for a signal."""
    fields = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return bool(int(fields["SigCgt"], 16) >> (number - 1) & 1)


def test_many_hang_ups_are_few_reloads_and_the_last_state_of_the_files_counts(start, write, listeners):
    """Log rotation, an eager script: each is followed by a reload, but not each by its own."""
    path = write(service_text("www", listeners))
    daemon = start()
    daemon.told("READY=1")
    for number in range(100):
        path.write_text(path.read_text().replace(f"weight = {7 + number}", f"weight = {8 + number}"))
        daemon.process.send_signal(signal.SIGHUP)
    daemon.until(lambda: set(daemon.weights().values()) == {107}, "the last weights")
    assert 1 <= daemon.kinds().count("reloaded") < 100
    assert daemon.stop() == 0


def test_every_reload_that_is_announced_to_systemd_is_ended_there(start, write, listeners):
    """RELOADING and READY alternate, also where the files are bad; and READY comes first."""
    path = write(service_text("www", listeners))
    daemon = start()
    daemon.process.send_signal(signal.SIGHUP) if _heeds(daemon.process.pid, signal.SIGHUP) else None
    daemon.told("READY=1")
    path.write_text("nonsense")
    for _ in range(3):
        daemon.process.send_signal(signal.SIGHUP)
        assert "MONOTONIC_USEC=" in daemon.told("RELOADING=1")
        daemon.told("READY=1")
    daemon.until(lambda: daemon.kinds().count("reload-failed") == 3, "all three are logged")
    assert daemon.stop() == 0


def test_it_stops_in_the_middle_of_a_reload(start, write, listeners):
    """The reload is given up; the end is an orderly one."""
    write(service_text("www", listeners))
    daemon = start()
    daemon.told("READY=1")
    daemon.process.send_signal(signal.SIGHUP)
    assert daemon.stop() == 0
    assert "stopping" in daemon.kinds()


def test_a_second_order_to_stop_is_obeyed_at_once_and_logged(start, write, listeners, tmp_path):
    """A hook that hangs keeps the first one waiting."""
    script = tmp_path / "hook.sh"
    script.write_text(f"#!/bin/sh\ntouch {tmp_path}/began\nexec sleep 600\n")
    script.chmod(0o755)
    write(service_text("www", listeners), more=f'[[hook]]\ncommand = ["{script}"]\non = ["started"]\ntimeout = "1h"\n')
    daemon = start()
    daemon.told("READY=1")
    daemon.until(lambda: (tmp_path / "began").exists(), "the hook hangs")
    daemon.process.send_signal(signal.SIGTERM)
    daemon.told("STOPPING=1")
    assert daemon.stop() == 1
    assert any("second time" in line["message"] for line in daemon.events())


def test_nothing_to_ask_is_ready_at_once(start, write):
    """No services, so no first round to wait for."""
    write()
    daemon = start()
    assert "0 services" in daemon.told("READY=1")
    assert daemon.stop() == 0


def test_ready_waits_for_a_server_that_says_nothing_until_its_deadline(start, write, tmp_path):
    """No summary of others makes it ready before every server has been asked."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        text = f"""
[[service]]
name = "slow"
virtual = "192.0.2.80:80"
forward = "masq"
[service.check]
type = "http"
interval = "10s"
timeout = "2500ms"
[[service.real]]
address = "127.0.0.1:{port}"
"""
        write(text)
        daemon = start(processes=True)
        assert "1 down" in daemon.told("READY=1")
        assert daemon.stop() == 0


def test_a_server_that_can_never_be_asked_does_not_keep_it_from_being_ready(start, write, listeners, tmp_path):
    """An inconclusive verdict is an answer: the program of its check has gone meanwhile."""
    if os.getuid() != 0:
        pytest.skip("only root can choose a user")
    script = tmp_path / "check.sh"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    check = f'type = "script"\ncommand = "{script}"\n'
    write(service_text("www", listeners).replace('type = "tcp"\n', check))
    daemon = start()
    assert "2 unknown" in daemon.told("READY=1")
    assert daemon.stop() == 0


def test_warnings_of_the_configuration_are_in_the_log_at_the_start_and_after_a_reload(start, write, tmp_path):
    """Who reads the log of a daemon did not see its terminal."""
    write()
    path = tmp_path / "healthd.toml"
    path.write_text('include = ["empty.d/*.toml"]\n' + path.read_text())
    (tmp_path / "empty.d").mkdir()
    daemon = start()
    daemon.told("READY=1")
    daemon.until(lambda: warned(daemon) == 1, "told at the start")
    daemon.process.send_signal(signal.SIGHUP)
    daemon.told("RELOADING=1")
    daemon.told("READY=1")
    daemon.until(lambda: warned(daemon) == 2, "told again")
    assert daemon.errors.read_text() == daemon.all_is_well


def warned(daemon) -> int:
    """How often the log has the warning."""
    return sum("no file matches" in line["message"] for line in daemon.events())
