"""Between the model and the kernel's IPVS messages.

Invariant: decode(encode(x)) == x for every service and destination of the model, and whatever the kernel reports
comes out in the model's one canonical form. So two tables are equal exactly if they behave alike, `==` is the
difference, and no other module knows that

* the kernel marks each service HASHED and wants flags together with a mask: ours is always 0xFFFFFFFF, so that an
  edit replaces the flags instead of merging them with what was there,
* a netmask is an IPv4 mask in network order, but for IPv6 a prefix length in host order, mandatory even without
  persistence (and then without meaning: it is left out of the model, like the timeout),
* a netmask may be no prefix at all (`ipvsadm -M 255.0.255.0`): then the model's prefix is None,
* a service by firewall mark has no protocol, address and port, and one by address has no mark,
* ports are in network order, also a tunnel's, though the attribute looks like a plain number,
* kernels before 3.18 do not say a destination's family: it is then the service's,
* an address is always 16 bytes, whatever its family,
* tunnel attributes are reported for each destination but have a meaning for IPIP only, the port only for GUE,
* an edit of a destination must repeat forwarding, weight and both thresholds (EINVAL otherwise), an edit of a service
  scheduler, flags, timeout, netmask and engine (no engine is an absent name, not an empty one),
* and what `healthd.ipvs.codec_globals` says of timeouts, daemons and the answer to GET_INFO.

The numbers are in `healthd.ipvs.uapi`. The order of what we pack is fixed; of what the kernel
sends nothing is assumed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address
from struct import Struct, pack

from healthd.ipvs.codec_globals import pack_daemon, pack_timeouts
from healthd.ipvs.uapi import (
    AF_INET,
    AF_INET6,
    FLAGS_MASK,
    ONE_PACKET,
    PERSISTENT,
    SCHEDULER_FLAGS,
    Command,
    Daemon,
    Dst,
    Svc,
    Top,
)
from healthd.ipvs.wire import attribute, attributes, nested, number, string, text, u16, u32
from healthd.model import (
    Address,
    AddressKey,
    Checksum,
    Connections,
    Counters,
    DestKey,
    DestSpec,
    Encapsulation,
    Family,
    Forwarding,
    FwmarkKey,
    Persistence,
    Protocol,
    SchedulerFlag,
    ServiceKey,
    ServiceSpec,
    Tunnel,
    family_of,
)
from healthd.ops import (
    AddDest,
    AddService,
    DelDest,
    DelService,
    DestOp,
    GlobalOp,
    Op,
    ServiceOp,
    SetDest,
    SetService,
    SetTimeouts,
    StartSync,
    StopSync,
)


class UnknownToModel(ValueError):
    """The kernel reports something that the model has no word for; the text says what."""


# --- packing -------------------------------------------------------------------------------------------------------

# A destination's operations are the most frequent by far, so they are packed in one go: attribute headers are constant.
_DEST_KEY = Struct("=12s16s4s2sxx")
_DEST_VALUES = Struct("=4sI4sI4sI4sI")


def _header(kind: int, size: int) -> bytes:
    return pack("=HH", 4 + size, kind)


_ADDR4 = _header(Dst.ADDR_FAMILY, 2) + pack("=Hxx", AF_INET) + _header(Dst.ADDR, 16)
_ADDR6 = _header(Dst.ADDR_FAMILY, 2) + pack("=Hxx", AF_INET6) + _header(Dst.ADDR, 16)
_PORT = _header(Dst.PORT, 2)
_FWD_METHOD, _WEIGHT = _header(Dst.FWD_METHOD, 4), _header(Dst.WEIGHT, 4)
_U_THRESH, _L_THRESH = _header(Dst.U_THRESH, 4), _header(Dst.L_THRESH, 4)


def _port(kind: int, value: int) -> bytes:
    return attribute(kind, pack("!H", value))


def pack_address(address: Address) -> bytes:
    """An address as the kernel wants it: 16 bytes."""
    return address.packed.ljust(16, b"\0")


def _af(family: Family) -> int:
    return AF_INET if family is Family.IPV4 else AF_INET6


def pack_service_key(key: ServiceKey) -> bytes:
    """The attributes that identify a service, without the nest around them."""
    match key:
        case FwmarkKey(family, fwmark):
            return u16(Svc.AF, _af(family)) + u32(Svc.FWMARK, fwmark)
        case AddressKey(protocol, address, port):
            af = u16(Svc.AF, _af(family_of(address)))
            where = attribute(Svc.ADDR, pack_address(address)) + _port(Svc.PORT, port)
            return af + u16(Svc.PROTOCOL, protocol.value) + where


def select_service(key: ServiceKey) -> bytes:
    """A message body that names one service: for GET_SERVICE, DEL_SERVICE and the dump of its destinations."""
    return nested(Top.SERVICE, pack_service_key(key))


def pack_service(key: ServiceKey, spec: ServiceSpec) -> bytes:
    """The attributes of a whole service, without the nest around them."""
    flags = int(spec.flags) | (PERSISTENT if spec.persistence else 0) | (ONE_PACKET if spec.one_packet else 0)
    return b"".join(
        (
            pack_service_key(key),
            text(Svc.SCHED_NAME, spec.scheduler),
            attribute(Svc.FLAGS, pack("=II", flags, FLAGS_MASK)),
            u32(Svc.TIMEOUT, spec.persistence.timeout if spec.persistence else 0),
            attribute(Svc.NETMASK, _netmask(key.family, spec.persistence)),
            text(Svc.PE_NAME, spec.engine) if spec.engine else b"",
        )
    )


def _netmask(family: Family, persistence: Persistence | None) -> bytes:
    prefix = family.max_prefix if persistence is None else persistence.prefix
    if prefix is None:
        raise ValueError("a netmask that is no prefix cannot be written")
    if family is Family.IPV6:
        return pack("=I", prefix)
    return pack("!I", (0xFFFFFFFF << (32 - prefix)) & 0xFFFFFFFF)


def pack_dest_key(key: DestKey) -> bytes:
    """The attributes that identify a destination, without the nest around them."""
    address, port = key.address, key.port.to_bytes(2, "big")
    if isinstance(address, IPv4Address):
        return _DEST_KEY.pack(_ADDR4, address.packed, _PORT, port)
    return _DEST_KEY.pack(_ADDR6, address.packed, _PORT, port)


def pack_dest_spec(spec: DestSpec) -> bytes:
    """The attributes of a destination besides its key; those of the tunnel only where they mean something."""
    values = _DEST_VALUES.pack(
        *(_FWD_METHOD, spec.forwarding.value, _WEIGHT, spec.weight),
        *(_U_THRESH, spec.upper, _L_THRESH, spec.lower),
    )
    if spec.forwarding is not Forwarding.IPIP or spec.tunnel == Tunnel():
        return values
    tunnel = spec.tunnel
    kind = attribute(Dst.TUN_TYPE, bytes((tunnel.encapsulation.value,)))
    return values + kind + _port(Dst.TUN_PORT, tunnel.port) + u16(Dst.TUN_FLAGS, tunnel.checksum.value)


def encode(op: Op) -> tuple[Command, bytes]:
    """An operation as command and message body. Its values must be in range (`healthd.ipvs.rules`)."""
    (message,) = encode_all((op,))
    return message


def encode_all(ops: Iterable[Op]) -> list[tuple[Command, bytes]]:
    """As `encode`, for many: the service of many destinations in a row is packed once."""
    encoded: list[tuple[Command, bytes]] = []
    service, selected = None, b""
    for op in ops:
        if isinstance(op, AddDest | SetDest | DelDest):
            if op.service is not service:
                service, selected = op.service, select_service(op.service)
            command, dest = _encode_dest(op)
            encoded.append((command, selected + nested(Top.DEST, dest)))
        else:
            encoded.append(_encode_other(op))
    return encoded


def _encode_dest(op: DestOp) -> tuple[Command, bytes]:
    if isinstance(op, DelDest):
        return Command.DEL_DEST, pack_dest_key(op.dest)
    command = Command.NEW_DEST if isinstance(op, AddDest) else Command.SET_DEST
    return command, pack_dest_key(op.dest) + pack_dest_spec(op.spec)


def _encode_other(op: ServiceOp | GlobalOp) -> tuple[Command, bytes]:
    match op:
        case AddService(service, spec):
            return Command.NEW_SERVICE, nested(Top.SERVICE, pack_service(service, spec))
        case SetService(service, spec):
            return Command.SET_SERVICE, nested(Top.SERVICE, pack_service(service, spec))
        case DelService(service):
            return Command.DEL_SERVICE, select_service(service)
        case SetTimeouts(timeouts):
            return Command.SET_CONFIG, pack_timeouts(timeouts)
        case StartSync(daemon):
            return Command.NEW_DAEMON, nested(Top.DAEMON, pack_daemon(daemon))
        case StopSync(state):
            return Command.DEL_DAEMON, nested(Top.DAEMON, u32(Daemon.STATE, state.value))


# --- parsing -------------------------------------------------------------------------------------------------------


def parse_address(af: int, data: bytes) -> Address:
    """An address of 16 (or, from old kernels, 4) bytes."""
    return IPv4Address(data[:4]) if af == AF_INET else IPv6Address(data)


def parse_service_key(attrs: Mapping[int, bytes]) -> ServiceKey:
    """The key of a service. Raises UnknownToModel for a protocol or family the model does not have."""
    af = number(attrs[Svc.AF])
    if af not in (AF_INET, AF_INET6):
        raise UnknownToModel(f"a service of address family {af}")
    if Svc.FWMARK in attrs:
        return FwmarkKey(Family.IPV4 if af == AF_INET else Family.IPV6, number(attrs[Svc.FWMARK]))
    value = number(attrs[Svc.PROTOCOL])
    try:
        protocol = Protocol(value)
    except ValueError:
        raise UnknownToModel(f"a service of IP protocol {value}") from None
    return AddressKey(protocol, parse_address(af, attrs[Svc.ADDR]), int.from_bytes(attrs[Svc.PORT], "big"))


def parse_service(body: bytes) -> tuple[ServiceKey, ServiceSpec, Mapping[int, bytes]]:
    """Key, spec and the raw attributes (for `parse_counters`) of one reported service."""
    attrs = attributes(attributes(body)[Top.SERVICE])
    key = parse_service_key(attrs)
    flags = number(attrs[Svc.FLAGS][:4])
    persistence = None
    if flags & PERSISTENT:
        persistence = Persistence(number(attrs[Svc.TIMEOUT]), _prefix(key.family, attrs[Svc.NETMASK]))
    spec = ServiceSpec(
        scheduler=string(attrs[Svc.SCHED_NAME]),
        flags=SchedulerFlag(flags & SCHEDULER_FLAGS),
        persistence=persistence,
        one_packet=bool(flags & ONE_PACKET),
        engine=string(attrs.get(Svc.PE_NAME, b"")) or None,
    )
    return key, spec, attrs


def _prefix(family: Family, data: bytes) -> int | None:
    if family is Family.IPV6:
        prefix = number(data)
        return prefix if 1 <= prefix <= 128 else None
    mask = int.from_bytes(data, "big")
    prefix = mask.bit_count()
    return prefix if prefix and mask == (0xFFFFFFFF << (32 - prefix)) & 0xFFFFFFFF else None


def parse_dest_key(attrs: Mapping[int, bytes], family: Family) -> DestKey:
    """The key of a destination; family: its service's, for kernels that do not say the destination's."""
    af = number(attrs[Dst.ADDR_FAMILY]) if Dst.ADDR_FAMILY in attrs else _af(family)
    return DestKey(parse_address(af, attrs[Dst.ADDR]), int.from_bytes(attrs[Dst.PORT], "big"))


def dest_spec(forwarding: int, weight: int, upper: int, lower: int, tunnel: tuple[int, int, int]) -> DestSpec:
    """A destination from the kernel's numbers; tunnel: type, port (host order), flags.

    Raises UnknownToModel for a forwarding method or tunnel type that the model does not have.
    """
    try:
        how = Forwarding(forwarding & 7)
        through = _tunnel(*tunnel) if how is Forwarding.IPIP else Tunnel()
    except ValueError as error:
        raise UnknownToModel(f"a destination with {error}") from None
    return DestSpec(how, weight, upper, lower, through)


def _tunnel(kind: int, port: int, flags: int) -> Tunnel:
    encapsulation = Encapsulation(kind)
    if encapsulation is Encapsulation.IPIP:
        return Tunnel()
    # We never write both bits; of a foreign row that has both the model can only name one.
    checksum = Checksum.REMCSUM if flags & Checksum.REMCSUM.value else Checksum(flags & Checksum.CSUM.value)
    return Tunnel(encapsulation, port if encapsulation is Encapsulation.GUE else 0, checksum)


def parse_dest(attrs: Mapping[int, bytes], family: Family) -> tuple[DestKey, DestSpec]:
    """Key and spec of one reported destination from its attributes."""
    tunnel = (
        number(attrs.get(Dst.TUN_TYPE, b"")),
        int.from_bytes(attrs.get(Dst.TUN_PORT, b""), "big"),
        number(attrs.get(Dst.TUN_FLAGS, b"")),
    )
    how, weight, upper, lower = (
        number(attrs[kind]) for kind in (Dst.FWD_METHOD, Dst.WEIGHT, Dst.U_THRESH, Dst.L_THRESH)
    )
    return parse_dest_key(attrs, family), dest_spec(how, weight, upper, lower, tunnel)


def parse_counters(attrs: Mapping[int, bytes]) -> Counters:
    """Totals and rates of a service or destination; 64 bits where the kernel has them (since 4.1)."""
    stats = attributes(attrs.get(Dst.STATS64) or attrs.get(Dst.STATS, b""))
    return Counters(*(number(stats.get(kind, b"")) for kind in range(1, 11)))


def parse_connections(attrs: Mapping[int, bytes]) -> Connections:
    """Connections and counters of one reported destination."""
    active, inactive, persistent = (
        number(attrs.get(kind, b"")) for kind in (Dst.ACTIVE_CONNS, Dst.INACT_CONNS, Dst.PERSIST_CONNS)
    )
    return Connections(active, inactive, persistent, parse_counters(attrs))
