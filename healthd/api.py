"""The control socket: HTTP with JSON on a unix socket; the kernel tells who is at the other end.

Root and the daemon's own user may do everything; members of the configured group may read. Nobody else gets an answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import grp
import json
import logging
import os
import pwd
import socket
import stat
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from aiohttp import web

logger = logging.getLogger(__name__)

Document = dict[str, Any]
PEER_CREDENTIALS = struct.Struct("3i")
SO_PEERGROUPS = 59  # asm-generic/socket.h, since Linux 4.13; Python does not name it
MOST_PEER_GROUPS = 256
MOST_BYTES = 64 * 1024
LONGEST_PATH = 107  # sun_path without its final zero, unix(7)
MOST_CLIENTS = 64
LONGEST_VISIT = 150.0
"""Seconds after which a client is sent away, whatever it does: one request is all that a connection is for."""
LAST_ANSWERS = 1.0
"""Seconds that requests under way have at the end."""


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

    def may_read(self, peer: Peer) -> bool:
        """True for those who may write, and for members of the group."""
        return self.may_write(peer.uid) or (self.group is not None and self.group in peer.groups)


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end: as the kernel noted it when they connected, so it holds if they are gone by now."""

    uid: int
    groups: frozenset[int]

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


class ControlSocketUnusable(Exception):
    """The control socket cannot be had. One sentence for people, with its path."""


class ControlSocket:
    """Serves `actions` on a unix socket. path: made, with its directory, and removed at the end."""

    def __init__(self, path: Path, group: str | None, actions: Actions) -> None:
        self._path = path
        self._group = group
        self._actions = actions
        self._readers = Readers(None)
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None
        self._inode = 0

    async def start(self) -> None:
        """Begin to answer. Raises ControlSocketUnusable; `close` it then, too."""
        self._readers = Readers(_group_id(self._group))
        listener = _bound(self._path, self._readers.group)
        self._inode = self._path.stat().st_ino
        app = web.Application(client_max_size=MOST_BYTES, middlewares=[_in_json])
        app.add_routes([web.get("/v1/status", self._status), web.post("/v1/reload", self._reload)])
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=LAST_ANSWERS)
        await self._runner.setup()
        self._server = await asyncio.get_running_loop().create_unix_server(self._accept, sock=listener)

    async def close(self) -> None:
        """Stop answering and remove the socket."""
        with contextlib.suppress(FileNotFoundError):
            if self._inode and self._path.lstat().st_ino == self._inode:
                self._path.unlink()
        if self._server:
            self._server.close()
        if self._runner:
            await self._runner.cleanup()

    def _accept(self) -> asyncio.BaseProtocol:
        """A handler for one more connection; one that hangs up where there are too many."""
        assert self._runner is not None
        server = self._runner.server
        assert server is not None
        if len(server.connections) >= MOST_CLIENTS:
            return _HangUp()
        handler = server()
        asyncio.get_running_loop().call_later(LONGEST_VISIT, _end, handler)
        return handler

    async def _status(self, request: web.Request) -> web.Response:
        peer = _peer(request)
        if not self._readers.may_read(peer):
            return _error(403, f"reading the status is not allowed to user {peer.uid}")
        return _json(await self._actions.status("counters" in request.query))

    async def _reload(self, request: web.Request) -> web.Response:
        peer = _peer(request)
        if not self._readers.may_write(peer.uid):
            return _error(403, f"reloading is not allowed to user {peer.uid}")
        return _json(await self._actions.reload())


class _HangUp(asyncio.Protocol):
    """Ends a connection at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """End it."""
        transport.close()


def _end(handler: web.RequestHandler) -> None:
    if handler.transport is not None:
        handler.transport.abort()


# --- the file -----------------------------------------------------------------------------------------------------


def _group_id(name: str | None) -> int | None:
    try:
        return grp.getgrnam(name).gr_gid if name else None
    except KeyError:
        raise ControlSocketUnusable(f"the control socket's group {name!r} does not exist") from None


def _bound(path: Path, group: int | None) -> socket.socket:
    """A socket of this path. It is nobody else's from its first moment on; then the group is let in."""
    if len(os.fsencode(path)) > LONGEST_PATH:
        raise ControlSocketUnusable(f"the control socket's path has more than {LONGEST_PATH} bytes: {path}")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        _clear_stale(path)
        os.fchmod(listener.fileno(), 0o600)  # what bind(2) gives the file, less the umask
        listener.bind(str(path))
        listener.listen(MOST_CLIENTS)
        _let_in(path, group)
    except OSError as error:
        listener.close()
        raise ControlSocketUnusable(f"the control socket {path} cannot be made: {error.strerror}") from None
    except BaseException:
        listener.close()
        raise
    return listener


def _let_in(path: Path, group: int | None) -> None:
    path.chmod(0o600)
    if group is not None:
        os.chown(path, -1, group)
        path.chmod(0o660)


def _clear_stale(path: Path) -> None:
    """Remove a socket that nobody answers on, left by a daemon that was killed; never anything else."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise ControlSocketUnusable(f"{path} is there already and is no socket; it is left alone")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(0)
        code = probe.connect_ex(str(path))
    if code in (0, errno.EAGAIN):  # EAGAIN: so many are waiting there that nobody more is let in
        raise ControlSocketUnusable(f"another process answers on {path}")
    if code == errno.ECONNREFUSED:
        path.unlink()
    elif code != errno.ENOENT:
        raise ControlSocketUnusable(f"{path} is there already and cannot be asked: {os.strerror(code)}")


# --- answers ------------------------------------------------------------------------------------------------------


def _peer(request: web.Request) -> Peer:
    """Who asks."""
    if request.transport is None:
        raise web.HTTPBadRequest(reason="the client is gone")
    return Peer.of(request.transport.get_extra_info("socket"))


def _json(document: Document, status: int = 200) -> web.Response:
    return web.json_response(document, status=status, dumps=partial(json.dumps, allow_nan=False))


def _error(status: int, text: str) -> web.Response:
    return _json({"error": text}, status)


@web.middleware
async def _in_json(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Every answer is JSON, also to what cannot be answered, and is the connection's last."""
    response: web.StreamResponse
    try:
        response = await handler(request)
    except web.HTTPException as error:
        response = _error(error.status, f"{request.method} {request.path}: {error.reason}")
        if "Allow" in error.headers:
            response.headers["Allow"] = error.headers["Allow"]
    except Exception:
        logger.exception("%s %s could not be answered", request.method, request.path)
        response = _error(500, "the daemon could not answer; its log says why")
    response.force_close()
    return response
