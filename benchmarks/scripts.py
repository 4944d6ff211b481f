"""CPU of one script run: `python benchmarks/scripts.py [runs]`, through the runner and by asyncio's subprocesses.

Prints microseconds of user and system time for each run: of the process that asks, of the runner, of the scripts
themselves; and the longest time that the asking loop stood still. Several scripts at once, in interleaved rounds of
which the median counts. The ratio says what the two ways cost beside the scripts; the stall says why there is a runner.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from healthd.check import Inconclusive, Ran, Run
from healthd.config.schema import RunnerSettings
from healthd.runner.process import RunnerProcesses, start_runner

ROUNDS = 3
AT_ONCE = 4
TICK = os.sysconf("SC_CLK_TCK")
SCRIPT = '#!/bin/sh\n[ "$1" = x ] && exit 1\nexit 0\n'


@dataclass(frozen=True, slots=True)
class Cost:
    """Microseconds for each run; stall in milliseconds."""

    asking: float
    runner: float
    scripts: float
    stall: float

    @property
    def beside(self) -> float:
        """What is not the scripts' own."""
        return self.asking + self.runner


Way = Callable[[str], Awaitable[None]]


@asynccontextmanager
async def by_runner() -> AsyncIterator[tuple[Way, int]]:
    """Through the runner; its process id."""
    runner = start_runner(RunnerSettings(parallel=AT_ONCE))
    await ask(runner, "/bin/true")
    (pid,) = runner.pids().values()

    async def run(path: str) -> None:
        await ask(runner, path)

    try:
        yield run, pid
    finally:
        await runner.close()


async def ask(runner: RunnerProcesses, path: str) -> None:
    """Run once."""
    ended: asyncio.Future[Ran | Inconclusive] = asyncio.get_running_loop().create_future()
    runner.run(Run((path,)), 60.0, ended.set_result)
    if await ended != Ran(0, b""):
        raise SystemExit(f"{path}: {ended.result()}")


@asynccontextmanager
async def by_asyncio() -> AsyncIterator[tuple[Way, int]]:
    """As a program would that has no runner: group of its own, output read."""

    async def run(path: str) -> None:
        process = await asyncio.create_subprocess_exec(
            path,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        await process.communicate()

    yield run, 0


async def measure(way: Callable[[], AbstractAsyncContextManager[tuple[Way, int]]], path: str, runs: int) -> Cost:
    """Cost of `runs` runs, AT_ONCE at once."""
    stalls: list[float] = []
    async with way() as (run, runner):
        left = iter(range(runs))

        async def worker() -> None:
            for _ in left:
                await run(path)

        watch = asyncio.create_task(note_stalls(stalls))
        before, asked, own = of_process(runner), resource.getrusage(resource.RUSAGE_CHILDREN), time.process_time()
        await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
        after, asked_after = of_process(runner), resource.getrusage(resource.RUSAGE_CHILDREN)
        asking = time.process_time() - own
        watch.cancel()
        direct = asked_after.ru_utime + asked_after.ru_stime - asked.ru_utime - asked.ru_stime
        scripts = after[1] - before[1] if runner else direct
        per_run = 1e6 / runs
        stall = max(stalls, default=0.0)
        return Cost(asking * per_run, (after[0] - before[0]) * per_run, scripts * per_run, stall * 1e3)


async def note_stalls(stalls: list[float]) -> None:
    """Notes how late each of its wake-ups is."""
    while True:
        asleep = time.monotonic()
        await asyncio.sleep(0.005)
        stalls.append(time.monotonic() - asleep - 0.005)


def of_process(pid: int) -> tuple[float, float]:
    """Seconds of CPU of a process, and of its children that have ended."""
    if not pid:
        return 0.0, 0.0
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    user, system, users, systems = (int(field) / TICK for field in fields[11:15])
    return user + system, users + systems


def median(costs: list[Cost]) -> Cost:
    """Median of each figure."""
    return Cost(*(statistics.median(getattr(cost, name) for cost in costs) for name in Cost.__slots__))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="?", type=int, default=1000)
    runs = parser.parse_args().runs
    ways = {"runner": by_runner, "asyncio": by_asyncio}
    print(f"{'script':8} {'way':8} {'asking':>8} {'runner':>8} {'scripts':>8} {'total':>8} {'stall ms':>9}")
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "check"
        script.write_text(SCRIPT)
        script.chmod(0o755)
        for name, path in (("true", "/bin/true"), ("sh", str(script))):
            costs: dict[str, list[Cost]] = {way: [] for way in ways}
            for _ in range(ROUNDS):
                for way, make in ways.items():
                    costs[way].append(asyncio.run(measure(make, path, runs)))
            medians = {way: median(found) for way, found in costs.items()}
            for way, cost in medians.items():
                total = cost.beside + cost.scripts
                figures = (cost.asking, cost.runner, cost.scripts, total)
                print(f"{name:8} {way:8} " + " ".join(f"{figure:8.0f}" for figure in figures) + f" {cost.stall:9.1f}")
            ratio = medians["runner"].beside / medians["asyncio"].beside
            asked = medians["runner"].asking / medians["asyncio"].asking
            print(f"{name:8} ratio    beside the scripts {ratio:.2f}, of the asking process alone {asked:.2f}")


if __name__ == "__main__":
    main()
