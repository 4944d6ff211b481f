"""The two that are compared on one ldirectord.cf: each is started, tells what it let in and took out, and is ended."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from healthd.control import ask

LDIRECTORD = "/usr/sbin/ldirectord"
GRACE = 20.0
EVENT = re.compile(r"^(\S+Z) \S+ +server-(?:up|down): .*? real=(\S+) .*? weight=(\d+)")


@dataclass(frozen=True, slots=True)
class Move:
    """A server was let in (its weight is above 0) or taken out of a service. at: seconds since the epoch."""

    at: float
    server: str
    is_in: bool


@dataclass(frozen=True, slots=True)
class Counts:
    """Reads of the whole table and writes to it since the start."""

    reads: int
    writes: int

    def __sub__(self, other: Counts) -> Counts:
        return Counts(self.reads - other.reads, self.writes - other.writes)


class Director(Protocol):
    """One contestant while it runs. output: the file with what it says."""

    name: str
    output: Path
    process: subprocess.Popen[bytes]

    def moves(self) -> Iterator[Move]:
        """What it has done since this was last asked."""

    def counts(self) -> Counts:
        """How often it read and wrote."""


class Lines:
    """The lines that a file has got since they were last asked for; a line that is not whole yet waits."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def __iter__(self) -> Iterator[str]:
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        whole = data.rfind(b"\n") + 1
        self._offset += whole
        yield from data[:whole].decode(errors="replace").splitlines()


def started(argv: list[str], output: Path) -> subprocess.Popen[bytes]:
    """A process that works in the folder of its output."""
    with output.open("wb") as said:
        return subprocess.Popen(argv, cwd=output.parent, stdin=subprocess.DEVNULL, stdout=said, stderr=said)


class Ldirectord:
    """Debian's, unmodified; `-d` makes it run in the foreground and use the ipvsadm of its working folder."""

    name = "ldirectord"

    def __init__(self, config: Path) -> None:
        folder = config.parent
        self._lines = Lines(folder / "ipvsadm.log")
        self._counts = Counts(0, 0)
        argv = ["perl", LDIRECTORD, "-d", str(config), "start"]
        self.output = folder / "ldirectord.out"
        self.process = started(argv, self.output)

    def moves(self) -> Iterator[Move]:
        """As the stand-in noted them."""
        for line in self._lines:
            at, verb, *words = line.split()
            reads = verb == "read"
            self._counts = Counts(self._counts.reads + reads, self._counts.writes + (not reads))
            if verb in ("-a", "-e", "-d"):
                yield Move(float(at), words[1], verb != "-d" and words[2] != "0")

    def counts(self) -> Counts:
        """As far as `moves` has read; each reading of the table is two calls of ipvsadm."""
        return Counts(self._counts.reads // 2, self._counts.writes)


class Healthd:
    """The whole daemon in the foreground, as ldirectord is called, on a table in memory."""

    name = "healthd"

    def __init__(self, config: Path) -> None:
        folder = config.parent
        self.output = folder / "healthd.out"
        self._lines = Lines(self.output)
        self._socket = folder / "healthd" / f"ldirectord.{config.name}.sock"
        own = ["--table", "memory", "--run", str(folder), "--locks", str(folder / "locks")]
        log = ["--log-style", "healthd", "--log-level", "info"]
        argv = [sys.executable, "-m", "healthd", "ldirectord", "-d", *own, *log, str(config), "start"]
        self.process = started(argv, self.output)

    def moves(self) -> Iterator[Move]:
        """As its log tells them, once the table has acknowledged them."""
        for found in filter(None, map(EVENT.match, self._lines)):
            at, server, weight = found.groups()
            yield Move(datetime.fromisoformat(at).timestamp(), server, weight != "0")

    def counts(self) -> Counts:
        """As its status document has them."""
        table = ask(self._socket, "GET", "/v1/status")["table"]
        return Counts(table["reads"], table["writes"])


CONTESTANTS: dict[str, type[Ldirectord] | type[Healthd]] = {"ldirectord": Ldirectord, "healthd": Healthd}


def available() -> list[str]:
    """Who can be had on this machine."""
    return [name for name in CONTESTANTS if name != "ldirectord" or shutil.which(LDIRECTORD)]


def end(director: Director) -> None:
    """End it. What it leaves in its table does not matter."""
    director.process.terminate()
    try:
        director.process.wait(GRACE)
    except subprocess.TimeoutExpired:
        director.process.kill()
        director.process.wait()
