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


def main(arguments: argparse.Namespace) -> int:
    """Ask and print what came of it. Exits 78 if the configuration is not in order: then nothing has changed."""
    try:
        answer = ask(arguments.socket, "POST", "/v1/reload", PATIENCE)
    except ControlError as error:
        print(f"healthd: {error}", file=sys.stderr)
        return exits.UNAVAILABLE
    print(answer["message"], file=sys.stdout if answer["ok"] else sys.stderr)
    return exits.OK if answer["ok"] else exits.CONFIG
