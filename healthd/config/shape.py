"""Pieces of JSON Schema (draft 7): what a value of the configuration looks like, as far as an editor can tell.

A schema is for help while typing; `healthd check-config` decides. So none here is stricter than the code.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import tomli

if TYPE_CHECKING:
    from healthd.config.decode import Key

Schema = Mapping[str, Any]

FLAG: Schema = {"type": "boolean"}
PATH = {"type": "string", "pattern": "^/"}


def text(pattern: str = "", *, least: int = 0, most: int = 0) -> Schema:
    """A text. pattern: what all of it matches. least, most: characters; 0 for no bound."""
    bounds = {"pattern": pattern and f"^(?:{pattern})$", "minLength": least, "maxLength": most}
    return {"type": "string", **{name: bound for name, bound in bounds.items() if bound}}


def whole(least: int | None = None, most: int | None = None) -> Schema:
    """A whole number."""
    return {"type": "integer", **_bounds(least, most)}


def number(least: float | None = None, most: float | None = None) -> Schema:
    """A number."""
    return {"type": "number", **_bounds(least, most)}


def _bounds(least: float | None, most: float | None) -> Schema:
    return {name: bound for name, bound in (("minimum", least), ("maximum", most)) if bound is not None}


def words(values: Iterable[Any]) -> Schema:
    """One of a few values."""
    return {"enum": list(values)}


def one_of(*schemas: Schema) -> Schema:
    """Any of several forms."""
    return {"anyOf": [dict(schema) for schema in schemas]}


def many(item: Schema, least: int = 0) -> Schema:
    """A list."""
    return {"type": "array", "items": dict(item), **({"minItems": least} if least else {})}


def texts(*names: str) -> Schema:
    """A table of texts. names: exactly these keys; any if none are given."""
    if not names:
        return {"type": "object", "additionalProperties": text()}
    return fixed({name: text() for name in names}, names)


def fixed(properties: Schema, required: Iterable[str] = ()) -> Schema:
    """A table with these keys and no others."""
    needed = list(required)
    known = {"type": "object", "properties": properties, "additionalProperties": False}
    return known | ({"required": needed} if needed else {})


def named(name: str) -> Schema:
    """What stands under `definitions` of the whole schema."""
    return {"$ref": f"#/definitions/{name}"}


def table(keys: Mapping[str, Key]) -> Schema:
    """The table of some keys."""
    return fixed({name: of_key(one) for name, one in keys.items()}, (n for n, one in keys.items() if one.required))


def of_key(key: Key) -> Schema:
    """The value of a key, with what it means and its default."""
    default = {} if key.shown is None else {"default": tomli.loads(f"x = {key.shown}")["x"]}
    return {"description": key.doc, **default, **key.kind.schema}
