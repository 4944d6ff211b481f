"""Defaults of services, checks and real servers: of healthd.toml for all files, of another file for itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from healthd.config.decode import At, Key, Layer, Report, decode, keys_of
from healthd.config.tables import (
    DEFAULT_OF_CHECK,
    DEFAULT_OF_REAL,
    DEFAULT_OF_SERVICE,
    CheckTable,
    RealTable,
    ServiceTable,
)


@dataclass(frozen=True, slots=True)
class DaemonLayers:
    """Tables of the daemon that services inherit."""

    mail: Layer
    maintenance: Layer


@dataclass(frozen=True, slots=True)
class Defaults:
    """What services, checks and real servers inherit."""

    service: Layer
    check: Layer
    real: Layer
    mail: Layer
    maintenance: Layer

    def over(self, under: Defaults) -> Defaults:
        """These defaults laid over others."""
        return Defaults(
            self.service.over(under.service),
            self.check.over(under.check),
            self.real.over(under.real),
            self.mail.over(under.mail),
            self.maintenance.over(under.maintenance),
        )


def read_defaults(given: object, at: At, report: Report, settings: DaemonLayers | None = None) -> Defaults:
    """The table [defaults] of a file, with [defaults.check] and [defaults.real].

    settings: what the daemon's own tables give to services; None for a file that has none of these.
    """
    if not isinstance(given, dict):
        report.error(at, "defaults: expected a table")
        given = {}
    parts = {name: _part(given, name, at, report) for name in ("check", "real")}
    head = {name: value for name, value in given.items() if name not in parts}
    settings = settings or DaemonLayers(Layer(at), Layer(at))
    return Defaults(
        _defaults(keys_of(ServiceTable), DEFAULT_OF_SERVICE, head, at, report),
        _defaults(keys_of(CheckTable), DEFAULT_OF_CHECK, parts["check"], at / "check", report),
        _defaults(keys_of(RealTable), DEFAULT_OF_REAL, parts["real"], at / "real", report),
        settings.mail,
        settings.maintenance,
    )


def _part(given: Mapping[str, Any], name: str, at: At, report: Report) -> Mapping[str, Any]:
    part = given.get(name, {})
    if isinstance(part, dict):
        return part
    report.error(at / name, f"{name}: expected a table")
    return {}


def _defaults(
    keys: Mapping[str, Key], names: tuple[str, ...], given: Mapping[str, Any], at: At, report: Report
) -> Layer:
    return decode({name: keys[name] for name in names}, given, at, report)
