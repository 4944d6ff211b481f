"""Writes the picture of `healthd top` in the README: what it shows of a real daemon, at a bad moment.

python -m tests.top.picture               write docs/pictures/top.svg
python -m tests.top.picture PATH          write it elsewhere
"""

from __future__ import annotations

import io
import re
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from healthd.control import ask
from healthd.top.cells import Line, Style
from healthd.top.model import Top, took
from healthd.top.panes import lines
from healthd.top.words import Happened, Status
from tests.daemon.conftest import HEAD, Listener, RunningDaemon

PICTURE = Path(__file__).parents[2] / "docs" / "pictures" / "top.svg"
HEIGHT, WIDTH = 22, 118
SERVICE = """
[[service]]
name = "{name}"
virtual = "{virtual}"
scheduler = "wlc"
forward = "masq"
on_failure = "quiesce"
fallback = "127.9.9.9:{port}"
[service.check]
type = "tcp"
interval = "500ms"
timeout = "300ms"
rise = 2
fall = 3
"""
REAL = '[[service.real]]\naddress = "{0.address}:{0.port}"\nname = "{1}"\nweight = 10\n'
STYLES = {
    Style.PLAIN: "",
    Style.DIM: "bright_black",
    Style.STRONG: "bold",
    Style.BAR: "reverse",
    Style.GOOD: "green",
    Style.WARNING: "yellow",
    Style.BAD: "bold red",
    Style.OUT: "cyan",
}
DARK = [(30, 30, 34), (235, 95, 95), (110, 200, 120), (230, 190, 90)]
DARK += [(120, 160, 230), (200, 140, 220), (90, 200, 210), (215, 215, 215)]
THEME = TerminalTheme((24, 26, 31), (215, 215, 215), DARK, [(140, 145, 155), *DARK[1:]])


def svg(drawn: Iterable[Line]) -> str:
    """The lines as a picture that needs nothing from elsewhere: the reader's own fixed-width letters."""
    console = Console(file=io.StringIO(), record=True, width=WIDTH, force_terminal=True, color_system="truecolor")
    for line in drawn:
        text = Text(no_wrap=True, style="reverse" if line.marked else "", end="")
        for span in line.spans:
            text.append(span.text, style=STYLES[span.style])
        console.print(text, end="\n")
    picture = console.export_svg(title="healthd top", theme=THEME, unique_id="top")
    return re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL).replace("Fira Code, ", "")


def shown(daemon: RunningDaemon) -> Top:
    """What `healthd top` shows of a daemon."""
    top = Top(HEIGHT, WIDTH, may_write=True)
    for number, event in enumerate(ask(daemon.socket, "GET", "/v1/events?limit=20")["events"]):
        top, _ = took(top, Happened(event, first=number == 0))
    document = ask(daemon.socket, "GET", "/v1/status?counters")
    return took(top, Status(document, 0.0, time.strftime("%H:%M:%SZ", time.gmtime())))[0]


def reals(daemon: RunningDaemon) -> list[dict[str, Any]]:
    """All servers."""
    return [real for service in daemon.status()["services"] for real in service["reals"]]


def draw(folder: Path) -> str:
    """The picture: one server is drained, one is down, and of one service none is left. Takes a few seconds."""
    with ExitStack() as ends:
        web, mail = [[Listener(f"127.10.{net}.{host}") for host in (11, 12, 13)] for net in (1, 2)]
        for one in (*web, *mail):
            ends.callback(one.close)
        services = (("www", "192.0.2.80:80", web), ("shop", "192.0.2.80:443", web[:2]), ("mail", "192.0.2.25:25", mail))
        (folder / "healthd.toml").write_text(
            HEAD.format(folder=folder, on_stop="leave")
            + f'[state]\nfile = "{folder}/state.db"\n'
            + "".join(
                SERVICE.format(name=name, virtual=virtual, port=virtual.rpartition(":")[2])
                + "".join(REAL.format(one, f"{name}{number}") for number, one in enumerate(servers, 1))
                for name, virtual, servers in services
            )
        )
        daemon = RunningDaemon(folder, "--in-process")
        ends.callback(daemon.close)
        daemon.until(lambda: set(daemon.weights().values()) == {10}, "all servers are up")
        order = {"names": ["127.10.1.12"], "kind": "drain", "why": "new kernel", "who": "ann"}
        ask(daemon.socket, "POST", "/v1/overrides", body=order)
        for one in (web[2], *mail):
            one.close()
        daemon.until(lambda: list(daemon.weights().values()).count(0) == 5, "what failed is taken out")
        daemon.until(lambda: all(real["for"] > 1.5 for real in reals(daemon)), "it has been so for a while")
        return svg(lines(shown(daemon)))


def main(path: Path) -> None:
    """Write it."""
    with tempfile.TemporaryDirectory(prefix="picture-") as folder:
        text = draw(Path(folder))
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else PICTURE)
