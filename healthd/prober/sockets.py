"""Opening sockets the way a target asks for: source address, interface, firewall mark.

`_socket.socket` is used in place of `socket.socket`: the same object without the Python layer, which would cost about
a tenth of a whole TCP probe.
"""

from __future__ import annotations

import _socket
import errno
import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from healthd.check import Inconclusive, Target
from healthd.model import Address
from healthd.prober import classify

STREAM = _socket.SOCK_STREAM | _socket.SOCK_NONBLOCK | _socket.SOCK_CLOEXEC
DGRAM = _socket.SOCK_DGRAM | _socket.SOCK_NONBLOCK | _socket.SOCK_CLOEXEC
RAW = _socket.SOCK_RAW | _socket.SOCK_NONBLOCK | _socket.SOCK_CLOEXEC

IP_BIND_ADDRESS_NO_PORT = 24  # include/uapi/linux/in.h; the port is chosen at connect, so it is unique per peer only
SO_MARK = 36  # include/uapi/asm-generic/socket.h
HARD = b"\1\0\0\0\0\0\0\0"  # struct linger {1, 0}: close() resets the connection and never waits

SocketAddress = tuple[str, int] | tuple[str, int, int, int]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where packets leave from; equal origins may share a socket."""

    family: int
    source: SocketAddress | None = None
    interface: str | None = None
    mark: int | None = None

    def open(self, kind: int, protocol: int = 0) -> _socket.socket:
        """A socket of this origin. Inconclusive if we may not or cannot have one."""
        try:
            sock = _socket.socket(self.family, kind, protocol)
        except OSError as error:
            raise classify.refused_here(error.errno or 0, "opening a socket") from None
        if self.source is not None or self.interface is not None or self.mark is not None:
            self._bind(sock)
        return sock

    def _bind(self, sock: _socket.socket) -> None:
        doing = ""
        try:
            if self.mark is not None:
                doing = f"setting firewall mark {self.mark}"
                sock.setsockopt(_socket.SOL_SOCKET, SO_MARK, self.mark)
            if self.interface is not None:
                doing = f"binding to interface {self.interface}"
                sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_BINDTODEVICE, self.interface.encode())
            if self.source is not None:
                doing = f"binding to {self.source[0]}"
                sock.setsockopt(_socket.SOL_IP, IP_BIND_ADDRESS_NO_PORT, 1)
                sock.bind(self.source)
        except OSError as error:
            sock.close()
            raise _not_bound(error.errno or 0, doing) from None


def _not_bound(code: int, doing: str) -> Exception:
    """What an error of binding says; always ours."""
    remedies = {
        errno.EADDRNOTAVAIL: "it is not an address of this machine",
        errno.ENODEV: "there is no such interface",
        errno.EPERM: "not permitted; CAP_NET_RAW is missing",
    }
    if code in remedies:
        return Inconclusive(f"{doing}: {remedies[code]}")
    return classify.refused_here(code, doing)


def origin_of(target: Target) -> Origin:
    """Where packets to a target leave from."""
    family = _socket.AF_INET if isinstance(target.address, IPv4Address) else _socket.AF_INET6
    source = None if target.source is None else socket_address(target.source, 0, target.interface)
    return Origin(family, source, target.interface, target.mark)


def socket_address(address: Address, port: int, interface: str | None = None) -> SocketAddress:
    """Address as the socket calls take it; a link-local one gets the index of its (or the given) interface."""
    if isinstance(address, IPv4Address):
        return (str(address), port)
    return (plain_text(address), port, 0, _scope(address, interface))


def plain_text(address: Address) -> str:
    """Address as the kernel's side writes it: without a scope, and mapped ones in the dotted form."""
    return _socket.inet_ntop(_socket.AF_INET if address.version == 4 else _socket.AF_INET6, address.packed)


def _scope(address: IPv6Address, interface: str | None) -> int:
    name = address.scope_id or (interface if address.is_link_local else None)
    if name is None:
        return 0
    if name.isdigit():
        return int(name)
    try:
        return socket.if_nametoindex(name)
    except OSError:
        raise Inconclusive(f"there is no interface {name} here") from None


def namespace_path(name: str) -> str:
    """Path of a network namespace given by name or path, as ip-netns(8) has them."""
    path = name if "/" in name else f"/run/netns/{name}"
    return path.replace("/var/run/", "/run/", 1) if path.startswith("/var/run/") else path
