# ruff: noqa: D102 - converse, probe and the sink are what their contracts say

"""CPU of the whole prober per probe: `python benchmarks/engine.py tcp|http|dns [targets] [interval] [seconds]`.

Asks so many loopback addresses (127.x.y.z) of one small server that this starts itself: C if there is a compiler, else
an epoll loop in another Python process. Prints microseconds of user and system time for each probe, memory, lateness.
On loopback the prober also pays the server's share of the handshake, so compare ratios and not absolute numbers.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import ClassVar

from healthd.check import CheckFailed, Connect, Conversation, Datagram, Reason, Receive, Send, Target
from healthd.health import Health, Thresholds
from healthd.prober.base import Cadence, Observation, Probe, Summary, Watch
from healthd.prober.local import LocalProber

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Tcp:
    """Connect."""

    kind: ClassVar[str] = "tcp"

    def converse(self, target: Target) -> Conversation:
        yield Connect()
        return "connected"


@dataclass(frozen=True, slots=True)
class Http:
    """GET with the least parsing that is honest."""

    kind: ClassVar[str] = "http"

    def converse(self, target: Target) -> Conversation:
        yield Connect()
        yield Send(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        head = b""
        while b"\r\n\r\n" not in head:
            data = yield Receive()
            if not data:
                raise CheckFailed(Reason.PROTOCOL, "connection closed")
            head += data
        if not head.startswith(b"HTTP/1.1 200"):
            raise CheckFailed(Reason.UNEXPECTED, "not 200")
        return "got 200"


@dataclass(frozen=True, slots=True)
class Dns:
    """A datagram by a shared socket, echoed."""

    kind: ClassVar[str] = "dns"

    def converse(self, target: Target) -> Conversation:
        yield Datagram(own_port=False)
        yield Send(b"\x12\x34\x01\0\0\1\0\0\0\0\0\0\7example\3com\0\0\1\0\1")
        answer = yield Receive(4096)
        if answer[:2] != b"\x12\x34":
            raise CheckFailed(Reason.UNEXPECTED, "not ours")
        return "answered"


CHECKS = {"tcp": Tcp(), "http": Http(), "dns": Dns()}


class Book:
    """A sink that adds up."""

    def __init__(self) -> None:
        self.summaries: list[Summary] = []
        self.bad: list[Observation] = []

    def observed(self, batch: Sequence[Observation]) -> None:
        self.bad += [one for one in batch if one.verdict.outcome.value != "pass"]

    def summarised(self, summary: Summary) -> None:
        self.summaries.append(summary)

    def lost(self, why: str) -> None:
        raise RuntimeError(why)


def server(kind: str, folder: Path) -> tuple[subprocess.Popen[bytes], int]:
    """Start the server; its process and port."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler:
        program = folder / "server"
        subprocess.run([compiler, "-O2", "-o", program, HERE / "server.c"], check=True)
        command = [str(program), kind]
    else:
        command = [sys.executable, str(HERE / "server.py"), kind]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def probes(kind: str, count: int, interval: float, port: int) -> list[Probe]:
    """One probe for each of so many addresses."""
    base = int(IPv4Address("127.10.0.1"))
    cadence = Cadence(interval, min(1.0, interval))
    return [
        Probe(n, CHECKS[kind], Target(IPv4Address(base + n), port), cadence, (Watch(n, Thresholds(), Health()),))
        for n in range(count)
    ]


def used() -> tuple[float, float]:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime, usage.ru_stime


def resident() -> float:
    """MB of memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


async def measure(kind: str, count: int, interval: float, seconds: float, port: int) -> None:
    book = Book()
    prober = LocalProber(book, forks=False)
    await prober.assign(probes(kind, count, interval, port))
    await asyncio.sleep(max(2.0, interval * 1.5))
    book.summaries.clear()
    user, system = used()
    start = time.monotonic()
    await asyncio.sleep(seconds)
    user, system = used()[0] - user, used()[1] - system
    took = time.monotonic() - start
    done = sum(s.passed + s.failed + s.inconclusive for s in book.summaries)
    p50 = sorted(s.lateness_p50 for s in book.summaries)[len(book.summaries) // 2]
    p99 = sorted(s.lateness_p99 for s in book.summaries)[len(book.summaries) // 2]
    worst = max(s.lateness_p99 for s in book.summaries)
    print(
        f"{kind} {count} @{interval:g} s: {1e6 * (user + system) / done:.1f} us/probe "
        f"(user {1e6 * user / done:.1f} sys {1e6 * system / done:.1f}) {done / took:.0f}/s "
        f"lateness p50 {p50 * 1e3:.1f} p99 {p99 * 1e3:.1f} worst p99 {worst * 1e3:.1f} ms, "
        f"missed {sum(s.missed for s in book.summaries)} stalls {sum(s.stalls for s in book.summaries)} "
        f"not passed {len(book.bad)} memory {resident():.0f} MB"
    )
    for one in book.bad[:3]:
        print("  ", one.verdict)
    await prober.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=CHECKS)
    parser.add_argument("targets", type=int, nargs="?", default=10_000)
    parser.add_argument("interval", type=float, nargs="?", default=1.0)
    parser.add_argument("seconds", type=float, nargs="?", default=8.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        process, port = server(options.kind, Path(folder))
        try:
            asyncio.run(measure(options.kind, options.targets, options.interval, options.seconds, port))
        finally:
            process.kill()
            process.wait()


if __name__ == "__main__":
    main()
