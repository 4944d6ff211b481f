"""healthd resync: compare with the table now, and try again what it refused."""

from __future__ import annotations

import argparse

from healthd.commands import exits
from healthd.commands.arguments import add_socket
from healthd.commands.talking import add_json, say, told


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    add_socket(parser)
    add_json(parser)


def main(arguments: argparse.Namespace) -> int:
    """Exits 69 if no daemon answers, or the table does not."""
    document = told(arguments, "POST", "/v1/resync")
    say(arguments, document, document["message"])
    return exits.OK if document["ok"] else exits.UNAVAILABLE
