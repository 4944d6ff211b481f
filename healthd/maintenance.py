"""Maintenance files: while a folder has a file with a real server's name, that server takes no traffic.

The names are ldirectord's (`maintenancedir`): ADDRESS:PORT, ADDRESS, HOST:PORT and HOST, where HOST is the address's
name, whole or up to its first dot; IPv6 addresses in brackets, or bare where no port follows. What is in the file does
not matter.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from healthd.assignment import ServerRef
from healthd.config.schema import Admin, RealServer, ServiceConfig
from healthd.folders import changes
from healthd.hostnames import HostNames
from healthd.model import Address
from healthd.policy import Wish

logger = logging.getLogger(__name__)

EVERY = 1.0
"""Seconds between two looks where inotify says nothing."""

Tell = Callable[[Mapping[ServerRef, Wish]], None]


@dataclass(frozen=True, slots=True)
class Named:
    """The name of a maintenance file, taken apart. address: None if it is a host's name. port: None for every port."""

    host: str
    address: Address | None
    port: int | None


def named(name: str) -> Named:
    """What the name of a file stands for. A name that can be no server's stands for a host that nobody has."""
    bare = _address(name)
    if bare is not None:
        return Named(name, bare, None)
    host, colon, port = name.rpartition(":")
    if not (colon and port.isascii() and port.isdigit()) or (":" in host and not host.endswith("]")):
        return Named(name.lower(), _address(name), None)
    return Named(host.lower(), _address(host), int(port))


def _address(text: str) -> Address | None:
    inside = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        return ip_address(inside)
    except ValueError:
        return None


def fits(one: Named, real: RealServer, host: str) -> bool:
    """Whether a file is about a server. host: what the resolver calls its address, empty if nothing."""
    if one.port not in (None, real.key.port):
        return False
    if one.address is not None:
        return one.address == real.key.address
    whole = host.lower().rstrip(".")
    return bool(whole) and one.host in (whole, whole.partition(".")[0])


def wishes_of(
    services: Iterable[ServiceConfig], files: Mapping[Path, Collection[str]], host: Callable[[Address], str]
) -> dict[ServerRef, Wish]:
    """Which servers are in maintenance. files: names of the files of each folder. host: name of an address."""
    wanted: dict[ServerRef, Wish] = {}
    parsed = {folder: [(name, named(name)) for name in sorted(listed)] for folder, listed in files.items()}
    for service in services:
        for name, one in parsed.get(service.maintenance, ()) if service.maintenance else ():
            why = f"file {service.maintenance}/{name}"
            for real in service.reals:
                if fits(one, real, host(real.key.address)):
                    wanted.setdefault((service.key, real.key), Wish(Admin.MAINTENANCE, why))
    return wanted


class Maintenance:
    """Keeps the director told of maintenance files. tell: takes all wishes at once, each time they change."""

    def __init__(self, tell: Tell, hosts: HostNames | None = None) -> None:
        self._tell = tell
        self._hosts = hosts or HostNames(time.monotonic)
        self._services: tuple[ServiceConfig, ...] = ()
        self._told: Mapping[ServerRef, Wish] = {}
        self._unreadable: set[Path] = set()
        self._applied = asyncio.Event()

    def apply(self, services: Iterable[ServiceConfig]) -> None:
        """Look after these services from now on; what their folders say now is told before this returns."""
        self._services = tuple(services)
        self.look()
        self._applied.set()

    async def run(self) -> None:
        """Tell of changes, until cancelled."""
        try:
            while True:
                self._applied.clear()
                watching = asyncio.create_task(self._watch(self._folders()))
                applied = asyncio.create_task(self._applied.wait())
                try:
                    await asyncio.wait({watching, applied}, return_when=asyncio.FIRST_COMPLETED)
                    if watching.done():
                        watching.result()  # it never ends but by a fault
                finally:
                    watching.cancel()
                    applied.cancel()
                    await asyncio.wait({watching, applied})
        finally:
            self._hosts.close()

    async def _watch(self, folders: Collection[Path]) -> None:
        if not folders:
            await asyncio.Event().wait()
        async with contextlib.aclosing(changes(folders, EVERY)) as seen:
            async for _ in seen:
                self.look()

    def _folders(self) -> frozenset[Path]:
        return frozenset(service.maintenance for service in self._services if service.maintenance)

    def look(self) -> None:
        """Look at all folders, and tell if that says something new."""
        files = {folder: self._listed(folder) for folder in self._folders()}
        self._ask_for_names(files)
        wishes = wishes_of(self._services, files, self._hosts.of)
        if wishes != self._told:
            self._told = wishes
            self._tell(wishes)

    def _ask_for_names(self, files: Mapping[Path, Collection[str]]) -> None:
        by_host = {folder for folder, listed in files.items() if any(named(name).address is None for name in listed)}
        services = [service for service in self._services if service.maintenance in by_host]
        self._hosts.want(real.key.address for service in services for real in service.reals)

    def _listed(self, folder: Path) -> list[str]:
        """Names of the files; what cannot be read is said once, and nobody is in maintenance by it."""
        try:
            found = [path.name for path in folder.iterdir()]
        except OSError as error:
            if folder not in self._unreadable:
                logger.warning("maintenance files in %s cannot be seen: %s", folder, error.strerror)
            self._unreadable.add(folder)
            return []
        self._unreadable.discard(folder)
        return found
