"""What operators ask for, on the kernel's own table with real connections."""

from __future__ import annotations

import subprocess
from pathlib import Path

from healthd.control import ask
from tests.rig import ipvsadm
from tests.rig.daemon import ROOT, Daemon
from tests.rig.patience import seconds, until
from tests.rig.test_daemon_life import ALL_ONCE, lines, wait_for_table, web_service
from tests.rig.traffic import Download, shares, who


def connected(daemon: Daemon) -> list[str]:
    """Addresses of the servers that have active connections, as the kernel counts them."""
    document = ask(daemon.socket, "GET", "/v1/servers?counters", timeout=seconds(10))
    return [real["address"] for real in document["servers"] if real["connections"]["active"]]


def test_a_drain_counts_connections_down_keeps_them_and_then_takes_the_row_out(
    daemon: Daemon, director, client, servers, virtual, web, tmp_path: Path
):
    address = virtual.masq()
    daemon.write("www", web_service("www", address, servers))
    daemon.start()
    wait_for_table(director, lines(address, servers))
    download = Download(client, address)
    (busy,) = until("the kernel counts the download", lambda: connected(daemon))
    said = tmp_path / "said"
    with said.open("wb") as output:
        command = daemon.command("drain", "--wait", "--then", "remove", "--reason", "new kernel", busy)
        draining = director.popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
    until("it waits for one connection", lambda: "1 active" in said.read_text(), within=20)
    assert f"-a -t {address}:80 -r {busy} -m -w 0" in ipvsadm.saved(director)
    download.goes_on()
    assert busy not in shares(2, lambda: who(client, address))
    assert draining.poll() is None
    download.close()
    assert draining.wait(seconds(30)) == 0, said.read_text()
    left = [line for line in lines(address, servers) if f" {busy} " not in line]
    wait_for_table(director, left)
    assert daemon.healthd("undrain", busy).returncode == 0
    wait_for_table(director, lines(address, servers))
    assert shares(3, lambda: who(client, address)) == ALL_ONCE


def test_a_drain_lives_through_a_kill_and_the_next_daemon_writes_nothing(
    daemon: Daemon, director, client, servers, virtual, web, writes
):
    address = virtual.masq()
    daemon.write("www", web_service("www", address, servers))
    daemon.start()
    wait_for_table(director, lines(address, servers))
    assert daemon.healthd("drain", str(servers[0].address)).returncode == 0
    drained = f"-a -t {address}:80 -r {servers[0].address}:80 -m -w 0"
    before = ipvsadm.saved(director)
    assert drained in before
    writes.forget()
    daemon.kill()
    daemon.start()
    daemon.asks_everyone()
    assert ipvsadm.saved(director) == before
    assert writes.by_program() == {}
    assert daemon.healthd("undrain", str(servers[0].address)).returncode == 0
    wait_for_table(director, lines(address, servers))
