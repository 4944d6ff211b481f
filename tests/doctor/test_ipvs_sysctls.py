"""What the doctor says of the settings of IPVS: each only where a service is hurt by it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from healthd.config.schema import OnFailure
from healthd.doctor import ipvs_sysctls
from healthd.doctor.facts import Firewall, Kernel, Program
from healthd.doctor.findings import Level
from healthd.model import ServiceSpec, SyncDaemon, SyncState
from tests.doctor.judging import GATE, facts, only, server, sysctls, wrong
from tests.support.builders import STICKY, service

SAMPLE = Path(__file__).parents[2] / "etc/sysctl.d/healthd.conf"
KEEPALIVED = (Program("keepalived", 7, writes=False),)


def of_kernel(release: str) -> Kernel:
    return replace(facts().kernel, release=release)


def sample() -> dict[str, str]:
    """The settings of the file that comes with healthd."""
    lines = (line.partition("=") for line in SAMPLE.read_text().splitlines() if line[:1].isalpha())
    return {name.strip().replace(".", "/"): value.strip() for name, _, value in lines}


def test_with_the_settings_that_come_with_healthd_all_is_in_order():
    rich = service(server(), spec=STICKY, fallback=True)
    removing = service(server(), name="removing", on_failure=OnFailure.REMOVE)
    good = sample()
    assert len(good) > 3
    assert wrong(ipvs_sysctls, facts(rich, removing, sysctls=good)) == []
    for name in good:
        assert wrong(ipvs_sysctls, facts(rich, removing, sysctls={**good, name: "0"})), f"{name} is not looked at"


def test_where_there_is_no_ipvs_nothing_is_said():
    assert wrong(ipvs_sysctls, facts(kernel=Kernel("6.1"), sysctls=sysctls(drop_packet=3))) == []


@pytest.mark.parametrize(
    ("declared", "level"),
    [
        (service(server(), on_failure=OnFailure.REMOVE), Level.WARNING),
        (service(server(), fallback=True), Level.HINT),
    ],
)
def test_connections_to_removed_rows_hang(declared, level):
    found = only(ipvs_sysctls, facts(declared, sysctls=sysctls(expire_nodest_conn=0)))
    assert (found.level, found.commands) == (level, ("sysctl -w net.ipv4.vs.expire_nodest_conn=1",))


def test_a_service_that_removes_nothing_does_not_mind():
    assert wrong(ipvs_sysctls, facts(sysctls=sysctls(expire_nodest_conn=0, expire_quiescent_template=0))) == []


def test_persistent_clients_stay_with_a_quiesced_server():
    found = only(ipvs_sysctls, facts(service(server(), spec=STICKY), sysctls=sysctls(expire_quiescent_template=0)))
    assert found.commands == ("sysctl -w net.ipv4.vs.expire_quiescent_template=1",)


def test_reused_ports_go_to_the_server_of_old():
    found = only(ipvs_sysctls, facts(sysctls=sysctls(conn_reuse_mode=0, conntrack=1)))
    assert found.commands == ("sysctl -w net.ipv4.vs.conn_reuse_mode=1",)


@pytest.mark.parametrize(("release", "told"), [("5.8.0-3-amd64", True), ("5.9.0", False), ("6.1.0-18", False)])
def test_before_5_9_rescheduling_with_tracking_costs_a_second(release, told):
    seen = facts(kernel=of_kernel(release), sysctls=sysctls(conn_reuse_mode=1, conntrack=1))
    assert [found.id for found in wrong(ipvs_sysctls, seen)] == ["sysctl.conn_reuse_mode"] * told


def test_before_5_9_with_tracking_leaving_reused_ports_alone_is_right():
    seen = facts(kernel=of_kernel("5.4"), sysctls=sysctls(conn_reuse_mode=0, conntrack=1))
    assert wrong(ipvs_sysctls, seen) == []


def test_a_kernel_whose_release_is_no_number_counts_as_new():
    seen = facts(kernel=of_kernel("next-2026"), sysctls=sysctls(conn_reuse_mode=1, conntrack=1))
    assert wrong(ipvs_sysctls, seen) == []


def test_stateful_rules_need_tracking_for_masqueraded_services_only():
    rules = replace(facts().network, firewall=Firewall(stateful=True))
    found = only(ipvs_sysctls, facts(network=rules, sysctls=sysctls(conntrack=0)))
    assert found.commands == ("sysctl -w net.ipv4.vs.conntrack=1",)
    direct = facts(service(server(forwarding=GATE)), network=rules, sysctls=sysctls(conntrack=0))
    assert wrong(ipvs_sysctls, direct) == []


def test_masqueraded_servers_are_to_be_told_of_forgotten_connections():
    assert only(ipvs_sysctls, facts(sysctls=sysctls(nat_icmp_send=0))).level is Level.HINT


def test_sloppy_tcp_is_asked_for_by_hashing_on_two_directors_and_by_nobody_else():
    hashed = service(server(), spec=ServiceSpec("sh"))
    assert wrong(ipvs_sysctls, facts(hashed, sysctls=sysctls(sloppy_tcp=0))) == []
    lacking = only(ipvs_sysctls, facts(hashed, programs=KEEPALIVED, sysctls=sysctls(sloppy_tcp=0)))
    assert lacking.commands == ("sysctl -w net.ipv4.vs.sloppy_tcp=1",)
    needless = only(ipvs_sysctls, facts(sysctls=sysctls(sloppy_tcp=1)))
    assert needless.commands == ("sysctl -w net.ipv4.vs.sloppy_tcp=0",)


@pytest.mark.parametrize("name", ["drop_entry", "drop_packet"])
def test_a_defence_that_is_at_work_is_told(name):
    always = only(ipvs_sysctls, facts(sysctls=sysctls(**{name: 3})))
    assert (always.level, always.commands) == (Level.WARNING, (f"sysctl -w net.ipv4.vs.{name}=0",))
    assert "memory" in only(ipvs_sysctls, facts(sysctls=sysctls(**{name: 2}))).seen
    assert wrong(ipvs_sysctls, facts(sysctls=sysctls(**{name: 1}))) == []


def test_a_backup_that_passes_nothing_on_and_one_that_may_run_in_circles():
    seen = facts(service(server(forwarding=GATE)))
    table = replace(seen.config.settings.table, sync=(SyncDaemon(SyncState.BACKUP, "eth0"),))
    config = replace(seen.config, settings=replace(seen.config.settings, table=table))
    passive = only(ipvs_sysctls, replace(seen, config=config, sysctls=sysctls(backup_only=1)))
    circle = only(ipvs_sysctls, replace(seen, config=config, sysctls=sysctls(backup_only=0)))
    assert "passes nothing on" in passive.why
    assert "circle" in circle.why


def test_commands_are_for_the_namespace_of_the_table():
    seen = facts(sysctls=sysctls(nat_icmp_send=0))
    for netns, before in (("lb", "ip netns exec lb"), ("/proc/7/ns/net", "nsenter --net=/proc/7/ns/net")):
        table = replace(seen.config.settings.table, netns=netns)
        config = replace(seen.config, settings=replace(seen.config.settings, table=table))
        (command,) = only(ipvs_sysctls, replace(seen, config=config)).commands
        assert command == f"{before} sysctl -w net.ipv4.vs.nat_icmp_send=1"
