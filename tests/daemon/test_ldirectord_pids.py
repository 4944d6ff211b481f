"""`healthd ldirectord`: whom a pid file is believed of, and what stock ldirectord does wrong with files and signals."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from tests.daemon.conftest import PATIENCE
from tests.daemon.ldirectord import BROKEN, NAME, Said, alive, paused, until

# --- pid files --------------------------------------------------------------------------------------------------


def test_a_killed_daemon_leaves_a_stale_pid_file_which_is_1_until_the_next_start(place):
    pid = place.start()
    os.kill(pid, signal.SIGKILL)
    until(lambda: not alive(pid), "it is gone")
    said = place.call(NAME, "status")
    assert said.code == 1
    assert said.err == f"ldirectord stale pid file {place.pid_file} for {place.config}\n"
    assert said.out == f"ldirectord is stopped for {place.config}\n"
    assert place.call(NAME, "stop").code == 0
    assert place.start() != pid
    assert place.call(NAME, "status").code == 0


def test_a_process_that_merely_has_the_number_is_neither_believed_nor_signalled(place):
    """Even if its command line says ldirectord, which is enough for ldirectord itself."""
    stranger = subprocess.Popen(["/bin/sh", "-c", "while :; do sleep 1; done", "ldirectord", NAME, "start"])
    try:
        place.pid_file.write_text(f"{stranger.pid}\n")
        assert place.call(NAME, "status").code == 1
        assert place.call(NAME, "stop").code == 0
        assert place.call(NAME, "reload").code == 1
        assert place.call(NAME, "start").code == 0
        assert place.pid != stranger.pid
        assert place.call(NAME, "stop").code == 0
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.parametrize("content", ["", "nonsense\n", "-1\n", "0\n", "99999999999\n", "1\n"])
def test_whatever_a_pid_file_says_without_its_holder_it_is_stale(place, content):
    place.pid_file.write_text(content)
    assert place.call(NAME, "status").code == 1
    assert place.call(NAME, "stop").code == 0


def test_a_pid_file_that_somebody_replaced_is_left_at_the_end(place):
    pid = place.start()
    place.pid_file.unlink()
    place.pid_file.write_text("1\n")
    os.kill(pid, signal.SIGTERM)
    until(lambda: not alive(pid), "it ends")
    assert place.pid_file.read_text() == "1\n"


def test_a_stock_ldirectord_of_the_same_instance_is_found_and_stopped(place):
    """Who moves over while it runs can stop it with the new program; one of another instance is a stranger."""
    perl = shutil.which("perl")
    if perl is None:
        pytest.skip("there is no perl")
    script = place.folder / "stock" / "ldirectord"
    script.parent.mkdir()
    script.write_text("$| = 1; print qq(ready\\n); sleep 600;")
    stock = subprocess.Popen([perl, "-w", str(script), NAME, "start"], stdout=subprocess.PIPE)
    assert stock.stdout is not None
    try:
        assert stock.stdout.readline() == b"ready\n"
        (place.run / "ldirectord.mail.cf.pid").write_text(f"{stock.pid}\n")
        shutil.copy(place.config, place.etc / "mail.cf")
        assert place.call("mail.cf", "status").code == 1
        place.pid_file.write_text(f"{stock.pid}\n")
        assert place.call(NAME, "status").code == 0
        stopping = place.begin(NAME, "stop")
        assert stock.wait(PATIENCE) == -signal.SIGTERM
        stopping.communicate(timeout=PATIENCE)
        assert stopping.returncode == 0
    finally:
        stock.kill()
        stock.wait()
        stock.stdout.close()


# --- defects of ldirectord --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [BROKEN, "\ufeffvirtual=x", 'logfile = "{log}"\n', None],
    ids=["broken", "bom", "without a service", "missing"],
)
def test_b10_status_and_stop_of_a_running_daemon_work_whatever_the_file_looks_like(place, content):
    """Stock reads the file first: a mistake in it deletes the daemon's pid file, and nobody finds it again."""
    pid = place.start()
    if content is None:
        place.config.unlink()
    else:
        place.config.write_text(content.format(log=place.log))
    wanted = NAME if content is None else str(place.config)
    running = Said(0, "", f"ldirectord for {wanted} is running with pid: {pid}\n")
    assert place.call(NAME, "status") == running
    assert place.call(NAME, "reload").code == 0
    assert place.call(NAME, "status") == running
    assert place.pid == pid
    assert place.call(NAME, "stop") == Said(0, "", "")
    assert not alive(pid)
    assert not place.pid_file.exists()


def test_b10_a_file_of_which_nothing_can_be_read_is_no_obstacle_either(place):
    """One that would block its reader for ever."""
    pid = place.start()
    place.config.unlink()
    os.mkfifo(place.config)
    assert place.call(NAME, "status").code == 0
    assert place.call(NAME, "stop").code == 0
    assert not alive(pid)


def test_b15_a_signal_while_it_starts_is_heeded(place):
    """Stock heeds none while it sets the table up, which takes minutes with many servers."""
    begun = place.begin(NAME, "start")
    until(lambda: place.pid_file.exists() and place.pid_file.read_text().strip(), "there is a pid file")
    pid = place.pid
    assert place.call(NAME, "stop").code == 0
    assert not alive(pid)
    begun.communicate(timeout=PATIENCE)
    assert begun.returncode in (0, 1), "as the stop came after or before it had started"
    assert not place.pid_file.exists()
    assert place.call(NAME, "status").code == 3


def test_b15_a_second_signal_does_no_harm(place):
    """Stock dies of it, and leaves its pid file and the rows. Signals come as long as there is a process."""
    pid = place.start()
    until(lambda: any(line.startswith("Added real server") for line in place.lines()), "the server is in")
    os.kill(pid, signal.SIGSTOP)
    until(lambda: paused(pid), "it stands still")
    for _ in range(3):
        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGINT)
    os.kill(pid, signal.SIGCONT)
    for _ in range(100):
        try:
            os.kill(pid, signal.SIGTERM)
        except ProcessLookupError:
            break
        time.sleep(0.005)
    until(lambda: not alive(pid), "it ends")
    assert not place.pid_file.exists()
    assert not place.socket.exists()
    assert f"Purged virtual server (stop): {place.virtual}" in place.lines()
    assert any(line.startswith("Linux Director Daemon terminated on signal: ") for line in place.lines())
    assert sum(line.startswith("told to stop a second time") for line in place.lines()) == 1


def test_a_starter_that_ignores_the_ends_of_its_children_does_not_make_programs_succeed(place):
    """An ignored SIGCHLD is inherited, and then the kernel tells nobody how a program ended."""
    place.configure("fallbackcommand = exit 3 #\n")
    place.listener.close()
    ignoring = (
        "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    )
    words = [sys.executable, "-c", ignoring, str(place.program), NAME, "start"]
    assert subprocess.run(words, timeout=PATIENCE * 2, check=False).returncode == 0
    until(lambda: any("exit status 3" in line for line in place.lines()), "the command has failed")
