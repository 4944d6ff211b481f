"""Checks for tests of processes: importable by the prober process as well."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from healthd.check import Conversation, Inconclusive, Ran, Run, Target


@dataclass(frozen=True, slots=True)
class SaysCheck:
    """Passes with a text, whomever it asks."""

    kind: ClassVar[str] = "says"
    text: str = "fine"

    def converse(self, target: Target) -> Conversation:
        """Nothing is asked."""
        return self.text
        yield  # a generator all the same


@dataclass(frozen=True, slots=True)
class FactsCheck:
    """Passes with facts about the process that asks."""

    kind: ClassVar[str] = "facts"

    def converse(self, target: Target) -> Conversation:
        """Nothing is asked."""
        import sys

        heavy = {"aiohttp", "pydantic", "pyroute2", "structlog", "rich", "tree_sitter"} & set(sys.modules)
        netns = Path("/proc/self/ns/net").stat().st_ino
        return f"pid={os.getpid()} heavy={sorted(heavy)} netns={netns} uid={os.getuid()}"
        yield


@dataclass(frozen=True, slots=True)
class ProgramCheck:
    """Passes with what a program prints."""

    kind: ClassVar[str] = "program"
    argv: tuple[str, ...] = ("/bin/true",)
    user: str | None = None
    sneaky_user: str | None = None

    def converse(self, target: Target) -> Conversation:
        """Run it, as `sneaky_user` if there is one, which the director is not told."""
        ran: Ran = yield Run(self.argv, user=self.sneaky_user or self.user, netns=target.netns)
        if ran.status:
            raise Inconclusive(f"status {ran.status}")
        return ran.output.decode().strip()


@dataclass(frozen=True, slots=True)
class HangsCheck:
    """Stops the whole prober while a file is there, as a regular expression that never ends would."""

    kind: ClassVar[str] = "hangs"
    path: str = ""

    def converse(self, target: Target) -> Conversation:
        """Hang."""
        while Path(self.path).exists():
            time.sleep(0.01)
        return "went on"
        yield


@dataclass(frozen=True, slots=True)
class CrashesCheck:
    """Ends the prober the hard way while a file is there."""

    kind: ClassVar[str] = "crashes"
    path: str = ""

    def converse(self, target: Target) -> Conversation:
        """Crash."""
        if Path(self.path).exists():
            os.abort()
        return "survived"
        yield


@dataclass(frozen=True, slots=True)
class JunkCheck:
    """Sends the director what no prober sends, as a prober would that somebody has taken over."""

    kind: ClassVar[str] = "junk"
    packet: bytes = b""
    path: str = ""

    def converse(self, target: Target) -> Conversation:
        """Find the control socket and misuse it."""
        import socket

        if not Path(self.path).exists():
            return "honest"
        for fd in [int(link.name) for link in Path("/proc/self/fd").iterdir()]:
            try:
                sock = socket.socket(fileno=os.dup(fd))
            except OSError:
                continue
            with sock:
                if sock.type == socket.SOCK_SEQPACKET:
                    sock.send(self.packet)
        return "sent"
        yield
