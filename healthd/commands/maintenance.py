"""healthd maintenance on|off: servers that are to be as if they had failed."""

from __future__ import annotations

import argparse

from healthd.commands import exits
from healthd.commands.talking import add_asking, asked, end, override_text, say


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("state", choices=("on", "off"), help="whether they are to be in maintenance")
    add_asking(parser)


def main(arguments: argparse.Namespace) -> int:
    """Exits 1 if a service would be left with too few servers, 66 for an unknown name, 69 if no daemon answers."""
    if arguments.state == "off":
        return end(arguments, "maintenance")
    document = asked(arguments, "maintenance")
    say(arguments, document, override_text(document["override"]))
    return exits.OK
