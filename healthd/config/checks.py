"""Checks of the configuration: one declaration, bound to each real server it is for."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from healthd import registry
from healthd.check import AsyncCheck, Binding, BoundCheck, Check, Target, Tls
from healthd.config.decode import At, Key, Layer, Report, Told, build, decode, keys_of, missing, take
from healthd.config.files import unfit_certificate, unusable
from healthd.config.kinds import spoken
from healthd.config.options import Unsupported, construct, option_keys
from healthd.config.problems import nearest
from healthd.config.schema import CheckPlan
from healthd.config.tables import ELSEWHERE_OF_CHECK, CheckTable, Given
from healthd.health import Thresholds
from healthd.model import Address, Family, family_of
from healthd.prober.base import Cadence

V = TypeVar("V")

CheckClass = type[Check] | type[AsyncCheck]


class Shared:
    """Equal values become one object, so that thousands of servers with one check cost little."""

    def __init__(self) -> None:
        self._known: dict[tuple[type[Any], Any], Any] = {}

    def one(self, value: V) -> V:
        """The first value that was equal to this one. Values of different classes are never equal."""
        known: V = self._known.setdefault((type(value), value), value)
        return known


@dataclass(frozen=True, slots=True)
class Declared:
    """One declared check. layer: all that its table said, over what it inherits. cls: None if the type is wrong."""

    label: str
    cls: CheckClass | None
    layer: Layer


@dataclass(frozen=True, slots=True)
class Ready:
    """A declared check whose every option is right. bound: what makes it one of a row, if it depends on that."""

    table: CheckTable
    check: Check | AsyncCheck
    cadence: Cadence
    thresholds: Thresholds
    needs_port: bool
    bound: Callable[[Binding], Check | AsyncCheck] | None


def declare(given: Given, defaults: Layer, report: Report) -> tuple[Declared, ...]:
    """Read the checks of a service."""
    found: list[Declared] = []
    for at, table in given:
        one = _declare(at, table, None, report)
        found.append(dataclasses.replace(one, layer=one.layer.over(defaults)))
        if one.label in {other.label for other in found[:-1]}:
            report.error(at / "label", f"label: a second check called '{one.label}'; give each a label of its own")
    return tuple(found)


def redeclare(given: Given, inherited: tuple[Declared, ...], defaults: Layer, report: Report) -> tuple[Declared, ...]:
    """The checks of one real server: the service's, with the server's own laid over them or added."""
    checks = {one.label: one for one in inherited}
    for at, table in given:
        below = _meant(table, checks)
        one = _declare(at, table, below, report)
        checks[one.label] = dataclasses.replace(one, layer=one.layer.over(below.layer if below else defaults))
    return tuple(checks.values())


def _meant(table: Mapping[str, Any], checks: Mapping[str, Declared]) -> Declared | None:
    """The service's check that a server's own is laid over; None if it stands for itself."""
    label, kind = table.get("label"), table.get("type")
    if label is None and kind is None:
        return next(iter(checks.values())) if len(checks) == 1 else None
    below = checks.get(label if isinstance(label, str) else str(kind))
    same = below is not None and (kind is None or below.layer.values.get("type") == kind)
    return below if same else None


def _declare(at: At, table: Mapping[str, Any], below: Declared | None, report: Report) -> Declared:
    cls = below.cls if below else _class(at, table, report)
    keys = dict(keys_of(CheckTable))
    if cls is None:
        layer = decode(keys, {name: value for name, value in table.items() if name in keys}, at, report)
        layer.bad |= {"type"}
    else:
        layer = decode({**option_keys(cls), **keys}, table, at, report, ELSEWHERE_OF_CHECK)
    inherited = below.label if below else str(layer.values.get("type", ""))
    return Declared(layer.values.get("label") or inherited, cls, layer)


def _class(at: At, table: Mapping[str, Any], report: Report) -> CheckClass | None:
    """The class that `type` names, or None once what is wrong is reported."""
    one = keys_of(CheckTable)["type"]
    if "type" not in table:
        missing("type", one.kind, at, report)
        return None
    try:
        name = take(one.kind, table["type"], at, "type", report)
        found = registry.check_class(name)
        option_keys(found)
        return found
    except Told:
        return None
    except registry.UnknownCheck:
        _unknown_type(at, table["type"], report)
    except ImportError as error:
        report.error(at / "type", f"type: {_not_installed(table['type'], error)}", found=table["type"])
    except Unsupported as error:
        report.error(at / "type", f"type: this check cannot be configured: {error}", found=table["type"])
    return None


def _unknown_type(at: At, name: str, report: Report) -> None:
    known = registry.names()
    meant = nearest(name, known)
    hint = f"; did you mean '{meant}'?" if meant else f"; known: {', '.join(known)}"
    text = f"type: there is no check '{name}'{hint}"
    report.error(at / "type", text, found=name, expected=", ".join(known), suggestion=meant)


def _not_installed(name: str, error: ImportError) -> str:
    module = f"the Python module '{error.name}'" if error.name else "something"
    return f"check '{name}' needs {module}, which is not installed here (is it in an extra such as healthd[{name}]?)"


def ready(declared: Declared, report: Report, shared: Shared) -> Ready | None:
    """A declared check with everything in place, or None once what is wrong is reported."""
    cls, layer = declared.cls, declared.layer
    if cls is None:
        return None
    table = build(CheckTable, layer, report)
    cadence = _cadence(table, report) if table else None
    if table is None or not _options_there(cls, layer, report) or layer.bad or cadence is None:
        return None
    check = _instance(cls, layer, report)
    if check is None or not _files_there(cls, layer, report):
        return None
    check, thresholds = shared.one(check), shared.one(Thresholds(table.rise, table.fall))
    bound = check.bound if isinstance(check, BoundCheck) else None
    return Ready(table, check, shared.one(cadence), thresholds, getattr(cls, "needs_port", True), bound)


def _options_there(cls: CheckClass, layer: Layer, report: Report) -> bool:
    lost = [one for name, one in option_keys(cls).items() if one.required and name not in layer.values]
    for one in lost:
        if one.name not in layer.bad:
            missing(one.name, one.kind, layer.at, report)
    return not lost


def _cadence(table: CheckTable, report: Report) -> Cadence | None:
    where, timeout = table.layer.where, table.timeout
    timed = not table.layer.bad & {"interval", "timeout", "fast_interval"}
    if timeout is None:
        timeout = min(2.0, table.interval / 2)
    elif timed and timeout >= table.interval and not table.overrun:
        text = f"timeout: {spoken(timeout)} is not shorter than the interval of {spoken(table.interval)}"
        text += "; say overrun = true if that is meant"
        report.error(where("timeout"), text, expected=f"less than {spoken(table.interval)}", found=spoken(timeout))
        return None
    if timed and table.fast_interval is not None and table.fast_interval > table.interval:
        text = f"fast_interval: {spoken(table.fast_interval)} is longer than the interval of {spoken(table.interval)}"
        report.error(where("fast_interval"), text)
        return None
    return Cadence(table.interval, timeout, table.fast_interval, table.jitter, table.connects)


def _instance(cls: CheckClass, layer: Layer, report: Report) -> Check | AsyncCheck | None:
    made: Callable[..., Check | AsyncCheck] = cls
    try:
        return construct(made, layer, report)
    except Told:
        return None


def _files_there(cls: CheckClass, layer: Layer, report: Report) -> bool:
    """Whether every file that the options name can be used."""
    if not report.strict_files:
        return True
    wrong = 0
    for at, path, use in _files(option_keys(cls), layer):
        why = unusable(path, use)
        if why and at.source.needs_files:
            wrong += 1
            report.error(at, f"{at.path[-1]}: {why}", found=path)
        elif why:
            report.warning(at, f"{at.path[-1]}: {why}; servers stay as they are until it can be used", found=path)
    return not wrong and _certificates_fit(layer, report)


def _certificates_fit(layer: Layer, report: Report) -> bool:
    """Whether every certificate, key and authority can be loaded."""
    wrong = 0
    for name, value in layer.values.items():
        found = unfit_certificate(value) if isinstance(value, Tls) else None
        if found is not None:
            wrong += 1
            report.error(layer.where(name) / found[0], f"{found[0]}: {found[1]}")
    return not wrong


def _files(keys: Mapping[str, Key], layer: Layer) -> Iterable[tuple[At, str, str]]:
    for name, value in layer.values.items():
        one = keys.get(name)
        at = layer.where(name)
        if isinstance(value, Tls):
            inner = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
            yield from _files(option_keys(Tls), Layer(at, inner))
        elif one is not None and one.file is not None:
            paths = value if isinstance(value, tuple) else (value,)
            yield from ((at, path, one.file) for path in paths if path is not None)


def plan(ready: Ready, binding: Binding, report: Report) -> CheckPlan | None:
    """A check for one real server, or None once it is reported why it cannot be."""
    table = ready.table
    address, port = table.address or binding.address, table.port or binding.port
    if not port and ready.needs_port:
        text = "key 'port' is missing: the real servers have no port of their own that could be asked"
        report.error(table.layer.at, text, on_key=True, expected="a port")
        return None
    if table.source is not None and not _reachable(table, address, report):
        return None
    check = ready.check if ready.bound is None else ready.bound(binding)
    target = Target(address, port, table.source, table.interface, table.mark, table.netns)
    return CheckPlan(check, target, ready.cadence, ready.thresholds)


def _reachable(table: CheckTable, address: Address, report: Report) -> bool:
    if table.source is None or family_of(table.source) is family_of(address):
        return True
    family = "IPv4" if family_of(address) is Family.IPV4 else "IPv6"
    text = f"source: {table.source} cannot ask an {family} address"
    report.error(table.layer.where("source"), text, found=str(table.source), expected=f"an {family} address")
    return False
