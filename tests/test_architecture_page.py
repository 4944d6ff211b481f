"""docs/architecture.md and the decision records name what is there, and only what is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGE = DOCS / "architecture.md"
RECORDS = sorted((DOCS / "decisions").glob("*.md"))
LINK = re.compile(r"\]\(([^)#:]+)\)")
NAMED = re.compile(r"`((?:healthd|checks|tests)/[\w./]*)`")


def parts() -> list[str]:
    """Modules and packages of the first level, as the page names them."""
    found = [path for path in (ROOT / "healthd").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()]
    named = [f"healthd/{path.name}{'/' if path.is_dir() else ''}" for path in found if path.name != "__init__.py"]
    return [*named, "checks/"]


@pytest.mark.parametrize("part", parts())
def test_every_part_has_its_place_on_the_page(part):
    assert part in NAMED.findall(PAGE.read_text())


@pytest.mark.parametrize("page", [PAGE, *RECORDS], ids=lambda page: page.stem)
def test_everything_a_page_names_or_links_to_is_there(page):
    text = page.read_text()
    missing = [name for name in NAMED.findall(text) if not (ROOT / name).exists()]
    dead = [link for link in LINK.findall(text) if not (page.parent / link).exists()]

    assert missing + dead == []


def test_every_decision_is_linked_under_its_own_title():
    links = "\n".join(
        f"* [{record.read_text().splitlines()[0].removeprefix('# ')}](decisions/{record.name})" for record in RECORDS
    )

    assert PAGE.read_text().endswith(f"## Decisions\n\n{links}\n")


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.stem)
def test_a_decision_says_what_was_asked_what_was_decided_why_and_at_what_cost(record):
    headings = [line.removeprefix("## ") for line in record.read_text().splitlines() if line.startswith("## ")]

    assert headings[:4] == ["Question", "Decision", "Why", "What it costs"]
    assert len(record.read_text().splitlines()) <= 60
