"""Who is at the other end of a unix socket, and what they may do: the kernel tells.

Root and the daemon's own user may do everything; members of the configured group may read. Nobody else gets an answer.
"""

from __future__ import annotations

import os
import pwd
import socket
import struct
from dataclasses import dataclass

PEER_CREDENTIALS = struct.Struct("3i")
SO_PEERGROUPS = 59  # asm-generic/socket.h, since Linux 4.13; Python does not name it
MOST_PEER_GROUPS = 256


@dataclass(frozen=True, slots=True)
class Readers:
    """Who may read besides root and ourselves."""

    group: int | None

    def may_write(self, uid: int) -> bool:
        """True for root and for the daemon's own user."""
        return uid in (0, os.getuid())

    def may_read(self, peer: Peer) -> bool:
        """True for those who may write, and for members of the group."""
        return self.may_write(peer.uid) or (self.group is not None and self.group in peer.groups)


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end: as the kernel noted it when they connected, so it holds if they are gone by now."""

    uid: int
    groups: frozenset[int]

    @property
    def name(self) -> str:
        """The user's name; the number of one that has none."""
        try:
            return pwd.getpwuid(self.uid).pw_name
        except KeyError:
            return f"user {self.uid}"

    @classmethod
    def of(cls, sock: socket.socket) -> Peer:
        """The peer of a connected unix socket."""
        packed = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, PEER_CREDENTIALS.size)
        _, uid, gid = PEER_CREDENTIALS.unpack(packed)
        return cls(uid, frozenset({gid, *_groups(sock, uid)}))


def _groups(sock: socket.socket, uid: int) -> list[int]:
    """The peer's supplementary groups; those its user should have if they are too many to be told, or cannot be."""
    try:
        packed = sock.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, MOST_PEER_GROUPS * 4)
        return [gid for (gid,) in struct.iter_unpack("I", packed)]
    except OSError:
        pass
    try:
        user = pwd.getpwuid(uid)
    except KeyError:
        return []
    return os.getgrouplist(user.pw_name, user.pw_gid)
