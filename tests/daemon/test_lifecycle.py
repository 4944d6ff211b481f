"""The daemon as its user runs it: start, verdicts into weights, reload, signals, stop."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from healthd.commands.arguments import DEFAULT_CONFIG
from healthd.control import ControlError, ask
from tests.daemon.conftest import PATIENCE, service_text


def healthd(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "healthd", *words],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env={**os.environ, **environment},
        check=False,
    )


def weights_of(daemon, name: str) -> list[int | None]:
    """Weights of one service's servers; empty where there is no such service."""
    services = [service for service in daemon.status()["services"] if service["name"] == name]
    return [real["weight"] for service in services for real in service["reals"]]


@pytest.mark.parametrize("processes", [True, False])
def test_a_server_leaves_and_returns(start, write, listeners, processes):
    """The whole way, with the prober as its own process and in this one."""
    write(service_text("www", listeners))
    daemon = start(processes=processes)
    first, second = (f"{one.address}:{one.port}" for one in listeners)
    daemon.until(lambda: daemon.weights() == {first: 7, second: 7}, "both are in")
    listeners[1].close()
    daemon.until(lambda: daemon.weights() == {first: 7, second: 0}, "the second is out")
    listeners[1].reopen()
    daemon.until(lambda: daemon.weights() == {first: 7, second: 7}, "the second is back")

    assert daemon.stop() == 0
    assert [kind for kind in daemon.kinds() if kind.startswith("server-")][-2:] == ["server-down", "server-up"]


def test_the_watchdog_of_systemd_is_fed(start, write, monkeypatch):
    """From the loop that everything runs in, twice in the time it allows."""
    monkeypatch.setenv("WATCHDOG_USEC", "200000")
    write()
    daemon = start()
    for _ in range(3):
        daemon.told("WATCHDOG=1")
    assert "servers: none" in daemon.told("STATUS=")


def test_what_a_child_process_says_is_in_the_log(start, write, tmp_path):
    """A runner that is killed is told of where everything else is, not on a terminal that nobody sees."""
    script = tmp_path / "check.sh"
    script.write_text(f"#!/bin/sh\necho $PPID > {tmp_path}/runner\n")
    script.chmod(0o755)
    check = f'type = "script"\ncommand = "{script}"\n'
    write(service_text("www", [], more='[[service.real]]\naddress = "127.0.0.1:80"\n').replace('type = "tcp"\n', check))
    daemon = start()
    daemon.until(lambda: (tmp_path / "runner").exists() and (tmp_path / "runner").read_text().strip(), "a script ran")
    (child,) = Path(f"/proc/{daemon.process.pid}/task/{daemon.process.pid}/children").read_text().split()
    os.kill(int(child), signal.SIGKILL)
    daemon.until(
        lambda: any("runner" in line["message"] and "KILL" in line["message"] for line in daemon.events()), "it is told"
    )
    assert daemon.errors.read_text() == daemon.all_is_well


def test_systemd_hears_ready_after_the_first_round_and_stopping_at_the_end(start, write, listeners):
    """READY is only said once every server has been asked."""
    write(service_text("www", listeners))
    daemon = start(processes=True)
    ready = daemon.told("READY=1")
    weights = set(daemon.weights().values())
    daemon.stop()

    assert weights == {7}
    assert "servers: 2 up" in ready
    assert daemon.told("STOPPING=1")


def test_a_reload_applies_what_changed_and_keeps_the_rest(start, write, listeners):
    """A service is added, a weight changes, and the servers that stay do not leave meanwhile."""
    path = write(service_text("www", listeners))
    daemon = start(processes=True)
    daemon.told("READY=1")
    path.write_text(
        path.read_text().replace("weight = 7", "weight = 9") + service_text("two", listeners[:1], "192.0.2.81:80")
    )
    answer = healthd("reload", "-s", str(daemon.socket))
    daemon.until(lambda: weights_of(daemon, "www") == [9, 9], "the changed weights")
    daemon.until(lambda: weights_of(daemon, "two") == [7], "the new server")

    assert answer.returncode == 0
    assert "read again: 2 services" in answer.stdout
    assert "server-down" not in daemon.kinds()


def test_sighup_reloads_too(start, write, listeners):
    """Systemd's ExecReload sends it."""
    path = write(service_text("www", listeners))
    daemon = start()
    daemon.told("READY=1")
    path.write_text(path.read_text().replace("weight = 7", "weight = 8"))
    daemon.process.send_signal(signal.SIGHUP)
    daemon.told("RELOADING=1")
    daemon.told("READY=1")

    daemon.until(lambda: set(daemon.weights().values()) == {8}, "the new weights")


def test_a_bad_file_changes_nothing_and_says_where(start, write, listeners):
    """The daemon goes on with what it has; the answer names file and line."""
    path = write(service_text("www", listeners))
    daemon = start()
    daemon.told("READY=1")
    path.write_text(path.read_text().replace('scheduler = "rr"', 'schedular = "rr"'))
    answer = healthd("reload", "-s", str(daemon.socket))

    assert answer.returncode == 78
    assert f"{path}:" in answer.stderr
    assert "did you mean 'scheduler'" in answer.stderr
    assert "nothing was changed" in answer.stderr
    assert set(daemon.weights().values()) == {7}
    assert "reload-failed" in daemon.kinds()


@pytest.mark.parametrize("policy", ["leave", "remove", "quiesce"])
def test_every_stop_policy_ends_in_order(start, write, listeners, policy):
    """The table in memory goes with the process; what the policies do to rows is told by tests of `stopping`."""
    write(service_text("www", listeners), on_stop=policy)
    daemon = start()
    daemon.told("READY=1")

    assert daemon.stop() == 0
    assert "stopping" in daemon.kinds()
    assert not daemon.socket.exists()


def test_children_do_not_outlive_the_daemon_even_if_it_is_killed(start, write, listeners):
    """The prober ends when its director is gone."""
    write(service_text("www", listeners))
    daemon = start(processes=True)
    daemon.told("READY=1")
    children = Path(f"/proc/{daemon.process.pid}/task/{daemon.process.pid}/children").read_text().split()
    daemon.stop(signal.SIGKILL)
    end = time.monotonic() + PATIENCE
    while any(Path(f"/proc/{child}").exists() for child in children):
        assert time.monotonic() < end, f"{children} are still there"
        time.sleep(0.05)

    assert children


def test_a_socket_that_a_killed_daemon_left_is_taken_over(start, write, listeners):
    """A crash does not need a clean-up by hand."""
    write(service_text("www", listeners))
    first = start()
    first.told("READY=1")
    first.stop(signal.SIGKILL)
    first.notified.close()
    (first.folder / "notify").unlink()
    second = start()

    second.until(lambda: set(second.weights().values()) == {7}, "the second daemon works")


def test_a_second_daemon_on_the_same_socket_is_refused(start, write, listeners):
    """It says why and leaves the first one alone."""
    path = write(service_text("www", listeners))
    daemon = start()
    daemon.told("READY=1")
    second = healthd("run", "-c", str(path), "--table", "memory")

    assert second.returncode == 69
    assert any("another process answers" in line["message"] for line in daemon.events())
    assert set(daemon.weights().values()) == {7}


def test_a_configuration_with_errors_does_not_start(write, listeners):
    """Exit code 78, and everything that is wrong on stderr."""
    path = write(service_text("www", listeners).replace("tcp", "tpc").replace("on_failure", "on_failur"))
    run = healthd("run", "-c", str(path), "--table", "memory")

    assert run.returncode == 78
    assert "did you mean 'tcp'" in run.stderr
    assert "did you mean 'on_failure'" in run.stderr


def test_without_the_kernels_table_it_says_one_sentence(write, listeners):
    """No IPVS or no permission: what is missing and what to do."""
    if Path("/proc/net/ip_vs").exists():
        pytest.skip("this kernel has IPVS")
    path = write(service_text("www", listeners))
    run = healthd("run", "-c", str(path), "--locks", str(path.parent))
    log = [json.loads(line) for line in (write().parent / "log").read_text().splitlines()]

    assert run.returncode == 69
    assert "modprobe ip_vs" in log[-1]["message"] or "CAP_NET_ADMIN" in log[-1]["message"]


def test_status_is_for_people_and_for_programs(start, write, listeners):
    """A table by default, the document with --json, and one service by its name."""
    write(service_text("www", listeners), service_text("two", listeners[:1], "192.0.2.81:80"))
    daemon = start()
    daemon.told("READY=1")
    table = healthd("status", "-s", str(daemon.socket), "www")
    document = json.loads(healthd("status", "-s", str(daemon.socket), "--json").stdout)
    unknown = healthd("status", "nope", HEALTHD_SOCKET=str(daemon.socket))

    assert f"{listeners[0].address}:{listeners[0].port}" in table.stdout
    assert "192.0.2.81" not in table.stdout
    assert {service["name"] for service in document["services"]} == {"www", "two"}
    assert unknown.returncode == 1
    assert "no service is called 'nope'" in unknown.stderr


def test_commands_without_a_daemon_say_so(tmp_path):
    """Exit code 69 and the socket that was tried."""
    answer = healthd("status", "-s", str(tmp_path / "none.sock"))

    assert answer.returncode == 69
    assert f"no daemon answers on {tmp_path}/none.sock (-s names another control socket)" in answer.stderr


def test_who_waits_at_the_terminal_hears_why_it_did_not_start(start, write, listeners, tmp_path):
    write(service_text("www", listeners))
    (tmp_path / "control.sock").mkdir()
    daemon = start()
    assert daemon.process.wait(PATIENCE) == 69
    assert daemon.errors.read_text().startswith("healthd: ")
    assert "control.sock" in daemon.errors.read_text()


def test_where_there_is_no_configuration_the_option_that_names_one_is_told():
    """Of one that was named, the name is enough."""
    if DEFAULT_CONFIG.exists():
        pytest.skip("this machine has a healthd.toml")
    for command in (["run"], ["plan"], ["check-config"], ["probe"]):
        answer = healthd(*command, HEALTHD_CONFIG=str(DEFAULT_CONFIG))
        assert answer.returncode == 78
        said = answer.stdout + answer.stderr
        assert said.endswith("healthd: -c names another configuration, which may be an ldirectord.cf\n")
    assert "-c names" not in healthd("check-config", "-c", "/nowhere/ldirectord.cf").stdout


def test_one_probe_for_equal_questions_of_several_services(start, write, listeners):
    """Two services with the same server ask it once."""
    write(service_text("www", listeners), service_text("two", listeners, "192.0.2.81:80"))
    daemon = start()
    daemon.told("READY=1")

    assert daemon.status()["prober"]["probes"] == 2
    assert len(daemon.weights()) == 2


def test_a_hook_hears_of_a_death_after_the_table_was_written(start, write, listeners, tmp_path):
    """The event comes as JSON on standard input and in variables."""
    script = tmp_path / "hook.sh"
    script.write_text(
        f'#!/bin/sh\ncat >> {tmp_path}/heard\necho >> {tmp_path}/heard\necho "$HEALTHD_KIND" >> {tmp_path}/kinds\n'
    )
    script.chmod(0o755)
    hook = f'[[hook]]\ncommand = ["{script}"]\non = ["server-down"]\n'
    write(service_text("www", listeners), more=hook)
    daemon = start()
    daemon.told("READY=1")
    listeners[0].close()
    daemon.until(lambda: (tmp_path / "kinds").exists(), "the hook ran")
    heard = json.loads((tmp_path / "heard").read_text().splitlines()[0])

    assert heard["kind"] == "server-down"
    assert heard["weight"] == 0
    assert heard["reason"] == "refused"
    assert heard["effect"]


def test_only_root_and_ourselves_may_ask(start, write, listeners):
    """The kernel says who is at the other end of the control socket."""
    if os.getuid() != 0:
        pytest.skip("only root can become somebody else")
    write(service_text("www", listeners))
    daemon = start()
    daemon.told("READY=1")
    daemon.folder.chmod(0o755)
    daemon.socket.chmod(0o666)
    for parent in daemon.folder.parents:
        if parent.owner() == "root" and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o011)
    code = (
        "import os, socket; os.setgid(65534); os.setuid(65534)\n"
        f"s = socket.socket(socket.AF_UNIX); s.connect({str(daemon.socket)!r})\n"
        "s.sendall(b'GET /v1/status HTTP/1.0\\r\\n\\r\\n'); print(s.recv(100).split()[1].decode())\n"
    )
    answer = subprocess.run(
        ["/usr/bin/env", "python3", "-c", code], capture_output=True, text=True, timeout=PATIENCE, check=False
    )

    assert answer.stdout.strip() == "403", answer.stderr


def test_a_slow_client_of_the_control_socket_delays_nobody(start, write, listeners):
    """Half a request stays half a request."""
    write(service_text("www", listeners))
    daemon = start()
    daemon.told("READY=1")
    with socket.socket(socket.AF_UNIX) as slow:
        slow.connect(str(daemon.socket))
        slow.sendall(b"GET /v1/sta")
        listeners[0].close()
        daemon.until(lambda: 0 in daemon.weights().values(), "the server is out")

        assert daemon.stop() == 0


def test_asking_for_what_does_not_exist_is_an_error(start, write, listeners):
    """A wrong path is not taken for success."""
    write(service_text("www", listeners))
    daemon = start()
    daemon.told("READY=1")

    with pytest.raises(ControlError):
        ask(daemon.socket, "GET", "/v1/nothing")
