"""ldirectord and healthd on the same ldirectord.cf and servers, one after the other: how fast, and at what cost.

python benchmarks/beside_ldirectord.py [--quick] [--servers 500,1400] [--only healthd,ldirectord] [--json FILE]

Runs without the kernel's IPVS: ldirectord is Debian's, unmodified, and calls a stand-in for ipvsadm
(peers/ipvsadm.c) that notes each call; healthd is the whole daemon with its table in memory. Ten servers to a virtual
service, checktype=connect, checkinterval and checktimeout 5 s, quiescent=yes. Nothing here decides anything by itself:
a figure that could not be had within its bound is printed as "-".
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

HERE = Path(__file__).parent / "peers"
sys.path.insert(0, str(HERE))

from directors import CONTESTANTS, Counts, Director, Move, available, end  # noqa: E402  # its folder is no package
from farm import INTERVAL, RACK, VICTIMS, Farm  # noqa: E402
from probes import cpu_seconds, family, memory_mb  # noqa: E402

SERVERS = "500,1400"
FEWEST = 100
START_BOUND = 360.0
EVENT_BOUND = 90.0
WINDOW = 20.0
LOOK = 0.05


@dataclass(slots=True)
class Result:
    """One contestant at one number of servers. Times in seconds, memory in MB; None where a bound was reached.

    first, last: when the first and the last server was in service for good. unchecked: how often a server was let in
    before, on trust. detection, detection_hung: each death of one server. rack: until the whole rack was out.
    """

    first: float | None = None
    last: float | None = None
    unchecked: int | None = None
    start_cpu: float | None = None
    start: Counts | None = None
    steady_cpu: float | None = None
    largest_mb: float | None = None
    all_mb: float | None = None
    detection: list[float | None] = field(default_factory=list)
    rack: float | None = None
    rack_table: Counts | None = None
    detection_hung: list[float | None] = field(default_factory=list)


class Observer:
    """Follows one director: which servers are in service, since when, and what it costs."""

    def __init__(self, director: Director) -> None:
        self.director = director
        self.serving: dict[str, float] = {}
        self.let_in = 0

    def look(self) -> None:
        """Take in what has happened. Raises RuntimeError if the director has ended."""
        if self.director.process.poll() is not None:
            said = self.director.output.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"{self.director.name} ended with {self.director.process.returncode}:\n{said}")
        for move in self.director.moves():
            self._take(move)

    def _take(self, move: Move) -> None:
        if not move.is_in:
            self.serving.pop(move.server, None)
        elif move.server not in self.serving:
            self.serving[move.server] = move.at
            self.let_in += 1

    def until(self, right: Callable[[], bool], bound: float) -> bool:
        """Look until something is so, at most for so many seconds; whether it is."""
        give_up = time.monotonic() + bound
        while time.monotonic() < give_up:
            self.look()
            if right():
                return True
            time.sleep(LOOK)
        return False

    def until_out(self, servers: Iterable[str], since: float) -> float | None:
        """Seconds from `since` (of the epoch) until none of these is in service; None if that takes too long."""
        gone = set(servers)
        return time.time() - since if self.until(lambda: not gone & self.serving.keys(), EVENT_BOUND) else None

    def cpu(self) -> float:
        """Seconds of processor that all its processes have used."""
        return cpu_seconds(family(self.director.process.pid))

    def counts(self) -> Counts:
        """Reads and writes until now."""
        self.look()
        return self.director.counts()


# --- the story ----------------------------------------------------------------------------------------------------


def cold_start(observer: Observer, farm: Farm, began: float, result: Result) -> bool:
    """From an empty table until all are in service; whether that was reached."""
    reached = observer.until(lambda: len(observer.serving) == len(farm.servers), START_BOUND)
    result.start_cpu = observer.cpu()
    result.start = observer.counts()
    result.unchecked = observer.let_in - len(observer.serving)
    if reached:
        result.first = min(observer.serving.values()) - began
        result.last = max(observer.serving.values()) - began
    return reached


def steady(observer: Observer, window: float, result: Result) -> None:
    """What it costs while nothing happens, as a share of one processor, and its memory."""
    time.sleep(INTERVAL)
    cpu, began = observer.cpu(), time.monotonic()
    time.sleep(window)
    result.steady_cpu = 100 * (observer.cpu() - cpu) / (time.monotonic() - began)
    result.largest_mb, result.all_mb = memory_mb(family(observer.director.process.pid))


def some_time(observer: Observer, chance: random.Random) -> None:
    """Let a part of a round pass, so that a death comes at any moment of it."""
    observer.until(lambda: False, chance.random() * INTERVAL)


def deaths(observer: Observer, farm: Farm, victims: Iterable[str]) -> list[float | None]:
    """One server after the other dies, each at some moment of the round; seconds until it is out."""
    chance = random.Random(len(farm.servers))
    taken: list[float | None] = []
    for victim in victims:
        some_time(observer, chance)
        died = time.time()
        farm.kill(victim)
        taken.append(observer.until_out({victim}, died))
    return taken


def rack_lost(observer: Observer, farm: Farm, result: Result) -> None:
    """Forty servers die at once."""
    some_time(observer, random.Random(RACK))
    before, died = observer.counts(), time.time()
    farm.kill_rack()
    result.rack = observer.until_out(farm.rack, died)
    result.rack_table = observer.counts() - before


def one_hangs(observer: Observer, farm: Farm, result: Result) -> None:
    """One server answers nothing any more; once it is out, others die."""
    hung = time.time()
    farm.hang()
    observer.until_out({farm.hanging}, hung)
    result.detection_hung = deaths(observer, farm, farm.victims[VICTIMS // 2 :])


def contest(name: str, count: int, readd: str, folder: Path, window: float | None) -> Result:
    """The whole story of one contestant. window: seconds of the steady state; None for the start alone."""
    result = Result()
    place = folder / f"{name}-{count}-{readd}"
    place.mkdir()
    (place / "ipvsadm").symlink_to(folder / "ipvsadm")
    with closing(Farm(folder, count)) as farm:
        farm.write(place / "bench.cf", readd)
        began = time.time()
        director = CONTESTANTS[name](place / "bench.cf")
        try:
            observer = Observer(director)
            if cold_start(observer, farm, began, result) and window:
                steady(observer, window, result)
                result.detection = deaths(observer, farm, farm.victims[: VICTIMS // 2])
                rack_lost(observer, farm, result)
                one_hangs(observer, farm, result)
        finally:
            end(director)
    return result


# --- the table ----------------------------------------------------------------------------------------------------


def of_all(times: list[float | None], choose: Callable[[list[float]], float]) -> float | None:
    """The median, or whatever is chosen; None if one of them could not be had."""
    had = [one for one in times if one is not None]
    return choose(had) if had and len(had) == len(times) else None


def figures(result: Result) -> dict[str, float | None]:
    """The rows of a table."""
    start, rack = result.start, result.rack_table
    return {
        "cold start: first server in service, s": result.first,
        "cold start: last server in service, s": result.last,
        "cold start: let in before a check": result.unchecked,
        "cold start: reads of the table": start.reads if start else None,
        "cold start: writes": start.writes if start else None,
        "cold start: CPU, s": result.start_cpu,
        "steady: CPU, % of one processor": result.steady_cpu,
        "memory of the largest process (rss), MB": result.largest_mb,
        "memory of all processes (pss), MB": result.all_mb,
        "one dies: out after, median, s": of_all(result.detection, median),
        "one dies: out after, at worst, s": of_all(result.detection, max),
        "one dies while one hangs: out after, median, s": of_all(result.detection_hung, median),
        "one dies while one hangs: out after, at worst, s": of_all(result.detection_hung, max),
        "rack of 40 dies: all out after, s": result.rack,
        "rack of 40 dies: reads of the table": rack.reads if rack else None,
        "rack of 40 dies: writes": rack.writes if rack else None,
    }


def shown(value: float | None) -> str:
    """A figure for people."""
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def ratio(theirs: float | None, ours: float | None) -> str:
    """How many times ours theirs is."""
    return "" if not theirs or not ours else f"{theirs / ours:.1f}x" if theirs / ours < 10 else f"{theirs / ours:.0f}x"


def show(title: str, results: dict[str, Result]) -> None:
    """Print one table, in Markdown."""
    print(f"\n{title}\n\n| | {' | '.join(results)} | ratio |\n| --- |{' ---: |' * (len(results) + 1)}")
    columns = {name: figures(result) for name, result in results.items()}
    for row in figures(Result()):
        cells = {name: column[row] for name, column in columns.items()}
        if any(cell is not None for cell in cells.values()):
            compared = ratio(cells.get("ldirectord"), cells.get("healthd"))
            print(f"| {row} | {' | '.join(map(shown, cells.values()))} | {compared} |", flush=True)


def build(folder: Path) -> None:
    """Compile the servers and the stand-in."""
    for name in ("answerer", "ipvsadm"):
        subprocess.run(["gcc", "-O2", "-o", str(folder / name), str(HERE / f"{name}.c")], check=True)


def asked() -> argparse.Namespace:
    """The command line: quick, names, counts of servers, json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--servers", default=SERVERS, help=f"how many, {FEWEST} or more, separated by commas (default: {SERVERS})"
    )
    parser.add_argument("--quick", action="store_true", help=f"{FEWEST} servers and a short steady state")
    parser.add_argument("--only", default="", help="names of contestants; default: all that can be had")
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    arguments = parser.parse_args()
    arguments.counts = [FEWEST] if arguments.quick else [int(count) for count in arguments.servers.split(",")]
    arguments.names = arguments.only.split(",") if arguments.only else available()
    if missing := set(arguments.names) - set(available()):
        parser.error(f"cannot be had here: {', '.join(sorted(missing))}")
    if min(arguments.counts) < FEWEST:
        parser.error(f"a rack and those that die alone need {FEWEST} servers")
    return arguments


def main() -> int:
    """Run it and print the tables."""
    arguments = asked()
    document: dict[str, dict[str, object]] = {}
    with tempfile.TemporaryDirectory(prefix="healthd-bench.") as made:
        folder = Path(made)
        build(folder)
        for count in arguments.counts:
            for readd, window in (("yes", WINDOW / 2 if arguments.quick else WINDOW), ("no", None)):
                title = f"{count} servers, readdquiescent={readd}"
                results = {name: contest(name, count, readd, folder, window) for name in arguments.names}
                show(title, results)
                document[title] = {name: asdict(result) for name, result in results.items()}
    if arguments.json:
        arguments.json.write_text(json.dumps(document, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
