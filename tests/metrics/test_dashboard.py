"""etc/grafana/healthd.json asks for nothing that healthd does not tell, in a language that Prometheus understands."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from healthd.metrics import families

from .test_rules import run

DASHBOARD = Path(__file__).parents[2] / "etc" / "grafana" / "healthd.json"
FROM_PROMETHEUS = {"instance", "job", "le"}
SELECTOR = re.compile(r"(healthd_\w+)(?:\{([^}]*)\})?")


def dashboard() -> dict[str, Any]:
    """The whole document."""
    return json.loads(DASHBOARD.read_text())


def queries() -> list[str]:
    """Every query: of panels, of annotations, of variables."""
    return list(found(dashboard()))


def found(part: Any) -> Iterator[str]:
    """The queries in a part of the document."""
    match part:
        case {"expr": str(expr), **rest}:
            yield expr
            yield from found(rest)
        case {"definition": str(definition), **rest}:
            yield definition
            yield from found(rest)
        case dict():
            yield from (each for value in part.values() for each in found(value))
        case list():
            yield from (each for value in part for each in found(value))


def told() -> dict[str, set[str]]:
    """The labels of every series that a scrape may have, by its name."""
    series = {}
    for family in families.ALL:
        ends = ("_bucket", "_sum", "_count") if family.type is families.Type.HISTOGRAM else ("",)
        series.update({family.name + end: {*family.labels, *FROM_PROMETHEUS} for end in ends})
    return series


def test_every_query_is_about_metrics_and_labels_that_exist():
    there = told()
    selectors = [selector for query in queries() for selector in SELECTOR.findall(query)]

    assert len(selectors) > 40
    for name, matchers in selectors:
        assert name in there, name
        assert set(re.findall(r"(\w+)\s*=~?", matchers)) <= there[name], (name, matchers)


def test_every_label_that_a_legend_shows_is_one_of_its_query():
    targets = [target for panel in dashboard()["panels"] for target in panel.get("targets", ())]
    for target in targets:
        labels = set.union(*(told()[name] for name, _ in SELECTOR.findall(target["expr"])))
        assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= labels, target


def test_every_group_of_metrics_has_its_place():
    asked = {name for query in queries() for name, _ in SELECTOR.findall(query)}

    for group in (families.TABLE, families.PROBING, families.HOOKS, families.SERVER, families.CHECK, families.IPVS):
        assert asked & {family.name for family in group}, group


def test_panels_have_ids_of_their_own_and_do_not_cover_each_other():
    panels = dashboard()["panels"]
    cells = [
        (x, y)
        for each in (panel["gridPos"] for panel in panels)
        for x in range(each["x"], each["x"] + each["w"])
        for y in range(each["y"], each["y"] + each["h"])
    ]

    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24


@pytest.mark.real
def test_prometheus_understands_every_query_of_a_panel(tmp_path):
    written = [
        expr.replace("$__rate_interval", "5m").replace("$__interval", "5m")
        for expr in queries()
        if not expr.startswith("label_values")
    ]
    rules = [{"record": f"panel_{number}", "expr": expr} for number, expr in enumerate(written)]
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))

    run(["check", "rules", str(file)])
