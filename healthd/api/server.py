"""The control socket: HTTP with JSON on a unix socket; the kernel tells who is at the other end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from aiohttp import web

from healthd.api.actions import Actions
from healthd.api.paths import bound, group_id
from healthd.api.peers import Peer, Readers
from healthd.api.routes import ROUTES, Asked, Right, Route, answered, error

logger = logging.getLogger(__name__)

MOST_BYTES = 64 * 1024
MOST_CLIENTS = 64
MOST_FOLLOWERS = 32
LONGEST_VISIT = 150.0
"""Seconds after which a client is sent away, unless it follows events: one request is all that a connection is for."""
LAST_ANSWERS = 1.0
"""Seconds that requests under way have at the end."""


@dataclass(frozen=True, slots=True)
class LocalCaller:
    """A process of this machine."""

    peer: Peer
    readers: Readers

    @property
    def name(self) -> str:
        """Name of its user."""
        return self.peer.name

    def may(self, right: Right) -> bool:
        """Whether it is allowed this."""
        return self.readers.may_write(self.peer.uid) or (right is Right.READ and self.readers.may_read(self.peer))


class ControlSocket:
    """Serves `actions` on a unix socket. path: made, with its directory, and removed at the end."""

    def __init__(self, path: Path, group: str | None, actions: Actions) -> None:
        self._path = path
        self._group = group
        self._actions = actions
        self._readers = Readers(None)
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None
        self._visits: dict[asyncio.BaseProtocol, asyncio.TimerHandle] = {}
        self._followers = 0
        self._inode = 0

    async def start(self) -> None:
        """Begin to answer. Raises ControlSocketUnusable; `close` it then, too."""
        self._readers = Readers(group_id(self._group))
        listener = bound(self._path, self._readers.group, MOST_CLIENTS)
        self._inode = self._path.stat().st_ino
        app = web.Application(client_max_size=MOST_BYTES, middlewares=[_in_json])
        app.add_routes([web.route(one.method, one.path, partial(self._answer, one)) for one in ROUTES])
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
        self._visits[handler] = asyncio.get_running_loop().call_later(LONGEST_VISIT, self._end, handler)
        return handler

    def _end(self, handler: web.RequestHandler) -> None:
        self._visits.pop(handler, None)
        if handler.transport is not None:
            handler.transport.abort()

    async def _answer(self, route: Route, request: web.Request) -> web.StreamResponse:
        if request.transport is None:
            raise web.HTTPBadRequest(reason="the client is gone")
        caller = LocalCaller(Peer.of(request.transport.get_extra_info("socket")), self._readers)
        return await answered(Asked(self._actions, request, caller, partial(self._staying, request)), route)

    @contextlib.contextmanager
    def _staying(self, request: web.Request) -> Iterator[None]:
        """A client that follows events is not sent away; others must still be able to ask."""
        if self._followers >= MOST_FOLLOWERS:
            raise web.HTTPServiceUnavailable(reason=f"{MOST_FOLLOWERS} follow events already")
        timer = self._visits.pop(request.protocol, None)
        if timer is not None:
            timer.cancel()
        self._followers += 1
        try:
            yield
        finally:
            self._followers -= 1


class _HangUp(asyncio.Protocol):
    """Ends a connection at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """End it."""
        transport.close()


@web.middleware
async def _in_json(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Every answer is JSON, also to what cannot be answered, and is the connection's last."""
    response: web.StreamResponse
    try:
        response = await handler(request)
    except web.HTTPException as fault:
        response = error(fault.status, f"{request.method} {request.path}: {fault.reason}")
        if "Allow" in fault.headers:
            response.headers["Allow"] = fault.headers["Allow"]
    except Exception:
        logger.exception("%s %s could not be answered", request.method, request.path)
        response = error(500, "the daemon could not answer; its log says why")
    response.force_close()
    return response
