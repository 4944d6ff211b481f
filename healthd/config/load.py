"""Read a configuration: every file, every problem, in one run.

    loaded = load(Path("/etc/healthd/healthd.toml"))
    if loaded.config is None:
        sys.stderr.write(render(loaded.problems))

Nothing is changed by loading, so a reload reads everything first and only then swaps.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from healthd.config.checks import Shared
from healthd.config.decode import At, Report, Told, take, unknown
from healthd.config.defaults import Defaults, read_defaults
from healthd.config.formats import AS_IT_IS, Format, Reading
from healthd.config.includes import MAIN, included, main_file
from healthd.config.kinds import tables
from healthd.config.ldirectord import loading as ldirectord
from healthd.config.problems import Problem
from healthd.config.recognise import format_of
from healthd.config.schema import Config, ServiceConfig, Settings
from healthd.config.services import read_service
from healthd.config.settings import REPEATED, SINGLE, read_settings
from healthd.config.source import Source, parse, read, read_bytes
from healthd.config.tables import ELSEWHERE_OF_FILE
from healthd.model import AddressKey, Forwarding, ServiceKey, family_of

OF_SERVICES = ("service", "defaults")
OF_DAEMON = ("include", *SINGLE, *REPEATED)

Read = list[tuple[At, ServiceConfig]]


@dataclass(frozen=True, slots=True)
class Loaded:
    """config: None if there is an error. problems: errors and warnings, sorted by file and place."""

    config: Config | None
    problems: tuple[Problem, ...]


def load(
    path: Path, *, strict_files: bool = True, reading: Reading = AS_IT_IS, running: Collection[str] = ()
) -> Loaded:
    """Read a healthd.toml with all that it includes, a folder that has one, a file of services, or an ldirectord.cf.

    strict_files: also look whether scripts, certificates and programs of hooks are there; off for checking a
    configuration on another machine. reading: how to take the file; by default it is recognised by its content.
    running: names of the files of the configuration in force, of which none may be missing now.
    Problems of the files themselves are problems of the result, never exceptions.
    """
    report = Report(strict_files=strict_files)
    file = main_file(path)
    data = read_bytes(file)
    if isinstance(data, bytes) and format_of(reading, file.name, data) is Format.LDIRECTORD:
        found = ldirectord.sources(file, data, report, strict=reading.strict, running=running)
        return _load(found[0], found[1:], report) if found else Loaded(None, report.problems())
    main = parse(str(file), data) if isinstance(data, bytes) else data
    if isinstance(main, Problem):
        report.unread(main)
        _read_all(included(At(Source(str(file), "", {})), file.parent, report), report)
        return Loaded(None, report.problems())
    return _load(main, included(At(main), file.parent, report), report)


def _load(main: Source, others: Sequence[Path | Source], report: Report) -> Loaded:
    """Everything of the main file and of others: those that are still to be read, and those that are read already."""
    root = At(main)
    settings, layers = read_settings(main.tree, root, report)
    defaults = read_defaults(main.tree.get("defaults", {}), root / "defaults", report, layers)
    _check_keys(root, (*OF_SERVICES, *OF_DAEMON), report)
    unread = [other for other in others if isinstance(other, Path)]
    sources = [main, *_read_all(unread, report), *(other for other in others if isinstance(other, Source))]
    services = _services(sources, defaults, report)
    _check_uniqueness(services, report)
    _check_sync(services, settings, report)
    if not services and not report.failed:
        report.warning(root, "no service is declared")
    return _loaded(settings, services, sources, report)


def _loaded(settings: Settings, services: Read, sources: list[Source], report: Report) -> Loaded:
    if report.failed:
        return Loaded(None, report.problems())
    found = tuple(service for _, service in services)
    return Loaded(Config(settings, found, tuple(source.name for source in sources)), report.problems())


def _check_keys(root: At, known: tuple[str, ...], report: Report) -> None:
    for name in root.source.tree:
        if name not in known and name in OF_DAEMON:
            report.error(root / name, f"key '{name}' belongs in {MAIN}, not in a file of services", on_key=True)
        elif name not in known:
            unknown(name, known, root, report, ELSEWHERE_OF_FILE)


def _read_all(names: Iterable[Path], report: Report) -> list[Source]:
    sources: list[Source] = []
    for name in names:
        source = read(name)
        if isinstance(source, Problem):
            report.unread(source)
            continue
        _check_keys(At(source), OF_SERVICES, report)
        sources.append(source)
    return sources


def _services(sources: list[Source], defaults: Defaults, report: Report) -> Read:
    shared, found = Shared(), []
    for number, source in enumerate(sources):
        root = At(source)
        own = defaults
        if number and "defaults" in source.tree:
            own = read_defaults(source.tree["defaults"], root / "defaults", report).over(defaults)
        for at, given in _given(source.tree, root, report):
            service = read_service(given, at, own, report, shared)
            if service is not None:
                found.append((at, service))
    return found


def _given(tree: Mapping[str, Any], root: At, report: Report) -> tuple[tuple[At, Mapping[str, Any]], ...]:
    try:
        return take(tables("tables, as in [[service]]"), tree.get("service", []), root, "service", report)
    except Told:
        return ()


def _check_uniqueness(services: Read, report: Report) -> None:
    """Names and keys are unique over all files."""
    names: dict[str, ServiceConfig] = {}
    keys: dict[ServiceKey, ServiceConfig] = {}
    for at, service in services:
        first = keys.setdefault(service.key, service)
        if first is not service:
            name = "virtual" if isinstance(service.key, AddressKey) else "fwmark"
            text = f"{name}: {service.key} is declared already, by service '{first.name}' at {first.place}"
            report.error(at / name, text, found=str(service.key))
            continue
        first = names.setdefault(service.name, service)
        if first is not service:
            report.error(at / "name", f"name: a second service named '{service.name}', the first is at {first.place}")


def _check_sync(services: Read, settings: Settings, report: Report) -> None:
    """The kernel refuses servers of another family than their service's while it synchronises connections."""
    if not settings.table.sync:
        return
    for at, service in services:
        mixed = [r for r in service.reals if family_of(r.key.address) is not service.key.family]
        if mixed and mixed[0].spec.forwarding is Forwarding.IPIP:
            text = f"{mixed[0].key} is not of the service's family, which the kernel refuses beside [[sync]]"
            report.error(at, text, on_key=True)
