"""The demonstration: ./demo [--kernel] [--seconds N].

The real daemon probes three small real servers and keeps a table; you kill and revive the servers and watch. With
--seconds it plays by itself: web2 is killed after a third of the time and revived after two thirds; the exit code says
whether its weight went to 0 and came back.
"""

from __future__ import annotations

import argparse
import os
import select
import sys
import tempfile
import termios
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text
from stage import Server, Stage

KEYS = "1 2 3: kill or revive a server    q: quit"
COLORS = {"up": "green", "down": "red", "unknown": "yellow"}


def main() -> int:
    """Play. Exits 0 if all went as it should."""
    parser = argparse.ArgumentParser(prog="./demo", description=__doc__)
    parser.add_argument("--kernel", action="store_true", help="keep the kernel's table instead of one in memory")
    parser.add_argument("--seconds", type=float, help="play by itself and end after so many seconds (at least 15)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="healthd-demo.") as folder:
        stage = Stage(Path(folder), arguments.kernel)
        stage.start()
        try:
            code = play(stage, max(15.0, arguments.seconds)) if arguments.seconds else watch(stage)
        finally:
            stage.stop()
        if code:
            print(
                stage.errors.read_text(), *(event["message"] for event in stage.events(20)), sep="\n", file=sys.stderr
            )
        return code


def watch(stage: Stage) -> int:
    """Show what goes on until the viewer quits."""
    console = Console()
    with keyboard(), Live(console=console, auto_refresh=False, screen=True) as live:
        while stage.daemon and stage.daemon.poll() is None:
            live.update(picture(stage), refresh=True)
            for key in pressed(0.25):
                if key == "q":
                    return 0
                if key in "123":
                    stage.servers[int(key) - 1].toggle()
    return 1


def play(stage: Stage, seconds: float) -> int:
    """Kill web2, revive it, and tell what the daemon did, line by line. Exits 1 if it did not leave and return."""
    began, told, weights = time.monotonic(), 0, []
    acts = [(seconds / 3, "kill"), (seconds * 2 / 3, "revive")]
    while (now := time.monotonic() - began) < seconds:
        if acts and now >= acts[0][0]:
            act = acts.pop(0)[1]
            print(f"{now:5.1f} s  -- {act} web2 --", flush=True)
            stage.servers[1].toggle()
        events = stage.events(10_000)
        for event in events[told:]:
            print(f"{now:5.1f} s  {event['message']}", flush=True)
        told = len(events)
        document = stage.status()
        if document:
            weights.append(document["services"][0]["reals"][1]["weight"])
        time.sleep(0.2)
    return verdict(weights)


def verdict(weights: list[int | None]) -> int:
    """Whether the weights of web2 that were seen tell the story: 10, then 0, then 10."""
    seen = [weight for n, weight in enumerate(weights) if weight is not None and (n == 0 or weights[n - 1] != weight)]
    story = " -> ".join(str(weight) for weight in seen)
    print(f"weight of web2 in the table: {story}")
    return 0 if seen == [10, 0, 10] else 1


def picture(stage: Stage) -> Group:
    """One frame: servers, table, events."""
    document = stage.status()
    rows = document["services"][0]["reals"] if document else []
    table = Table(expand=True, title=title(document))
    for head in ("", "real server", "process", "last answer", "phase", "weight in the table"):
        table.add_column(head)
    for number, (server, real) in enumerate(zip(stage.servers, rows, strict=False), 1):
        table.add_row(str(number), f"{server.name} {server.address}", *cells(server, real))
    events = [Text(f"{event['at'][11:23]}  {event['message']}") for event in stage.events(12)]
    return Group(table, Panel(Group(*events), title="what happened"), Text(KEYS, style="bold"))


def title(document: dict[str, Any] | None) -> str:
    """What stands above the table."""
    if document is None:
        return "starting ..."
    service, prober = document["services"][0], document["prober"]
    fallback = service["fallback"]
    state = "IN USE" if fallback["active"] else "not needed"
    rate = prober.get("passed", 0) + prober.get("failed", 0)
    return f"{service['name']}  {service['virtual']}  {rate} probes/s  fallback {fallback['address']}: {state}"


def cells(server: Server, real: dict[str, Any]) -> list[Text]:
    """What is shown of one server."""
    check = real["checks"][0]
    last = check["last"]
    answer = f"{last['outcome']}: {last['detail']} ({last['took_ms']} ms)" if last else "none yet"
    doubt = f" ({check['streak']} to the contrary)" if check["streak"] else ""
    color = COLORS[real["phase"]]
    process = Text("running", style="green") if server.alive else Text("killed", style="red")
    weight = "no row" if real["weight"] is None else f"{real['weight']:>5} {'#' * real['weight']}"
    return [process, Text(answer), Text(real["phase"] + doubt, style=color), Text(weight, style=color)]


@contextmanager
def keyboard() -> Iterator[None]:
    """Keys one by one, as they are pressed."""
    if not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def pressed(patience: float) -> str:
    """The keys of the next `patience` seconds, as soon as there are any."""
    ready, _, _ = select.select([sys.stdin], [], [], patience)
    return os.read(sys.stdin.fileno(), 64).decode("ascii", "ignore") if ready else ""


if __name__ == "__main__":
    sys.exit(main())
