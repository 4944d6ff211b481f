"""The generated part of docs/metrics.md: every metric with its type, its labels and its meaning.

Run `python -m tests.metrics.document` after a change.
"""

from __future__ import annotations

from pathlib import Path

from healthd.metrics import families
from healthd.metrics.families import Family

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
BEGIN, END = "<!-- metrics -->", "<!-- end of metrics -->"
PARTS = {
    "The daemon": families.DAEMON,
    "The kernel's table": families.TABLE,
    "Probing": families.PROBING,
    "Hooks and the log": (*families.HOOKS, *families.LOG),
    "What operators ask": families.OVERRIDES,
    "Services": families.SERVICES,
    "Real servers": (*families.SERVER, families.REASON),
    "Checks": families.CHECK,
    "Traffic, as the kernel counts it": families.IPVS,
}


def row(family: Family) -> str:
    """One metric as a row of a table."""
    labels = ", ".join(f"`{label}`" for label in family.labels)
    return f"| `{family.name}` | {family.type.value} | {labels} | {family.help} |"


def page(text: str) -> str:
    """The page with its generated part made anew."""
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    tables = "\n\n".join(
        "\n".join(
            (f"### {title}\n", "| metric | type | labels | meaning |", "| --- | --- | --- | --- |", *map(row, part))
        )
        for title, part in PARTS.items()
    )
    return f"{head}{BEGIN}\n\n{tables}\n\n{END}{tail}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
