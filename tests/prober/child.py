"""A prober in a process of its own, for tests that stop it or take something away from it.

`python -m tests.prober.child JSON`: {"probes": [{"check", "address", "port", ...}], "files": descriptors it may have
beyond those open}. Prints a JSON object for each observation and summary, until its standard input ends.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any

from healthd.check import Target
from healthd.health import Health, Phase
from healthd.prober.base import Observation, Probe, Summary
from healthd.prober.local import LocalProber
from tests.prober.stage import probe
from tests.prober.talk import Line, Ping, Tcp, Udp

CHECKS = {"tcp": Tcp(), "line": Line(), "udp": Udp(), "shared": Udp(own_port=False), "ping": Ping()}


class Printer:
    """A sink that prints."""

    def observed(self, batch: Sequence[Observation]) -> None:
        """One line for each."""
        for one in batch:
            verdict = one.verdict
            say(probe=one.probe, outcome=verdict.outcome.value, reason=verdict.reason.value, detail=verdict.detail)

    def summarised(self, summary: Summary) -> None:
        """One line."""
        say(passed=summary.passed, failed=summary.failed, stalls=summary.stalls, missed=summary.missed)

    def lost(self, why: str) -> None:
        """Not here."""


def say(**fields: Any) -> None:
    """Print one object."""
    print(json.dumps(fields), flush=True)


def probe_of(number: int, row: dict[str, Any]) -> Probe:
    """A probe from its JSON; its server counts as up."""
    source = row.get("source")
    target = Target(
        ip_address(row["address"]), row["port"], source and ip_address(source), row.get("interface"), row.get("mark")
    )
    cadence = {"interval": row.get("interval", 0.2), "timeout": row.get("timeout", 20.0)}
    return probe(number, CHECKS[row["check"]], target, health=Health(Phase.UP), **cadence)


async def run(orders: dict[str, Any]) -> None:
    """Probe until the standard input ends."""
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    os.set_blocking(0, False)
    loop.add_reader(0, lambda: os.read(0, 1) or over.set())
    prober = LocalProber(Printer(), seed=1)
    if "files" in orders:
        used = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - the directory's own descriptor included
        resource.setrlimit(resource.RLIMIT_NOFILE, (used - 1 + orders["files"],) * 2)
    await prober.assign([probe_of(n, row) for n, row in enumerate(orders["probes"])])
    say(ready=True)
    await over.wait()
    await prober.close()


if __name__ == "__main__":
    asyncio.run(run(json.loads(sys.argv[1])))
