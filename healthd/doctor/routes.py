"""What the kernel's routing says of addresses, and which addresses are ours: rtnetlink, one question at a time.

Asked of the kernel instead of read from tables, because only it knows all rules, marks and tables together. Layouts are
those of include/uapi/linux/rtnetlink.h and if_addr.h. A socket is of the namespace of the thread that makes it.
"""

from __future__ import annotations

import socket
from collections.abc import Collection, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from struct import Struct

from healthd.doctor.facts import Held, Route, Way
from healthd.ipvs.wire import (
    DONE,
    DUMP,
    ERROR,
    NLMSG_SIZE,
    REQUEST,
    attribute,
    attributes,
    errno_at,
    headers,
    number,
    u32,
)
from healthd.model import Address

_HEADER = Struct("=IHHII")
_ROUTE = Struct("=BBBBBBBBI")  # family, lengths of two prefixes, tos, table, protocol, scope, type, flags
_ADDRESS = Struct("=BBBBI")  # family, length of the prefix, flags, scope, index of the interface
GET_ADDRESS, GET_ROUTE = 22, 26
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_VIA = 1, 4, 5, 18
IFA_ADDRESS, IFA_LOCAL, IFA_FLAGS = 1, 2, 8
DUPLICATE = 0x08  # IFA_F_DADFAILED
RTN_UNICAST, RTN_LOCAL = 1, 2
PATIENCE = 5.0
BUFFER = 1 << 16


def routes(addresses: Collection[Address]) -> dict[Address, Route]:
    """The way to each address, in the namespace of this thread. Raises OSError."""
    with _conversation() as sock:
        return {address: _route(sock, sequence, address) for sequence, address in enumerate(addresses, 1)}


def held() -> tuple[Held, ...]:
    """Every address of the namespace of this thread. Raises OSError."""
    with _conversation() as sock:
        _send(sock, GET_ADDRESS, DUMP, 1, _ADDRESS.pack(socket.AF_UNSPEC, 0, 0, 0, 0))
        return tuple(_held(payload) for payload in _answers(sock))


def _conversation() -> socket.socket:
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    sock.settimeout(PATIENCE)
    return sock


def _send(sock: socket.socket, kind: int, flags: int, sequence: int, payload: bytes) -> None:
    sock.send(_HEADER.pack(NLMSG_SIZE + len(payload), kind, REQUEST | flags, sequence, 0) + payload)


def _answers(sock: socket.socket) -> Iterator[bytes]:
    """The payloads of a list, until its end."""
    while True:
        datagram = sock.recv(BUFFER)
        for kind, _, at in headers(datagram):
            if kind == DONE:
                return
            size = number(datagram[at : at + 4])
            if kind == ERROR:
                raise OSError(errno_at(datagram, at), "the kernel does not list its addresses")
            yield datagram[at + NLMSG_SIZE : at + size]


def _held(payload: bytes) -> Held:
    _, _, flags, _, index = _ADDRESS.unpack_from(payload)
    found = attributes(payload[_ADDRESS.size :])
    flags |= number(found.get(IFA_FLAGS, b""))
    return Held(ip_address(found.get(IFA_LOCAL) or found[IFA_ADDRESS]), _name(index), bool(flags & DUPLICATE))


def _route(sock: socket.socket, sequence: int, address: Address) -> Route:
    family = socket.AF_INET if isinstance(address, IPv4Address) else socket.AF_INET6
    wanted = attribute(RTA_DST, address.packed)
    if isinstance(address, IPv6Address) and address.scope_id:
        wanted += u32(RTA_OIF, socket.if_nametoindex(address.scope_id))
    head = _ROUTE.pack(family, address.max_prefixlen, 0, 0, 0, 0, 0, 0, 0)
    _send(sock, GET_ROUTE, 0, sequence, head + wanted)
    datagram = sock.recv(BUFFER)
    ((kind, _, at),) = headers(datagram)
    return Route(Way.NONE) if kind == ERROR else _told(datagram[at + NLMSG_SIZE :])


def _told(payload: bytes) -> Route:
    kind = _ROUTE.unpack_from(payload)[7]
    found = attributes(payload[_ROUTE.size :])
    device = _name(number(found.get(RTA_OIF, b"")))
    if kind == RTN_LOCAL:
        return Route(Way.LOCAL, device)
    if kind != RTN_UNICAST:
        return Route(Way.NONE)
    router = found.get(RTA_GATEWAY) or found.get(RTA_VIA, b"")[2:]
    return Route(Way.ROUTER, device, ip_address(router)) if router else Route(Way.LINK, device)


def _name(index: int) -> str:
    try:
        return socket.if_indextoname(index)
    except OSError:  # gone since, or none
        return ""
