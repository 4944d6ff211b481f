"""One message to one receiver over HTTP, signed and with a token where that is wanted.

Whatever a receiver does, it has one deadline, a bounded answer, and no say in where the message goes: redirects are
not followed. What is told of a failure names the host and nothing else of the URL, and none of the secrets.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import os
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import partial
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_exceptions import (
    ClientConnectorCertificateError,
    ClientConnectorError,
    ClientConnectorSSLError,
    ClientSSLError,
    ServerDisconnectedError,
)

from healthd import __version__
from healthd.aside import aside
from healthd.config.files import credential
from healthd.config.hooks import host_of, key_of
from healthd.config.schema import Template, Webhook
from healthd.hooks.base import DeliveryFailed
from healthd.hooks.templates import Access, News, bodies
from healthd.log.printable import printable

ANSWER_LIMIT = 2048
SHOWN_LIMIT = 200
LONGEST_SECRET = 8192
LONGEST_WAIT = 3600.0
"""Most seconds that a receiver may ask to be left alone."""
REFUSED = frozenset({400, 413, 414, 422, 431})
"""Answers that mean this message and will be the same next time. All others may change when somebody sees to it."""


@dataclass(frozen=True, slots=True)
class Secrets:
    """What is read anew for each message."""

    url: str
    token: str = ""
    key: str = ""
    headers: tuple[str, ...] = ()

    def masked(self, text: str) -> str:
        """A text in which none of them can be read."""
        path = urlsplit(self.url)
        for secret in (self.url, path.path.strip("/"), path.query, self.token, self.key, *self.headers):
            text = text.replace(secret, "***") if len(secret) > 3 else text
        return text


class Client:
    """Sends messages; one session for all receivers. Used in one event loop."""

    def __init__(self) -> None:
        self._session: ClientSession | None = None

    async def send(self, settings: Webhook, news: News) -> None:
        """Tell a receiver all of the news. Raises DeliveryFailed unless it took them in time."""
        try:
            async with asyncio.timeout(settings.timeout):
                await self._send(settings, news)
        except TimeoutError:
            raise DeliveryFailed(f"no answer within {settings.timeout:g} s") from None

    async def close(self) -> None:
        """Release the session."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _send(self, settings: Webhook, news: News) -> None:
        secrets = await read_secrets(settings)
        url, topic = _ntfy_place(secrets.url) if settings.template is Template.NTFY else (secrets.url, "")
        context = await _context(settings) if url.startswith("https:") else True
        access = Access(topic, secrets.token)
        for number, data in enumerate(await aside(partial(_written, settings.template, news, access), "message")):
            name = news.id if number == 0 else f"{news.id}.{number}"
            headers = _headers(settings, secrets, name, data)
            try:
                await self._post(url, data, headers, context)
            except (ClientError, OSError, ValueError) as error:
                raise DeliveryFailed(f"{host_of(url)}: {secrets.masked(_why(error))}") from None
            except DeliveryFailed as failure:
                said = secrets.masked(failure.output)
                why = f"{host_of(url)} {secrets.masked(str(failure))}{f': {said}' if said else ''}"
                raise DeliveryFailed(why, final=failure.final, after=failure.after) from None

    async def _post(self, url: str, data: bytes, headers: Mapping[str, str], context: ssl.SSLContext | bool) -> None:
        if self._session is None:
            connector = TCPConnector(force_close=True, resolver=_Resolver(), use_dns_cache=False)
            self._session = ClientSession(
                connector=connector, cookie_jar=DummyCookieJar(), timeout=ClientTimeout(None), auto_decompress=False
            )
        request = self._session.post(url, data=data, headers=headers, ssl=context, allow_redirects=False)
        async with request as answer:
            if not 200 <= answer.status < 300:
                raise await _failure(answer)


def _written(template: Template, news: News, access: Access) -> list[bytes]:
    """The messages as they go. Made aside: of thousands of problems that takes a while."""
    return [json.dumps(body, separators=(",", ":")).encode() for body in bodies(template, news, access)]


async def _failure(answer: ClientResponse) -> DeliveryFailed:
    """What an answer that is no success means."""
    try:
        said = (await answer.content.read(ANSWER_LIMIT)).decode(errors="backslashreplace")
    except ClientError:
        said = ""
    shown = printable(" ".join(said.split()))[:SHOWN_LIMIT]
    status = f"answers {answer.status}{_phrase(answer.status)}"
    if 300 <= answer.status < 400:
        return DeliveryFailed(f"{status}{_elsewhere(answer)}, which is not followed")
    return DeliveryFailed(status, shown, final=answer.status in REFUSED, after=_retry_after(answer))


def _phrase(status: int) -> str:
    return f" {HTTPStatus(status).phrase}" if status in list(HTTPStatus) else ""


def _elsewhere(answer: ClientResponse) -> str:
    """The host that a redirect names."""
    try:
        return f": a redirect to {host_of(answer.headers.get('Location', ''))}"
    except ValueError:
        return ": a redirect"


def _retry_after(answer: ClientResponse) -> float:
    """Seconds of Retry-After (RFC 9110, 10.2.3): a number or a date; 0 without one that makes sense."""
    text = answer.headers.get("Retry-After", "").strip()
    try:
        seconds = float(text) if text.isdecimal() else parsedate_to_datetime(text).timestamp() - time.time()
    except (ValueError, OverflowError):
        return 0.0
    return min(max(seconds, 0.0), LONGEST_WAIT)


# --- what goes with a message -----------------------------------------------------------------------------------


def _headers(settings: Webhook, secrets: Secrets, name: str, data: bytes) -> dict[str, str]:
    headers = {"Content-Type": "application/json", "User-Agent": f"healthd/{__version__}", **dict(settings.headers)}
    if secrets.token and settings.template is not Template.PAGERDUTY:
        headers["Authorization"] = f"Bearer {secrets.token}"
    if secrets.key:
        headers |= signed(name, int(time.time()), data, key_of(secrets.key))
    return headers


def signed(name: str, at: int, data: bytes, secret: bytes) -> dict[str, str]:
    """The headers of Standard Webhooks 1.0 with symmetric signatures (v1). name: of the message. at: Unix time."""
    digest = hmac.new(secret, f"{name}.{at}.".encode() + data, hashlib.sha256).digest()
    return {
        "webhook-id": name,
        "webhook-timestamp": str(at),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def _ntfy_place(url: str) -> tuple[str, str]:
    """Where messages as JSON go, which is the server itself, and the topic."""
    found = urlsplit(url)
    base, _, topic = found.path.strip("/").rpartition("/")
    if not topic:
        raise DeliveryFailed(f"{host_of(url)}: the URL of ntfy ends with the topic, this one has none")
    return f"{found.scheme}://{found.netloc}/{base}", topic


async def read_secrets(settings: Webhook) -> Secrets:
    """The secrets of a receiver as they are now. Raises DeliveryFailed that names the file."""
    url = settings.url or await _first_line("url_file", settings.url_file)
    token = await _first_line("token_file", settings.token_file)
    secret = settings.secret or await _first_line("secret_file", settings.secret_file)
    _must("url_file", host_of, url)
    if secret:
        _must("secret_file", key_of, secret)
    if not token.isascii() or not token.isprintable():
        raise DeliveryFailed("token_file: a token has letters, digits and marks of ASCII")
    return Secrets(url, token, secret, tuple(content for _, content in settings.headers))


def _must(key: str, understand: Callable[[str], object], content: str) -> None:
    try:
        understand(content)
    except ValueError as error:
        raise DeliveryFailed(f"{key}: {error}") from None


async def _first_line(key: str, file: Path | None) -> str:
    if file is None:
        return ""
    path = credential(file)
    if path is None:
        raise DeliveryFailed(f"{key}: '{file}' is the name of a credential, but systemd gave healthd none")
    try:
        with_end = await aside(partial(_read, path), key)
    except OSError as error:
        raise DeliveryFailed(f"{key}: {path}: {error.strerror or error}") from None
    line = with_end.decode(errors="replace").partition("\n")[0].strip()
    if not line:
        raise DeliveryFailed(f"{key}: {path} is empty")
    return line


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(LONGEST_SECRET)


async def _context(settings: Webhook) -> ssl.SSLContext:
    """Made aside: the system's authorities take a while."""
    file = settings.ca_file

    def make() -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=file)
        if not settings.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    try:
        return await aside(make, "authorities")
    except OSError as error:
        raise DeliveryFailed(f"ca_file: {file}: {error.strerror or error}") from None


class _Resolver(AbstractResolver):
    """Names are looked up aside, so that a name server that keeps silent holds nothing but this message."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Every address of a host."""
        look_up = partial(socket.getaddrinfo, host, port, family, socket.SOCK_STREAM)
        found = await aside(look_up, f"address of {host}")
        return [
            ResolveResult(
                hostname=host, host=str(one[4][0]), port=port, family=one[0], proto=one[2], flags=socket.AI_NUMERICHOST
            )
            for one in found
        ]

    async def close(self) -> None:
        """There is nothing to release."""


# --- words ------------------------------------------------------------------------------------------------------


def _why(error: BaseException) -> str:
    """What went wrong, in one printable line. What the library says itself may hold the whole URL."""
    match error:
        case ClientConnectorCertificateError():
            told = getattr(error.certificate_error, "verify_message", "") or type(error.certificate_error).__name__
            return f"TLS: the certificate is not trusted: {told}"
        case ClientConnectorSSLError() | ClientSSLError():
            return f"TLS: {(getattr(error, 'os_error', None) or error).__class__.__name__}"
        case ClientConnectorError():
            return f"cannot connect: {_why(error.os_error)}"
        case ServerDisconnectedError():
            return "it closed the connection without an answer"
        case OSError(errno=int(number)) if number > 0:
            return os.strerror(number)
        case OSError():
            return printable(error.strerror or type(error).__name__)
        case _:
            return f"not a proper answer ({type(error).__name__})"
