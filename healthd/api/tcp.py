"""The status page and the API on TCP.

Traffic matters more than a page: an address that cannot be had now is told once, tried again until it can, and never
keeps the daemon from starting.
"""

from __future__ import annotations

import asyncio
import logging
import ssl

from aiohttp import web

from healthd.api.actions import Actions
from healthd.api.door import LONGEST_GREETING, MOST_CLIENTS, Door
from healthd.api.files import add_rules, page_files
from healthd.api.routes import ROUTES
from healthd.api.visitors import Visitor, admit, visitor
from healthd.config.schema import HttpSettings

logger = logging.getLogger(__name__)

TRY_AGAIN = 10.0
NOBODY_TO_ASK = b"\0"
"""A password that no key has: one that needs a password then fails at once."""


class HttpListener:
    """Answers on TCP where the settings say so.

    retry: seconds until an address is tried again. greeting: seconds that a connection may take to be made.
    """

    def __init__(self, settings: HttpSettings, retry: float = TRY_AGAIN, greeting: float = LONGEST_GREETING) -> None:
        self._settings = settings
        self._listen = settings.listen
        self._retry = retry
        self._greeting = greeting
        self._door: Door | None = None
        self._tls: ssl.SSLContext | None = None
        self._servers: list[asyncio.Server] = []
        self._opening: list[asyncio.Task[None]] = []

    async def start(self, actions: Actions) -> None:
        """Begin to answer: what can be had at once, at once."""
        if not self._listen:
            return
        self._door = Door(actions, self._visitor, ROUTES, page_files(self._admit), self._greeting)
        self._door.app.on_response_prepare.append(add_rules)
        await self._door.open()
        for address in self._listen:
            if not await self._open(self._door, address, told=False):
                retrying = self._keep_trying(self._door, address)
                self._opening.append(asyncio.get_running_loop().create_task(retrying, name="http"))

    def apply(self, settings: HttpSettings) -> None:
        """Go by other settings from now on, but for where to listen and whether by TLS; certificates are read anew."""
        if settings != self._settings and self._door:
            self._door.dismiss_followers()
        self._settings = settings
        if self._tls is not None and settings.cert_file is not None:
            try:
                self._tls = _tls(settings)
            except OSError as error:
                logger.error("the certificate %s cannot be used, the old one stays: %s", settings.cert_file, error)

    async def close(self) -> None:
        """Stop answering."""
        for task in self._opening:
            task.cancel()
        await asyncio.gather(*self._opening, return_exceptions=True)
        for server in self._servers:
            server.close()
        if self._door:
            await self._door.close()

    async def _keep_trying(self, door: Door, address: tuple[str, int]) -> None:
        while True:
            await asyncio.sleep(self._retry)
            if await self._open(door, address, told=True):
                return

    async def _open(self, door: Door, address: tuple[str, int], *, told: bool) -> bool:
        """Listen on an address; whether that could be done. told: it has been said already that it cannot."""
        host, port = address
        try:
            outer = self._outer_tls()
            server = await asyncio.get_running_loop().create_server(
                door.accept,
                host,
                port,
                ssl=outer,
                backlog=MOST_CLIENTS,
                ssl_handshake_timeout=self._greeting if outer else None,
            )
        except OSError as error:
            if not told:
                logger.error("no status page on %s, tried again every %g s: %s", _shown(*address), self._retry, error)
            return False
        self._servers.append(server)
        for sock in server.sockets:
            scheme = "https" if outer else "http"
            logger.info("the status page is at %s://%s/", scheme, _shown(*sock.getsockname()[:2]))
        return True

    def _outer_tls(self) -> ssl.SSLContext | None:
        """A context whose connections take the newest certificate, whatever name is asked for. Raises OSError."""
        if self._settings.cert_file is None:
            return None
        self._tls = outer = _tls(self._settings)
        outer.sni_callback = self._take_newest
        return outer

    def _take_newest(self, connection: ssl.SSLObject, name: str | None, outer: ssl.SSLContext) -> None:
        if self._tls is not None:
            connection.context = self._tls

    def _visitor(self, request: web.Request) -> Visitor:
        return visitor(self._settings, request)

    def _admit(self, request: web.Request) -> None:
        admit(self._settings, request)


def _tls(settings: HttpSettings) -> ssl.SSLContext:
    assert settings.cert_file is not None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(settings.cert_file, settings.key_file, password=NOBODY_TO_ASK)
    return context


def _shown(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
