"""What a probe costs: healthd (the whole daemon), keepalived, plain asyncio and aiohttp, on the same servers.

python benchmarks/probes.py [--kinds tcp,http,dns,script] [--targets 1000,10000] [--rounds 3] [--window 8]
                            [--only healthd,keepalived]

Contestants take turns, `--rounds` times; each row is the median. CPU is user and system time of all the contestant's
processes in the window, divided by the probes that the *servers* counted in it. On loopback that includes the peer's
share of each handshake, so the ratios to keepalived are what counts. Memory is at the window's end: rss of the largest
process, pss of all together.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent / "peers"
sys.path.insert(0, str(HERE))

from contestants import Race, start  # noqa: E402  # its folder is not a package

from healthd.control import ControlError, ask  # noqa: E402

TICK = os.sysconf("SC_CLK_TCK")
BARS = {"tcp": 0.8, "http": 1.0, "dns": 0.8}
SCRIPT_TARGETS = (100, 300)


@dataclass(frozen=True, slots=True)
class Result:
    """One window of one contestant. cpu: microseconds per probe. rate: probes per second. late: p99 in ms."""

    cpu: float
    rate: float
    largest_mb: float
    all_mb: float
    late: float | None


# --- processes ----------------------------------------------------------------------------------------------------


def family(pid: int) -> list[int]:
    """A process and all below it."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    below = children.read_text().split() if children.exists() else []
    return [pid, *(member for child in below for member in family(int(child)))]


def cpu_seconds(pids: list[int]) -> float:
    """User and system time of processes and of the children they have waited for."""
    total = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # a script that has ended: its time is its parent's now
        total += sum(int(field) for field in fields[11:15])
    return total / TICK


def memory_mb(pids: list[int]) -> tuple[float, float]:
    """Memory of the largest process (rss), and of all together (pss)."""
    rss, pss = [0], [0]
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):
            continue
        for line in lines:
            name, _, value = line.partition(":")
            if name in ("Rss", "Pss"):
                (rss if name == "Rss" else pss).append(int(value.split()[0]))
    return max(rss) / 1024, sum(pss) / 1024


# --- servers ------------------------------------------------------------------------------------------------------


class Answerer:
    """The servers that are asked; they count."""

    def __init__(self, folder: Path, kind: str) -> None:
        self._process = subprocess.Popen(
            [str(folder / "answerer"), kind], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.port = int(self._line())

    def served(self) -> int:
        """Probes so far."""
        assert self._process.stdin
        print("?", file=self._process.stdin, flush=True)
        return int(self._line())

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait()

    def _line(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline()


class Counter:
    """Runs of the script, counted in a file by the script itself."""

    port = 9

    def __init__(self, folder: Path) -> None:
        self._file = folder / "counter"
        self._file.write_bytes(bytes(8))

    def served(self) -> int:
        """Runs so far."""
        count: int = struct.unpack("=Q", self._file.read_bytes())[0]
        return count

    def close(self) -> None:
        """Nothing runs."""


def build(folder: Path) -> None:
    """Compile what is compiled."""
    flags = {"notable": ["-shared", "-fPIC", "-ldl"], "answerer": [], "counted": []}
    for name, more in flags.items():
        out = folder / (f"{name}.so" if "-shared" in more else name)
        subprocess.run(["gcc", "-O2", "-o", str(out), str(HERE / f"{name}.c"), *more], check=True)


# --- one window ---------------------------------------------------------------------------------------------------


@contextmanager
def running(name: str, race: Race) -> Iterator[int]:
    """A contestant, from its start to its end."""
    process = start(name, race)
    try:
        yield process.pid
        if process.poll() is not None:
            raise RuntimeError(f"{name} ended by itself: {(race.folder / f'{name}.out').read_text()[-2000:]}")
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def settled(servers: Answerer | Counter, race: Race) -> None:
    """Wait until every target has been asked a few times."""
    give_up = time.monotonic() + 60
    while servers.served() < race.targets * 3 and time.monotonic() < give_up:
        time.sleep(0.2)


def lateness(name: str, race: Race) -> float | None:
    """How late probes were in the last second, as healthd itself says; nobody else does."""
    if name != "healthd":
        return None
    try:
        late: float = ask(race.folder / "control.sock", "GET", "/v1/status")["prober"]["lateness_p99_ms"]
    except (ControlError, KeyError):
        return None
    return late


def measure(name: str, kind: str, targets: int, folder: Path, window: float) -> Result:
    """One contestant for one window."""
    servers = Counter(folder) if kind == "script" else Answerer(folder, kind)
    race = Race(kind, targets, 1.0, servers.port, folder)
    try:
        with running(name, race) as pid:
            settled(servers, race)
            pids = family(pid)
            cpu, count, began = cpu_seconds(pids), servers.served(), time.monotonic()
            time.sleep(window)
            spent, asked, took = cpu_seconds(pids) - cpu, servers.served() - count, time.monotonic() - began
            largest, everything = memory_mb(pids)
            return Result(1e6 * spent / max(asked, 1), asked / took, largest, everything, lateness(name, race))
    finally:
        servers.close()


# --- all of it ----------------------------------------------------------------------------------------------------


def contestants(kind: str, only: str) -> list[str]:
    """Who can ask this kind. only: names, separated by commas; empty for all."""
    names = ["healthd"]
    if shutil.which("keepalived"):
        names.append("keepalived")
    if kind != "script":
        names.append("asyncio")
    if kind == "http":
        names.append("aiohttp")
    return [name for name in names if not only or name in only.split(",")]


def race_all(names: list[str], kind: str, targets: int, rounds: int, window: float, folder: Path) -> dict[str, Result]:
    """The median of each contestant; they take turns."""
    results: dict[str, list[Result]] = {name: [] for name in names}
    for _ in range(rounds):
        for name, listed in results.items():
            listed.append(measure(name, kind, targets, folder, window))
    return {name: sorted(listed, key=lambda result: result.cpu)[len(listed) // 2] for name, listed in results.items()}


def show(kind: str, targets: int, results: dict[str, Result]) -> bool:
    """Print the rows of one race; False if a bar was missed."""
    reference = results.get("keepalived")
    met = True
    for name, result in results.items():
        ratio = result.cpu / reference.cpu if reference else None
        bar = BARS.get(kind) if name == "healthd" and targets == 10_000 and ratio is not None else None
        missed = bar is not None and ratio is not None and ratio > bar
        met = met and not missed
        verdict = "" if bar is None else f"bar {bar:.1f} {'MISSED' if missed else 'met'}"
        late = "" if result.late is None else f"{result.late:.1f}"
        print(
            f"{kind:7}{targets:7}  {name:11}{result.cpu:8.1f} us{'' if ratio is None else f'{ratio:8.2f}x'}"
            f"{result.rate:9.0f}/s{result.largest_mb:8.1f}{result.all_mb:8.1f} MB {late:>7}  {verdict}",
            flush=True,
        )
    return met


def main() -> int:
    """Run the races. Exits 1 if a bar was missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kinds", default="tcp,http,dns,script")
    parser.add_argument("--targets", default="1000,10000")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--window", type=float, default=8.0)
    parser.add_argument("--only", default="", help="names of contestants; default: all")
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    arguments = parser.parse_args()
    print(
        f"{'check':7}{'targets':>7}  {'':11}{'CPU/probe':>11}{'ratio':>9}{'rate':>11}"
        f"{'rss':>8}{'all pss':>8}     late p99 ms"
    )
    met, document = True, {}
    with tempfile.TemporaryDirectory(prefix="healthd-bench.") as folder:
        build(Path(folder))
        for kind in arguments.kinds.split(","):
            names = contestants(kind, arguments.only)
            counts = SCRIPT_TARGETS if kind == "script" else map(int, arguments.targets.split(","))
            for targets in counts:
                results = race_all(names, kind, targets, arguments.rounds, arguments.window, Path(folder))
                met = show(kind, targets, results) and met
                document[f"{kind} {targets}"] = {name: statistics_of(result) for name, result in results.items()}
    if arguments.json:
        arguments.json.write_text(json.dumps(document, indent=2))
    return 0 if met else 1


def statistics_of(result: Result) -> dict[str, float | None]:
    """A result as JSON."""
    return {name: getattr(result, name) for name in Result.__slots__}


if __name__ == "__main__":
    sys.exit(main())
