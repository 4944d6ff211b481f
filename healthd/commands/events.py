"""healthd events: what happened, and what happens."""

from __future__ import annotations

import argparse
import json
import sys
import time

from healthd.commands import exits
from healthd.commands.talking import add_json, add_names, names_of, query, span, told
from healthd.control import ControlError, follow
from healthd.log.printable import printable

Document = dict[str, object]


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    add_names(parser, optional=True)
    add_json(parser)
    parser.add_argument("-f", "--follow", action="store_true", help="go on with what happens from now on")
    parser.add_argument("--since", type=span, metavar="TIME", help="of the last so long (90s, 15m, 2d)")
    parser.add_argument("-n", "--limit", type=int, default=50, metavar="N", help="the newest so many (default: 50)")


def main(arguments: argparse.Namespace) -> int:
    """Exits 69 if no daemon answers, or it ends while it is followed."""
    names = names_of(arguments)
    since = None if arguments.since is None else time.time() - arguments.since
    values = {"name": names, "since": since, "limit": arguments.limit}
    if not arguments.follow:
        for event in told(arguments, "GET", query("/v1/events", **values))["events"]:
            _show(arguments, event)
        return exits.OK
    try:
        for event in follow(arguments.socket, query("/v1/events/follow", **values)):
            _show(arguments, event)
            sys.stdout.flush()
    except ControlError as error:
        print(f"healthd: {error}", file=sys.stderr)
        return exits.UNAVAILABLE
    print("healthd: the daemon ended, or we were too slow for it", file=sys.stderr)
    return exits.UNAVAILABLE


def _show(arguments: argparse.Namespace, event: Document) -> None:
    """One line for each event; as JSON it is one object in a line."""
    print(json.dumps(event) if arguments.json else printable(f"{event['at']} {event['message']}"))
