"""The options of a check: its dataclass's own fields become keys of its table."""

from __future__ import annotations

import base64
import dataclasses
import re
import types
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from healthd.check import Tls
from healthd.config import shape
from healthd.config.decode import At, Key, Kind, Layer, Report, Told, Unfit, decode, plain
from healthd.config.files import credential
from healthd.config.kinds import any_text, either, flag, many, words


class Unsupported(TypeError):
    """A check has an option of a type that the configuration cannot express: a mistake of the check's author."""


T = TypeVar("T")

HIDDEN = "***"
"""In the place of a secret whose file is not to be looked at."""
LONGEST_SECRET = 4096
_HUGE = 1e300  # beyond it a whole number has no float


def option_keys(check: Callable[..., Any]) -> Mapping[str, Key]:
    """The keys of a check's own options. Raises Unsupported."""
    return _option_keys(check)


@cache
def _option_keys(check: Any) -> Mapping[str, Key]:
    hints = get_type_hints(check)
    return {f.name: _key(check, f, hints[f.name]) for f in dataclasses.fields(check) if "doc" in f.metadata}


def _key(check: type[Any], field: dataclasses.Field[Any], hint: Any) -> Key:
    about = field.metadata
    try:
        kind = kind_of(hint)
    except Unsupported as error:
        raise Unsupported(f"{check.__name__}.{field.name}: {error}") from None
    required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    shown = None if required or field.default is None else toml(field.default)
    if kind is _TABLE and shown == "[]":
        shown = "{}"
    if about.get("secret") and kind is any_text:
        kind = SECRET
    if about.get("rule") is not None:
        kind = _ruled(kind, about["rule"])
    return Key(field.name, kind, about["doc"], required, shown, bool(about.get("secret")), about.get("file"))


def _ruled(kind: Kind[Any], rule: Any) -> Kind[Any]:
    def take(value: Any, at: At, report: Report) -> Any:
        found = kind.take(value, at, report)
        try:
            return rule(found)
        except ValueError as error:
            if kind is SECRET and found and found in str(error):  # it may come from a file, so nobody else masks it
                raise ValueError(str(error).replace(found, HIDDEN)) from None
            raise

    return dataclasses.replace(kind, take=take)


def construct(cls: Callable[..., T], layer: Layer, report: Report) -> T:
    """A check (or TLS) of the options that a layer has. Told if they do not go together: the class says so.

    A ValueError of the class stands at the first option it names, at the table if it names none that was given.
    """
    options = {name: layer.values[name] for name in option_keys(cls) if name in layer.values}
    try:
        return cls(**options)
    except ValueError as error:
        named = [word for word in re.findall(r"\w+", str(error)) if word in options]
        report.error(layer.where(named[0]) if named else layer.at, str(error), on_key=not named)
        raise Told from None


def kind_of(hint: Any) -> Kind[Any]:
    """The kind of values that a type hint means. Raises Unsupported."""
    arguments = get_args(hint)
    if get_origin(hint) in (Union, types.UnionType):
        inner = [one for one in arguments if one is not type(None)]
        if len(inner) != 1:
            raise Unsupported(f"{hint} is a union")
        return kind_of(inner[0])
    if get_origin(hint) is Literal:
        return _literal(arguments)
    simple = _SIMPLE.get(hint)
    if simple is None:
        raise Unsupported(f"{hint} is not supported")
    return simple


def _literal(values: tuple[Any, ...]) -> Kind[Any]:
    if all(isinstance(value, str) for value in values):
        return words({value: value for value in values})

    def convert(value: object) -> Any:
        if not any(type(value) is type(one) and value == one for one in values):
            raise Unfit
        return value

    return plain(f"one of {', '.join(map(toml, values))}", convert, schema=shape.words(values))


def _whole(value: object) -> int:
    if type(value) is not int:
        raise Unfit
    return value


def _number(value: Any) -> float:
    if type(value) not in (int, float) or not abs(value) < _HUGE:
        raise Unfit
    return float(value)


def _word(value: object) -> str:
    """A text; also a whole number, as one would write statuses and exit codes."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise Unfit
    return value


def _bytes(value: object) -> bytes:
    match value:
        case str():
            return value.encode()
        case {"hex": str(digits), **rest} if not rest:
            try:
                return bytes.fromhex(digits)
            except ValueError:
                raise Unfit("these are not pairs of hex digits") from None
        case {"base64": str(digits), **rest} if not rest:
            try:
                return base64.b64decode(digits, validate=True)
            except ValueError:
                raise Unfit("this is not base64") from None
        case _:
            raise Unfit


def _pairs(value: object, at: At, report: Report) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, dict):
        raise Unfit
    wrong = [name for name, item in value.items() if not isinstance(item, str)]
    for name in wrong:
        report.unfit(at / name, any_text, value[name])
    if wrong:
        raise Told
    return tuple(value.items())


def _tls(value: object, at: At, report: Report) -> Tls | None:
    if isinstance(value, bool):
        return Tls() if value else None
    if not isinstance(value, dict):
        raise Unfit
    layer = decode(option_keys(Tls), value, at, report)
    if layer.bad or len(layer.values) < len(value):
        raise Told
    return construct(Tls, layer, report)


def _secret(value: object, at: At, report: Report) -> str:
    """A text, or the first line of a file. The file is read now: whoever changes it says `reload`."""
    match value:
        case str():
            return value
        case {"file": str(name), **rest} if not rest:
            return _first_line(name, report)
        case _:
            raise Unfit


def _first_line(name: str, report: Report) -> str:
    file = credential(Path(name))
    if not report.strict_files:
        return HIDDEN
    if file is None:
        raise ValueError(f"systemd has given us no credentials, so there is no {name!r}; give an absolute path")
    try:
        with file.open("rb") as opened:
            line = opened.readline(LONGEST_SECRET).rstrip(b"\r\n").decode()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ValueError(f"{file} cannot be read: {why}") from None
    if not line:
        raise ValueError(f"{file} has nothing in its first line")
    return line


SECRET = either(
    'a text, or { file = "/path/of/a/file" }', _secret, schema=shape.one_of(shape.text(), shape.texts("file"))
)
_TABLE = either("a table of texts", _pairs, schema=shape.texts())
_BYTES = shape.one_of(shape.text(), *(shape.texts(name) for name in ("hex", "base64")))
_TLS = shape.one_of(shape.FLAG, shape.named("tls"))
_SIMPLE: Mapping[Any, Kind[Any]] = {
    str: any_text,
    int: plain("a whole number", _whole, schema=shape.whole()),
    float: plain("a number", _number, schema=shape.number()),
    bool: flag,
    bytes: plain('a text, or { hex = "00ff" }, or { base64 = "..." }', _bytes, schema=_BYTES),
    tuple[str, ...]: many(
        plain("a text", _word, schema=shape.one_of(shape.text(), shape.whole())), "a text or a list of texts"
    ),
    tuple[tuple[str, str], ...]: _TABLE,
    Tls: either("true, false or a table of TLS options", _tls, schema=_TLS),
}


def toml(value: Any) -> str:
    """A default as the configuration would write it."""
    match value:
        case bool():
            return "true" if value else "false"
        case bytes():
            return toml(value.decode()) if value.isascii() else f'{{ hex = "{value.hex()}" }}'
        case str():
            return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\r", "\\r").replace("\n", "\\n") + '"'
        case tuple() if value and all(isinstance(item, tuple) for item in value):
            return "{ " + ", ".join(f"{toml(name)} = {toml(item)}" for name, item in value) + " }"
        case tuple():
            return "[" + ", ".join(map(toml, value)) + "]"
        case float():
            return f"{value:g}"
        case Tls():
            return "true"
        case _:
            return str(value)
