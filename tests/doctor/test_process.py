"""What the doctor says of rights, limits, disks, the clock, and other programs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from healthd.check import Target
from healthd.config.schema import CheckPlan
from healthd.doctor import process
from healthd.doctor.facts import Clock, Facts, OpenFiles, Program, Rights, Room
from healthd.doctor.findings import Level
from healthd.privileges import Capability
from tests.doctor.judging import facts, only, server, wrong
from tests.support.builders import FAST, A, Ask, check, dest, service

ALL = frozenset(Capability)
DAEMON = Rights("the running daemon (process 7)", ALL, 65536)
MB = 1 << 20


def with_table(seen: Facts, **changes: object) -> Facts:
    settings = seen.config.settings
    table = replace(settings.table, **changes)
    return replace(seen, config=replace(seen.config, settings=replace(settings, table=table)))


def with_runner(seen: Facts, user: str) -> Facts:
    settings = replace(seen.config.settings, runner=replace(seen.config.settings.runner, user=user))
    return replace(seen, config=replace(seen.config, settings=settings))


def test_a_daemon_that_may_everything_with_room_for_everything_is_in_order():
    assert wrong(process, facts(rights=(DAEMON,), clock=Clock(synchronised=True, stepped=0.3))) == []


# --- rights -----------------------------------------------------------------------------------------------------


def test_who_may_not_write_the_table_is_an_error_and_who_may_not_ping_a_warning():
    found = wrong(process, facts(rights=(replace(DAEMON, capabilities=frozenset()),)))
    assert [(one.seen.split()[-1], one.level) for one in found] == [
        ("CAP_NET_ADMIN", Level.ERROR),
        ("CAP_NET_RAW", Level.WARNING),
    ]


def test_other_namespaces_need_a_capability_and_a_unit_that_lets_it():
    plain = frozenset({Capability.NET_ADMIN, Capability.NET_RAW})
    unit = Rights("healthd.service (user healthd)", plain, enters=False)
    assert wrong(process, facts(rights=(unit,))) == []
    found = wrong(process, with_table(facts(rights=(unit,)), netns="lb"))
    assert [one.id for one in found] == ["rights.capability", "rights.namespaces"]
    assert "CAP_SYS_ADMIN" in found[0].seen


def test_scripts_of_another_user_need_two():
    unit = Rights("healthd.service", frozenset({Capability.NET_ADMIN, Capability.NET_RAW}))
    found = wrong(process, with_runner(facts(rights=(unit,)), "nobody"))
    assert [one.seen.split()[-1] for one in found] == ["CAP_SETUID", "CAP_SETGID"]


def test_of_marked_probes_is_told_what_they_lack():
    plan = replace(check(A, FAST), target=Target(A.address, 80, mark=1))
    seen = facts(service(replace(server(A), checks=(plan,))))
    unit = Rights("healthd.service", frozenset({Capability.NET_ADMIN}))
    assert "mark" in only(process, replace(seen, rights=(unit,))).why


# --- limits -----------------------------------------------------------------------------------------------------


def crowd(count: int) -> Facts:
    return facts(service(*(server(dest(f"10.0.{n // 200}.{n % 200 + 1}")) for n in range(count))))


def test_fewer_files_than_probes_at_once():
    few = replace(crowd(1000), rights=(replace(DAEMON, files=1024),))
    found = only(process, few)
    assert (found.id, found.level) == ("limits.files", Level.WARNING)
    assert "LimitNOFILE=65536" in found.do
    settings = replace(few.config.settings, prober=replace(few.config.settings.prober, in_flight=500))
    assert wrong(process, replace(few, config=replace(few.config, settings=settings))) == []


def test_nearly_all_files_are_open():
    prober = OpenFiles(8, "healthd-prober", 900, 1024)
    assert "900 of 1024" in only(process, facts(open_files=(prober,))).seen
    assert wrong(process, facts(open_files=(replace(prober, open=500),))) == []


def test_more_probes_of_one_server_than_local_ports():
    plans = tuple(CheckPlan(Ask(str(n)), Target(A.address, 80), check(A, FAST).cadence, FAST) for n in range(30))
    seen = facts(service(replace(server(), checks=plans)))
    narrow = {"net/ipv4/ip_local_port_range": "40000 40031"}
    assert only(process, replace(seen, sysctls=narrow)).id == "sysctl.ip_local_port_range"
    assert wrong(process, replace(seen, sysctls={"net/ipv4/ip_local_port_range": "32768 60999"})) == []


@pytest.mark.parametrize(
    ("count", "most", "level"),
    [("10", "65536", None), ("60000", "65536", Level.WARNING), ("65536", "65536", Level.ERROR), ("0", "10", None)],
)
def test_connection_tracking_that_is_nearly_full(count, most, level):
    settings = {"net/netfilter/nf_conntrack_count": count, "net/netfilter/nf_conntrack_max": most}
    assert [found.level for found in wrong(process, facts(sysctls=settings))] == ([] if level is None else [level])


def test_probes_alone_may_fill_connection_tracking():
    settings = {"net/netfilter/nf_conntrack_count": "10", "net/netfilter/nf_conntrack_max": "4096"}
    found = only(process, replace(crowd(1000), sysctls=settings))  # 200 a second, 30 s each
    assert "200 probes a second" in found.seen


@pytest.mark.parametrize(
    ("room", "found"),
    [
        (Room("the log", "/var/log", 900 * MB, 0.2, 0.5), None),
        (Room("the log", "/run", 30 * MB, 0.95, 0.9), None),
        (Room("the log", "/var/log", 30 * MB, 0.02, 0.5), ("disk.space", Level.WARNING)),
        (Room("the log", "/var/log", 900 * MB, 0.2, 0.001), ("disk.space", Level.WARNING)),
        (Room("the log", "/var/log", 0, 0.0, 0.5), ("disk.space", Level.ERROR)),
        (Room("the log", "/var/log", 900 * MB, read_only=True), ("disk.writable", Level.ERROR)),
    ],
)
def test_room_for_what_is_written(room, found):
    assert [(one.id, one.level) for one in wrong(process, facts(rooms=(room,)))] == ([found] if found else [])


# --- surroundings -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("stepped", "told"), [(None, False), (-4.0, False), (3600.0, True), (-86400.0, True)])
def test_a_time_of_day_that_was_set(stepped, told):
    seen = facts(clock=Clock(synchronised=True, stepped=stepped))
    assert [found.id for found in wrong(process, seen)] == ["clock.stepped"] * told


def test_a_clock_that_nobody_keeps_is_a_hint():
    assert only(process, facts(clock=Clock(synchronised=False))).level is Level.HINT


def test_ldirectord_with_the_same_file_is_an_error_and_with_another_a_warning():
    seen = facts(programs=(Program("ldirectord", 99, "/etc/ha.d/ldirectord.cf", True),))
    assert only(process, seen).level is Level.WARNING
    same = replace(seen, config=replace(seen.config, files=("/etc/ha.d/ldirectord.cf",)))
    assert only(process, same).level is Level.ERROR


@pytest.mark.parametrize(("writes", "level"), [(True, Level.WARNING), (None, Level.HINT), (False, None)])
def test_keepalived_is_in_the_way_where_it_has_virtual_servers(writes, level):
    seen = facts(programs=(Program("keepalived", 99, "/etc/keepalived/keepalived.conf", writes),))
    assert [found.level for found in wrong(process, seen)] == ([] if level is None else [level])
