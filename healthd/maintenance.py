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
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from pathlib import Path

from healthd.aside import aside
from healthd.assignment import ServerRef
from healthd.config.schema import Admin, RealServer, ServiceConfig
from healthd.folders import changes
from healthd.hostnames import HostNames
from healthd.model import Address
from healthd.policy import Wish

logger = logging.getLogger(__name__)

MAINTENANCE_FILES = "maintenance files"
"""Who wishes it, for people."""
EVERY = 1.0
"""Seconds between two looks where inotify says nothing."""
REST = 0.1
"""Seconds after a look: others may write into a folder all the time."""
PATIENCE = 5.0
"""Seconds that a start or a reload waits for the disk."""

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


def names_in(folder: Path) -> list[str]:
    """Names of the files in a folder. Raises OSError. It may block: that is for a disk to say."""
    return [path.name for path in folder.iterdir()]


class Maintenance:
    """Keeps the director told of maintenance files.

    tell: takes all wishes at once, each time they change. names: as `names_in`. patience: seconds that `apply` waits.
    A folder that is not there has no files. Where a disk does not answer, or gives an error, that says nothing: what
    was there last still counts.
    """

    def __init__(
        self,
        tell: Tell,
        hosts: HostNames | None = None,
        names: Callable[[Path], Sequence[str]] = names_in,
        patience: float = PATIENCE,
    ) -> None:
        self._tell = tell
        self._hosts = hosts or HostNames(time.monotonic)
        self._names = names
        self._patience = patience
        self._services: tuple[ServiceConfig, ...] = ()
        self._files: dict[Path, Sequence[str]] = {}
        self._told: Mapping[ServerRef, Wish] = {}
        self._unseen: set[Path] = set()
        self._applied = asyncio.Event()

    async def apply(self, services: Iterable[ServiceConfig]) -> None:
        """Look after these services from now on; what their folders say now is told before this returns."""
        self._services = tuple(services)
        folders = self._folders()
        self._files = {folder: names for folder, names in self._files.items() if folder in folders}
        try:
            async with asyncio.timeout(self._patience):
                await asyncio.gather(*map(self._look, folders))
        except TimeoutError:
            logger.warning("a disk with maintenance files does not answer; what is not known yet counts later")
        self._compare()
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
        """Each by itself: a disk that hangs holds up no other."""
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.Event().wait())
            for folder in folders:
                group.create_task(self._watch_folder(folder))

    async def _watch_folder(self, folder: Path) -> None:
        async with contextlib.aclosing(changes([folder], EVERY)) as seen:
            async for _ in seen:
                await self._look(folder)
                self._compare()
                await asyncio.sleep(REST)

    def _folders(self) -> frozenset[Path]:
        return frozenset(service.maintenance for service in self._services if service.maintenance)

    async def _look(self, folder: Path) -> None:
        """See which files there are; what is wrong with a folder is said once."""
        try:
            self._files[folder] = await aside(partial(self._names, folder), "healthd-maintenance")
        except OSError as error:
            if isinstance(error, FileNotFoundError | NotADirectoryError):
                self._files.pop(folder, None)
            if folder not in self._unseen:
                logger.warning("maintenance files in %s cannot be seen: %s", folder, error.strerror)
            self._unseen.add(folder)
        else:
            self._unseen.discard(folder)

    def _compare(self) -> None:
        """Tell if what is known says something new."""
        self._ask_for_names()
        wishes = wishes_of(self._services, self._files, self._hosts.of)
        if wishes != self._told:
            self._told = wishes
            self._tell(wishes)

    def _ask_for_names(self) -> None:
        by_host = {folder for folder, names in self._files.items() if any(named(one).address is None for one in names)}
        services = [service for service in self._services if service.maintenance in by_host]
        self._hosts.want(real.key.address for service in services for real in service.reals)
