"""Errors of datagram sockets, with the address they are about: IP_RECVERR and IPV6_RECVERR (ip(7), ipv6(7)).

Without it UDP is told only of closed ports, and a socket of many conversations not even whose. A pending error makes
the next call on the socket fail, whosever conversation it is about: then the queue is read and the call is made again.
"""

from __future__ import annotations

import _socket
import errno
import struct
from collections.abc import Callable
from typing import Any

from healthd.check import Inconclusive
from healthd.prober import classify
from healthd.prober.sockets import SocketAddress

TRIES = 4
"""How often a send is made again because an error of another conversation was in the way."""

IP_RECVERR = 11  # include/uapi/linux/in.h
IPV6_RECVERR = 25  # include/uapi/linux/in6.h
MSG_ERRQUEUE = 0x2000
SO_EE = struct.Struct("=IBBBBII")  # struct sock_extended_err, include/uapi/linux/errqueue.h
BUFFER = 1 << 20

Peer = tuple[str, int]


def want_errors(sock: _socket.socket, family: int) -> None:
    """Have the kernel keep errors with their addresses."""
    if family == _socket.AF_INET:
        sock.setsockopt(_socket.SOL_IP, IP_RECVERR, 1)
    else:
        sock.setsockopt(_socket.IPPROTO_IPV6, IPV6_RECVERR, 1)


def prepare(sock: _socket.socket, family: int) -> None:
    """Ask for errors with their addresses, and for as much buffer space as we may have."""
    want_errors(sock, family)
    for option in (_socket.SO_RCVBUF, _socket.SO_SNDBUF):
        sock.setsockopt(_socket.SOL_SOCKET, option, BUFFER)


def send_past_errors(sock: _socket.socket, data: bytes, address: SocketAddress, read_error: Callable[[], bool]) -> None:
    """Send a datagram; errors of others that are in the way are read with `read_error` first."""
    for _ in range(TRIES):
        try:
            sock.sendto(data, address)
        except BlockingIOError:
            raise Inconclusive("no room left in the send buffer; see net.core.wmem_max") from None
        except OSError as error:
            code = error.errno or 0
            if not read_error():
                break
        else:
            return
    raise classify.refused_here(code, "sending")


def take_error(sock: _socket.socket) -> tuple[int, bytes, Peer] | None:
    """One error of the socket's queue: errno, the beginning of what was sent, to whom; None if there is none.

    EMSGSIZE is no error but path MTU discovery at work, which the kernel has noted: its errno is given as 0.
    """
    try:
        sent, ancillary, _, peer = sock.recvmsg(2048, 512, MSG_ERRQUEUE)
    except OSError:
        return None
    code = error_of(ancillary)
    return (0 if code == errno.EMSGSIZE else code), sent, peer_of(peer)


def error_of(ancillary: list[tuple[int, int, bytes]]) -> int:
    """The errno in the control messages of an error queue's entry, 0 if it has none."""
    for level, kind, data in ancillary:
        if (level, kind) in ((_socket.SOL_IP, IP_RECVERR), (_socket.IPPROTO_IPV6, IPV6_RECVERR)):
            return int(SO_EE.unpack_from(data)[0])
    return 0


def peer_of(address: Any) -> Peer:
    """Whom a datagram is from or to, without flow and scope."""
    host: str = address[0]
    return (host.partition("%")[0] if "%" in host else host, address[1])
