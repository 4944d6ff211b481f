"""healthd overrides: what operators have asked for and is in force."""

from __future__ import annotations

import argparse

from healthd.commands import exits
from healthd.commands.arguments import add_socket
from healthd.commands.talking import add_json, override_text, say, told


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    add_socket(parser)
    add_json(parser)


def main(arguments: argparse.Namespace) -> int:
    """Exits 69 if no daemon answers."""
    document = told(arguments, "GET", "/v1/overrides")
    say(arguments, document, "\n".join(map(override_text, document["overrides"])) or "no overrides")
    return exits.OK
