"""A door to what can be asked: lets clients in, few at a time and not for ever, and has each request answered."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial

from aiohttp import web

from healthd.api.actions import Actions
from healthd.api.routes import Asked, Caller, Route, answered, error

logger = logging.getLogger(__name__)

MOST_BYTES = 64 * 1024
MOST_CLIENTS = 64
MOST_FOLLOWERS = 32
LONGEST_VISIT = 150.0
"""Seconds after which a client is sent away, unless it follows events: one request is all that a connection is for."""
LONGEST_GREETING = 10.0
"""Seconds within which a connection must be made, which under TLS takes some messages."""
LAST_ANSWERS = 1.0
"""Seconds that requests under way have at the end."""
TELLING = ("Allow", "WWW-Authenticate")
"""Headers of a refusal that say what would be right."""


class Door:
    """Serves `actions`. recognise: who asks; raises HTTPException if they are not let in.

    routes: what is answered. more: what else there is, such as files. greeting: seconds until a connection is made.
    """

    def __init__(
        self,
        actions: Actions,
        recognise: Callable[[web.Request], Caller],
        routes: Sequence[Route],
        more: Sequence[web.RouteDef] = (),
        greeting: float = LONGEST_GREETING,
    ) -> None:
        self._actions = actions
        self._recognise = recognise
        self._greeting = greeting
        self.app = web.Application(client_max_size=MOST_BYTES, middlewares=[_in_json])
        self.app.add_routes([web.route(one.method, one.path, partial(self._answer, one)) for one in routes])
        self.app.add_routes(more)
        self._runner = web.AppRunner(self.app, access_log=None, shutdown_timeout=LAST_ANSWERS)
        self._visits: dict[asyncio.BaseProtocol, Visit] = {}
        self._followers: set[Visit] = set()
        self._turn = asyncio.Lock()

    async def open(self) -> None:
        """Be ready for clients."""
        await self._runner.setup()

    async def close(self) -> None:
        """Send everybody away, once requests under way have had a moment."""
        for visit in list(self._followers):
            visit.end()
        await self._runner.cleanup()
        for visit in list(self._visits.values()):
            visit.end()

    def accept(self) -> asyncio.BaseProtocol:
        """A protocol for one more connection; one that hangs up where there are too many."""
        server = self._runner.server
        assert server is not None
        if max(len(server.connections), len(self._visits)) >= MOST_CLIENTS:
            return _HangUp()
        handler = server()
        visit = Visit(handler, partial(self._left, handler), self._greeting)
        self._visits[handler] = visit
        return visit

    def dismiss_followers(self) -> None:
        """End what goes on without end: who still may will come again."""
        for visit in list(self._followers):
            visit.end()

    def _left(self, handler: asyncio.BaseProtocol) -> None:
        self._visits.pop(handler, None)

    async def _answer(self, route: Route, request: web.Request) -> web.StreamResponse:
        if request.transport is None:
            raise web.HTTPBadRequest(reason="the client is gone")
        caller = self._recognise(request)
        asked = Asked(self._actions, request, caller, partial(self._staying, request))
        if not route.large:
            return await answered(asked, route)
        async with self._turn:  # between two of them whatever else waits has its turn
            return await answered(asked, route)

    @contextlib.contextmanager
    def _staying(self, request: web.Request) -> Iterator[None]:
        """A client that follows events is not sent away; others must still be able to ask."""
        visit = self._visits.get(request.protocol)
        if visit is None:
            raise web.HTTPBadRequest(reason="the client is gone")
        if len(self._followers) >= MOST_FOLLOWERS:
            raise web.HTTPServiceUnavailable(reason=f"{MOST_FOLLOWERS} follow events already")
        visit.stay()
        self._followers.add(visit)
        try:
            yield
        finally:
            self._followers.discard(visit)


class Visit(asyncio.Protocol):
    """One connection, from before it is made until it is over. handler: to whom it belongs. left: called at its end.

    greeting: seconds until it must be made.
    """

    def __init__(self, handler: web.RequestHandler, left: Callable[[], None], greeting: float) -> None:
        self._handler = handler
        self._left = left
        self._transport: asyncio.Transport | None = None
        self._timer = asyncio.get_running_loop().call_later(greeting, self.end)

    def stay(self) -> None:
        """It may go on without end."""
        self._timer.cancel()

    def end(self) -> None:
        """End it now."""
        self._timer.cancel()
        self._left()
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The client is there."""
        self._timer.cancel()
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._timer = asyncio.get_running_loop().call_later(LONGEST_VISIT, self.end)
        self._handler.connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """The client is gone."""
        self._timer.cancel()
        self._left()
        self._handler.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Hand it on."""
        self._handler.data_received(data)

    def eof_received(self) -> bool | None:
        """Hand it on."""
        self._handler.eof_received()
        return None

    def pause_writing(self) -> None:
        """Hand it on."""
        self._handler.pause_writing()

    def resume_writing(self) -> None:
        """Hand it on."""
        self._handler.resume_writing()


class _HangUp(asyncio.Protocol):
    """Ends a connection at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """End it."""
        transport.close()


@web.middleware
async def _in_json(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """What cannot be answered is told in JSON, and every answer is the connection's last."""
    response: web.StreamResponse
    try:
        response = await handler(request)
    except web.HTTPException as fault:
        response = error(fault.status, f"{request.method} {request.path}: {fault.reason}")
        response.headers.update({name: fault.headers[name] for name in TELLING if name in fault.headers})
    except Exception:
        logger.exception("%s %s could not be answered", request.method, request.path)
        response = error(500, "the daemon could not answer; its log says why")
    response.force_close()
    return response
