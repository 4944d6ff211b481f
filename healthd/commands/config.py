"""healthd config: the configuration in force in the running daemon, with every default and without secrets."""

from __future__ import annotations

import argparse
import json

from healthd.commands import exits
from healthd.commands.arguments import add_socket
from healthd.commands.talking import told


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    add_socket(parser)


def main(arguments: argparse.Namespace) -> int:
    """Print it as JSON. Exits 69 if no daemon answers."""
    print(json.dumps(told(arguments, "GET", "/v1/config"), indent=2))
    return exits.OK
