"""What scrapes and readers cost: `python benchmarks/metrics.py [--targets 10000] [--interval 5] [--readers 50] ...`.

One daemon with its prober asks so many loopback addresses by tcp. It is looked at in turns: left alone, scraped as
often as anything new is told, and read by so many people at once, each of whom wants the whole status every so many
seconds. How late its probes are (from its own histogram), how long a scrape or a status takes and how large it is, what
another request over the control socket waits at most, and the director's processor time.

--quick: one short round. Exits 1 if a scrape takes more than 200 ms in the median. The table is the one in memory, so
the kernel's part is not in it (`benchmarks/table.py` has that).
"""

from __future__ import annotations

import argparse
import http.client
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE / "peers")]

from contestants import Race, start  # noqa: E402  # its folder is not a package
from engine import server  # noqa: E402

from healthd.control import ControlError, ask  # noqa: E402

BAR = 0.2
BETWEEN_SCRAPES = 1.1
"""Seconds; what was gathered is good for one, and would be told again within it."""
BETWEEN_OTHERS = 0.05
"""Seconds between the requests of who looks how long another request waits."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One window. late: of buckets by upper bound. Seconds otherwise. took: of what was asked for, waits: of others."""

    late: dict[float, float]
    cpu: float
    probes: float
    took: list[float]
    waits: list[float]


def fetched(path: Path, what: str) -> bytes:
    """The body of one answer."""
    connection = http.client.HTTPConnection("localhost", timeout=30)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(path))
    connection.request("GET", what)
    body = connection.getresponse().read()
    connection.close()
    return body


def numbers(path: Path) -> tuple[dict[float, float], float, float]:
    """Buckets of lateness, the director's processor time, and all probes, since the start."""
    text = fetched(path, "/metrics").decode()
    few = "\n".join(line for line in text.splitlines() if "late" in line or "cpu" in line or "results" in line)
    samples = [sample for metric in text_string_to_metric_families(few) for sample in metric.samples]
    late = {float(one.labels["le"]): one.value for one in samples if one.name.endswith("_bucket")}
    cpu = next(one.value for one in samples if one.labels.get("process") == "director")
    return late, cpu, sum(one.value for one in samples if one.name == "healthd_probe_results_total")


def timed(work: Callable[[], object], pause: float, until: float) -> list[float]:
    """Do it again and again, with a pause before each; how long each took."""
    took = []
    while time.monotonic() < until:
        time.sleep(pause)
        begun = time.monotonic()
        work()
        took.append(time.monotonic() - begun)
    return took


Work = Callable[[Path, float], list[float]]
"""What goes on during a window, given the end of it: how long each request took."""


def left_alone(_path: Path, _until: float) -> list[float]:
    """Nothing."""
    return []


def scraped(path: Path, until: float) -> list[float]:
    """One scrape after the other."""
    return timed(lambda: fetched(path, "/metrics"), BETWEEN_SCRAPES, until)


@dataclass(frozen=True, slots=True)
class Readers:
    """So many who want the whole status every so many seconds, each in a time of their own."""

    number: int
    every: float

    def __call__(self, path: Path, until: float) -> list[float]:
        """Let them read."""
        took: list[float] = []

        def read(place: int) -> None:
            time.sleep(self.every * place / self.number)
            took.extend(timed(lambda: fetched(path, "/v1/status"), self.every, until - self.every))

        threads = [threading.Thread(target=read, args=(place,)) for place in range(self.number)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return took


def window(path: Path, seconds: float, work: Work) -> Seen:
    """Look at the daemon for so long."""
    late, cpu, probes = numbers(path)
    waits: list[float] = []
    until = time.monotonic() + seconds
    other = threading.Thread(
        target=lambda: waits.extend(timed(lambda: fetched(path, "/v1/overrides"), BETWEEN_OTHERS, until))
    )
    other.start()
    took = work(path, until)
    other.join()
    late_now, cpu_now, probes_now = numbers(path)
    within = {bound: late_now[bound] - late[bound] for bound in late}
    return Seen(within, cpu_now - cpu, probes_now - probes, took, waits)


def quantile(late: dict[float, float], part: float) -> float:
    """Upper bound of the bucket that holds it, in seconds."""
    whole = late[float("inf")]
    return min(bound for bound, below in late.items() if below >= part * whole)


def told(name: str, windows: list[Seen], seconds: float) -> None:
    """One line about the windows of one kind."""
    late = {bound: sum(one.late[bound] for one in windows) for bound in windows[0].late}
    waits = [wait for one in windows for wait in one.waits]
    cpu = statistics.median(one.cpu for one in windows) / seconds
    rate = statistics.median(one.probes for one in windows) / seconds
    print(
        f"{name:12} {rate:6.0f} probes/s  late p50 <= {1e3 * quantile(late, 0.5):g} ms, p99 <= "
        f"{1e3 * quantile(late, 0.99):g} ms, within 10 ms {100 * late[0.01] / late[float('inf')]:.2f} %  "
        f"director {100 * cpu:.0f} % of a core  another request waits {1e3 * statistics.median(waits):.1f} ms, "
        f"at most {1e3 * max(waits):.1f} ms"
    )


def asked_all(path: Path, targets: int, patience: float) -> None:
    """Wait until every server has been asked."""
    until = time.monotonic() + patience
    while time.monotonic() < until:
        try:
            status = ask(path, "GET", "/v1/status", 60.0)
        except ControlError:
            status = {"prober": {}}
        if status["prober"].get("unasked") == 0 and status["prober"]["probes"] == targets:
            return
        time.sleep(1)
    raise SystemExit(f"not all of {targets} servers were asked within {patience:g} s")


def measure(options: argparse.Namespace, folder: Path) -> float:
    """Print what was seen; the median of scrapes in seconds."""
    process, port = server("tcp", folder)
    daemon: subprocess.Popen[bytes] | None = None
    try:
        daemon = start("healthd", Race("tcp", options.targets, options.interval, port, folder))
        path = folder / "control.sock"
        asked_all(path, options.targets, 60 + 20 * options.interval)
        readers = Readers(options.readers, options.every)
        windows: dict[Work, list[Seen]] = {left_alone: [], scraped: [], readers: []}
        for _ in range(options.rounds):
            for work, seen in windows.items():
                seen.append(window(path, options.window, work))
        text, status = fetched(path, "/metrics"), fetched(path, "/v1/status")
    finally:
        for one in filter(None, (daemon, process)):
            one.terminate()
            one.wait()
    told("left alone", windows[left_alone], options.window)
    told("scraped", windows[scraped], options.window)
    told(f"{options.readers} readers", windows[readers], options.window)
    median = told_of("a scrape", windows[scraped], text)
    told_of("a status", windows[readers], status)
    return median


def told_of(what: str, windows: list[Seen], text: bytes) -> float:
    """One line about what was asked for; the median in seconds."""
    took = [each for one in windows for each in one.took]
    median = statistics.median(took)
    print(
        f"{what}: {len(took)} of them, median {1e3 * median:.0f} ms, fastest {1e3 * min(took):.0f} ms, "
        f"slowest {1e3 * max(took):.0f} ms, {len(text) / 1e6:.1f} MB"
    )
    return median


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--targets", type=int, default=10_000)
    parser.add_argument("--interval", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--window", type=float, default=10.0)
    parser.add_argument("--readers", type=int, default=50)
    parser.add_argument("--every", type=float, default=5.0)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.window = 1, 12.0
    folder = Path(tempfile.mkdtemp(prefix="healthd-metrics-"))
    try:
        return int(measure(options, folder) > BAR)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())
