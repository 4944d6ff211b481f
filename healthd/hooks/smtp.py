"""One mail to one SMTP server (RFC 5321), encrypted (RFC 3207, RFC 8314) and logged in (RFC 4954) where that is wanted.

aiosmtplib speaks the protocol. Names are looked up aside and the socket is ours, so that neither a name server nor a
mail server that keeps silent holds anything that others need.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from functools import partial
from ipaddress import ip_address
from typing import Any

from aiosmtplib import SMTP, SMTPConnectError, SMTPException, SMTPRecipientsRefused, SMTPResponseException

from healthd.aside import aside
from healthd.config.schema import MailSettings, MailTls
from healthd.hooks.base import DeliveryFailed
from healthd.log.printable import printable

PORT, TLS_PORT = 25, 465
CONNECT = 15.0
"""Seconds that one address of the server may take."""
TAKING = 600.0
"""Seconds that a server may take to think about a mail (RFC 5321, 4.5.3.2.6). Who gives up earlier sends it twice."""
GOODBYE = 2.0
LONGEST_REPLY = 300
FOR_GOOD = 500

Place = tuple[socket.AddressFamily, Any]


@dataclass(frozen=True, slots=True)
class Envelope:
    """Who sends to whom; the addresses are bare."""

    sender: str
    recipients: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of a mail. later: recipients that were put off. refused: those refused for good, each with why."""

    later: tuple[str, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)


def host_and_port(settings: MailSettings) -> tuple[str, int]:
    """Where the mail server is. An IPv6 address stands in brackets."""
    server = settings.server or ""
    host, colon, port = server.rpartition(":")
    if colon and not server.endswith("]"):
        return host.strip("[]"), int(port)
    return server.strip("[]"), TLS_PORT if settings.tls is MailTls.TLS else PORT


async def send(settings: MailSettings, envelope: Envelope, message: EmailMessage, deadline: float) -> Sent:
    """Send one mail. deadline: seconds until the server must be ready for it.

    Raises DeliveryFailed if it was taken for nobody at all. A reply of 5xx is final (RFC 5321, 4.2.1), except as a
    greeting: that is of the server's own trouble.
    """
    try:
        async with _limited(deadline, "the server was not ready"):
            client = await _ready(settings)
        return await _send(client, settings, envelope, message)
    except SMTPResponseException as error:
        final = error.code >= FOR_GOOD and not isinstance(error, SMTPConnectError)
        raise DeliveryFailed(f"{settings.server}: {_reply(error.code, error.message)}", final=final) from None
    except (SMTPException, OSError, ValueError) as error:
        raise DeliveryFailed(f"{settings.server}: {_why(error)}") from None


@asynccontextmanager
async def _limited(seconds: float, what: str) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise TimeoutError(f"{what} within {seconds:g} s") from None


async def _send(client: SMTP, settings: MailSettings, envelope: Envelope, message: EmailMessage) -> Sent:
    try:
        try:
            async with _limited(TAKING, "the mail was not taken"):
                errors, _ = await client.send_message(message, sender=envelope.sender, recipients=envelope.recipients)
        except SMTPRecipientsRefused as error:
            return _nobody(settings, {one.recipient: (one.code, one.message) for one in error.recipients})
        await _say_goodbye(client)
        return _told({address: (reply.code, reply.message) for address, reply in errors.items()})
    finally:
        _drop(client)


def _told(errors: Mapping[str, tuple[int, str]]) -> Sent:
    later = tuple(address for address, (code, _) in errors.items() if code < FOR_GOOD)
    refused = {address: _reply(*reply) for address, reply in errors.items() if reply[0] >= FOR_GOOD}
    return Sent(later, refused)


def _nobody(settings: MailSettings, errors: Mapping[str, tuple[int, str]]) -> Sent:
    """No recipient was taken: if that is for good for all of them, there is nothing left to do."""
    sent = _told(errors)
    if not sent.later:
        told = "; ".join(f"{address}: {why}" for address, why in sent.refused.items())
        raise DeliveryFailed(f"{settings.server} refuses {told}", final=True)
    return sent


# --- connecting -------------------------------------------------------------------------------------------------


async def _ready(settings: MailSettings) -> SMTP:
    """A connection on which mail can be sent: encrypted and logged in as the settings say."""
    required = settings.tls is MailTls.STARTTLS or (settings.tls is MailTls.AUTO and settings.username is not None)
    if settings.tls is MailTls.AUTO and not required:
        return await _encrypted_if_possible(settings)
    client = await _connected(settings, await _context(settings, verify=settings.verify))
    try:
        if required:
            await client.starttls()
        if settings.username is not None:
            await client.login(settings.username, await password_of(settings))
    except BaseException:
        _drop(client)
        raise
    return client


async def _encrypted_if_possible(settings: MailSettings) -> SMTP:
    """Encrypted for whoever answers, or else not: this keeps mail from being read in passing and promises no more."""
    client = await _connected(settings, await _context(settings, verify=False))
    try:
        await client.starttls()
    except (SMTPException, OSError) as error:
        offered = client.supports_extension("starttls") or isinstance(error, OSError)
        if client.is_connected and not offered:
            return client
        _drop(client)
        return await _connected(settings, None)
    except BaseException:
        _drop(client)
        raise
    return client


async def _connected(settings: MailSettings, context: ssl.SSLContext | None) -> SMTP:
    """The server has greeted."""
    host, port = host_and_port(settings)
    connection = await _connect(await _places(host, port))
    client = SMTP(
        hostname=host,
        sock=connection,
        local_hostname=_own_name(connection),
        use_tls=settings.tls is MailTls.TLS,
        start_tls=False,
        tls_context=context,
        timeout=None,
    )
    try:
        await client.connect()
    except BaseException:
        _drop(client)
        connection.close()
        raise
    return client


async def _context(settings: MailSettings, *, verify: bool) -> ssl.SSLContext:
    """Made aside: the system's authorities take a while."""
    file = settings.ca_file

    def make() -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=file)
        if not verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    try:
        return await aside(make, "authorities")
    except OSError as error:
        raise DeliveryFailed(f"{file}: {_why(error)}") from None


async def password_of(settings: MailSettings) -> str:
    """The password, which may stand in a file's first line."""
    if settings.password_file is None:
        return settings.password or ""
    try:
        text = await aside(partial(settings.password_file.read_text, "utf-8"), "password")
    except (OSError, UnicodeError) as error:
        raise DeliveryFailed(f"{settings.password_file}: {_why(error)}") from None
    return text.partition("\n")[0].rstrip("\r")


async def _places(host: str, port: int) -> list[Place]:
    """Every address of the server."""

    def look_up() -> list[Place]:
        return [(one[0], one[4]) for one in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]

    try:
        return await aside(look_up, f"address of {host}")
    except (OSError, UnicodeError) as error:
        raise DeliveryFailed(f"no address of {host} is known: {_why(error)}") from None


async def _connect(places: Sequence[Place]) -> socket.socket:
    """A connection to the first place that takes one."""
    errors: list[str] = []
    for family, address in places:
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            connection.setblocking(False)
            async with asyncio.timeout(CONNECT):
                await asyncio.get_running_loop().sock_connect(connection, address)
        except TimeoutError:
            errors.append(f"{address[0]} port {address[1]}: no answer within {CONNECT:g} s")
        except OSError as error:
            errors.append(f"{address[0]} port {address[1]}: {_why(error)}")
        except BaseException:
            connection.close()
            raise
        else:
            return connection
        connection.close()
    raise DeliveryFailed(f"cannot connect: {'; '.join(errors)}")


def _own_name(connection: socket.socket) -> str:
    """What to call ourselves: our name if it is a full one, otherwise our address (RFC 5321, 4.1.4)."""
    name = socket.gethostname()
    if "." in name and name.isascii() and name.replace("-", "").replace(".", "").isalnum():
        return name
    address = ip_address(connection.getsockname()[0].partition("%")[0])
    return f"[{address}]" if address.version == 4 else f"[IPv6:{address}]"


async def _say_goodbye(client: SMTP) -> None:
    """The mail is the server's; what it says to QUIT changes nothing."""
    with suppress(SMTPException, OSError):
        await client.quit(timeout=GOODBYE)


def _drop(client: SMTP) -> None:
    transport = client.transport
    client.close()
    if isinstance(transport, asyncio.WriteTransport):
        transport.abort()  # a server that reads nothing would keep it open for ever


# --- words ------------------------------------------------------------------------------------------------------


def _reply(code: int, text: str) -> str:
    said = printable(" ".join(text.split()))[:LONGEST_REPLY]
    return f"{code} {said}".strip() if code > 0 else said


def _why(error: BaseException) -> str:
    """What went wrong, in one printable line; what the library wraps says more than its wrapping."""
    match error:
        case SMTPConnectError() if error.__cause__ is not None:
            return _why(error.__cause__)
        case ssl.SSLCertVerificationError():
            return f"TLS: the certificate is not trusted: {error.verify_message}"
        case ssl.SSLError():
            return f"TLS: {(error.reason or str(error)).replace('_', ' ').lower()}"
        case SMTPException():
            return printable(str(error))
        case OSError(errno=int(number)) if number > 0:  # the loop puts its own text into strerror
            return os.strerror(number)
        case OSError():
            return printable(error.strerror or str(error) or type(error).__name__)
        case _:
            return printable(str(error))
