"""healthd.toml(5): every table and key, and every check with its options, from the tables that decode them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import roff

from healthd import __version__, registry
from healthd.check import Tls
from healthd.config.decode import Key, keys_of
from healthd.config.hooks import WebhookTable
from healthd.config.options import option_keys
from healthd.config.reference import NESTED
from healthd.config.settings import REPEATED, SINGLE, TimeoutsTable
from healthd.config.tables import (
    DEFAULT_OF_CHECK,
    DEFAULT_OF_REAL,
    DEFAULT_OF_SERVICE,
    CheckTable,
    RealTable,
    ServiceTable,
)

ABOUT = """\
healthd is configured in TOML. `/etc/healthd/healthd.toml` has the daemon's settings, in the tables named below; the
services are in the files that its key `include` names, relative to its own folder: `["services.d/*.toml"]` if it does
not say. Services may stand in `healthd.toml` as well.

All files are read, or none: `healthd check-config` tells every problem with its file, line and remedy, and
`healthd reload` changes nothing while there is an error.

A duration is a text such as "500ms", "2s", "5m", "1h", "1d" or "1m30s", or a number of seconds. An array of tables with
one member may be written as a table.
"""
EXAMPLE = """\
[[service]]
name      = "www"
virtual   = "192.0.2.80:80"
scheduler = "wlc"
forward   = "masq"
fallback  = "127.0.0.1:8080"

[service.check]
type     = "http"
path     = "/healthz"
interval = "2s"
timeout  = "1s"

[[service.real]]
address = "10.0.0.11:80"

[[service.real]]
address = "10.0.0.12:80"
weight  = 2
"""
SCHEMA = """\
With this as its first line an editor that knows TOML schemas offers keys and values and marks what is wrong:

    #:schema /usr/share/healthd/healthd.schema.json

`python -m healthd.config.json_schema` prints the same with the checks of packages of your own.
"""
INHERITED = {"defaults": DEFAULT_OF_SERVICE, "defaults.real": DEFAULT_OF_REAL, "defaults.check": DEFAULT_OF_CHECK}


def page() -> str:
    """The whole page."""
    return roff.page(_parts())


def _parts() -> Iterator[str]:
    yield roff.head("HEALTHD.TOML", 5, __version__, "File formats")
    yield from (roff.section("NAME"), "healthd.toml \\- configuration of healthd")
    yield from (roff.section("DESCRIPTION"), *roff.paragraphs(ABOUT))
    yield from (roff.section("EXAMPLE"), "A service with two servers:", roff.example(EXAMPLE))
    yield roff.section("SERVICES")
    yield from _services()
    yield roff.section("SETTINGS OF THE DAEMON")
    yield from _settings()
    yield roff.section("CHECKS")
    yield from _checks()
    yield from (roff.section("EDITORS"), *roff.paragraphs(SCHEMA))
    yield from (roff.section("SEE ALSO"), "\\fBhealthd\\fR(8)")


def _services() -> Iterator[str]:
    for title, table in (("[[service]]", ServiceTable), ("[[service.real]]", RealTable), *NESTED):
        yield from _table(title, table)
    yield from _table("[service.check]", CheckTable)
    yield roff.subsection("[defaults]")
    yield "What services, real servers and checks have where they say nothing themselves."
    for name, keys in INHERITED.items():
        yield roff.item(roff.bold(f"[{name}]"), ", ".join(f"`{key}`" for key in keys))


def _settings() -> Iterator[str]:
    for name, table in SINGLE.items():
        yield from _table(f"[{name}]", table)
        if name == "table":
            yield from _table("timeouts = { ... }", TimeoutsTable)
    for name, table in REPEATED.items():
        yield from _table(f"[[{name}]]", table)
    yield from _table('[[hook]] type = "webhook"', WebhookTable)


def _checks() -> Iterator[str]:
    yield from (roff.subsection("tls = { ... }"), "TLS of a check.", *_keys(option_keys(Tls)))
    for name in sorted(registry.BUILT_IN):
        cls = registry.check_class(name)
        yield roff.subsection(f'type = "{name}"')
        yield from roff.paragraphs(inspect.cleandoc(cls.__doc__ or ""))
        yield from _keys(option_keys(cls))


def _table(title: str, table: type[Any]) -> Iterator[str]:
    yield roff.subsection(title)
    yield from roff.paragraphs(inspect.getdoc(table) or "")
    yield from _keys(keys_of(table))


def _keys(keys: Mapping[str, Key]) -> Iterator[str]:
    for key in keys.values():
        default = "; required" if key.required else f"; default: `{key.shown}`" if key.shown is not None else ""
        yield roff.item(roff.bold(key.name), f"{key.doc}{default}. Expected: {key.kind.expects}.")
