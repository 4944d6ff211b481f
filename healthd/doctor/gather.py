"""The one place that looks at the machine for `healthd doctor`: everything is read once, nothing is changed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from healthd import __version__
from healthd.claims import holders, lock_file
from healthd.config.load import Loaded
from healthd.config.schema import Config
from healthd.control import ControlError, ask
from healthd.doctor import machine
from healthd.doctor.facts import Daemon, Facts, Kernel, Network, Program, Rights, Room
from healthd.doctor.routes import held, routes
from healthd.doctor.rules import firewall
from healthd.doctor.unit import rights_of_unit
from healthd.ipvs.base import TableUnavailable
from healthd.ipvs.kernel import KernelTable
from healthd.ipvs.namespace import NamespaceMissing, in_namespace
from healthd.model import Address, AddressKey, Forwarding, FwmarkKey
from healthd.view import VERSION

PATIENCE = 10.0


@dataclass(frozen=True, slots=True)
class _Inside:
    """What belongs to the namespace of the table."""

    kernel: Kernel
    sysctls: dict[str, str]
    network: Network
    programs: tuple[Program, ...]


async def gather(loaded: Loaded, socket: Path, locks: Path, state: Path) -> Facts:
    """Everything there is to see.

    loaded: the configuration. socket: the daemon's. locks, state: its usual folders of lock files and of state.
    """
    config = loaded.config or Config()
    netns = config.settings.table.netns
    facts = Facts(config, loaded.problems, version=__version__, us=_us())
    try:
        inside = await in_namespace(netns, partial(_inside, config))
    except (NamespaceMissing, PermissionError) as error:
        facts = replace(facts, namespace_error=str(error))
    else:
        kernel = replace(inside.kernel, table_error=await _table_error(netns) if inside.kernel.version else "")
        facts = replace(facts, kernel=kernel, sysctls=inside.sysctls, network=inside.network, programs=inside.programs)
    daemon = _daemon(config, socket, locks)
    pid = int(daemon.document["pid"]) if daemon.document else None
    return replace(
        facts,
        daemon=daemon,
        rights=_rights(pid, facts.us),
        open_files=() if pid is None else machine.open_files(pid),
        rooms=tuple(_rooms(config, state)),
        clock=machine.clock(socket, pid),
    )


def _inside(config: Config) -> _Inside:
    return _Inside(machine.kernel(), machine.sysctls(), _network(config), machine.programs())


def _network(config: Config) -> Network:
    return Network(
        held(),
        routes(_addresses(config)),
        machine.default_devices(),
        machine.listeners(),
        firewall() if _filtered(config) else None,
    )


def _addresses(config: Config) -> list[Address]:
    """Virtual addresses, servers and fallbacks, each once."""
    virtual = [s.key.address for s in config.services if isinstance(s.key, AddressKey)]
    servers = [real.key.address for service in config.services for real in service.reals]
    fallbacks = [service.fallback.key.address for service in config.services if service.fallback]
    return list(dict.fromkeys([*virtual, *servers, *fallbacks]))


def _filtered(config: Config) -> bool:
    """Whether rules of the firewall matter; listing them may make the kernel load what they are kept in."""
    marked = any(isinstance(service.key, FwmarkKey) for service in config.services)
    return marked or any(r.spec.forwarding is Forwarding.MASQ for service in config.services for r in service.reals)


async def _table_error(netns: str | None) -> str:
    table = KernelTable(netns)
    try:
        await table.snapshot([])
    except TableUnavailable as error:
        return str(error)
    finally:
        await table.close()
    return ""


# --- the daemon -------------------------------------------------------------------------------------------------


def _daemon(config: Config, socket: Path, locks: Path) -> Daemon:
    kept = _holders(config, locks)
    try:
        document = ask(socket, "GET", "/v1/status", PATIENCE)
    except ControlError as error:
        return Daemon(None, str(error), denied=_denied(socket), holders=kept)
    if document.get("version") != VERSION:
        return Daemon(None, f"the daemon on {socket} is of another version than this command", holders=kept)
    return Daemon(document, holders=kept)


def _holders(config: Config, locks: Path) -> frozenset[int] | None:
    try:
        path = lock_file(config.settings.table.netns, locks)
    except NamespaceMissing:
        return frozenset()
    return holders(path, [service.key for service in config.services])


def _denied(socket: Path) -> bool:
    """Whether there is a socket that is not for us."""
    try:
        return socket.is_socket() and not os.access(socket, os.W_OK)
    except PermissionError:
        return True


def _us() -> Rights:
    return machine.rights("self", "this user") or Rights("this user", frozenset())


def _rights(pid: int | None, us: Rights) -> tuple[Rights, ...]:
    """Of who runs the daemon: itself; if it does not run its unit; if there is none root, who may be about to.

    What a plain user may who only asks is nobody's business.
    """
    found = None if pid is None else machine.rights(pid, f"the running daemon (process {pid})")
    found = found or rights_of_unit()
    if found is None and os.geteuid() == 0:
        found = replace(us, who="root, as here,")
    return () if found is None else (found,)


# --- disks ------------------------------------------------------------------------------------------------------


def _rooms(config: Config, state: Path) -> Iterator[Room]:
    """Each folder that something is written to, once. That of the state is made when the daemon starts."""
    written: dict[Path, str] = {}
    if "/" in config.settings.log.to:
        written[Path(config.settings.log.to).parent] = "the log"
    kept = config.settings.state.file.parent if config.settings.state.file else state
    if kept.is_dir():
        written.setdefault(kept, "what must live through a restart")
    for service in config.services:
        if service.monitor_file:
            written.setdefault(service.monitor_file.parent, f"the monitor file of {service.name}")
    for folder, what in written.items():
        if room := _room(what, folder):
            yield room


def _room(what: str, folder: Path) -> Room | None:
    """How much room there is; None where we cannot look. That it is not there is said by loading the configuration."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return None
    return Room(
        what,
        str(folder),
        found.f_bavail * found.f_frsize,
        found.f_bavail / found.f_blocks if found.f_blocks else 1.0,
        found.f_favail / found.f_files if found.f_files else 1.0,
        read_only=bool(found.f_flag & os.ST_RDONLY),
    )
