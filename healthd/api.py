"""The control socket: HTTP with JSON on a unix socket; the kernel tells who is at the other end.

Root and the daemon's own user may do everything; members of the configured group may read. Nobody else gets an answer.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

Document = dict[str, Any]
PEER_CREDENTIALS = struct.Struct("3i")
MOST_BYTES = 64 * 1024
# Seconds that requests under way have at the end.
LAST_ANSWERS = 1.0


@dataclass(frozen=True, slots=True)
class Actions:
    """What the socket can ask for. status: with the table's connection counters if True. reload: problems or effect."""

    status: Callable[[bool], Awaitable[Document]]
    reload: Callable[[], Awaitable[Document]]


@dataclass(frozen=True, slots=True)
class Readers:
    """Who may read besides root and ourselves."""

    group: int | None

    def may_write(self, uid: int) -> bool:
        """True for root and for the daemon's own user."""
        return uid in (0, os.getuid())

    def may_read(self, uid: int, gid: int) -> bool:
        """True for those who may write, and for members of the group."""
        return self.may_write(uid) or (self.group is not None and self.group in _groups(uid, gid))


def _groups(uid: int, gid: int) -> set[int]:
    try:
        user = pwd.getpwuid(uid)
    except KeyError:
        return {gid}
    return {gid, *os.getgrouplist(user.pw_name, user.pw_gid)}


class ControlSocketInUse(Exception):
    """Another process answers on the control socket."""


class ControlSocket:
    """Serves `actions` on a unix socket. path: made, with its directory, and removed at the end."""

    def __init__(self, path: Path, group: str | None, actions: Actions) -> None:
        self._path = path
        self._readers = Readers(grp.getgrnam(group).gr_gid if group else None)
        self._actions = actions
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Begin to answer. Raises ControlSocketInUse, or OSError where the socket cannot be made."""
        self._path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        self._clear_stale()
        app = web.Application(client_max_size=MOST_BYTES)
        app.add_routes([web.get("/v1/status", self._status), web.post("/v1/reload", self._reload)])
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=LAST_ANSWERS)
        await self._runner.setup()
        site = web.UnixSite(self._runner, str(self._path))
        await site.start()
        self._open_to_readers()

    async def close(self) -> None:
        """Stop answering and remove the socket."""
        if self._runner:
            await self._runner.cleanup()
            self._path.unlink(missing_ok=True)

    def _clear_stale(self) -> None:
        """Remove a socket that nobody answers on, left by a daemon that was killed."""
        probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with contextlib.closing(probe):
            try:
                probe.connect(str(self._path))
            except FileNotFoundError:
                return
            except ConnectionRefusedError:
                self._path.unlink()
                return
        raise ControlSocketInUse(f"another process answers on {self._path}")

    def _open_to_readers(self) -> None:
        if self._readers.group is None:
            self._path.chmod(0o600)
            return
        os.chown(self._path, -1, self._readers.group)
        self._path.chmod(0o660)

    async def _status(self, request: web.Request) -> web.Response:
        uid, gid = _peer(request)
        if not self._readers.may_read(uid, gid):
            return _refused("reading the status", uid)
        return web.json_response(await self._actions.status("counters" in request.query))

    async def _reload(self, request: web.Request) -> web.Response:
        uid, _ = _peer(request)
        if not self._readers.may_write(uid):
            return _refused("reloading", uid)
        return web.json_response(await self._actions.reload())


def _peer(request: web.Request) -> tuple[int, int]:
    """User and group of the process at the other end."""
    assert request.transport is not None
    peer = request.transport.get_extra_info("socket")
    packed = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, PEER_CREDENTIALS.size)
    _, uid, gid = PEER_CREDENTIALS.unpack(packed)
    return uid, gid


def _refused(what: str, uid: int) -> web.Response:
    return web.json_response({"error": f"{what} is not allowed to user {uid}"}, status=403)
