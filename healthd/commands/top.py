"""healthd top: what a running daemon believes, live, in the terminal."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from healthd.commands import exits
from healthd.commands.arguments import add_socket
from healthd.top.screen import NoTerminal, show


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    add_socket(parser)


def main(arguments: argparse.Namespace) -> int:
    """Exits 0 when somebody quits, 1 without a terminal. Where no daemon answers, it waits for one."""
    try:
        return show(arguments.socket, may_write=may_write(arguments.socket), who=os.environ.get("SUDO_USER"))
    except NoTerminal as error:
        print(f"healthd: {error}", file=sys.stderr)
        return exits.FAILED


def may_write(socket: Path) -> bool:
    """Whether the daemon, which decides, would take orders of this user: root, or the owner of its socket."""
    try:
        return os.geteuid() in (0, socket.stat().st_uid)
    except OSError:
        return True
