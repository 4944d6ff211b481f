"""healthd drain: no new connections for servers, and, if asked to, wait until the old ones have ended.

With --wait, Ctrl-C takes the drain back; any other end of this program leaves it in force.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import deque
from dataclasses import dataclass

from healthd.commands import exits
from healthd.commands.talking import (
    Document,
    add_asking,
    asked,
    names_of,
    override_text,
    query,
    say,
    span,
    told,
)
from healthd.log.printable import printable
from healthd.show import ago

LOOK_EVERY = 1.0
WINDOW = 30
"""Looks that the rate is made of."""


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    add_asking(parser)
    parser.add_argument(
        "-w",
        "--wait",
        action="store_true",
        help="until no connection is left, counting down; Ctrl-C takes the drain back",
    )
    parser.add_argument(
        "--max", type=span, metavar="TIME", help="wait, but no longer; the drain stays then, and this exits 1"
    )
    parser.add_argument(
        "--then",
        choices=("hold", "remove"),
        default="hold",
        help="wait, and once no connection is left stay drained, or take the row out of the table (default: hold)",
    )


def main(arguments: argparse.Namespace) -> int:
    """Exits 0 when it is done, 1 if refused or not done in time, 130 if it was taken back.

    Exits 66 for an unknown name, 69 if no daemon, or no table, answers.
    """
    document = asked(arguments, "drain")
    if not (arguments.wait or arguments.max or arguments.then == "remove"):
        say(arguments, document, override_text(document["override"]))
        return exits.OK
    print(printable(override_text(document["override"])), file=sys.stderr)
    try:
        drained = _wait(arguments)
    except KeyboardInterrupt:
        told(arguments, "DELETE", "/v1/overrides", {"names": names_of(arguments), "kinds": ["drain"]})
        print("\nhealthd: taken back", file=sys.stderr)
        return exits.TAKEN_BACK
    if not drained:
        print(f"healthd: connections are left after {ago(arguments.max)}; the drain stays", file=sys.stderr)
        return exits.FAILED
    if arguments.then == "remove":
        print(printable(override_text(asked(arguments, "remove")["override"])), file=sys.stderr)
    return exits.OK


@dataclass(frozen=True, slots=True)
class Count:
    """Connections that servers have. left: those whose end is waited for."""

    left: int
    active: int
    inactive: int
    persistent: int


def _wait(arguments: argparse.Namespace) -> bool:
    """Show a line for each look; False if there are connections still when the time is over."""
    began = time.monotonic()
    seen: deque[tuple[float, int]] = deque(maxlen=WINDOW)
    while True:
        document = told(arguments, "GET", query("/v1/servers", name=names_of(arguments), counters=1))
        if document["table_error"]:
            print(f"healthd: {printable(document['table_error'])}; the drain stays", file=sys.stderr)
            raise SystemExit(exits.UNAVAILABLE)
        now = time.monotonic() - began
        count = counted(document)
        seen.append((now, count.left))
        print(line(now, count, rate(seen)), flush=True)
        if not count.left:
            return True
        if arguments.max is not None and now >= arguments.max:
            return False
        time.sleep(LOOK_EVERY)


def counted(document: Document) -> Count:
    """What a list of servers has. Of TCP and SCTP only active connections are waited for: the others are closing.

    Everything of UDP is inactive to the kernel, and of a firewall mark the protocol is not known.
    """
    left = active = inactive = persistent = 0
    for real in document["servers"]:
        found = real["connections"] or {"active": 0, "inactive": 0, "persistent": 0}
        streams = real["virtual"].endswith(("/tcp", "/sctp"))
        left += found["active"] + (0 if streams else found["inactive"])
        active, inactive = active + found["active"], inactive + found["inactive"]
        persistent += found["persistent"]
    return Count(left, active, inactive, persistent)


def rate(seen: deque[tuple[float, int]]) -> float:
    """Connections that end in a second, over the looks there were; 0 if they do not become fewer."""
    (first, most), (last, least) = seen[0], seen[-1]
    return max(0.0, (most - least) / (last - first)) if last > first else 0.0


def line(now: float, count: Count, ending: float) -> str:
    """One look in one line."""
    told_ = f"{ago(now):>4}  {count.active} active, {count.inactive} inactive, {count.persistent} persistent"
    if count.left and ending:
        told_ += f"; {ending:.1f}/s end, about {ago(count.left / ending)} to go"
    return told_
