"""Prints each reason for which tests were skipped, from a JUnit file of pytest's. Expected failures are no skips."""

import sys
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path


def reasons(junit: Path) -> Counter[str]:
    """How many tests were skipped for which reason; a missing file is a reason."""
    if not junit.exists():
        return Counter({f"there is no {junit}": 1})
    skips = ElementTree.parse(junit).iter("skipped")
    return Counter(skip.get("message", "") for skip in skips if skip.get("type") != "pytest.xfail")


if __name__ == "__main__":
    for reason, count in sorted(reasons(Path(sys.argv[1])).items()):
        print(f"{count} skipped test{'s' if count > 1 else ''}: {reason}")
