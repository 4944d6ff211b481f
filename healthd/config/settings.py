"""The tables of healthd.toml that are not about services."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from grp import getgrnam
from pathlib import Path as File
from pwd import getpwnam
from typing import Any

from healthd.config import addresses, shape
from healthd.config.decode import At, Kind, Layer, Report, Told, build, decode, key, keys_of, plain, take
from healthd.config.defaults import DaemonLayers
from healthd.config.files import no_account, no_folder, no_program
from healthd.config.hooks import HookTable, read_hooks
from healthd.config.http import HttpTable, read_http
from healthd.config.kinds import (
    absolute,
    account,
    duration,
    flag,
    interface,
    members,
    netns,
    path,
    socket_path,
    tables,
    whole,
    whole_seconds,
    words,
)
from healthd.config.schema import (
    ControlSettings,
    Drift,
    ExecHook,
    HttpSettings,
    LogSettings,
    OnStop,
    ProberSettings,
    ReloadSettings,
    RunnerSettings,
    Settings,
    StateSettings,
    TableSettings,
    Webhook,
)
from healthd.config.tables import Given, MailTable, nested
from healthd.model import Address, SyncDaemon, SyncState, Timeouts

MAX_KERNEL_TIMEOUT = 31 * 86400
LEVELS = ("debug", "info", "warning", "error")
STYLES = ("healthd", "ldirectord")
LOG_TARGET = shape.one_of(shape.words(("stderr", "journald", "syslog")), shape.PATH)
FACILITIES = (
    "daemon", "user", "syslog", *(f"local{number}" for number in range(8)),
    "kern", "mail", "auth", "authpriv", "lpr", "news", "uucp", "cron", "ftp",
)  # fmt: skip


def _names(names: tuple[str, ...]) -> Kind[str]:
    return words({name: name for name in names})


def _log_target(value: object) -> str:
    if value in ("stderr", "journald", "syslog"):
        return str(value)
    return absolute(value)


@dataclass(frozen=True, slots=True)
class DaemonTable:
    """The daemon itself."""

    layer: Layer
    on_stop: OnStop = key(
        members(OnStop),
        "what becomes of our services when the daemon stops: left as they are, every weight 0, or deleted",
        OnStop.LEAVE,
        shown='"leave"',
    )


@dataclass(frozen=True, slots=True)
class TimeoutsTable:
    """The kernel's timeouts of connections; those that are not given stay as they are."""

    layer: Layer
    tcp: int | None = key(whole_seconds(1, MAX_KERNEL_TIMEOUT), "idle TCP connections")
    tcp_fin: int | None = key(whole_seconds(1, MAX_KERNEL_TIMEOUT), "TCP connections after a FIN")
    udp: int | None = key(whole_seconds(1, MAX_KERNEL_TIMEOUT), "idle UDP flows")


@dataclass(frozen=True, slots=True)
class TableTable:
    """The kernel's table."""

    layer: Layer
    netns: str | None = key(netns, "name or path of the network namespace whose table to keep; default: our own")
    drift: Drift = key(
        members(Drift),
        "when somebody else edits a row of ours: write it again, only tell, or accept it",
        Drift.REPAIR,
        shown='"repair"',
    )
    resync: float = key(duration(1), "time from one comparison with the kernel to the next", 15.0, shown='"15s"')
    timeouts: Timeouts = key(
        nested(TimeoutsTable, "a table with tcp, tcp_fin, udp", None, lambda t, _: Timeouts(t.tcp, t.tcp_fin, t.udp)),
        "timeouts of connections: `tcp`, `tcp_fin`, `udp`, in whole seconds; default: the kernel's stay",
        Timeouts(),
    )


@dataclass(frozen=True, slots=True)
class SyncTable:
    """A connection synchronisation daemon of the kernel."""

    layer: Layer
    state: SyncState = key(words({s.name.lower(): s for s in SyncState}), "role", required=True)
    interface: str = key(interface, "device to send or listen on", required=True)
    id: int = key(whole(0, 255), "number that master and backup share", 0, shown="0")
    max_length: int = key(whole(0, 65535), "longest message in bytes; 0: the kernel's choice", 0, shown="0")
    group: Address | None = key(addresses.group, "multicast group; default: 224.0.0.81")
    port: int = key(whole(0, 65535), "UDP port; 0: 8848", 0, shown="0")
    ttl: int = key(whole(0, 255), "time to live of the messages; 0: 1", 0, shown="0")


@dataclass(frozen=True, slots=True)
class ProberTable:
    """The processes that ask."""

    layer: Layer
    processes: int = key(whole(1, 64), "how many share the probes", 1, shown="1")
    in_flight: int = key(whole(1, 1_000_000), "most probes under way at once, over all processes", 4096, shown="4096")
    watch_neighbours: bool = key(
        flag, "probe at once when the kernel finds that a neighbour is gone or back", True, shown="true"
    )


@dataclass(frozen=True, slots=True)
class RunnerTable:
    """The process that runs scripts."""

    layer: Layer
    user: str | None = key(account, "user to run scripts as where a check names none; default: the daemon's")
    parallel: int = key(whole(1, 10_000), "most scripts at once", 16, shown="16")


@dataclass(frozen=True, slots=True)
class ControlTable:
    """The control socket."""

    layer: Layer
    socket: str = key(
        socket_path, "path of the socket", "/run/healthd/control.sock", shown='"/run/healthd/control.sock"'
    )
    group: str | None = key(account, "group that may read the status; root and our own user may do everything")


@dataclass(frozen=True, slots=True)
class LogTable:
    """The log."""

    layer: Layer
    to: str = key(
        plain('"stderr", "journald", "syslog" or the absolute path of a file', _log_target, schema=LOG_TARGET),
        "`stderr`, `journald`, `syslog` or the path of a file",
        "stderr",
        shown='"stderr"',
    )
    format: str = key(_names(("text", "json")), "`text` or `json`", "text", shown='"text"')
    level: str = key(_names(LEVELS), "least severity that is logged", "info", shown='"info"')
    facility: str = key(_names(FACILITIES), "facility of `syslog`", "daemon", shown='"daemon"')
    style: str = key(
        _names(STYLES),
        "`ldirectord`: the lines that ldirectord writes, for what watches its log",
        "healthd",
        shown='"healthd"',
    )


@dataclass(frozen=True, slots=True)
class StateTable:
    """What must live through a restart: what operators asked for, and what happened."""

    layer: Layer
    file: str | None = key(
        path, "file of the state store; default: /var/lib/healthd/state.db, none for a table in memory"
    )
    keep: float = key(duration(60, 3650 * 86400.0), "time that events are kept", 90 * 86400.0, shown='"90d"')


@dataclass(frozen=True, slots=True)
class MaintenanceTable:
    """Files that take real servers out while they are there."""

    layer: Layer
    folder: str | None = key(path, "a file there, named as a server (address:port, address, host name), takes it out")


@dataclass(frozen=True, slots=True)
class ReloadTable:
    """Reading the configuration again."""

    layer: Layer
    watch: bool = key(flag, "read it again when a file of it changes", False, shown="false")
    callback: str | None = key(
        path, "program to run, with the configuration's path, after a file of it has changed, also without `watch`"
    )


SINGLE: Mapping[str, type[Any]] = {
    "daemon": DaemonTable,
    "table": TableTable,
    "prober": ProberTable,
    "runner": RunnerTable,
    "control": ControlTable,
    "http": HttpTable,
    "log": LogTable,
    "state": StateTable,
    "mail": MailTable,
    "maintenance": MaintenanceTable,
    "reload": ReloadTable,
}
REPEATED: Mapping[str, type[Any]] = {"sync": SyncTable, "hook": HookTable}


def read_settings(tree: Mapping[str, Any], root: At, report: Report) -> tuple[Settings, DaemonLayers]:
    """All settings of a healthd.toml, and those that services inherit; what is wrong is reported."""
    one = {name: _single(tree, name, table, root, report) for name, table in SINGLE.items()}
    sync = _sync(_repeated(tree, "sync", SyncTable, root, report), report)
    if report.strict_files:
        _check_files(one, report)
    settings = _settings(one, read_http(one["http"], report), sync, read_hooks(tree, root, report))
    return settings, DaemonLayers(one["mail"].layer, one["maintenance"].layer)


def _settings(
    one: Mapping[str, Any], http: HttpSettings, sync: tuple[SyncDaemon, ...], hooks: tuple[ExecHook | Webhook, ...]
) -> Settings:
    table, prober, runner, control, log = (one[name] for name in ("table", "prober", "runner", "control", "log"))
    callback, state = one["reload"].callback, one["state"]
    return Settings(
        on_stop=one["daemon"].on_stop,
        table=TableSettings(table.netns, table.timeouts, sync, table.drift, table.resync),
        prober=ProberSettings(prober.processes, prober.in_flight, prober.watch_neighbours),
        runner=RunnerSettings(runner.user, runner.parallel),
        control=ControlSettings(File(control.socket), control.group),
        http=http,
        log=LogSettings(log.to, log.format, log.level, log.facility, log.style),
        state=StateSettings(File(state.file) if state.file else None, state.keep),
        reload=ReloadSettings(one["reload"].watch, File(callback) if callback else None),
        hooks=hooks,
    )


def _check_files(one: Mapping[str, Any], report: Report) -> None:
    """Whether what the settings name is on this machine."""
    log, runner, control, reload = one["log"], one["runner"], one["control"], one["reload"]
    if log.to.startswith("/"):
        _check_there(log.layer.where("to"), no_folder(log.to), report)
    _check_there(runner.layer.where("user"), no_account(getpwnam, "user", runner.user), report)
    _check_there(control.layer.where("group"), no_account(getgrnam, "group", control.group), report)
    if reload.callback:
        _check_there(reload.layer.where("callback"), no_program(reload.callback), report)


def _check_there(at: At, why: str, report: Report) -> None:
    if why:
        report.error(at, f"{at.path[-1]}: {why}")


def _single(tree: Mapping[str, Any], name: str, table: type[Any], root: At, report: Report) -> Any:
    given = tree.get(name, {})
    if not isinstance(given, dict):
        report.error(root / name, f"{name}: expected a table, as in [{name}]")
        given = {}
    return build(table, decode(keys_of(table), given, root / name, report), report)


def _repeated(tree: Mapping[str, Any], name: str, table: type[Any], root: At, report: Report) -> list[Any]:
    try:
        given: Given = take(tables(f"tables, as in [[{name}]]"), tree.get(name, []), root, name, report)
    except Told:
        return []
    built = [build(table, decode(keys_of(table), values, at, report), report) for at, values in given]
    return [one for one in built if one is not None]


def _sync(found: list[SyncTable], report: Report) -> tuple[SyncDaemon, ...]:
    for number, one in enumerate(found):
        if one.state in {other.state for other in found[:number]}:
            report.error(
                one.layer.where("state"), f"state: a second {one.state.name.lower()}; the kernel has one of each"
            )
    return tuple(SyncDaemon(o.state, o.interface, o.id, o.max_length, o.group, o.port, o.ttl) for o in found)
