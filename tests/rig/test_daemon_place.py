"""Where the daemon stands: with few rights, beside the namespace whose table it keeps, and what its commands tell."""

from __future__ import annotations

from pathlib import Path

from tests.rig import ipvsadm
from tests.rig.daemon import HTTP, Daemon, real, service
from tests.rig.patience import until
from tests.rig.traffic import shares, who

NET_RAW = 1 << 13  # as capabilities(7) numbers it


def www(address, servers, more=""):
    reals = [real(server.address) for server in servers]
    keys = f'virtual = "{address}:80"\nforward = "masq"\nscheduler = "rr"'
    return service("www", keys, f"{HTTP}\n{more}", reals)


def effective(pid: int) -> int:
    """The capabilities that count for a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1], 16) for line in lines if line.startswith("CapEff:"))


def descendants(pid: int) -> list[int]:
    children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [*children, *(below for child in children for below in descendants(child))]


def test_a_process_that_talks_to_strangers_may_at_most_open_raw_sockets(
    daemon: Daemon, director, servers, virtual, web
):
    address = virtual.masq()
    daemon.write("www", www(address, servers))
    daemon.start()
    others = descendants(daemon.pid)
    assert others, "the prober is no process of its own"
    for pid in others:
        assert effective(pid) & ~NET_RAW == 0, Path(f"/proc/{pid}/cmdline").read_text()


def test_the_table_of_another_namespace_is_kept_and_its_servers_asked_from_there(
    namespace, director, client, servers, virtual, web, tmp_path
):
    address = virtual.masq()
    daemon = Daemon(namespace, tmp_path / "healthd", table=f'netns = "{director.name}"')
    daemon.write("www", www(address, servers, more=f'netns = "{director.name}"'))
    row = f"TCP {address}:80"
    try:
        daemon.start()
        until("all are in", lambda: list(ipvsadm.weights(director, row).values()) == [1, 1, 1], within=20)
        assert shares(3, lambda: who(client, address)) == {"server1": 1, "server2": 1, "server3": 1}
        assert ipvsadm.rows(namespace) == {}
        web[0].crash()
        until("one is out", lambda: sorted(ipvsadm.weights(director, row).values()) == [0, 1, 1], within=20)
    finally:
        daemon.stop()


def test_the_commands_tell_what_the_kernel_and_the_daemon_know(director, servers, virtual, web, tmp_path):
    address = virtual.masq()
    daemon = Daemon(director, tmp_path / "healthd", resync=3600)
    daemon.write("www", www(address, servers))
    before = daemon.healthd("plan", "--offline")
    assert before.returncode == 2
    assert f"add service {address}:80/tcp" in before.stdout
    try:
        daemon.start()
        ask_everything(daemon, director, address, servers)
    finally:
        daemon.stop()


def ask_everything(daemon, director, address, servers):
    row = f"TCP {address}:80"
    until("all are in", lambda: list(ipvsadm.weights(director, row).values()) == [1, 1, 1], within=20)
    assert daemon.healthd("plan").returncode == 0
    director.run("ipvsadm", "-e", "-t", f"{address}:80", "-r", f"{servers[0].address}:80", "-m", "-w", "7")
    drifted = daemon.healthd("plan", "--offline")
    assert drifted.returncode == 2
    assert f"set {servers[0].address}:80" in drifted.stdout
    shown = daemon.healthd("status").stdout
    assert all(str(server.address) in shown for server in servers)
    asked = daemon.healthd("probe", "www", str(servers[1].address))
    assert asked.returncode == 0, asked.stdout + asked.stderr
    assert "/health" in asked.stdout
