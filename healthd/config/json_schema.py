"""The JSON Schema (draft 7) of the configuration's files, from the same tables that decode them, for editors.

`python -m healthd.config.json_schema` prints it, with the checks of packages that are installed here. The first line
`#:schema PATH` of a file tells an editor where it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from healthd import registry
from healthd.check import Tls
from healthd.config import shape
from healthd.config.decode import Key, keys_of
from healthd.config.hooks import WebhookTable
from healthd.config.options import option_keys
from healthd.config.settings import REPEATED, SINGLE
from healthd.config.shape import Schema, named
from healthd.config.tables import (
    DEFAULT_OF_CHECK,
    DEFAULT_OF_REAL,
    DEFAULT_OF_SERVICE,
    CheckTable,
    MailTable,
    RealTable,
    ServiceTable,
)

Keys = Mapping[str, Key]

INCLUDE = shape.one_of(shape.many(shape.text()), shape.text())


def schema(kinds: Iterable[str] = tuple(registry.BUILT_IN)) -> Schema:
    """The whole schema. kinds: the names of the checks to know; those whose library is missing are left out."""
    checks = {name: keys for name in sorted(kinds) if (keys := _options(name)) is not None}
    settings = {name: shape.table(keys_of(table)) for name, table in SINGLE.items()}
    repeated = {name: _one_or_more(shape.table(keys_of(table))) for name, table in REPEATED.items()}
    properties = {
        "include": {"description": "files with services, relative to this file's folder", **INCLUDE},
        "defaults": named("defaults"),
        "service": _one_or_more(named("service")),
        **settings,
        **repeated,
        "hook": _one_or_more(shape.one_of(shape.table(keys_of(REPEATED["hook"])), shape.table(keys_of(WebhookTable)))),
    }
    head = {"$schema": "http://json-schema.org/draft-07/schema#", "title": "healthd.toml and its services.d/*.toml"}
    return {**head, **shape.fixed(properties), "definitions": _definitions(checks)}


def as_text() -> str:
    """The schema of the checks that healthd brings along, as it is shipped."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"


def _options(kind: str) -> Keys | None:
    try:
        return option_keys(registry.check_class(kind))
    except ImportError:
        return None


def _one_or_more(table: Schema) -> Schema:
    """`[[x]]`, or `[x]` for a single one."""
    return shape.one_of(shape.many(table), table)


def _definitions(checks: Mapping[str, Keys]) -> Schema:
    return {
        "defaults": _defaults(),
        "service": _service(),
        "real": _with(RealTable, {"check": _one_or_more(named("check-of-a-real"))}),
        "mail": shape.table(keys_of(MailTable)),
        "tls": shape.table(option_keys(Tls)),
        "check": shape.one_of(*(_check(name, keys, whole=True) for name, keys in checks.items())),
        "check-of-a-real": shape.one_of(
            *(_check(name, keys, whole=False) for name, keys in checks.items()), _check_without_type(checks)
        ),
        **{f"every-check.{name}": shape.of_key(key) for name, key in keys_of(CheckTable).items()},
        **{f"{kind}.{name}": shape.of_key(key) for kind, keys in checks.items() for name, key in keys.items()},
    }


def _with(table: Any, others: Schema) -> dict[str, Any]:
    """The schema of a table, with better ones for some of its keys, whose descriptions stay."""
    found = dict(shape.table(keys_of(table)))
    told = {name: {"description": keys_of(table)[name].doc, **other} for name, other in others.items()}
    return found | {"properties": found["properties"] | told}


def _service() -> Schema:
    tables = {"check": _one_or_more(named("check")), "real": _one_or_more(named("real"))}
    known = _with(ServiceTable, tables | {"mail": {"allOf": [named("mail")]}})  # beside $ref, draft 7 reads nothing
    return known | {"oneOf": [{"required": ["virtual"]}, {"required": ["fwmark"]}]}


def _defaults() -> Schema:
    parts = {"check": (CheckTable, DEFAULT_OF_CHECK), "real": (RealTable, DEFAULT_OF_REAL)}
    tables = {name: shape.table(_only(table, names)) for name, (table, names) in parts.items()}
    head = {name: shape.of_key(key) for name, key in _only(ServiceTable, DEFAULT_OF_SERVICE).items()}
    return shape.fixed(head | tables)


def _only(table: Any, names: Iterable[str]) -> Keys:
    return {name: keys_of(table)[name] for name in names}


def _check(kind: str, options: Keys, *, whole: bool) -> Schema:
    """A check of one type. whole: what its type requires must be there, because it is laid over no other check."""
    needed = [name for name, key in options.items() if key.required and whole]
    own = {name: named(f"{kind}.{name}") for name in options}
    return shape.fixed({**own, **_of_every_check(), "type": shape.words((kind,))}, ("type", *needed))


def _check_without_type(checks: Mapping[str, Keys]) -> Schema:
    """What a server has of its own for the only check of its service, whichever type that is."""
    options: dict[str, Any] = {name: {} for keys in checks.values() for name in keys}
    return shape.fixed({name: one for name, one in {**options, **_of_every_check()}.items() if name != "type"})


def _of_every_check() -> dict[str, Any]:
    return {name: named(f"every-check.{name}") for name in keys_of(CheckTable)}


if __name__ == "__main__":
    print(json.dumps(schema(registry.names()), indent=1, ensure_ascii=False))
