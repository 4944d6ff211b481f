"""healthd status: what a running daemon believes."""

from __future__ import annotations

import argparse
import json
import sys

from healthd.commands import exits
from healthd.commands.arguments import add_socket
from healthd.control import ControlError, ask
from healthd.show import status_text


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    add_socket(parser)
    parser.add_argument("--json", action="store_true", help="print the document the daemon serves")
    parser.add_argument("--connections", action="store_true", help="read connection counters from the table as well")
    parser.add_argument("service", nargs="*", help="names of services; default: all")


def main(arguments: argparse.Namespace) -> int:
    """Ask and print. Exits 1 if one of the named services does not exist, 69 if no daemon answers."""
    try:
        document = ask(arguments.socket, "GET", "/v1/status" + ("?counters" if arguments.connections else ""))
    except ControlError as error:
        print(f"healthd: {error}", file=sys.stderr)
        return exits.UNAVAILABLE
    missing = set(arguments.service) - {service["name"] for service in document["services"]}
    if arguments.service:
        document["services"] = [service for service in document["services"] if service["name"] in arguments.service]
    print(json.dumps(document, indent=2) if arguments.json else status_text(document))
    for name in sorted(missing):
        print(f"healthd: no service is called {name!r}", file=sys.stderr)
    return exits.FAILED if missing else exits.OK
