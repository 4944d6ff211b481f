"""An SMTP server (aiosmtpd) in the test's own loop, that keeps what it is given and can be told to be difficult."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session


@dataclass
class Post:
    """What arrived.

    replies: what RCPT TO of an address is answered with, instead of being taken. thinking: seconds until the answer to
    a mail that it has.
    """

    port: int = 0
    envelopes: list[Envelope] = field(default_factory=list)
    over_tls: list[bool] = field(default_factory=list)
    logins: list[tuple[str, str]] = field(default_factory=list)
    replies: dict[str, str] = field(default_factory=dict)
    data_reply: str = ""
    thinking: float = 0.0
    sessions: int = 0

    @property
    def server(self) -> str:
        """For the configuration."""
        return f"127.0.0.1:{self.port}"

    @property
    def mails(self) -> list[EmailMessage]:
        """What arrived, parsed."""
        return [message_from_bytes(envelope.content, policy=default) for envelope in self.envelopes]

    # --- what aiosmtpd calls ---------------------------------------------------------------------------------------

    async def handle_RCPT(self, server, session: Session, envelope: Envelope, address: str, options) -> str:
        """Take a recipient, or not."""
        reply = self.replies.get(address)
        if reply:
            return reply
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session: Session, envelope: Envelope) -> str:
        """Keep a mail."""
        if self.data_reply:
            return self.data_reply
        self.envelopes.append(envelope)
        await asyncio.sleep(self.thinking)
        self.over_tls.append(session.ssl is not None or server.transport.get_extra_info("sslcontext") is not None)
        return "250 queued"

    def authenticate(self, server, session, envelope, mechanism, data) -> AuthResult:
        """Ann may come in."""
        assert isinstance(data, LoginPassword)
        self.logins.append((data.login.decode(), data.password.decode()))
        # handled: whether the answer has been sent already
        return AuthResult(success=self.logins[-1] == ("ann", "s3cret"), handled=False)


@contextlib.asynccontextmanager
async def post_office(
    *, starttls: ssl.SSLContext | None = None, tls: ssl.SSLContext | None = None, **options: object
) -> AsyncIterator[Post]:
    """A server on loopback. starttls: offered with this. tls: spoken from the first byte. options: of aiosmtpd."""
    post = Post()

    def session() -> SMTP:
        post.sessions += 1
        more: Mapping[str, object] = {"authenticator": post.authenticate, "auth_require_tls": False, **options}
        return SMTP(post, hostname="mail.test", tls_context=starttls, enable_SMTPUTF8=True, **more)

    server = await asyncio.get_running_loop().create_server(session, "127.0.0.1", 0, ssl=tls)
    post.port = server.sockets[0].getsockname()[1]
    try:
        yield post
    finally:
        server.close()
        await server.wait_closed()


@contextlib.asynccontextmanager
async def speaking(lines: bytes | None, *, then_close: bool) -> AsyncIterator[Post]:
    """A server that says this to everybody and nothing else. lines: None for not a word."""
    post = Post()
    writers: list[asyncio.StreamWriter] = []

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        post.sessions += 1
        writers.append(writer)
        writer.write(lines or b"")
        if then_close:
            writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    post.port = server.sockets[0].getsockname()[1]
    try:
        yield post
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await server.wait_closed()
