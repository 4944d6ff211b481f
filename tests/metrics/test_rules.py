"""etc/prometheus/healthd.rules.yml under Prometheus' own promtool: when each alert fires, and when it does not."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from healthd.metrics import families

ROOT = Path(__file__).parents[2]
RULES = ROOT / "etc" / "prometheus" / "healthd.rules.yml"
WHERE = {"instance": "d1", "job": "healthd"}
WWW = {"service": "www"}
ON_A = {"service": "www", "real": "10.0.0.11:80"}
DAY = 24 * 60

promtool = pytest.mark.real


@dataclass(frozen=True)
class Case:
    """Series that make an alert fire after so many minutes, with these labels; and what makes it quiet instead.

    Series are in promtool's notation, a value each minute. instead: replaces some of them.
    """

    series: Mapping[str, str]
    minutes: int
    labels: Mapping[str, str]
    instead: Mapping[str, str]


def name(metric: str, **labels: str) -> str:
    """A series of healthd's in PromQL's notation."""
    return f"healthd_{metric}{{{listed({**WHERE, **labels})}}}"


def listed(labels: Mapping[str, str]) -> str:
    """Labels in PromQL's notation."""
    return ",".join(f'{key}="{value}"' for key, value in labels.items())


USABLE, FALLBACK = name("service_usable_servers", **WWW), name("service_fallback_active", **WWW)
UP, DOWN = name("service_servers", **WWW, phase="up"), name("service_servers", **WWW, phase="down")
FAILED = name("server_reason", **ON_A, reason="failed")
TCP = {**ON_A, "check": "tcp"}
HOOK = {"hook": "exec /bin/page"}
DRAIN = {**ON_A, "kind": "drain"}
SET, END = name("override_set_timestamp_seconds", **DRAIN), name("override_end_timestamp_seconds", **DRAIN)
LATE = {bound: name("probe_lateness_seconds_bucket", le=bound) for bound in ("0.25", "0.5", "+Inf")}
SCRAPED = f"up{{{listed(WHERE)}}}"
RESULTS = name("probe_results_total", outcome="pass")

CASES: Mapping[str, Case] = {
    "HealthdServiceDown": Case({USABLE: "2 0x9", UP: "2 0x9", DOWN: "0 2x9"}, 3, WWW, {USABLE: "2 1x9"}),
    "HealthdFallbackInUse": Case({FALLBACK: "0 1x9"}, 7, WWW, {FALLBACK: "1 1 0x9"}),
    "HealthdFewServers": Case({USABLE: "1x20", UP: "1x20", DOWN: "2x20"}, 18, WWW, {DOWN: "1x20"}),
    "HealthdServerDown": Case(
        {FAILED: "1x70"}, 65, {**ON_A, "reason": "failed"}, {name("server_reason", **ON_A, reason="drained"): "1x70"}
    ),
    "HealthdServerFlapping": Case(
        {name("server_up", **ON_A): "0 1 0 1 0 1 0 1 0 1"}, 9, ON_A, {name("server_up", **ON_A): "0 1 0 1 1x9"}
    ),
    "HealthdWeightNotAsWanted": Case(
        {name("server_wanted_weight", **ON_A): "10x9", name("server_weight", **ON_A): "10 0x9"},
        7,
        ON_A,
        {name("server_weight", **ON_A): "10 0 0 10x9"},
    ),
    "HealthdTableLost": Case({name("table_up"): "1 0x9"}, 3, {}, {name("table_up"): "1 1 0 1x9"}),
    "HealthdRowsRefused": Case(
        {name("service_refused_rows", **WWW): "0 1x9"}, 7, WWW, {name("service_refused_rows", **WWW): "0 1 1 0x9"}
    ),
    "HealthdDrift": Case(
        {name("events_total", kind="drift"): "4 4 5x9"},
        5,
        {"kind": "drift"},
        {name("events_total", kind="drift"): "4x9"},
    ),
    "HealthdRowsEdited": Case(
        {name("service_edited_rows", **WWW): "2x70"}, 65, WWW, {name("service_edited_rows", **WWW): "2x50 0x20"}
    ),
    "HealthdNotProbing": Case({name("probes"): "9x20", RESULTS: "0+100x5 500x15"}, 15, {}, {RESULTS: "0+100x20"}),
    "HealthdProberLost": Case(
        {name("events_total", kind="prober-lost"): "0+1x9"},
        6,
        {"kind": "prober-lost"},
        {name("events_total", kind="prober-lost"): "0 1x9"},
    ),
    "HealthdProbesLate": Case(
        {LATE["0.25"]: "0+90x20", LATE["0.5"]: "0+95x20", LATE["+Inf"]: "0+100x20"},
        17,
        {},
        {LATE["0.25"]: "0+100x20", LATE["0.5"]: "0+100x20"},
    ),
    "HealthdProbesInconclusive": Case(
        {name("check_inconclusive_total", **TCP): "0+1x20"},
        15,
        TCP,
        {name("check_inconclusive_total", **TCP): "0 1 2x20"},
    ),
    "HealthdAbsent": Case({SCRAPED: "1 0x9"}, 6, {}, {SCRAPED: "1x9"}),
    "HealthdRestarting": Case(
        {name("start_timestamp_seconds"): "1 2 3 4 5"}, 5, {}, {name("start_timestamp_seconds"): "1 1 1 2 3"}
    ),
    "HealthdReloadFailed": Case(
        {name("config_last_reload_successful"): "1 0x9"}, 7, {}, {name("config_last_reload_successful"): "1 0 1x9"}
    ),
    "HealthdHookFailing": Case(
        {name("hook_failed_total", **HOOK): "0 0 1x9"}, 4, HOOK, {name("hook_failed_total", **HOOK): "3x9"}
    ),
    "HealthdHookBehind": Case(
        {name("hook_queued", **HOOK): "5x30", name("hook_delivered_total", **HOOK): "9x30"},
        25,
        HOOK,
        {name("hook_delivered_total", **HOOK): "9+1x30"},
    ),
    "HealthdLogAway": Case({name("log_away"): "0 1x9"}, 7, {}, {name("log_away"): "0 1 0x9"}),
    "HealthdOverrideForgotten": Case({SET: f"0x{DAY + 20}"}, DAY + 10, DRAIN, {END: f"200000x{DAY + 20}"}),
    "HealthdOverridesUnsaved": Case(
        {name("overrides_unsaved"): "1x20", SET: "0x20"}, 17, {}, {name("overrides_unsaved"): "1 1 0x20"}
    ),
}
PAGES = {"HealthdServiceDown", "HealthdTableLost", "HealthdNotProbing", "HealthdAbsent"}


def alerts() -> list[str]:
    """The names of all alerts."""
    return re.findall(r"- alert: (\w+)", RULES.read_text())


def rules_hold(folder: Path, *tests: object) -> None:
    """Have promtool try the rules."""
    file = folder / "tests.yml"
    file.write_text(json.dumps({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests}))
    run(["test", "rules", str(file)])


def run(arguments: list[str]) -> None:
    """Run promtool; it must be content."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is missing: apt-get install prometheus")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def tried(alert: str, case: Case, series: Mapping[str, str], *, fires: bool) -> dict[str, object]:
    """A test as promtool wants it: the alert fires in the end, or it does not."""
    severity = "page" if alert in PAGES else "ticket"
    labels = {**WHERE, **case.labels, "alertname": alert, "alertstate": "firing", "severity": severity}
    expected = [{"labels": f"ALERTS{{{listed(labels)}}}", "value": 1}] if fires else []
    asked = f'ALERTS{{alertname="{alert}",alertstate="firing"}}'
    return {
        "interval": "1m",
        "input_series": [{"series": one, "values": values} for one, values in series.items()],
        "promql_expr_test": [{"expr": asked, "eval_time": f"{case.minutes}m", "exp_samples": expected}],
    }


def test_every_alert_has_a_case_and_says_what_is_wrong_and_what_to_do():
    assert sorted(alerts()) == sorted(CASES)
    _, *rules = RULES.read_text().split("- alert: ")
    for rule in rules:
        assert re.search(r"severity: (page|ticket)", rule)
        assert 'summary: "' in rule
        assert "`" in rule.partition("description:")[2], f"no command in {rule}"


def test_every_metric_that_an_alert_asks_for_exists():
    expressions = re.findall(r"expr: (?:\|\n)?(.*?)\n +(?:for|labels):", RULES.read_text(), re.DOTALL)
    asked = {name for text in expressions for name in re.findall(r"healthd_\w+", text)}
    buckets = {f"{family.name}_bucket" for family in families.ALL if family.type is families.Type.HISTOGRAM}

    assert len(expressions) == len(CASES)
    assert asked <= {family.name for family in families.ALL} | buckets


@promtool
def test_prometheus_takes_the_rules():
    run(["check", "rules", str(RULES)])


@promtool
def test_each_alert_fires_in_its_case_and_stays_quiet_where_it_should(tmp_path):
    rules_hold(tmp_path, *(tried(alert, case, case.series, fires=True) for alert, case in CASES.items()))
    rules_hold(
        tmp_path, *(tried(alert, case, {**case.series, **case.instead}, fires=False) for alert, case in CASES.items())
    )


@promtool
def test_a_daemon_that_is_not_scraped_at_all_is_noticed(tmp_path):
    labels = 'ALERTS{alertname="HealthdAbsent",alertstate="firing",severity="page",job="healthd"}'
    asked = {"expr": "ALERTS", "eval_time": "5m", "exp_samples": [{"labels": labels, "value": 1}]}
    rules_hold(tmp_path, {"interval": "1m", "input_series": [], "promql_expr_test": [asked]})
