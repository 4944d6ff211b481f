"""What is our own fault is never held against a server: stalls, no descriptors, ports or routes; in real processes."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest

from tests.support import servers

BOUND = 60.0
IN_NAMESPACE = ["unshare", "--net", "sh", "-c"]


class Child:
    """A prober process and what it has said so far."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.lines = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(json.loads(line))

    def of(self, **fields):
        """Lines with these fields."""
        return [line for line in list(self.lines) if all(line.get(key) == value for key, value in fields.items())]

    def verdicts(self):
        """The observations so far."""
        return [line for line in list(self.lines) if "outcome" in line]

    def until(self, condition):
        """Wait until `condition()` is true; what it gave."""
        bound = time.monotonic() + BOUND
        while not (value := condition()):
            assert self.process.poll() is None, "the prober has ended"
            assert time.monotonic() < bound, self.lines
            time.sleep(0.01)
        return value

    def stop(self, seconds):
        """Stop the process for so long; other things may happen meanwhile."""
        self.process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self.process.send_signal(signal.SIGCONT)

    def close(self):
        """End it."""
        self.process.send_signal(signal.SIGCONT)
        self.process.stdin.close()
        try:
            assert self.process.wait(BOUND) == 0
        finally:
            self.process.kill()
            self.process.wait()
            self._reader.join()
            self.process.stdout.close()


@contextlib.contextmanager
def probing(probes, setup="", **orders):
    """A prober process; setup: shell commands that make a network namespace for it."""
    command = [sys.executable, "-m", "tests.prober.child", json.dumps({"probes": probes, **orders})]
    if setup:
        needs_namespaces()
        command = [*IN_NAMESPACE, f'ip link set lo up; {setup}; exec "$@"', "sh", *command]
    child = Child(command)
    try:
        child.until(lambda: child.of(ready=True))
        yield child
    finally:
        child.close()


def needs_namespaces():
    """Skip where we cannot make network namespaces."""
    if os.geteuid() or not shutil.which("ip"):
        pytest.skip("needs root and ip(8)")
    if subprocess.run([*IN_NAMESPACE, "true"], stderr=subprocess.DEVNULL).returncode:
        pytest.skip("no network namespaces here")


def row(check, target, **more):
    return {"check": check, "address": str(target.address), "port": target.port, **more}


# --- stalls ---


def test_a_timeout_while_we_were_stopped_says_nothing_about_the_server():
    with servers.serving(servers.silent) as server:
        with probing([row("line", server.target, timeout=1.0)]) as child:
            child.until(lambda: server.accepted)
            child.stop(2.0)
            said = child.until(child.verdicts)[0]
            assert (said["outcome"], said["reason"]) == ("inconclusive", "local")
            assert said["detail"].startswith("we were stalled for ")
            child.until(lambda: any(line.get("stalls") for line in child.lines))


def test_an_answer_that_came_while_we_were_stopped_counts():
    asked, stopped = threading.Event(), threading.Event()

    def answer_late(connection):
        line = servers.line_of(connection)
        asked.set()
        stopped.wait(BOUND)
        connection.sendall(line)

    with servers.serving(answer_late) as server:
        with probing([row("line", server.target, timeout=1.0, interval=1e6)]) as child:
            child.until(asked.is_set)
            child.process.send_signal(signal.SIGSTOP)
            stopped.set()
            time.sleep(1.5)
            child.process.send_signal(signal.SIGCONT)
            child.until(lambda: any(line.get("passed") for line in child.lines))
            assert child.verdicts() == []


def test_after_a_stop_no_healthy_server_has_failed():
    """The kernel answers a connect, so no slowness of the server's is in it."""
    with servers.serving(servers.close_at_once, backlog=1024) as server:
        rows = [row("tcp", server.target, timeout=0.5, interval=0.2) for _ in range(50)]
        with probing(rows) as child:
            child.until(lambda: any(line.get("passed", 0) > 50 for line in child.lines))
            for _ in range(2):
                child.stop(1.2)
                seen = len(child.lines)
                child.until(lambda seen=seen: any(line.get("passed", 0) > 50 for line in child.lines[seen + 1 :]))
            assert child.of(outcome="fail") == []


def test_a_server_that_stays_silent_while_we_run_fails():
    with servers.serving(servers.silent) as server:
        with probing([row("line", server.target, timeout=0.3)]) as child:
            child.until(lambda: child.of(outcome="fail", reason="timeout"))


# --- what we have run out of ---


def test_without_descriptors_nothing_is_said_about_servers_and_probing_goes_on():
    with servers.serving(servers.silent) as silent, servers.serving(servers.echo_lines) as good:
        rows = [row("tcp", good.target)] + [row("line", silent.target, timeout=1.0, interval=1e6) for _ in range(12)]
        with probing(rows, files=6) as child:
            said = child.until(lambda: child.of(outcome="inconclusive"))[0]
            assert said["detail"] == (
                "opening a socket: no file descriptor left in this process; raise LimitNOFILE= of the service"
            )
            child.until(lambda: child.of(reason="timeout"))  # those that had one
            seen = len(child.lines)
            child.until(lambda: any(line.get("passed") for line in child.lines[seen + 1 :]))
            assert {line["reason"] for line in child.verdicts()} <= {"local", "timeout", "ok"}
            assert child.of(probe=0, outcome="fail") == []


PORTS = "echo 40000 40003 > /proc/sys/net/ipv4/ip_local_port_range"
LISTEN = f"{sys.executable} -m tests.prober.listener 45000 & sleep 1"


def test_without_local_ports_nothing_is_said_about_servers():
    rows = [{"check": "line", "address": "127.0.0.1", "port": 45000, "timeout": 2.0, "interval": 1e6}] * 12
    with probing(rows, f"{LISTEN}; {PORTS}") as child:
        said = child.until(lambda: child.of(outcome="inconclusive"))[0]
        assert said["detail"].startswith("connecting: no free local port")
        child.until(lambda: child.of(reason="timeout"))
        assert {line["reason"] for line in child.verdicts()} == {"local", "timeout"}


# --- routes ---


KINDS = ("tcp", "udp", "shared", "ping")


def all_kinds(*addresses):
    """A probe of each kind for each address."""
    return [{"check": check, "address": address, "port": 80} for address in addresses for check in KINDS]


def one_of_each(child, rows):
    """The first verdict of each probe."""
    child.until(lambda: {line["probe"] for line in child.verdicts()} == set(range(len(rows))))
    return [child.of(probe=n)[0] for n in range(len(rows))]


def test_without_a_route_from_here_nothing_is_said_about_the_server():
    rows = all_kinds("192.0.2.1", "2001:db8::1")
    with probing(rows, "true") as child:
        for said in one_of_each(child, rows):
            assert (said["outcome"], said["reason"]) == ("inconclusive", "local")
            assert "no route to it from here" in said["detail"]


def test_a_route_of_ours_that_forbids_it_says_nothing_about_the_server():
    kinds = {"unreachable": "routing table", "prohibit": "prohibit", "blackhole": "blackhole"}
    addresses = [f"192.0.2.{n}" for n, _ in enumerate(kinds)]
    setup = "; ".join(f"ip route add {kind} {one}" for kind, one in zip(kinds, addresses, strict=True))
    rows = all_kinds(*addresses)
    with probing(rows, setup) as child:
        for row, said in zip(rows, one_of_each(child, rows), strict=True):
            assert said["reason"] == "local"
            assert list(kinds.values())[addresses.index(row["address"])] in said["detail"]


LAN = """ip link add here type veth peer name there; ip link set there up; ip link set here up
ip address add 192.0.2.1/24 dev here; ip address add 2001:db8::1/64 dev here nodad
for v in 4 6; do echo 1 > /proc/sys/net/ipv$v/neigh/here/mcast_solicit;
echo 100 > /proc/sys/net/ipv$v/neigh/here/retrans_time_ms; done"""


def test_a_host_that_nobody_knows_on_its_own_network_is_unreachable():
    rows = all_kinds("192.0.2.9", "2001:db8::9")
    with probing(rows, LAN) as child:
        for said in one_of_each(child, rows):
            assert (said["reason"], said["detail"]) == ("unreachable", "host unreachable")


def test_interface_and_mark_are_used():
    """The mark chooses a table of routes in which there is nothing; the interface is one that leads nowhere."""
    rows = [
        {"check": "tcp", "address": "127.0.0.1", "port": 45000, "interval": 1e6},
        {"check": "tcp", "address": "127.0.0.1", "port": 45000, "mark": 7, "timeout": 0.5},
        {"check": "tcp", "address": "127.0.0.1", "port": 45000, "interface": "here", "timeout": 0.5},
        {"check": "tcp", "address": "127.0.0.1", "port": 45000, "interface": "lo", "interval": 1e6},
    ]
    rules = "ip rule add fwmark 7 prohibit pref 0; ip rule del pref 0 lookup local; ip rule add pref 1 lookup local"
    with probing(rows, f"{LISTEN}; {LAN}; {rules}") as child:
        child.until(lambda: {line["probe"] for line in child.verdicts()} == {1, 2})
        child.until(lambda: sum(line.get("passed", 0) for line in child.lines) == 2)
        assert "prohibit" in child.of(probe=1)[0]["detail"]
