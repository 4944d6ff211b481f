"""`healthd ldirectord`: real daemons, started, asked and stopped as init scripts and Pacemaker do."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from healthd.commands.arguments import DEFAULT_SOCKET, usual_socket
from healthd.control import ControlError, ask
from tests.daemon.conftest import PATIENCE, service_text
from tests.daemon.ldirectord import BROKEN, NAME, ROOT, Said, alive, paused, until

# --- a whole life -----------------------------------------------------------------------------------------------


def test_start_status_reload_stop(place):
    """Every message on its stream, every code as ldirectord has it."""
    assert place.call(NAME, "status") == Said(3, f"ldirectord is stopped for {place.config}\n", "")
    assert place.call(NAME, "start").code == 0
    pid = place.pid
    assert place.call(NAME, "status") == Said(0, "", f"ldirectord for {place.config} is running with pid: {pid}\n")
    until(lambda: any(line.startswith("Added real server") for line in place.lines()), "the server is in")
    assert place.call(NAME, "reload") == Said(0, "", "")
    until(lambda: "Reloading Linux Director Daemon config on signal" in place.lines(), "it is read again")
    assert place.call(NAME, "stop") == Said(0, "", "")
    assert not alive(pid)
    assert not place.pid_file.exists()
    assert not place.socket.exists()
    assert place.call(NAME, "status").code == 3
    said = [line for line in place.lines() if not line.startswith(("healthd ", "the configuration"))]
    assert said[0] == " ".join(["Invoking ldirectord invoked as:", str(place.program), *place.options, NAME, "start "])
    assert said[1].startswith("Starting Linux Director v")
    assert said[1].endswith(" as daemon")
    assert said[2:4] == [
        f"Added virtual server: {place.virtual}",
        f"Added real server: {place.real} ({place.virtual}) (Weight set to 5)",
    ]
    assert said[-1] == "Linux Director Daemon terminated on signal: TERM"


def test_lines_of_the_log_have_the_frame_of_ldirectord(place):
    pid = place.start()
    until(place.lines, "a line")
    (first, *_) = place.log.read_text().splitlines()
    assert time.strptime(first[1:25], "%a %b %d %H:%M:%S %Y")
    assert first[25:].startswith(f"|{NAME}|{pid}] ")


def test_a_daemon_has_no_terminal_and_stands_in_the_root(place):
    pid = place.start()
    proc = Path(f"/proc/{pid}")
    session = int(proc.joinpath("stat").read_text().rpartition(")")[2].split()[3])
    assert session not in (pid, os.getsid(0))
    assert proc.joinpath("cwd").readlink() == Path("/")
    assert {proc.joinpath("fd", str(number)).readlink() for number in (0, 1, 2)} == {Path("/dev/null")}


def test_nothing_of_the_daemon_keeps_the_pipes_of_who_started_it_open(place):
    """Pacemaker waits for their end; a prober in a process of its own is no exception."""
    place.install("--table", "memory")
    begun = place.begin(NAME, "start")
    _, _ = begun.communicate(timeout=PATIENCE)
    assert begun.returncode == 0
    assert alive(place.pid)
    assert place.call(NAME, "stop").code == 0


def test_the_daemon_holds_nothing_that_its_starter_left_open(place):
    """A lock of a script that calls it would be held for ever."""
    reading, writing = os.pipe()
    try:
        words = [str(place.program), NAME, "start"]
        subprocess.run(words, pass_fds=(writing,), check=True, timeout=PATIENCE, capture_output=True)
    finally:
        os.close(writing)
    try:
        assert alive(place.pid)
        assert select.select([reading], [], [], PATIENCE)[0], "somebody still holds the other end"
        assert os.read(reading, 1) == b""
    finally:
        os.close(reading)


# --- start ------------------------------------------------------------------------------------------------------


def test_a_second_start_does_nothing(place):
    pid = place.start()
    assert place.call(NAME, "start").code == 0
    assert place.pid == pid
    assert alive(pid)


def test_of_two_starts_at_once_one_is_the_daemon(place):
    calls = [place.begin(NAME, "start") for _ in range(4)]
    for begun in calls:
        begun.communicate(timeout=PATIENCE * 2)
    assert [begun.returncode for begun in calls] == [0] * 4
    assert alive(place.pid)
    assert sum("as daemon" in line for line in place.lines()) == 1


def test_a_broken_configuration_is_2_with_the_reason_on_standard_error(place):
    place.config.write_text(BROKEN)
    said = place.call(NAME, "start")
    assert (said.code, said.out) == (2, "")
    assert f"{place.config}:2" in said.err
    assert not place.pid_file.exists()


def test_a_daemon_that_cannot_start_is_1_with_the_reason_on_standard_error(place):
    """Its control socket cannot be made where a file stands in its folder's place."""
    (place.run / "healthd").write_text("")
    said = place.call(NAME, "start")
    assert (said.code, said.out) == (1, "")
    assert str(place.run / "healthd") in said.err
    assert not place.pid_file.exists()
    assert place.call(NAME, "status").code == 3


def test_a_folder_for_pid_files_that_is_not_there_is_told(place):
    place.install("--table", "memory", "--in-process", "--run", str(place.folder / "none"))
    place.run = place.folder / "none"
    place.install("--table", "memory", "--in-process")
    said = place.call(NAME, "start")
    assert said.code == 1
    assert f"Can not open {place.run}/ldirectord.{NAME}.pid: No such file or directory" in said.err


@pytest.mark.parametrize("action", ["start", "stop", "restart", "try-restart", "reload", "force-reload", "status"])
def test_a_configuration_that_is_missing_is_1(place, action):
    assert place.call("other.cf", action) == Said(1, "", "Config file other.cf not found\n")


@pytest.mark.parametrize("words", [(), ("bogus",), (NAME,), (NAME, "go"), ("--bogus", NAME, "start"), (NAME, "-d")])
def test_what_is_no_action_and_no_option_shows_the_usage_and_is_255(place, words):
    said = place.call(*words)
    assert said.code == 255
    assert said.out.startswith("Usage:\n    ldirectord [-d|--debug] [--] [configfile] start | stop | restart |\n")


@pytest.mark.parametrize("word", ["-h", "-?", "--help"])
def test_help_is_printed(place, word):
    said = place.call(word)
    assert said.code == 0
    assert said.out.startswith("Usage:\n    ldirectord [-d|--debug]")


@pytest.mark.parametrize("word", ["-v", "--version"])
def test_the_version_begins_as_that_of_ldirectord(place, word):
    assert place.call(word).out.startswith("Linux Director v1.186-ha+healthd-")


def test_a_configuration_is_looked_for_in_the_folders_first(place, tmp_path):
    """An absolute path is one below them, too, as with ldirectord."""
    (place.etc / "deep").mkdir()
    shutil.copy(place.config, place.etc / "deep" / NAME)
    assert place.call("deep/" + NAME, "status").out == f"ldirectord is stopped for {place.etc}/deep/{NAME}\n"
    assert place.call(str(place.config), "status").out == f"ldirectord is stopped for {place.config}\n"
    assert place.call("--", NAME, "status").code == 3
    assert place.call("status").err == "Config file ldirectord.cf not found\n"


def test_without_a_name_it_is_ldirectord_cf_and_the_instance_is_called_ldirectord(place):
    shutil.copy(place.config, place.etc / "ldirectord.cf")
    assert place.call("start").code == 0
    assert (place.run / "ldirectord.ldirectord.pid").exists()
    assert place.call("stop").code == 0
    assert not (place.run / "ldirectord.ldirectord.pid").exists()


def test_two_instances_run_side_by_side(place):
    first = place.start()
    other = place.etc / "mail.cf"
    other.write_text(place.config.read_text().replace("192.0.2.80", "192.0.2.25"))
    assert place.call("mail.cf", "start").code == 0
    assert place.call(NAME, "stop").code == 0
    assert not alive(first)
    assert place.call("mail.cf", "status").code == 0
    socket = place.run / "healthd" / "ldirectord.mail.cf.sock"
    assert [service["virtual"] for service in ask(socket, "GET", "/v1/status")["services"]] == [
        f"192.0.2.25:{place.listener.port}/tcp"
    ]
    assert place.call("mail.cf", "stop").code == 0


# --- in the foreground ------------------------------------------------------------------------------------------


def test_a_supervised_one_stays_in_the_foreground_and_logs_to_standard_output_without_a_pid_file(place):
    place.configure(more="supervised = yes\n")
    begun = place.begin(NAME, "start")
    assert begun.stdout is not None
    first = next(line for line in begun.stdout if "Starting" in line)
    assert first.endswith(f"with pid: {begun.pid}\n")
    assert time.strptime(first[1:25], "%a %b %d %H:%M:%S %Y")
    assert not place.pid_file.exists()
    begun.send_signal(signal.SIGTERM)
    rest, _ = begun.communicate(timeout=PATIENCE)
    assert begun.returncode == 0
    assert rest.endswith("] Linux Director Daemon terminated on signal: TERM\n")
    assert not place.log.exists()


def test_a_debugged_one_stays_in_the_foreground_and_logs_to_standard_error(place):
    begun = place.begin("-d", NAME, "start")
    assert begun.stderr is not None
    assert any(line.startswith("Starting Linux Director v") for line in begun.stderr)
    assert not place.pid_file.exists()
    begun.send_signal(signal.SIGINT)
    _, rest = begun.communicate(timeout=PATIENCE)
    assert begun.returncode == 0
    assert rest.endswith("Linux Director Daemon terminated on signal: INT\n")


# --- stop, restart, reload --------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["stop", "try-restart"])
def test_what_does_not_run_is_stopped_already(place, action):
    assert place.call(NAME, action) == Said(0, "", "")
    assert not place.pid_file.exists()


@pytest.mark.parametrize("action", ["reload", "force-reload"])
def test_what_does_not_run_cannot_reload(place, action):
    assert place.call(NAME, action) == Said(1, "", f"ldirectord is stopped for {place.config}\n")


def test_restart_starts_what_does_not_run(place):
    assert place.call(NAME, "restart").code == 0
    assert alive(place.pid)


@pytest.mark.parametrize("action", ["restart", "try-restart"])
def test_restart_ends_the_old_one_before_it_starts_the_new_one(place, action):
    old = place.start()
    assert place.call(NAME, action).code == 0
    assert not alive(old)
    assert place.pid != old
    assert alive(place.pid)


@pytest.mark.parametrize("action", ["restart", "try-restart", "start"])
def test_a_broken_configuration_stops_nothing(place, action):
    """Stock ldirectord forgets the one that runs, and starts another one later."""
    pid = place.start()
    place.config.write_text(BROKEN)
    assert place.call(NAME, action).code == 2
    assert alive(pid)
    assert place.pid == pid
    assert place.call(NAME, "stop").code == 0


def test_a_reload_of_a_broken_configuration_changes_nothing_and_says_so_in_the_log(place):
    pid = place.start()
    place.config.write_text(BROKEN)
    assert place.call(NAME, "force-reload").code == 0
    refused = f'reload refused: {place.config}:2:5: error: Unknown command "no such thing"; nothing was changed'
    until(lambda: refused in place.lines(), "it is refused, and says why")
    assert place.call(NAME, "status").code == 0
    assert alive(pid)
    assert [service["virtual"] for service in ask(place.socket, "GET", "/v1/status")["services"]] == [
        f"{place.virtual}/tcp"
    ]


def test_stop_says_when_the_daemon_does_not_end(place):
    """It stands still, so it cannot; once it goes on, it heeds the signal that waits."""
    pid = place.start()
    os.kill(pid, signal.SIGSTOP)
    until(lambda: paused(pid), "it stands still")
    said = place.call("--wait", "0.2", NAME, "stop")
    assert (said.code, "was told to stop, but has not ended within 0.2 s" in said.err) == (1, True)
    os.kill(pid, signal.SIGCONT)
    until(lambda: not alive(pid), "it ends")
    assert place.call(NAME, "status").code == 3


# --- how others call it -----------------------------------------------------------------------------------------

AGENT = """\
#!/bin/sh
# What a cluster manager's agent does with the program: codes of OCF from codes of ldirectord.
program="$1" config="$2"
case "$3" in
start|stop) "$program" "$config" "$3"; exit $? ;;
monitor)
    said=`"$program" "$config" status 2>&1`
    case $? in
    0) exit 0 ;;
    3) exit 7 ;;
    *) echo "$said"; exit 1 ;;
    esac ;;
esac
"""


def test_an_agent_of_a_cluster_manager_starts_watches_and_stops_it(place):
    agent = place.folder / "agent"
    agent.write_text(AGENT)
    agent.chmod(0o755)

    def act(action: str) -> int:
        words = [str(agent), str(place.program), str(place.config), action]
        return subprocess.run(words, timeout=PATIENCE * 2, check=False, capture_output=True).returncode

    assert [act(action) for action in ("monitor", "start", "monitor", "start", "monitor")] == [7, 0, 0, 0, 0]
    place.config.write_text(BROKEN)
    assert [act(action) for action in ("monitor", "stop", "monitor", "stop")] == [0, 0, 7, 0]


def test_the_status_command_of_healthd_finds_it_by_its_socket(place):
    place.start()
    words = [sys.executable, "-m", "healthd", "status", "-s", str(place.socket)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, cwd=ROOT, check=False)
    assert done.returncode == 0
    assert place.virtual in done.stdout


def test_the_only_instance_is_what_healthd_asks_if_nobody_says_whom(place):
    """Of two it takes neither by chance."""
    folder = place.run / "healthd"
    folder.mkdir()
    nobody, ours = {"HEALTHD_RUN": str(place.run)}, folder / "ldirectord.www.cf.sock"
    if DEFAULT_SOCKET.exists():
        pytest.skip("a healthd runs on this machine")
    assert usual_socket(nobody) == DEFAULT_SOCKET
    ours.touch()
    assert usual_socket(nobody) == ours
    assert usual_socket({**nobody, "HEALTHD_SOCKET": "/run/x"}) == Path("/run/x")
    (folder / "ldirectord.mail.cf.sock").touch()
    assert usual_socket(nobody) == DEFAULT_SOCKET


def test_it_is_a_command_of_healthd_as_well(place):
    words = [sys.executable, "-m", "healthd", "ldirectord", "--run", str(place.run), "--look-in", str(place.etc), NAME]
    done = subprocess.run([*words, "status"], capture_output=True, text=True, timeout=PATIENCE, cwd=ROOT, check=False)
    assert (done.returncode, done.stdout) == (3, f"ldirectord is stopped for {place.config}\n")
    with pytest.raises(ControlError):
        ask(place.socket, "GET", "/v1/status")


def test_the_words_of_ldirectord_are_for_healthd_run_as_well(start, write, listeners):
    """There it stays in the foreground, so it says its number; a reload keeps the style."""
    path = write(service_text("www", listeners[:1]), more="[reload]\nwatch = true\n")
    daemon = start("--log-style", "ldirectord")

    def said() -> list[str]:
        return [line["message"] for line in daemon.events()]

    row = f"{listeners[0].address}:{listeners[0].port} (192.0.2.80:80)"
    daemon.until(lambda: f"Added real server: {row} (Weight set to 7)" in said(), "the server is in")
    assert any(line.endswith(f"with pid: {daemon.process.pid}") for line in said())
    path.write_text(path.read_text().replace("fall = 2", "fall = 1"))
    daemon.until(lambda: " - reread new configuration" in said(), "it is read again by itself")
    assert f"Configuration file '{path}' has changed on disk" in said()
    listeners[0].close()
    daemon.until(lambda: f"Quiescent real server: {row} (Weight set to 0)" in said(), "in the same words after it")
    assert daemon.stop() == 0
    assert said()[-1] == "Linux Director Daemon terminated on signal: TERM"


def test_a_log_that_is_rotated_away_goes_on_in_a_new_file(place):
    """Renamed, then deleted: the next line makes it again, without a signal."""
    place.start()
    until(lambda: any(line.startswith("Added real server") for line in place.lines()), "the server is in")
    place.log.rename(place.folder / "log.1")
    place.listener.close()
    until(lambda: any(line.startswith("Deleted real server") for line in place.lines()), "a line in the new file")
    place.log.unlink()
    place.listener.reopen()
    until(lambda: any(line.startswith("Added real server") for line in place.lines()), "and in the next one")


def test_the_init_script_of_the_debian_package_works_unchanged(place):
    """As it is installed, but for the places of the program, of its defaults and of the folder of locks."""
    installed = Path("/etc/init.d/ldirectord")
    if not installed.exists() or not Path("/lib/lsb/init-functions").exists():
        pytest.skip("Debian's package of ldirectord is not installed")
    defaults, script = place.folder / "default", place.folder / "init"
    defaults.write_text(f"CONFIG_FILE={place.config}\n")
    text = installed.read_text().replace("/usr/sbin/$NAME", str(place.program))
    text = text.replace("/etc/default/$NAME", str(defaults)).replace("/var/lock/subsys", str(place.folder / "locks"))
    script.write_text(text)

    def act(action: str) -> int:
        words = ["/bin/sh", str(script), action]
        return subprocess.run(words, timeout=PATIENCE * 2, check=False, capture_output=True).returncode

    actions = ("status", "start", "status", "reload", "restart", "stop", "status", "reload")
    assert [act(action) for action in actions] == [3, 0, 0, 0, 0, 0, 3, 1]
