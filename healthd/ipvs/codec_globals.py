"""Between the model and the kernel's messages about the whole table: timeouts, synchronisation daemons, information.

Invariant as in `healthd.ipvs.codec`: decode(encode(x)) == x. The kernel's oddities here: a daemon's port is in host
order, unlike all others; its group is one of two attributes; zeros are left out because the kernel would take them for
values; and the answer to GET_INFO numbers its attributes differently from all others.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from healthd.ipvs.uapi import Daemon, Top
from healthd.ipvs.wire import attribute, attributes, number, string, text, u16, u32
from healthd.model import Address, SyncDaemon, SyncState, Timeouts


@dataclass(frozen=True, slots=True)
class Info:
    """What GET_INFO says: IPVS's version as three numbers and the size of the connection table."""

    version: tuple[int, int, int]
    table_size: int


def pack_timeouts(timeouts: Timeouts) -> bytes:
    """A message body for SET_CONFIG; what is None is left out, and then the kernel leaves it alone."""
    pairs = ((Top.TIMEOUT_TCP, timeouts.tcp), (Top.TIMEOUT_TCP_FIN, timeouts.tcp_fin), (Top.TIMEOUT_UDP, timeouts.udp))
    return b"".join(u32(kind, value) for kind, value in pairs if value is not None)


def pack_daemon(daemon: SyncDaemon) -> bytes:
    """The attributes of a synchronisation daemon, without the nest; what is 0 or None is left to the kernel."""
    parts = [
        u32(Daemon.STATE, daemon.state.value),
        text(Daemon.MCAST_IFN, daemon.interface),
        u32(Daemon.SYNC_ID, daemon.sync_id),
    ]
    if daemon.max_length:
        parts.append(u16(Daemon.SYNC_MAXLEN, daemon.max_length))
    if daemon.group is not None:
        kind = Daemon.MCAST_GROUP if isinstance(daemon.group, IPv4Address) else Daemon.MCAST_GROUP6
        parts.append(attribute(kind, daemon.group.packed))
    if daemon.port:
        parts.append(u16(Daemon.MCAST_PORT, daemon.port))
    if daemon.ttl:
        parts.append(attribute(Daemon.MCAST_TTL, bytes((daemon.ttl,))))
    return b"".join(parts)


def parse_timeouts(body: bytes) -> Timeouts:
    """The answer to GET_CONFIG; None for a protocol the kernel was built without."""
    attrs = attributes(body)
    tcp, fin, udp = (attrs.get(kind) for kind in (Top.TIMEOUT_TCP, Top.TIMEOUT_TCP_FIN, Top.TIMEOUT_UDP))
    return Timeouts(*(None if value is None else number(value) for value in (tcp, fin, udp)))


def parse_daemon(body: bytes) -> SyncDaemon:
    """One record of the dump of synchronisation daemons. Kernels before 4.3 report the first three fields only."""
    attrs = attributes(attributes(body)[Top.DAEMON])
    group: Address | None = None
    if Daemon.MCAST_GROUP in attrs:
        group = IPv4Address(attrs[Daemon.MCAST_GROUP])
    elif Daemon.MCAST_GROUP6 in attrs:
        group = IPv6Address(attrs[Daemon.MCAST_GROUP6])
    length, port, ttl = (
        number(attrs.get(kind, b"")) for kind in (Daemon.SYNC_MAXLEN, Daemon.MCAST_PORT, Daemon.MCAST_TTL)
    )
    name, sync_id = string(attrs[Daemon.MCAST_IFN]), number(attrs[Daemon.SYNC_ID])
    return SyncDaemon(SyncState(number(attrs[Daemon.STATE])), name, sync_id, length, group, port, ttl)


def parse_info(body: bytes) -> Info:
    """The answer to GET_INFO: attributes 1 and 2 are version and table size here, not service and destination."""
    attrs = attributes(body)
    version = number(attrs[1])
    return Info((version >> 16 & 0xFF, version >> 8 & 0xFF, version & 0xFF), number(attrs[2]))
