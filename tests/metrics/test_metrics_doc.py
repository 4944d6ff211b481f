"""docs/metrics.md has every metric, and says of it what Prometheus is told."""

from __future__ import annotations

import re

from healthd.metrics import families
from tests.metrics import document


def test_the_page_is_what_the_metrics_make_of_it():
    text = document.PAGE.read_text()

    assert text == document.page(text), "run: python -m tests.metrics.document"


def test_every_metric_stands_in_one_part_of_the_page():
    listed = [family for part in document.PARTS.values() for family in part]

    assert sorted(listed, key=str) == sorted(families.ALL, key=str)


def test_names_units_and_helps_follow_the_conventions():
    for family in families.ALL:
        assert re.fullmatch(r"healthd_[a-z]+(_[a-z]+)*", family.name), family.name
        assert family.name.endswith("_total") == (family.type is families.Type.COUNTER), family.name
        assert family.name.endswith("_info") == (family.type is families.Type.INFO), family.name
        assert not re.search(r"milli|micro|_ms|percent|minutes", family.name), family.name
        assert family.help.endswith("."), family.name
        assert len({each.name for each in families.ALL}) == len(families.ALL)
