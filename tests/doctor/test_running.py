"""What the doctor says of the running daemon and of its configuration, and how all of it is shown."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest

from healthd.config.problems import Problem, Severity
from healthd.config.schema import Admin, Config
from healthd.doctor import declared, running
from healthd.doctor.facts import Daemon, Facts, Program
from healthd.doctor.findings import Level, named
from healthd.doctor.judgement import judge, worst
from healthd.doctor.text import as_document, as_text
from tests.doctor.judging import facts, only, server, sysctls, wrong
from tests.support.builders import A, B, real, service

REAL = {"address": "10.0.0.11:80", "weight": 10, "refused": None}
WELL: dict[str, Any] = {
    "healthd": "1",
    "pid": 7,
    "table": {"ok": True, "error": None},
    "prober": {"probes": 1, "age": 0.4, "lateness_p99_ms": 1.2, "missed": 0, "stalls": 0, "inconclusive": 0},
    "services": [
        {"name": "www", "present": True, "refused": None, "reals": [REAL], "others": [], "fallback": None},
    ],
    "hooks": [{"name": "exec", "failed": 0, "dropped": 0, "last_error": ""}],
    "log": {"to": "stderr", "away": False, "dropped": 0, "spilled": 0, "last_error": ""},
}


def told(*path: str | int, value: object) -> Facts:
    """Facts whose daemon says one thing otherwise."""
    document = deepcopy(WELL)
    place: Any = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return facts(daemon=Daemon(document, holders=frozenset({7})))


def test_a_daemon_that_is_well_is_in_order():
    assert wrong(running, facts(daemon=Daemon(WELL, holders=frozenset({7})))) == []


@pytest.mark.parametrize(
    ("path", "value", "topic", "level"),
    [
        (("table",), {"ok": False, "error": "no permission"}, "daemon.table", Level.ERROR),
        (("prober", "age"), 9.0, "daemon.prober", Level.ERROR),
        (("prober", "age"), None, "daemon.prober", Level.HINT),
        (("prober", "lateness_p99_ms"), 2500.0, "daemon.pace", Level.WARNING),
        (("prober", "missed"), 3, "daemon.pace", Level.WARNING),
        (("prober", "stalls"), 1, "daemon.pace", Level.WARNING),
        (("prober", "inconclusive"), 2, "daemon.inconclusive", Level.WARNING),
        (("services", 0, "present"), False, "daemon.services", Level.ERROR),
        (("services", 0, "refused"), "add service: No such file", "daemon.refused", Level.ERROR),
        (("services", 0, "reals"), [{**REAL, "weight": 0}], "daemon.idle", Level.ERROR),
        (("services", 0, "name"), "old", "daemon.outdated", Level.HINT),
        (("hooks", 0, "dropped"), 4, "daemon.hooks", Level.WARNING),
        (("hooks", 0, "failed"), 1, "daemon.hooks", Level.WARNING),
        (("log", "away"), True, "daemon.log", Level.WARNING),
        (("healthd",), "0.9", "daemon.version", Level.HINT),
        (("pid",), 8, "others.healthd", Level.WARNING),
    ],
)
def test_each_thing_that_is_wrong_with_it_is_one_finding(path, value, topic, level):
    found = only(running, told(*path, value=value))
    assert (found.id, found.level) == (topic, level)


def test_a_fallback_that_serves_is_no_outage():
    idle = told("services", 0, "reals", value=[{**REAL, "weight": 0}])
    document = deepcopy(dict(idle.daemon.document or {}))
    document["services"][0]["fallback"] = {"weight": 1}
    assert wrong(running, replace(idle, daemon=replace(idle.daemon, document=document))) == []


def test_nobody_who_answers_is_a_hint_unless_somebody_keeps_the_services():
    silent = Daemon(None, "no daemon answers on /run/healthd/control.sock")
    assert only(running, facts(daemon=silent)).level is Level.HINT
    held = only(running, facts(daemon=replace(silent, holders=frozenset({41}))))
    assert (held.level, "process 41" in held.seen) == (Level.WARNING, True)
    assert only(running, facts(daemon=replace(silent, denied=True))).do == "ask as root"


# --- configuration ----------------------------------------------------------------------------------------------


def test_errors_and_warnings_of_the_configuration_are_counted_and_the_first_is_shown():
    problems = (
        Problem(Severity.ERROR, "no such key", "a.toml"),
        Problem(Severity.ERROR, "another", "a.toml"),
        Problem(Severity.WARNING, "odd", "b.toml"),
    )
    found = wrong(declared, Facts(Config(), problems))
    assert [one.level for one in found] == [Level.ERROR, Level.WARNING]
    assert found[0].seen == "a.toml: error: no such key (and 1 more)"


@pytest.mark.parametrize(
    ("one", "topic"),
    [
        (service(server(), real(B, unchecked=True)), "config.unchecked"),
        (service(server()), "config.alone"),
        (service(server(admin=Admin.DRAINED), server(B, admin=Admin.MAINTENANCE)), "config.all-out"),
    ],
)
def test_what_surprises_at_night(one, topic):
    assert only(declared, facts(one)).id == topic


def test_two_checked_servers_or_a_fallback_surprise_nobody():
    assert wrong(declared, facts(service(server(), server(B)))) == []
    assert wrong(declared, facts(service(server(A), fallback=True))) == []


# --- all of it --------------------------------------------------------------------------------------------------

MANY = facts(
    daemon=Daemon(None, "no daemon answers"),
    programs=(Program("ldirectord", 9),),
    sysctls=sysctls(nat_icmp_send=0) | {"net/ipv4/ip_forward": "0"},
)


def test_the_worst_comes_first_and_is_the_worst():
    findings = judge(MANY)
    levels = [finding.level for finding in findings]
    assert levels == sorted(levels, reverse=True)
    assert worst(findings) is Level.ERROR
    assert worst([]) is Level.OK


def test_text_has_a_line_for_each_why_and_what_to_do_below_it_and_a_count():
    lines = as_text(judge(MANY), least=Level.HINT).splitlines()
    assert lines[0] == "error    net.ipv4.ip_forward is 0"
    assert lines[1].startswith("         answers of masqueraded servers (www) are dropped here")
    assert lines[2] == "         do: sysctl -w net.ipv4.ip_forward=1"
    assert lines[-1].startswith("1 error, 1 warning, 2 hints, ")
    assert any("lasts until the next boot" in line for line in lines)


def test_quiet_text_is_empty_if_nothing_is_worse_than_a_hint():
    hints = [finding for finding in judge(MANY) if finding.level <= Level.HINT]
    assert as_text(hints, least=Level.WARNING) == ""
    assert "in order" in as_text(hints, least=Level.HINT)
    assert "ok       " in as_text(hints, least=Level.OK)


def test_words_of_strangers_cannot_move_the_cursor():
    seen = facts(programs=(Program("ldirectord", 9, "/tmp/\x1b[2Jx"),))
    assert "\x1b" not in as_text(judge(seen), least=Level.OK)
    assert "\x1b[1;33m" in as_text(judge(seen), least=Level.OK, color=True)


def test_the_document_has_everything():
    findings = judge(MANY)
    document = as_document(findings)
    assert document["worst"] == "error"
    assert len(document["findings"]) == len(findings)
    assert document["findings"][0] == {
        "id": "sysctl.forwarding",
        "severity": "error",
        "seen": "net.ipv4.ip_forward is 0",
        "why": findings[0].why,
        "do": "",
        "commands": ["sysctl -w net.ipv4.ip_forward=1"],
    }


def test_long_lists_are_cut():
    assert named(["a", "b", "a"]) == "a, b"
    assert named(list("abcdefg")) == "a, b, c, d and 3 more"
