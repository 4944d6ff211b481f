"""Writes the generated parts of docs/checks.md: what each check is and its options, from the checks themselves.

python docs/generate.py           rewrite the page
python docs/generate.py --check   exit 1 if it is not as it would be written
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from healthd.check import Tls
from healthd.config.decode import Key, keys_of
from healthd.config.options import option_keys
from healthd.config.tables import CheckTable
from healthd.registry import check_class, names

PAGE = Path(__file__).with_name("checks.md")
_PART = re.compile(r"(<!-- generated: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
_ANY_NUMBER = re.compile(r" from -\d{10,} to \d{10,}")


def rewritten(page: str) -> str:
    """The page with its generated parts as they should be. Raises LookupError for a part nobody can write."""
    return _PART.sub(lambda match: f"{match[1]}{_part(match[2])}{match[3]}", page)


def _part(name: str) -> str:
    if name == "common":
        return _table(keys_of(CheckTable))
    if name == "tls":
        return _table(option_keys(Tls))
    cls = check_class(name)
    return f"{_description(cls)}\n\n{_table(option_keys(cls))}"


def _description(cls: type[Any]) -> str:
    return inspect.cleandoc(cls.__doc__ or "")


def _table(keys: Mapping[str, Key]) -> str:
    if not keys:
        return "No options.\n"
    rows = [f"| `{key.name}` | {_type(key)} | {_default(key)} | {_cell(key.doc)} |" for key in keys.values()]
    return "\n".join(["| option | is | default | what it does |", "|---|---|---|---|", *rows]) + "\n"


def _type(key: Key) -> str:
    return _cell(_ANY_NUMBER.sub("", key.kind.expects))


def _default(key: Key) -> str:
    if key.required:
        return "required"
    return "" if key.shown in (None, '""', "[]") else f"`{_cell(str(key.shown))}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> int:
    """Rewrite or compare the page."""
    page = PAGE.read_text()
    missing = [name for name in names() if f"<!-- generated: {name} -->" not in page]
    if missing:
        print(f"{PAGE.name}: no section for {', '.join(missing)}", file=sys.stderr)
        return 1
    wanted = rewritten(page)
    if "--check" in sys.argv:
        return int(page != wanted)
    PAGE.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
