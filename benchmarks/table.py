"""What reading and writing the kernel's IPVS table costs, beside ipvsadm.

Runs where the kernel has IPVS, as root; in the rig:

    tests/rig/run --shell '.venv/bin/python benchmarks/table.py'

Interleaved medians of three. CPU is user and system time of the process and its children. Bar: adding 1,000
destinations and changing 1,000 weights at least twice as fast as `ipvsadm -R`, by wall and by CPU. The exit status is
1 if it is missed. Everything happens in a fresh network namespace, which nobody else sees.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from healthd.ipvs.kernel import KernelTable
from healthd.model import AddressKey, DestKey, DestSpec, Forwarding, Protocol, ServiceSpec
from healthd.ops import AddDest, AddService, DelService, Op, SetDest

ROUNDS = 3
BAR = 2.0
INSIDE = "HEALTHD_BENCHMARK_INSIDE"


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of wall clock and of processor."""

    wall: float
    cpu: float


@dataclass(slots=True)
class Stopwatch:
    """Measures what happens inside `with`."""

    costs: list[Cost] = field(default_factory=list)

    @contextmanager
    def measure(self) -> Iterator[None]:
        """Add the cost of the block."""
        cpu, wall = _cpu(), time.perf_counter()
        yield
        self.costs.append(Cost(time.perf_counter() - wall, _cpu() - cpu))

    @property
    def median(self) -> Cost:
        """Medians of wall and processor."""
        return Cost(median(each.wall for each in self.costs), median(each.cpu for each in self.costs))


@dataclass(slots=True)
class Comparison:
    """One row of the table: ours beside ipvsadm's. bar: how many times faster ours must be, 0: just a figure."""

    what: str
    bar: float
    ours: Stopwatch = field(default_factory=Stopwatch)
    theirs: Stopwatch = field(default_factory=Stopwatch)

    @property
    def ratios(self) -> Cost:
        """How many times faster ours is."""
        ours, theirs = self.ours.median, self.theirs.median
        return Cost(theirs.wall / ours.wall, theirs.cpu / max(ours.cpu, 1e-6))

    @property
    def met(self) -> bool:
        """True if the bar is met by wall and by processor."""
        return min(self.ratios.wall, self.ratios.cpu) >= self.bar


def _cpu() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _ipvsadm(*argv: str, lines: Sequence[str] = ()) -> str:
    text = "".join(line + "\n" for line in lines)
    return subprocess.run(["ipvsadm", *argv], input=text, text=True, capture_output=True, check=True).stdout


WEB = AddressKey(Protocol.TCP, ip_address("10.0.0.1"), 80)
DESTS = [DestKey(ip_address("10.9.0.0") + number, 80) for number in range(1, 1001)]
OTHERS = [DestKey(ip_address("10.10.0.0") + number, 80) for number in range(1, 10_001)]
SERVICES = [AddressKey(Protocol.TCP, ip_address("10.0.0.0") + number, 80) for number in range(2, 502)]


async def _do(table: KernelTable, ops: Sequence[Op]) -> None:
    refused = [answer for answer in await table.apply(ops) if answer is not None]
    if refused:
        raise SystemExit(f"{len(refused)} operations refused, first: {refused[0]}")


async def writing(table: KernelTable) -> list[Comparison]:
    """1,000 destinations added and 1,000 weights changed."""
    adding, changing = Comparison("add 1,000 destinations", BAR), Comparison("change 1,000 weights", BAR)
    fresh: list[Op] = [DelService(WEB), AddService(WEB, ServiceSpec("rr"))]
    await _do(table, fresh[1:])
    for _ in range(ROUNDS):
        for comparison, verb, weight in ((adding, "-a", 1), (changing, "-e", 5)):
            if verb == "-a":
                await _do(table, fresh)
            lines = [f"{verb} -t 10.0.0.1:80 -r {dest} -m -w {weight}" for dest in DESTS]
            with comparison.theirs.measure():
                await asyncio.to_thread(_ipvsadm, "-R", lines=lines)
        for comparison, kind, weight in ((adding, AddDest, 1), (changing, SetDest, 5)):
            if kind is AddDest:
                await _do(table, fresh)
            ops = [kind(WEB, dest, DestSpec(Forwarding.MASQ, weight)) for dest in DESTS]
            with comparison.ours.measure():
                await _do(table, ops)
    return [adding, changing]


async def reading(table: KernelTable, what: str, rows: int) -> Comparison:
    """The whole table read back and decoded."""
    comparison = Comparison(what, 0)
    await table.snapshot()  # so that no round pays for what is learned once
    for _ in range(ROUNDS):
        with comparison.ours.measure():
            snapshot = await table.snapshot()
        found = sum(len(service.dests) for service in snapshot.services.values())
        with comparison.theirs.measure():
            listed = await asyncio.to_thread(_ipvsadm, "-Ln")
        if not found == rows == listed.count("->") - 1:
            raise SystemExit(f"{what}: {rows} rows expected, {found} read, {listed.count('->') - 1} listed")
    return comparison


async def measure() -> list[Comparison]:
    """All comparisons, one after the other on an empty table."""
    table = KernelTable()
    masq = DestSpec(Forwarding.MASQ, 1)
    try:
        rows = await writing(table)
        await _do(table, [DelService(WEB), AddService(WEB, ServiceSpec("rr"))])
        await _do(table, [AddDest(WEB, dest, masq) for dest in OTHERS])
        rows.append(await reading(table, "read 10,000 destinations of one service", 10_000))
        await _do(table, [DelService(WEB), *(AddService(key, ServiceSpec("rr")) for key in SERVICES)])
        await _do(table, [AddDest(key, dest, masq) for key in SERVICES for dest in DESTS[:10]])
        rows.append(await reading(table, "read 500 services with 10 destinations each", 5_000))
    finally:
        await table.close()
    return rows


def report(comparisons: Sequence[Comparison]) -> int:
    """Print the table; 1 if a bar is missed."""
    print(f"{'':45} {'healthd':>17} {'ipvsadm':>17} {'times faster':>15}")
    units = f"{'wall ms':>9}{'cpu ms':>8}"
    print(f"{f'medians of {ROUNDS}':45} {units} {units} {'wall':>7}{'cpu':>8}  bar")
    for each in comparisons:
        bar = f"{each.bar:g} {'met' if each.met else 'MISSED'}" if each.bar else "-"
        costs = " ".join(
            f"{cost.wall * 1e3:9.1f}{cost.cpu * 1e3:8.1f}" for cost in (each.ours.median, each.theirs.median)
        )
        print(f"{each.what:45} {costs} {each.ratios.wall:7.1f}{each.ratios.cpu:8.1f}  {bar}")
    return 0 if all(each.met for each in comparisons) else 1


def main() -> int:
    """Start again inside a fresh network namespace, and there measure and report."""
    if INSIDE not in os.environ:
        os.execvpe("unshare", ["unshare", "-n", sys.executable, *sys.argv], {**os.environ, INSIDE: "1"})
    subprocess.run(["ip", "link", "set", "dev", "lo", "up"], check=True)
    return report(asyncio.run(measure()))


if __name__ == "__main__":
    sys.exit(main())
