# ruff: noqa: D102 - converse, probe and the sink are what their contracts say

"""Conversations for the prober's tests, each with as little protocol as its test needs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from healthd.check import (
    CheckFailed,
    Connect,
    Conversation,
    Datagram,
    Echo,
    Keep,
    Passed,
    Reader,
    Reason,
    Receive,
    Run,
    Send,
    StartTls,
    Target,
    Tls,
)


@dataclass(frozen=True, slots=True)
class Tcp:
    """Connect."""

    tls: Tls | None = None
    name: str | None = None
    kind: ClassVar[str] = "tcp"

    def converse(self, target: Target) -> Conversation:
        connected = yield Connect(tls=self.tls, server_name=self.name)
        return "connected" if connected.tls is None else f"connected with {connected.tls.version}"


@dataclass(frozen=True, slots=True)
class Line:
    """Send a line, want it back."""

    line: bytes = b"hello\n"
    tls: Tls | None = None
    name: str | None = None
    reuse: int = 0
    kind: ClassVar[str] = "line"

    def converse(self, target: Target) -> Conversation:
        connected = yield Connect(tls=self.tls, server_name=self.name, reuse=self.reuse)
        try:
            line = yield from self._ask()
        except CheckFailed:
            if not connected.reused:
                raise
            yield Connect(tls=self.tls, server_name=self.name, fresh=True)
            line = yield from self._ask()
        if self.reuse:
            yield Keep()
        if line != self.line.rstrip():
            raise CheckFailed(Reason.UNEXPECTED, f"got {line!r}")
        return line.decode()

    def _ask(self) -> Any:
        yield Send(self.line)
        return (yield from Reader().line())


@dataclass(frozen=True, slots=True)
class Upgrade:
    """STARTTLS in its smallest form, then a line."""

    tls: Tls = Tls()
    name: str | None = None
    kind: ClassVar[str] = "upgrade"

    def converse(self, target: Target) -> Conversation:
        yield Connect()
        yield Send(b"secure\n")
        if (yield from Reader().line()) != b"go":
            raise CheckFailed(Reason.UNEXPECTED, "no go")
        facts = yield StartTls(self.tls, self.name)
        yield Send(b"hello\n")
        line = yield from Reader().line()
        return f"{line.decode()} by {facts.version}"


@dataclass(frozen=True, slots=True)
class Udp:
    """Send a datagram, want one back that begins with `want`, and pass over others."""

    data: bytes = b"hello"
    want: bytes = b"hello"
    own_port: bool = True
    kind: ClassVar[str] = "udp"

    def converse(self, target: Target) -> Conversation:
        yield Datagram(own_port=self.own_port)
        yield Send(self.data)
        while not (answer := (yield Receive())).startswith(self.want):
            pass
        return answer.decode()


@dataclass(frozen=True, slots=True)
class Ping:
    """One echo."""

    payload: bytes = b"are you there"
    kind: ClassVar[str] = "ping"

    def converse(self, target: Target) -> Conversation:
        answer = yield Echo(self.payload)
        if answer != self.payload:
            raise CheckFailed(Reason.UNEXPECTED, f"got {answer!r}")
        return "alive"


@dataclass(frozen=True, slots=True)
class Script:
    """Run a program, want status 0."""

    argv: tuple[str, ...] = ("/bin/true",)
    kind: ClassVar[str] = "script"

    def converse(self, target: Target) -> Conversation:
        ran = yield Run(self.argv)
        if ran.status:
            raise CheckFailed(Reason.UNEXPECTED, f"status {ran.status}")
        return ran.output.decode()


@dataclass(frozen=True)
class Steps:
    """Whatever generator function it is given."""

    talk: Callable[[Target], Conversation]
    kind: ClassVar[str] = "steps"

    def converse(self, target: Target) -> Conversation:
        return self.talk(target)


@dataclass(frozen=True)
class Coroutine:
    """Whatever coroutine function it is given."""

    work: Callable[[Target], Any]
    kind: ClassVar[str] = "coroutine"

    async def probe(self, target: Target) -> str | Passed:
        await asyncio.sleep(0)
        return await self.work(target)  # type: ignore[no-any-return]
