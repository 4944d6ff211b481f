"""The configuration in force as a document: complete, with every default, and without secrets. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field, fields, is_dataclass
from enum import Enum
from typing import Any

from healthd.config.schema import CheckPlan, Config

HIDDEN = "***"


def effective(config: Config) -> dict[str, Any]:
    """The whole configuration as values of JSON; times are seconds."""
    return {
        "settings": _value(config.settings),
        "services": [_value(service) for service in config.services],
        "files": list(config.files),
    }


def _value(value: Any) -> Any:
    match value:
        case None | bool() | int() | float() | str():
            return value
        case bytes():
            return value.decode(errors="backslashreplace")
        case Enum():
            return value.value if isinstance(value.value, str) else value.name.lower()
        case Mapping():
            return {str(key): _value(each) for key, each in value.items()}
        case tuple() | list():
            return [_value(each) for each in value]
        case frozenset() | set():
            return sorted(map(_value, value))
        case CheckPlan():
            return {"type": value.check.kind, **_fields(value.check, options_only=True), **_fields(value)}
        case _ if is_dataclass(value) and type(value).__str__ is object.__str__:
            return _fields(value)
    return str(value)


def _fields(value: Any, *, options_only: bool = False) -> dict[str, Any]:
    listed = [each for each in fields(value) if "doc" in each.metadata or not options_only]
    return {each.name: _shown(each, getattr(value, each.name)) for each in listed if each.name != "check"}


def _shown(field: Field[Any], value: Any) -> Any:
    """A field's value; a secret one only says that it is set."""
    secret = field.metadata.get("secret", False) or not field.repr
    return HIDDEN if secret and value else _value(value)
