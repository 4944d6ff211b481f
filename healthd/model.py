"""The nouns of IPVS as values.

Three kinds of thing, kept apart on purpose:

* *keys* (`AddressKey`, `FwmarkKey`, `DestKey`) say which row is meant; they are looked up all the time and therefore
  know their hash (that of an address object is slow),
* *specs* (`ServiceSpec`, `DestSpec`) say what the row is like and are compared whole,
* *counters* (`Counters`, `Connections`) are what the kernel counted and are in neither.

Everything here is in one canonical form, so `==` is the difference between two tables. Shorthand of operators is
normalised in `healthd.config`, oddities of the kernel in `healthd.ipvs.codec`. Numbers are those of the kernel's
include/uapi/linux/ip_vs.h.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, IntFlag
from ipaddress import IPv4Address, IPv6Address

Address = IPv4Address | IPv6Address

MAX_WEIGHT = 65535


class Family(Enum):
    """Address family of a service or destination; the value is the number of IP's version."""

    IPV4 = 4
    IPV6 = 6

    @property
    def max_prefix(self) -> int:
        """Length of a whole address in bits."""
        return 32 if self is Family.IPV4 else 128


class Protocol(Enum):
    """Transport protocols that IPVS can switch; the value is IANA's protocol number."""

    TCP = 6
    UDP = 17
    SCTP = 132


class Forwarding(Enum):
    """How a packet reaches the destination (IP_VS_CONN_F_FWD_MASK). LOCAL and BYPASS are only met in foreign rows."""

    MASQ = 0
    LOCAL = 1
    IPIP = 2
    GATE = 3
    BYPASS = 4


class Encapsulation(Enum):
    """Tunnel type of an IPIP destination (IP_VS_CONN_F_TUNNEL_TYPE_*)."""

    IPIP = 0
    GUE = 1
    GRE = 2


class Checksum(Enum):
    """Checksum option of a GUE or GRE tunnel (IP_VS_TUNNEL_ENCAP_FLAG_*)."""

    NONE = 0
    CSUM = 1
    REMCSUM = 2


class SchedulerFlag(IntFlag):
    """The three raw bits whose meaning the scheduler defines (IP_VS_SVC_F_SCHED1..3).

    sh and mh read the first as "fallback" and the second as "port".
    """

    NONE = 0
    SCHED1 = 0x08
    SCHED2 = 0x10
    SCHED3 = 0x20


def family_of(address: Address) -> Family:
    """Family of an address."""
    return Family.IPV4 if isinstance(address, IPv4Address) else Family.IPV6


def endpoint(address: Address, port: int) -> str:
    """Text of address and port: 192.0.2.1:80 or [2001:db8::1]:80."""
    return f"{address}:{port}" if isinstance(address, IPv4Address) else f"[{address}]:{port}"


@dataclass(frozen=True, slots=True)
class AddressKey:
    """A virtual service by protocol, address and port. Port 0 (all ports) needs persistence."""

    protocol: Protocol
    address: Address
    port: int
    hashed: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "hashed", hash((self.protocol.value, int(self.address), self.port)))

    def __hash__(self) -> int:
        return self.hashed

    @property
    def family(self) -> Family:
        """Family of the virtual address."""
        return family_of(self.address)

    @property
    def rank(self) -> tuple[int, int, int, int]:
        """Position in a sorted table: fwmarks first, then by family, address, port and protocol."""
        return (self.family.value, int(self.address), self.port, self.protocol.value)

    def __str__(self) -> str:
        """Text for logs: 192.0.2.80:80/tcp."""
        return f"{endpoint(self.address, self.port)}/{self.protocol.name.lower()}"


@dataclass(frozen=True, slots=True)
class FwmarkKey:
    """A virtual service by firewall mark (1..2^32-1) and family."""

    family: Family
    fwmark: int

    @property
    def rank(self) -> tuple[int, int, int, int]:
        """Position in a sorted table: fwmarks first."""
        return (0, self.family.value, self.fwmark, 0)

    def __str__(self) -> str:
        """Text for logs: fwmark 7/ipv4."""
        return f"fwmark {self.fwmark}/{self.family.name.lower()}"


ServiceKey = AddressKey | FwmarkKey


@dataclass(frozen=True, slots=True)
class DestKey:
    """A destination of one service, by address and port."""

    address: Address
    port: int
    hashed: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "hashed", hash((int(self.address), self.port)))

    def __hash__(self) -> int:
        return self.hashed

    @property
    def rank(self) -> tuple[int, int, int]:
        """Position in a sorted table."""
        return (family_of(self.address).value, int(self.address), self.port)

    def __str__(self) -> str:
        """Text for logs: 10.0.0.11:80."""
        return endpoint(self.address, self.port)


@dataclass(frozen=True, slots=True)
class Persistence:
    """Clients of one network stay with one destination.

    timeout: seconds a template lives, 1 or more. prefix: length of the client's network (1..32 or 1..128);
    None is a netmask that is no prefix, which only foreign rows have.
    """

    timeout: int
    prefix: int | None


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """What a virtual service is like. engine: name of a persistence engine, e.g. "sip"."""

    scheduler: str
    flags: SchedulerFlag = SchedulerFlag.NONE
    persistence: Persistence | None = None
    one_packet: bool = False
    engine: str | None = None


@dataclass(frozen=True, slots=True)
class Tunnel:
    """Encapsulation of an IPIP destination; port is GUE's UDP port, 0 otherwise."""

    encapsulation: Encapsulation = Encapsulation.IPIP
    port: int = 0
    checksum: Checksum = Checksum.NONE


@dataclass(frozen=True, slots=True)
class DestSpec:
    """What a destination is like. weight 0..65535, 0 takes no new connections.

    upper and lower: connection thresholds, 0 is none. tunnel keeps its default unless forwarding is IPIP.
    """

    forwarding: Forwarding
    weight: int
    upper: int = 0
    lower: int = 0
    tunnel: Tunnel = Tunnel()


@dataclass(frozen=True, slots=True)
class Service:
    """One virtual service with its destinations."""

    spec: ServiceSpec
    dests: Mapping[DestKey, DestSpec] = field(default_factory=dict)


Table = Mapping[ServiceKey, Service]


@dataclass(frozen=True, slots=True)
class Counters:
    """64-bit totals of a service or destination and the kernel's rates per second (2 s estimator, so they lag)."""

    connections: int = 0
    in_packets: int = 0
    out_packets: int = 0
    in_bytes: int = 0
    out_bytes: int = 0
    connection_rate: int = 0
    in_packet_rate: int = 0
    out_packet_rate: int = 0
    in_byte_rate: int = 0
    out_byte_rate: int = 0


@dataclass(frozen=True, slots=True)
class Connections:
    """Connections of a destination as they are now, and its totals."""

    active: int = 0
    inactive: int = 0
    persistent: int = 0
    totals: Counters = Counters()


@dataclass(frozen=True, slots=True)
class Timeouts:
    """The table's timeouts in seconds, 1 or more; None leaves (or has not read) the kernel's value."""

    tcp: int | None = None
    tcp_fin: int | None = None
    udp: int | None = None


class SyncState(Enum):
    """Role of a connection synchronisation daemon (IP_VS_STATE_*)."""

    MASTER = 1
    BACKUP = 2


@dataclass(frozen=True, slots=True)
class SyncDaemon:
    """One connection synchronisation daemon of the kernel. 0 and None take the kernel's defaults."""

    state: SyncState
    interface: str
    sync_id: int = 0
    max_length: int = 0
    group: Address | None = None
    port: int = 0
    ttl: int = 0
