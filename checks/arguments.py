"""Options of checks on a command line: a check's dataclass becomes arguments, and arguments become a check."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from healthd.check import AsyncCheck, Check, Tls

_LISTS = (tuple[str, ...], tuple[tuple[str, str], ...])
_PLACE = "option "  # before a field's name in the namespace, where no other argument's name can be


class Unusable(ValueError):
    """An argument's value is wrong; the text names the argument."""


def add_options(parser: argparse.ArgumentParser, check: type[Any]) -> None:
    """Add an argument for each option of a check: `max_body` becomes `--max-body`."""
    group = parser.add_argument_group(f"options of the check {check.kind}")
    for field, hint in _options(check):
        if hint is Tls:
            group.add_argument(
                f"--{field.name}", action="store_true", help=_help(field, hint), dest=_PLACE + field.name
            )
            for inner, inner_hint in _options(Tls):
                _add(group, inner, inner_hint, f"{field.name}-", f"{_PLACE}{field.name} ")
        else:
            _add(group, field, hint, "", _PLACE)


def build(check: type[Any], values: argparse.Namespace, secrets: Mapping[str, str]) -> Check | AsyncCheck:
    """The check that the arguments describe. secrets: where secret options may be, as HEALTHD_PASSWORD, if not given.

    Raises Unusable.
    """
    given: dict[str, Any] = {}
    for field, hint in _options(check):
        if hint is Tls:
            inner = _values(Tls, values, f"{_PLACE}{field.name} ", f"{field.name}-", secrets)
            if inner or getattr(values, _PLACE + field.name):
                given[field.name] = Tls(**inner)
    given |= _values(check, values, _PLACE, "", secrets)
    try:
        made: Check | AsyncCheck = check(**given)
    except ValueError as error:
        raise Unusable(str(error)) from None
    return made


def _options(owner: type[Any]) -> list[tuple[dataclasses.Field[Any], Any]]:
    """The fields that are options, with their types but for the None that some may be."""
    hints = get_type_hints(owner)
    return [(f, _without_none(hints[f.name])) for f in dataclasses.fields(owner) if "doc" in f.metadata]


def _without_none(hint: Any) -> Any:
    some = [one for one in get_args(hint) if one is not NoneType]
    return some[0] if NoneType in get_args(hint) else hint


def _add(group: Any, field: dataclasses.Field[Any], hint: Any, prefix: str, place: str) -> None:
    name = f"--{prefix}{field.name.replace('_', '-')}"
    keywords: dict[str, Any] = {"dest": place + field.name, "default": argparse.SUPPRESS, "help": _help(field, hint)}
    required = field.default is dataclasses.MISSING
    if hint is bytes:
        pair = group.add_mutually_exclusive_group(required=required)
        pair.add_argument(name, type=str.encode, metavar="TEXT", **keywords)
        pair.add_argument(f"{name}-hex", type=bytes.fromhex, metavar="HEX", **keywords | {"help": "the same in hex"})
    else:
        group.add_argument(name, required=required, **keywords | _shape(hint, field.name))


def _shape(hint: Any, name: str) -> dict[str, Any]:
    """What argparse must know of a type."""
    if hint is bool:
        return {"action": argparse.BooleanOptionalAction}
    if hint in (int, float):
        return {"type": hint, "metavar": "N"}
    if get_origin(hint) is Literal:
        return {"choices": get_args(hint)}
    if hint == tuple[str, ...]:
        return {"action": "append", "metavar": "VALUE"}
    if hint == tuple[tuple[str, str], ...]:
        return {"action": "append", "type": _pair, "metavar": "NAME=VALUE"}
    return {"metavar": name.upper()}


def _pair(text: str) -> tuple[str, str]:
    name, found, value = text.partition("=")
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


def _help(field: dataclasses.Field[Any], hint: Any) -> str:
    default = field.default
    told = "; may be given several times" if hint in _LISTS else ""
    told += "" if default in (dataclasses.MISSING, None, "", b"", ()) else f" (default: {_text(default)})"
    if field.metadata["secret"]:
        told += f"; better in the environment as {_variable(field.name)}"
    text: str = field.metadata["doc"] + told
    return text.replace("%", "%%")


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _variable(name: str) -> str:
    return f"HEALTHD_{name.upper()}"


def _values(
    owner: type[Any], values: argparse.Namespace, place: str, prefix: str, secrets: Mapping[str, str]
) -> dict[str, Any]:
    found = {}
    for field, hint in _options(owner):
        value = getattr(values, place + field.name, None)
        if value is None and field.metadata["secret"]:
            value = secrets.get(_variable(field.name))
        if value is None or hint is Tls:
            continue
        found[field.name] = _ruled(field, tuple(value) if isinstance(value, list) else value, prefix)
    return found


def _ruled(field: dataclasses.Field[Any], value: Any, prefix: str) -> Any:
    rule = field.metadata["rule"]
    try:
        return value if rule is None else rule(value)
    except ValueError as error:
        raise Unusable(f"--{prefix}{field.name.replace('_', '-')}: {error}") from None
