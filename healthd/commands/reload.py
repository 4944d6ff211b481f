"""healthd reload: have a running daemon read its configuration again."""

from __future__ import annotations

import argparse
import sys

from healthd.commands import exits
from healthd.commands.arguments import add_socket
from healthd.control import ControlError, ask

PATIENCE = 120.0
"""Seconds: ten thousand servers are read and written in a few, but there may be reloads before this one."""


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    add_socket(parser)
    parser.add_argument("--diff", action="store_true", help="only tell what would be written to the table")


def main(arguments: argparse.Namespace) -> int:
    """Ask and print what came of it. Exits 78 if the configuration is not in order: then nothing has changed.

    With --diff, exits 2 if something would be written.
    """
    try:
        answer = ask(arguments.socket, "POST", "/v1/reload?dry" if arguments.diff else "/v1/reload", PATIENCE)
    except ControlError as error:
        print(f"healthd: {error}", file=sys.stderr)
        return exits.UNAVAILABLE
    if answer["message"]:
        print(answer["message"].rstrip(), file=sys.stdout if answer["ok"] and not arguments.diff else sys.stderr)
    if arguments.diff and answer["ok"]:
        print("\n".join(answer["ops"]) or "nothing would be written")
    if not answer["ok"]:
        return exits.CONFIG
    return exits.CHANGES if arguments.diff and answer["ops"] else exits.OK
