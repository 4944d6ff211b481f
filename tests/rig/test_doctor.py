"""`healthd doctor` on the kernel's own IPVS: what is set wrong on purpose is found, and is well after its advice."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from ipaddress import ip_address
from itertools import count
from pathlib import Path

import pytest

from healthd.config.load import load
from healthd.doctor.facts import Facts, Held, Way
from healthd.doctor.findings import Finding, Level
from healthd.doctor.gather import gather
from healthd.doctor.judgement import judge
from tests.rig.daemon import HTTP, ROOT, TCP, Daemon, real, service
from tests.rig.namespace import Namespace
from tests.rig.patience import seconds, until
from tests.rig.topology import Topology

NUMBERS = count(1)
VS = "net.ipv4.vs"
WRONG = {
    "net.ipv4.ip_forward": 0,
    "net.ipv4.conf.all.rp_filter": 1,
    f"{VS}.expire_nodest_conn": 0,
    f"{VS}.expire_quiescent_template": 0,
    f"{VS}.conn_reuse_mode": 0,
    f"{VS}.nat_icmp_send": 0,
    f"{VS}.drop_entry": 3,
    f"{VS}.conntrack": 0,
}
FOUND = {
    "sysctl.forwarding": Level.ERROR,
    "sysctl.rp_filter": Level.WARNING,
    "sysctl.expire_nodest_conn": Level.WARNING,
    "sysctl.expire_quiescent_template": Level.WARNING,
    "sysctl.conn_reuse_mode": Level.WARNING,
    "sysctl.nat_icmp_send": Level.HINT,
    "sysctl.drop_entry": Level.WARNING,
    "sysctl.conntrack": Level.WARNING,
    "network.virtual": Level.ERROR,
    "network.mark": Level.WARNING,
    "network.route": Level.ERROR,
}
BELIEVED = frozenset(("kernel", "sysctl", "network", "rights", "limits"))
"""What a test looks at: other parts judge this machine's clock, disks and daemons, or the configuration itself."""

SERVICES = (
    service("www", 'virtual = "10.8.0.100:80"\nforward = "masq"\non_failure = "remove"', TCP, [real("10.9.0.11:80")]),
    service("shop", 'virtual = "10.8.0.101:80"\nforward = "gate"\npersistent = "5m"', TCP, [real("10.9.0.12")]),
    service("marked", 'fwmark = 7\nforward = "masq"\nscheduler = "mh"', "", [real("10.9.0.13:80")]),
    service("far", 'virtual = "10.8.0.102:80"\nforward = "gate"', TCP, [real("10.10.0.14")]),
)
STATEFUL = "add table inet fw; add chain inet fw in { type filter hook forward priority 0; }; "


@pytest.fixture
def director2(network: Topology) -> Iterator[Namespace]:
    """A director of its own: clients on one link, servers on another, and a router to more of them.

    The whole network comes first because it loads the modules.
    """
    made = Namespace.create(f"doctor{next(NUMBERS)}")
    for name, address in (("clients", "10.8.0.1/24"), ("servers", "10.9.0.1/24")):
        made.ip(f"link add {name} type veth peer name {name}-far", f"addr add {address} dev {name}")
        made.ip(f"link set dev {name} up", f"link set dev {name}-far up")
    made.ip("route add 10.10.0.0/24 via 10.9.0.254")
    yield made
    made.delete()


@pytest.fixture
def examined(director2: Namespace, tmp_path: Path):
    """Gathers facts of that director with these services; nothing else of this machine is looked at."""
    path = tmp_path / "healthd.toml"
    path.write_text(f'[table]\nnetns = "{director2.name}"\n' + "\n".join(SERVICES))

    def examine() -> Facts:
        loaded = load(path)
        assert loaded.config is not None, loaded.problems
        return asyncio.run(gather(loaded, tmp_path / "none.sock", tmp_path, tmp_path / "none"))

    return examine


def wrong(facts: Facts) -> list[Finding]:
    findings = judge(facts)
    return [one for one in findings if one.level and one.id.partition(".")[0] in BELIEVED]


def obey(place: Namespace, findings: Sequence[Finding]) -> None:
    """Do what they say: settings as commands, addresses with the interface that only people know."""
    before = f"ip netns exec {place.name} "
    for command in (command for finding in findings for command in finding.commands):
        assert command.startswith(f"{before}sysctl -w "), command
        place.sysctl(command.removeprefix(f"{before}sysctl -w "))
    for finding in findings:
        for address in re.findall(r"ip address add (\S+) dev DEVICE", finding.do):
            place.ip(f"addr add {address} dev clients")
        if found := re.search(r"meta mark set (\d+)", finding.do):
            rule = f"add rule inet fw marks ip daddr 10.8.0.103 meta mark set {found[1]}"
            place.run("nft", "add chain inet fw marks { type filter hook prerouting priority mangle; }; " + rule)


def test_what_is_set_wrong_is_found_and_is_well_after_its_advice(director2, examined):
    director2.sysctl(*(f"{name}={value}" for name, value in WRONG.items()))
    director2.run("nft", STATEFUL + "add rule inet fw in ct state invalid drop")
    findings = wrong(examined())
    assert {one.id: one.level for one in findings} == FOUND
    assert {one.seen for one in findings if one.id == "sysctl.rp_filter"} == {
        "rp_filter of clients is strict (1)",
        "rp_filter of servers is strict (1)",
    }
    (absent,) = [one for one in findings if one.id == "network.virtual"]
    assert absent.do.count("ip address add") == 3
    (route,) = [one for one in findings if one.id == "network.route"]
    assert "behind the router 10.9.0.254: 10.10.0.14 (far)" in route.seen
    obey(director2, findings)
    director2.ip("route del 10.10.0.0/24", "route add 10.10.0.0/24 dev servers")
    assert wrong(examined()) == []


def test_facts_are_those_of_the_namespace(director2, examined):
    director2.ip("addr add 10.8.0.100/32 dev clients", "route add local 10.8.0.101 dev lo")
    director2.run("ipvsadm", "-A", "-t", "10.8.0.100:80")
    facts = examined()
    assert facts.kernel.version
    assert facts.kernel.size >= 256
    assert "ip_vs" in facts.kernel.loaded
    assert {"ip_vs", "ip_vs_wlc", "ip_vs_mh"} <= (facts.kernel.loadable or frozenset())
    assert facts.kernel.table_error == ""
    assert Held(ip_address("10.8.0.100"), "clients") in facts.network.held
    ways = {str(address): route.way for address, route in facts.network.routes.items()}
    assert ways["10.8.0.100"] is ways["10.8.0.101"] is Way.LOCAL
    assert ways["10.8.0.102"] is ways["10.9.0.11"] is Way.LINK
    assert ways["10.10.0.14"] is Way.ROUTER
    assert facts.sysctls["net/ipv4/vs/expire_nodest_conn"] == "0"
    assert facts.network.firewall is not None


def test_a_scheduler_that_this_kernel_lacks_is_found(examined):
    facts = examined()
    there = facts.kernel.loadable or frozenset()
    poorer = replace(facts.kernel, loaded=facts.kernel.loaded - {"ip_vs_mh"}, loadable=there - {"ip_vs_mh"})
    found = [one.seen for one in wrong(replace(facts, kernel=poorer)) if one.id == "kernel.modules"]
    assert found == ["the module ip_vs_mh is not installed; it is for marked"]


def examine(daemon: Daemon, director: Namespace, *words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "healthd", "doctor", "-c", str(daemon.directory), *words]
    options = {"cwd": ROOT, "capture_output": True, "text": True, "check": False, "timeout": seconds(30)}
    return director.call(subprocess.run, argv, **options)


def test_a_daemon_at_work_is_well_and_one_that_cannot_be_asked_is_found_by_its_lock(
    daemon: Daemon, director, servers, virtual, web
):
    keys = f'virtual = "{virtual.masq()}:80"\nforward = "masq"'
    daemon.write("www", service("www", keys, HTTP, [real(server.address) for server in servers]))
    daemon.start()
    until("all are in", lambda: all(one["weight"] for one in daemon.status()["services"][0]["reals"]), within=20)
    done = examine(daemon, director, "-s", str(daemon.socket), "--json")
    found = json.loads(done.stdout)["findings"]
    errors = [one for one in found if one["severity"] == "error"]
    assert errors == []
    fine = {one["id"] for one in found if one["severity"] == "ok"}
    assert {"kernel.ipvs", "kernel.modules", "network.virtual", "sysctl.forwarding", "daemon.answers"} <= fine
    lost = examine(daemon, director, "-s", str(daemon.directory / "nowhere"), "--quiet")
    assert f"are kept by process {daemon.pid}" in lost.stdout
    assert lost.returncode == 1, lost.stdout
