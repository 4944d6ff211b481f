"""A receiver of webhooks (aiohttp) in the test's own loop: it keeps what it is told and can be told to be difficult."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from aiohttp import web


@dataclass(frozen=True)
class Told:
    """One request."""

    path: str
    headers: Mapping[str, str]
    data: bytes

    @property
    def body(self):
        """What its body means."""
        return json.loads(self.data)


Behaviour = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Receiver:
    """What arrived. answers: what the next requests are answered with, one each; afterwards all is well."""

    url: str = ""
    told: list[Told] = field(default_factory=list)
    taken: list[Told] = field(default_factory=list)
    answers: list[Behaviour | web.Response] = field(default_factory=list)
    always: Behaviour | None = None

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Take a request, or do what was asked for."""
        told = Told(request.path, dict(request.headers), await request.read())
        self.told.append(told)
        behaviour = self.always or (self.answers.pop(0) if self.answers else None)
        if isinstance(behaviour, web.Response):
            return behaviour
        if behaviour is not None:
            return await behaviour(request)
        self.taken.append(told)
        return web.json_response({"status": "success"})

    @property
    def events(self) -> list[dict]:
        """All events of the messages of template json that were taken."""
        return [event for told in self.taken for event in told.body["events"]]


def saying(status: int, text: str = "", **headers: str) -> web.Response:
    """An answer. headers: with _ for -."""
    return web.Response(status=status, text=text, headers={name.replace("_", "-"): it for name, it in headers.items()})


async def hang(request: web.Request) -> web.StreamResponse:
    """Never answer."""
    await asyncio.Event().wait()
    raise AssertionError


async def reset(request: web.Request) -> web.StreamResponse:
    """Break the connection off."""
    assert request.transport is not None
    request.transport.abort()
    await asyncio.sleep(60)
    raise AssertionError


async def trickle(request: web.Request) -> web.StreamResponse:
    """Fail, and go on saying why for ever."""
    answer = web.StreamResponse(status=500)
    await answer.prepare(request)
    with contextlib.suppress(ConnectionError):
        while True:
            await answer.write(b"x" * 10_000)
            await asyncio.sleep(0.001)
    return answer


@contextlib.asynccontextmanager
async def receiver(port: int = 0, context: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    """A receiver on loopback."""
    found = Receiver()
    app = web.Application(client_max_size=64 << 20)
    app.router.add_route("*", "/{path:.*}", found.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.01, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port, ssl_context=context)
    await site.start()
    assert site._server is not None
    chosen = site._server.sockets[0].getsockname()[1]
    found.url = f"{'https' if context else 'http'}://127.0.0.1:{chosen}/hook/s3cret-path"
    try:
        yield found
    finally:
        await runner.cleanup()
