"""The reference of the configuration, made from the same tables that decode it. docs/checks.md has that of the checks.

`python -m healthd.config.reference` prints it, with a file's name it writes it between two marks of that file.
docs/configuration.md has it, and a test holds them together.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from healthd.config.decode import Key, keys_of
from healthd.config.hooks import WebhookTable
from healthd.config.settings import REPEATED, SINGLE, TimeoutsTable
from healthd.config.tables import (
    DEFAULT_OF_CHECK,
    DEFAULT_OF_REAL,
    DEFAULT_OF_SERVICE,
    CheckTable,
    FallbackTable,
    PersistentTable,
    RealTable,
    ServiceTable,
    TunnelTable,
)

BEGIN = "<!-- reference: made by python -m healthd.config.reference -->"
END = "<!-- end of reference -->"

NESTED = (
    ("persistent = { ... }", PersistentTable),
    ("fallback = { ... }", FallbackTable),
    ("tunnel = { ... }", TunnelTable),
)


def reference() -> str:
    """The whole reference as Markdown."""
    return "\n".join([*_services(), *_settings()]).rstrip() + "\n"


def _services() -> Iterator[str]:
    yield from _section("[[service]]", ServiceTable)
    yield from _section("[[service.real]]", RealTable)
    for title, table in NESTED:
        yield from _section(title, table)
    yield from _section("[service.check]", CheckTable)
    yield from ("The options of each type are in [checks.md](checks.md).", "")
    yield from _titled("[defaults]", "What services, real servers and checks have where they say nothing themselves.")
    for title, names in (
        ("[defaults]", DEFAULT_OF_SERVICE),
        ("[defaults.real]", DEFAULT_OF_REAL),
        ("[defaults.check]", DEFAULT_OF_CHECK),
    ):
        yield f"`{title}` takes: {', '.join(f'`{name}`' for name in names)}."
        yield ""


def _settings() -> Iterator[str]:
    for name, table in SINGLE.items():
        yield from _section(f"[{name}]", table)
        if name == "table":
            yield from _section("timeouts = { ... }", TimeoutsTable)
    for name, table in REPEATED.items():
        yield from _section(f"[[{name}]]", table)
    yield from _section('[[hook]] type = "webhook"', WebhookTable)


def _section(title: str, table: type[Any]) -> Iterator[str]:
    yield from _titled(title, inspect.getdoc(table) or "")
    yield from _rows(keys_of(table).values())


def _titled(title: str, text: str) -> Iterator[str]:
    yield from (f"### `{title}`", "", text, "")


def _rows(keys: Iterable[Key]) -> Iterator[str]:
    yield from ("| key | value | default | meaning |", "|---|---|---|---|", *map(_row, keys), "")


def _row(key: Key) -> str:
    default = "required" if key.required else f"`{key.shown}`" if key.shown is not None else ""
    return f"| `{key.name}` | {_cell(key.kind.expects)} | {_cell(default)} | {_cell(key.doc)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def renewed(text: str) -> str:
    """A text with the reference between its two marks made anew."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{reference()}\n{END}{after}"


if __name__ == "__main__":
    if len(sys.argv) > 1:
        document = Path(sys.argv[1])
        document.write_text(renewed(document.read_text()))
    else:
        print(reference(), end="")
