"""What there is to ask for, by method and path, and who may. The answers are `healthd.api.actions`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractContextManager, aclosing, suppress
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any, Protocol

from aiohttp import web

from healthd import __version__
from healthd.api import requests
from healthd.api.actions import Actions, Document, NotFound, Refused
from healthd.history import FellBehind
from healthd.state import Kept

KEEP_ALIVE = 15.0
"""Seconds after which somebody who follows hears that there is nothing new: so a connection that is dead is found."""


class Right(Enum):
    """What a caller needs to be allowed."""

    READ = "read"
    WRITE = "write"


class Caller(Protocol):
    """Who asks. name: for people, and for what is kept of an override."""

    @property
    def name(self) -> str:
        """Their name."""
        ...

    def may(self, right: Right) -> bool:
        """Whether they are allowed this."""
        ...


@dataclass(frozen=True, slots=True)
class Asked:
    """One request. endless: a context for an answer that goes on until the client goes; raises HTTPException."""

    actions: Actions
    http: web.Request
    caller: Caller
    endless: Callable[[], AbstractContextManager[None]]


Answer = Callable[[Asked], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Route:
    """One thing to ask for. large: an answer may take a fifth of a second of the loop, so there is one at a time."""

    method: str
    path: str
    right: Right
    answer: Answer
    large: bool = False


async def _caller(asked: Asked) -> web.StreamResponse:
    """As whom somebody asks, and whether a page may offer them to change anything."""
    writes = asked.caller.may(Right.WRITE)
    return as_json({"name": asked.caller.name, "may_write": writes, "healthd": __version__})


async def _status(asked: Asked) -> web.StreamResponse:
    return as_json(await asked.actions.status("counters" in asked.http.query))


async def _servers(asked: Asked) -> web.StreamResponse:
    query = asked.http.query
    return as_json(await asked.actions.servers(query.getall("name", []), "counters" in query))


async def _explain(asked: Asked) -> web.StreamResponse:
    return as_json(await asked.actions.explain(_names(asked)))


async def _overrides(asked: Asked) -> web.StreamResponse:
    return as_json(await asked.actions.overrides())


async def _override(asked: Asked) -> web.StreamResponse:
    order = requests.order(requests.body(await asked.http.read()), asked.caller.name)
    return as_json(await asked.actions.override(order))


async def _withdraw(asked: Asked) -> web.StreamResponse:
    names, kinds = requests.withdrawal(requests.body(await asked.http.read()))
    return as_json(await asked.actions.withdraw(names, kinds, asked.caller.name))


async def _events(asked: Asked) -> web.StreamResponse:
    return as_json(await asked.actions.events(*requests.wanted(_query(asked))))


async def _follow(asked: Asked) -> web.StreamResponse:
    """Server-sent events (WHATWG HTML, 9.2): id, and the event as JSON. Last-Event-ID says where to go on."""
    last = asked.http.headers.get("Last-Event-ID", "")
    names, wanted = requests.wanted(_query(asked) | ({"after": last} if last.isascii() and last.isdigit() else {}))
    coming = asked.actions.follow(names, wanted)
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
    with asked.endless(), suppress(ConnectionResetError):
        await response.prepare(asked.http)
        async with aclosing(_with_silence(coming)) as seen:
            async for kept in seen:
                await response.write(_sent(kept))
    return response


async def _check_now(asked: Asked) -> web.StreamResponse:
    fields = requests.Fields(requests.body(await asked.http.read()))
    names = fields.take("names", requests.names_of, requests.NO_NAMES)
    fields.end()
    return as_json(await asked.actions.check_now(names))


async def _resync(asked: Asked) -> web.StreamResponse:
    return as_json(await asked.actions.resync())


async def _config(asked: Asked) -> web.StreamResponse:
    return as_json(await asked.actions.config())


async def _reload(asked: Asked) -> web.StreamResponse:
    return as_json(await asked.actions.reload(dry="dry" in asked.http.query))


async def _metrics(asked: Asked) -> web.StreamResponse:
    """The text may be many megabytes: it goes in pieces, as fast as the client reads."""
    content_type, pieces = await asked.actions.metrics(", ".join(asked.http.headers.getall("Accept", [])))
    length = str(sum(map(len, pieces)))
    response = web.StreamResponse(headers={"Content-Type": content_type, "Content-Length": length})
    with suppress(ConnectionResetError):
        await response.prepare(asked.http)
        for piece in pieces:
            await response.write(piece)
        await response.write_eof()
    return response


ROUTES = (
    Route("GET", "/v1/caller", Right.READ, _caller),
    Route("GET", "/v1/status", Right.READ, _status, large=True),
    Route("GET", "/v1/servers", Right.READ, _servers, large=True),
    Route("GET", "/v1/explain", Right.READ, _explain, large=True),
    Route("GET", "/v1/events", Right.READ, _events, large=True),
    Route("GET", "/v1/events/follow", Right.READ, _follow),
    Route("GET", "/v1/overrides", Right.READ, _overrides),
    Route("POST", "/v1/overrides", Right.WRITE, _override),
    Route("DELETE", "/v1/overrides", Right.WRITE, _withdraw),
    Route("POST", "/v1/check-now", Right.WRITE, _check_now),
    Route("POST", "/v1/resync", Right.WRITE, _resync),
    Route("GET", "/v1/config", Right.WRITE, _config, large=True),
    Route("GET", "/metrics", Right.READ, _metrics),
    Route("POST", "/v1/reload", Right.WRITE, _reload),
)


def as_json(document: Document, status: int = 200) -> web.Response:
    """A document as an answer; a number that JSON has no word for is a fault of ours."""
    return web.json_response(document, status=status, dumps=partial(json.dumps, allow_nan=False))


def error(status: int, text: str) -> web.Response:
    """Why there is no answer."""
    return as_json({"error": text}, status)


async def answered(asked: Asked, route: Route) -> web.StreamResponse:
    """The answer of a route, whatever becomes of it."""
    if not asked.caller.may(route.right):
        return error(403, f"{asked.caller.name} may not {route.method} {route.path}")
    try:
        return await route.answer(asked)
    except requests.BadRequest as fault:
        return error(400, str(fault))
    except NotFound as fault:
        return error(404, str(fault))
    except Refused as fault:
        return error(409, str(fault))


def _query(asked: Asked) -> dict[str, Any]:
    """The fields of the query; `name` is a list of all its names."""
    query = asked.http.query
    return {**query, **({"name": list(query.getall("name"))} if "name" in query else {})}


def _names(asked: Asked) -> list[str]:
    names = asked.http.query.getall("name", [])
    if not 1 <= len(names) <= 2:
        raise requests.BadRequest("name: want one or two, as in ?name=SERVICE&name=SERVER")
    return list(names)


async def _with_silence(coming: AsyncGenerator[Kept]) -> AsyncGenerator[Kept | None]:
    """What somebody follows; None now and then where nothing happens. It ends when they fell behind."""
    following = asyncio.ensure_future(anext(coming))
    try:
        while True:
            done, _ = await asyncio.wait({following}, timeout=KEEP_ALIVE)
            if not done:
                yield None
                continue
            yield following.result()
            following = asyncio.ensure_future(anext(coming))
    except FellBehind:
        return
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await coming.aclose()


def _sent(kept: Kept | None) -> bytes:
    if kept is None:
        return b": nothing new\n\n"
    return f"id: {kept.id}\ndata: {json.dumps(kept.event)}\n\n".encode()
