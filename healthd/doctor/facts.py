"""What was seen on the machine, as values. Pure.

Everything of the network is as the namespace of the configured table has it. None stands for what could not be seen,
which is different from what is not there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from healthd.config.problems import Problem
from healthd.config.schema import Config
from healthd.model import Address, Protocol
from healthd.privileges import Capabilities


@dataclass(frozen=True, slots=True)
class Kernel:
    """The kernel and its IPVS.

    version: of IPVS, empty where this namespace has none. size: rows of its connection table. connections: entries of
    it that destinations count. loaded: modules that are in the kernel. loadable: modules on the disk, or part of the
    kernel; None without a folder of modules. sealed: no module may be loaded any more. table_error: why the table
    cannot be read although there is one.
    """

    release: str = ""
    version: str = ""
    size: int = 0
    connections: int = 0
    loaded: frozenset[str] = frozenset()
    loadable: frozenset[str] | None = None
    sealed: bool = False
    table_error: str = ""


class Way(Enum):
    """How packets to an address go: to this machine, to a neighbour on a link, by a router, not at all."""

    LOCAL = "local"
    LINK = "link"
    ROUTER = "router"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Route:
    """What the kernel says of the way to an address. device: empty if there is none."""

    way: Way
    device: str = ""
    router: Address | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """An address of this machine. duplicate: IPv6 found that somebody else has it, so it is not used (RFC 4862)."""

    address: Address
    device: str
    duplicate: bool = False


@dataclass(frozen=True, slots=True)
class Listener:
    """A socket of a local process that takes what comes to a port; address None is any."""

    protocol: Protocol
    address: Address | None
    port: int


@dataclass(frozen=True, slots=True)
class Firewall:
    """What the rules of nft and iptables tell us. marks: those that are set by a number.

    vague: marks are also set in ways that are not understood here. stateful: rules that ask for the state of a
    connection, or translate addresses. Both need connection tracking.
    """

    marks: frozenset[int] = frozenset()
    vague: bool = False
    stateful: bool = False


@dataclass(frozen=True, slots=True)
class Network:
    """routes: to every virtual address and real server. default: devices of IPv4 default routes.

    firewall: None if it could not be read, or nobody asked.
    """

    held: tuple[Held, ...] = ()
    routes: Mapping[Address, Route] = field(default_factory=dict)
    default: frozenset[str] = frozenset()
    listening: frozenset[Listener] = frozenset()
    firewall: Firewall | None = None


@dataclass(frozen=True, slots=True)
class Rights:
    """What somebody may do. who: for people. files: most open files. enters: may go to another network namespace."""

    who: str
    capabilities: Capabilities
    files: int | None = None
    enters: bool = True


@dataclass(frozen=True, slots=True)
class OpenFiles:
    """Files that a process of the daemon's has open now, and how many it may."""

    pid: int
    name: str
    open: int
    limit: int


@dataclass(frozen=True, slots=True)
class Program:
    """A running program that moves addresses or writes the same table. file: the configuration it was given.

    writes: whether it keeps rows of a table; None if that cannot be told.
    """

    name: str
    pid: int
    file: str = ""
    writes: bool | None = None


@dataclass(frozen=True, slots=True)
class Room:
    """The file system where something is written. free: bytes; share and inodes: parts that are free, 0..1.

    read_only: the file system is, which is how many end after an error of the disk.
    """

    what: str
    path: str
    free: int = 0
    share: float = 1.0
    inodes: float = 1.0
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class Clock:
    """The time of day. synchronised: by the kernel's own opinion, None if it has none.

    stepped: seconds by which it was set since the daemon began, None if that cannot be told.
    """

    synchronised: bool | None = None
    stepped: float | None = None


@dataclass(frozen=True, slots=True)
class Daemon:
    """document: its status; None if nobody answered, and then why. holders: who holds locks of our services, by pid.

    holders is None if the lock file cannot be read.
    """

    document: Mapping[str, Any] | None = None
    why: str = ""
    denied: bool = False
    holders: frozenset[int] | None = frozenset()


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything. config: empty if it could not be loaded. namespace_error: why the table's namespace was not entered.

    rights: of all who matter, the running daemon first. us: the rights of who asks. version: ours.
    """

    config: Config = Config()
    problems: tuple[Problem, ...] = ()
    namespace_error: str = ""
    kernel: Kernel = Kernel()
    sysctls: Mapping[str, str] = field(default_factory=dict)
    network: Network = Network()
    us: Rights = Rights("you", frozenset())
    rights: tuple[Rights, ...] = ()
    open_files: tuple[OpenFiles, ...] = ()
    programs: tuple[Program, ...] = ()
    rooms: tuple[Room, ...] = ()
    clock: Clock = Clock()
    daemon: Daemon = Daemon()
    version: str = ""
