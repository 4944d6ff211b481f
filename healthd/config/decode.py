"""From trees of TOML to typed tables: every key of a table has a kind, and every mistake becomes a problem.

A table is described by a dataclass whose fields are made with `key`; decoding never stops at the first mistake. What a
table said is a `Layer`: values that are right, names of those that are wrong, and where each stands. Layers lie over
each other, so a service's keys lie over its file's defaults and those over the daemon's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from keyword import iskeyword
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from healthd.config.problems import Path, Problem, Severity, nearest
from healthd.config.source import Source
from healthd.config.words import OTHER_WORDS

T = TypeVar("T")

NOWHERE: Mapping[str, str] = MappingProxyType({})
NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class At:
    """A place in the tree of a file."""

    source: Source
    path: Path = ()

    def __truediv__(self, step: str | int) -> At:
        """The place of one key or item below."""
        return At(self.source, (*self.path, step))


class Unfit(ValueError):
    """A value is not of its kind. The text says why if the kind's own expectation does not say it all.

    Any other ValueError says it all itself, as those of a check's rules do, and reads on after the key's name.
    """


class Told(Exception):
    """A value is not of its kind, and what is wrong inside it has been reported already."""


class Report:
    """Collects problems. `strict_files` asks those who meet names of files to look whether these can be used."""

    def __init__(self, *, strict_files: bool = True) -> None:
        self.strict_files = strict_files
        self._found: list[tuple[Problem, Source | None]] = []

    @property
    def failed(self) -> bool:
        """True once there is an error."""
        return any(problem.severity is Severity.ERROR for problem, _ in self._found)

    def problems(self) -> tuple[Problem, ...]:
        """All problems, each once, sorted by file and place, with their lines of source (secrets masked)."""
        told = {
            problem if source is None else replace(problem, source=source.line(problem.span.line)): None
            for problem, source in self._found
        }
        return tuple(sorted(told, key=lambda problem: problem.rank))

    def unread(self, problem: Problem) -> None:
        """Report that a file could not be read."""
        self._found.append((problem, None))

    def error(self, at: At, text: str, *, on_key: bool = False, **parts: str) -> None:
        """Report an error at a place; parts: `expected`, `found`, `suggestion`."""
        self._add(Severity.ERROR, at, text, on_key, parts)

    def warning(self, at: At, text: str, *, on_key: bool = False, **parts: str) -> None:
        """Report a warning at a place; parts as for `error`."""
        self._add(Severity.WARNING, at, text, on_key, parts)

    def unfit(self, at: At, kind: Kind[Any], value: object, why: str = "") -> None:
        """Report that a value is not of its kind."""
        if at.path in at.source.secrets:
            self.error(at, f"{_key_of(at)}: expected {kind.expects}", expected=kind.expects)
            return
        meant = nearest(value, kind.choices) if isinstance(value, str) else ""
        text = f"{_key_of(at)}: expected {kind.expects}, found {shown(value)}"
        text += f": {why}" if why else ""
        text += f"; did you mean '{meant}'?" if meant else ""
        self.error(at, text, expected=kind.expects, found=shown(value), suggestion=meant)

    def wrong(self, at: At, value: object, why: str) -> None:
        """Report that a value is of its kind, but breaks a rule; why: reads on after the key."""
        if at.path in at.source.secrets:
            self.error(at, f"{_key_of(at)}: {_without(value, why)}")
        else:
            self.error(at, f"{_key_of(at)}: {why}", found=shown(value))

    def _add(self, severity: Severity, at: At, text: str, on_key: bool, parts: Mapping[str, str]) -> None:
        span = at.source.positions.span(at.path, key=on_key)
        self._found.append((Problem(severity, text, at.source.name, span, "", at.path, **parts), at.source))


def _without(secret: object, why: str) -> str:
    """What is wrong with a secret, but not what it is, be it as it is or as a literal of Python."""
    told = why.partition(", got ")[0]
    given = (str(secret), repr(str(secret))[1:-1])
    return "cannot be used as it is" if any(form and form in told for form in given) else told


def _key_of(at: At) -> str:
    return next((step for step in reversed(at.path) if isinstance(step, str)), "")


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """What a value may be. expects: for people, as it stands after "expected". choices: if it is one of a few words.

    take: turns the value of the TOML tree into ours, or raises Unfit or Told. schema: the same for editors, as far as
    JSON Schema can say it; it never refuses what `take` takes.
    """

    expects: str
    take: Callable[[Any, At, Report], T]
    choices: tuple[str, ...] = ()
    schema: Mapping[str, Any] = field(default_factory=dict)


def plain(
    expects: str, take: Callable[[Any], T], choices: tuple[str, ...] = (), schema: Mapping[str, Any] = NOTHING
) -> Kind[T]:
    """A kind that needs neither place nor report. take: may raise any ValueError."""
    return Kind(expects, lambda value, at, report: take(value), choices, schema)


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a table. shown: its default as the reference shows it; None where the doc says it all.

    secret: never shown. file: "read" or "execute" if the value is the path of a file that must be there.
    """

    name: str
    kind: Kind[Any]
    doc: str
    required: bool = False
    shown: str | None = None
    secret: bool = False
    file: str | None = None


def key(
    kind: Kind[Any],
    doc: str,
    default: Any = None,
    *,
    required: bool = False,
    shown: str | None = None,
    secret: bool = False,
    file: str | None = None,
) -> Any:
    """A field of a table's dataclass that the configuration may set. The rest is as in `Key`."""
    about = {"kind": kind, "doc": doc, "required": required, "shown": shown, "secret": secret, "file": file}
    return dataclasses.field(default=default, repr=not secret, metadata=about)


def keys_of(table: Callable[..., Any]) -> Mapping[str, Key]:
    """The keys of a table, in the order in which they are declared."""
    return _keys_of(table)


@cache
def _keys_of(table: Any) -> Mapping[str, Key]:
    fields = [(f.name.removesuffix("_"), f.metadata) for f in dataclasses.fields(table) if "kind" in f.metadata]
    return {name: Key(name, **metadata) for name, metadata in fields}


@dataclass(slots=True)
class Layer:
    """What a table said. bad: keys whose values are wrong. origins: tables that values came from, where not `at`."""

    at: At
    values: dict[str, Any] = field(default_factory=dict)
    bad: frozenset[str] = frozenset()
    origins: Mapping[str, At] = field(default_factory=dict)

    def where(self, name: str) -> At:
        """Where the value of a key stands, or would stand."""
        return self.origins.get(name, self.at) / name

    def over(self, under: Layer) -> Layer:
        """The values of this layer where it has some (right or wrong), those of the other elsewhere."""
        if not under.values and not under.bad:
            return self
        mine = self.values.keys() | self.bad
        origins = {name: under.origins.get(name, under.at) for name in under.values if name not in mine}
        values = {name: under.values[name] for name in origins} | self.values
        return Layer(self.at, values, self.bad | (under.bad - mine), {**origins, **self.origins})


def decode(
    keys: Mapping[str, Key], table: Mapping[str, Any], at: At, report: Report, elsewhere: Mapping[str, str] = NOWHERE
) -> Layer:
    """What a table says, by its keys. elsewhere: names that are right in another table, and which that is."""
    values: dict[str, Any] = {}
    bad: list[str] = []
    for name, value in table.items():
        known = keys.get(name)
        if known is None:
            unknown(name, keys, at, report, elsewhere)
            continue
        if known.secret:
            at.source.secrets.add((*at.path, name))
        try:
            values[name] = take(known.kind, value, at, name, report)
        except Told:
            bad.append(name)
    return Layer(at, values, frozenset(bad))


def take(kind: Kind[T], value: Any, at: At, step: str | int, report: Report) -> T:
    """A value of one kind, or Told once what is wrong with it is reported."""
    try:
        return kind.take(value, at / step, report)
    except Unfit as error:
        report.unfit(at / step, kind, value, str(error))
        raise Told from None
    except ValueError as error:
        report.wrong(at / step, value, str(error))
        raise Told from None


def unknown(name: str, known: Iterable[str], at: At, report: Report, elsewhere: Mapping[str, str] = NOWHERE) -> None:
    """Report a key that does not exist. elsewhere: names that are right in another table, and which that is."""
    names = list(known)
    expected = ", ".join(names)
    meant, where = _meant(name, names, elsewhere)
    hint = OTHER_WORDS.get(name, "") if name not in elsewhere else ""
    hint = hint or (f"'{meant}'" + where if meant else "")
    text = f"unknown key '{name}'; " + (f"did you mean {hint}?" if hint else f"known here: {expected}")
    report.error(at / name, text, on_key=True, expected=expected, found=name, suggestion=meant)


def _meant(name: str, names: Iterable[str], elsewhere: Mapping[str, str]) -> tuple[str, str]:
    """The key that was probably meant, and in which table if not in this one; empty texts if there is none."""
    if name not in elsewhere and (near := nearest(name, names)):
        return near, ""
    far = nearest(name, elsewhere)
    return (far, f" in {elsewhere[far]}") if far else ("", "")


def build(table: Callable[..., T], layer: Layer, report: Report) -> T | None:
    """The typed table of a layer; None if a required key is missing or wrong. The first field is the layer."""
    known = keys_of(table)
    lost = [one for one in known.values() if one.required and one.name not in layer.values]
    for one in lost:
        if one.name not in layer.bad:
            missing(one.name, one.kind, layer.at, report)
    return (
        None
        if lost
        else table(layer, **{field_of(name): value for name, value in layer.values.items() if name in known})
    )


def field_of(name: str) -> str:
    """The field of a key: words of Python have an underscore behind them there."""
    return f"{name}_" if iskeyword(name) else name


def missing(name: str, kind: Kind[Any], at: At, report: Report, more: str = "") -> None:
    """Report a key that must be there and is not. more: said after what is expected."""
    text = " ".join(filter(None, [f"key '{name}' is missing; expected {kind.expects}", more]))
    report.error(at, text, on_key=True, expected=kind.expects)


def shown(value: object) -> str:
    """A value of a TOML tree as a short text."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in value)
            return f'"{text}"' if len(text) <= 60 else f'"{text[:57]}..."'
        case dict():
            return "a table"
        case list():
            return "an array" if value else "an empty array"
        case int():
            return str(value) if abs(value) < 10**20 else "a huge number"
        case _:
            return str(value)
