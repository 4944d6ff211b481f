"""The daemon's life beside a living table: reloads, restarts, kills, stops, and others who write to the same table.

Every write to the kernel's table is counted by the kernel itself, so "nothing was written" means that.
"""

from __future__ import annotations

import signal
import time

import pytest

from tests.rig import ipvsadm
from tests.rig.daemon import HTTP, INTERVAL, Daemon, real, service
from tests.rig.patience import until
from tests.rig.traffic import Download, shares, who

ALL_ONCE = {"server1": 1, "server2": 1, "server3": 1}


def web_service(name, address, servers, *, more="", check=HTTP, weight=1):
    """A masqueraded round robin service over all servers."""
    reals = [real(server.address, f"weight = {weight}") for server in servers]
    return service(name, f'virtual = "{address}:80"\nforward = "masq"\nscheduler = "rr"\n{more}', check, reals)


def lines(address, servers, weight=1):
    """What `ipvsadm -Sn` says of such a service when all is well."""
    dests = [f"-a -t {address}:80 -r {server.address}:80 -m -w {weight}" for server in servers]
    return sorted([f"-A -t {address}:80 -s rr", *dests])


def wait_for_table(director, wanted):
    until("the table is as wanted", lambda: ipvsadm.saved(director) == sorted(wanted), within=20, every=0.2)


# --- reload -----------------------------------------------------------------------------------------------------


def test_a_reload_writes_what_changed_and_nothing_else(daemon: Daemon, director, client, servers, virtual, web, writes):
    kept, changed, gone, fresh = (virtual.masq() for _ in range(4))
    daemon.write("kept", web_service("kept", kept, servers))
    daemon.write("changed", web_service("changed", changed, servers))
    daemon.write("gone", web_service("gone", gone, servers))
    daemon.start()
    wait_for_table(director, lines(kept, servers) + lines(changed, servers) + lines(gone, servers))
    download = Download(client, kept)
    writes.forget()
    daemon.write("changed", web_service("changed", changed, servers, weight=5))
    daemon.remove("gone")
    daemon.write("fresh", web_service("fresh", fresh, servers[:1]))
    daemon.reload()
    wait_for_table(director, lines(kept, servers) + lines(changed, servers, 5) + lines(fresh, servers[:1]))
    # three weights, one service deleted, one made with one server
    assert writes.total() == 3 + 1 + 2
    download.goes_on()
    download.close()
    assert shares(3, lambda: who(client, changed)) == ALL_ONCE


def test_a_reload_of_a_bad_file_changes_nothing_and_says_so(daemon, director, servers, virtual, web, writes):
    address = virtual.masq()
    daemon.write("www", web_service("www", address, servers))
    daemon.start()
    wait_for_table(director, lines(address, servers))
    writes.forget()
    daemon.write("www", web_service("www", address, servers, more='sceduler = "wrr"', weight=9))
    done = daemon.healthd("reload")
    assert done.returncode != 0
    assert "sceduler" in done.stdout + done.stderr
    daemon.write("www", web_service("www", address, servers, more='persistant = "5m"', weight=9))
    daemon.signal(signal.SIGHUP)
    until("the log names the wrong key", lambda: "persistant" in daemon.log())
    assert ipvsadm.saved(director) == lines(address, servers)
    assert writes.total() == 0
    daemon.write("www", web_service("www", address, servers, weight=9))
    daemon.reload()
    wait_for_table(director, lines(address, servers, 9))


# --- stop, restart, kill ----------------------------------------------------------------------------------------


def test_a_restart_writes_nothing_and_disturbs_nobody(daemon, director, client, servers, virtual, web, writes):
    address = virtual.masq()
    daemon.write("www", web_service("www", address, servers))
    web[2].crash()
    daemon.start()
    dead = f"-a -t {address}:80 -r {servers[2].address}:80 -m -w 0"
    wait_for_table(director, [*lines(address, servers[:2]), dead])
    before = ipvsadm.saved(director)
    download = Download(client, address)
    writes.forget()
    daemon.stop()
    assert ipvsadm.saved(director) == before
    daemon.start()
    daemon.asks_everyone()
    assert ipvsadm.saved(director) == before
    assert writes.by_program() == {}
    download.goes_on()
    download.close()


MANY = 500  # destinations of one service: too many for one message to the kernel


def crowd(address, server, weight):
    """Many destinations that need no asking."""
    reals = [real(f"{server.address}:{10000 + number}", f"weight = {weight}") for number in range(MANY)]
    keys = f'virtual = "{address}:80"\nforward = "masq"\nscheduler = "wrr"'
    return service("crowd", keys, 'type = "on"\ninterval = "60s"', reals)


def test_kill_9_in_the_middle_of_a_change_leaves_a_table_that_the_next_start_completes(
    daemon, director, servers, virtual, web, writes
):
    address = virtual.masq()
    row = f"TCP {address}:80"

    def has(weight):
        return list(ipvsadm.weights(director, row).values()) == [weight] * MANY

    daemon.write("crowd", crowd(address, servers[0], 1))
    daemon.start()
    until("all are in", lambda: has(1), within=20)
    # killed at once, at the first write, and further on
    for weight, after in enumerate((0, 1, 200), start=2):
        writes.forget()
        daemon.write("crowd", crowd(address, servers[0], weight))
        daemon.signal(signal.SIGHUP)
        until("the change has begun", lambda after=after: writes.total() >= after, every=0)
        daemon.kill()
        found = ipvsadm.weights(director, row).values()
        assert set(found) <= {weight - 1, weight}
        unfinished = list(found).count(weight - 1)
        writes.forget()
        daemon.start()
        until("the change is complete", lambda weight=weight: has(weight), within=20)
        assert daemon.healthd("plan").returncode == 0, "there is more to do"
        assert writes.total() == unfinished


@pytest.mark.parametrize(
    ("policy", "left"),
    [("leave", [1, 1, 1]), ("quiesce", [0, 0, 0]), ("remove", [])],
    ids=["leave", "quiesce", "remove"],
)
def test_the_stop_policy_says_what_is_left_of_our_services_only(
    policy, left, director, tmp_path, servers, virtual, web
):
    address, strangers = virtual.masq(), virtual.masq()
    ipvsadm.apply(director, f"-A -t {strangers}:80 -s rr", f"-a -t {strangers}:80 -r {servers[0].address}:80 -m -w 3")
    daemon = Daemon(director, tmp_path / "healthd", more=f'[daemon]\non_stop = "{policy}"')
    daemon.write("www", web_service("www", address, servers))
    daemon.start()
    until("all are in", lambda: len(ipvsadm.weights(director, f"TCP {address}:80")) == 3)
    daemon.stop()
    assert list(ipvsadm.weights(director, f"TCP {address}:80").values()) == left
    assert (f"TCP {address}:80" in ipvsadm.rows(director)) == (policy != "remove")
    assert list(ipvsadm.weights(director, f"TCP {strangers}:80").values()) == [3]


def test_a_second_daemon_over_the_same_services_is_refused(daemon, director, tmp_path, servers, virtual, web, writes):
    address = virtual.masq()
    daemon.write("www", web_service("www", address, servers))
    daemon.start()
    wait_for_table(director, lines(address, servers))
    writes.forget()
    done = daemon.healthd("run")
    assert done.returncode != 0
    assert done.stderr.strip()
    assert writes.total() == 0


# --- others who write to the table ------------------------------------------------------------------------------


def test_what_somebody_else_did_to_our_rows_is_repaired_and_theirs_are_left_alone(
    director, tmp_path, servers, virtual, web
):
    address, strangers = virtual.masq(), virtual.masq()
    daemon = Daemon(director, tmp_path / "healthd", resync=1)
    daemon.write("www", web_service("www", address, servers))
    theirs = f"-A -t {strangers}:80 -s lc"
    edits = (
        f"-d -t {address}:80 -r {servers[1].address}:80",
        f"-e -t {address}:80 -r {servers[1].address}:80 -m -w 77",
        f"-E -t {address}:80 -s wlc",
        f"-D -t {address}:80",
        "-C",
    )
    try:
        daemon.start()
        wait_for_table(director, lines(address, servers))
        for count, edit in enumerate(edits, start=1):
            director.run("ipvsadm", *edit.split())
            if theirs not in ipvsadm.saved(director):
                ipvsadm.apply(director, theirs)
            wait_for_table(director, [*lines(address, servers), theirs])
            until(f"{edit} is told", lambda count=count: daemon.log().count("drift:") >= count)
    finally:
        daemon.stop()


# --- our own faults ---------------------------------------------------------------------------------------------


def test_a_stopped_daemon_takes_nobody_out_when_it_goes_on(daemon, director, servers, virtual, web, writes):
    address = virtual.masq()
    daemon.write("www", web_service("www", address, servers))
    daemon.start()
    wait_for_table(director, lines(address, servers))
    writes.forget()
    for whom in ("director", "children", "all"):
        children = daemon.children()
        stopped = {"director": [daemon.pid], "children": children, "all": [daemon.pid, *children]}[whom]
        daemon.signal(signal.SIGSTOP, *stopped)
        time.sleep(max(10.0, 6 * INTERVAL))  # long enough that every probe in flight is late, several times over
        daemon.thaw(*stopped)
        daemon.asks_everyone()
        assert ipvsadm.saved(director) == lines(address, servers), whom
        assert writes.total() == 0, whom
        assert "is down" not in daemon.log(), whom


def test_a_prober_that_is_killed_comes_back_and_nobody_is_taken_out(daemon, director, servers, virtual, web, writes):
    address = virtual.masq()
    daemon.write("www", web_service("www", address, servers))
    daemon.start()
    wait_for_table(director, lines(address, servers))
    writes.forget()
    daemon.signal(signal.SIGKILL, *daemon.children())
    until("the loss is told", lambda: "prober-lost" in daemon.log(), within=20)
    daemon.asks_everyone()
    assert writes.total() == 0
    web[0].crash()
    until("it still works", lambda: ipvsadm.weights(director, f"TCP {address}:80")[f"{servers[0].address}:80"] == 0)


def test_a_hook_hears_of_a_change_after_the_kernel_has_it(director, tmp_path, servers, virtual, web):
    address = virtual.masq()
    told = tmp_path / "told"
    script = tmp_path / "hook"
    script.write_text(
        f'#!/bin/sh\n{{ echo "$HEALTHD_KIND $HEALTHD_REAL"; cat /proc/net/ip_vs; echo end; }} >> {told}\n'
    )
    script.chmod(0o755)
    hook = f'[[hook]]\ncommand = ["{script}"]\non = ["server-down"]\n'
    daemon = Daemon(director, tmp_path / "healthd", more=hook)
    daemon.write("www", web_service("www", address, servers))
    try:
        daemon.start()
        wait_for_table(director, lines(address, servers))
        web[1].crash()
        until("the hook has run", lambda: told.exists() and "end" in told.read_text(), within=20)
        kind, *table = told.read_text().splitlines()
        assert kind.endswith(f" {servers[1].address}:80")
        (row,) = (line.split() for line in table if "0A02000C:0050" in line)
        assert row[3] == "0"
    finally:
        daemon.stop()


def test_b18_reading_the_table_again_and_again_says_nothing(director, servers, virtual, web, tmp_path):
    """The real ldirectord prints warnings of its interpreter at every reading."""
    daemon = Daemon(director, tmp_path / "healthd", resync=1)
    daemon.write("www", web_service("www", virtual.masq(), servers))
    try:
        daemon.start()
        until("all are told to be up", lambda: daemon.log().count(" is up ") == len(servers))
        said = daemon.log()
        daemon.asks_everyone(5)
        assert daemon.log() == said
    finally:
        daemon.stop()
