"""Prints the part of requirements.lock that healthd needs to run: packaging/debian/libraries.py PYTHON-VERSION.

The lock file also has what tests and builds need. What needs what is asked of the libraries installed beside this
interpreter, which are those of the lock file.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator, Mapping, Set
from importlib.metadata import distribution
from pathlib import Path

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LEFT_OUT = frozenset(("oracle",))
"""Extras that are large and for few; docs/operations.md says how to add them."""


def main(version: str) -> None:
    """Print it; version: of the Python that will run them, such as 3.11."""
    place = default_environment() | {"python_version": version, "python_full_version": f"{version}.0"}
    wanted: dict[str, set[str]] = {}
    for line in _declared():
        _need(Requirement(line), frozenset(), wanted, place)
    locked = dict(_entries((ROOT / "requirements.lock").read_text()))
    for name in sorted(wanted):
        print(locked[name], end="")


def _declared() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [lines for extra, lines in project["optional-dependencies"].items() if extra not in LEFT_OUT]
    return [*project["dependencies"], *(line for lines in extras for line in lines)]


def _need(one: Requirement, of: Set[str], wanted: dict[str, set[str]], place: Mapping[str, str]) -> None:
    """Add a library, if these extras of who needs it ask for it there, and all that it needs itself."""
    if one.marker and not any(one.marker.evaluate({**place, "extra": extra}) for extra in of | {""}):
        return
    name = canonicalize_name(one.name)
    if name in wanted and one.extras <= wanted[name]:
        return
    wanted.setdefault(name, set()).update(one.extras)
    for line in distribution(name).requires or ():
        _need(Requirement(line), frozenset(wanted[name]), wanted, place)


def _entries(lock: str) -> Iterator[tuple[str, str]]:
    """Each library of the lock file, with its lines."""
    for entry in re.split(r"^(?=[a-z0-9])", lock, flags=re.MULTILINE):
        if entry.strip():
            yield canonicalize_name(re.split(r"[=\[ ]", entry)[0]), entry


if __name__ == "__main__":
    main(sys.argv[1])
