"""The command line: healthd COMMAND. Each command's module is imported when it is asked for, so all start quickly."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from healthd import __version__

LDIRECTORD = "ldirectord"
"""A command with a syntax of its own; also the name under which this program is that command alone."""

COMMANDS = {
    "run": "keep the table true, in the foreground",
    "check-config": "tell everything that is wrong with a configuration",
    "plan": "tell what would be changed in the kernel's table now",
    "status": "tell what the running daemon believes",
    "top": "show what the running daemon believes, live",
    "explain": "tell why a server or a service is as it is, and what would bring it back",
    "events": "tell what happened, and follow what happens",
    "drain": "have servers take no new connections, and wait until the old ones have ended",
    "undrain": "end a drain",
    "maintenance": "have servers be as if they had failed, or end that",
    "weight": "give servers another weight than the configured one",
    "overrides": "tell what operators have asked for",
    "check-now": "have real servers asked at once",
    "resync": "have the table compared at once",
    "config": "print the configuration that is in force",
    "doctor": "find what makes a director fail in silence, and say what to do",
    "probe": "ask real servers once and show what was sent and received",
    "convert": "print an ldirectord.cf as TOML, with its comments and with what changes meaning",
    LDIRECTORD: "start, stop or ask a daemon as ldirectord does",
    "reload": "have the running daemon read its configuration again",
    "complete": "print names that a command line may have, one a line, for completion in shells",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if argv is None and Path(sys.argv[0]).name == LDIRECTORD:
        words.insert(0, LDIRECTORD)
    if words[:1] == [LDIRECTORD]:
        main = import_module("healthd.commands.ldirectord").main
        return _run(argparse.Namespace(main=lambda _: main(words[1:])))
    parser = argparse.ArgumentParser(prog="healthd", description="Keeps an IPVS table true.")
    parser.add_argument("--version", action="version", version=f"healthd {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    chosen = next((word for word in words if word in COMMANDS), None)
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        if name == chosen != LDIRECTORD:
            module = import_module(f"healthd.commands.{name.replace('-', '_')}")
            module.add(command)
            command.set_defaults(main=module.main)
    return _run(parser.parse_args(words))


def _run(arguments: argparse.Namespace) -> int:
    """The command's exit code; 130 and 141, as shells have them, where Ctrl-C or a closed pipe ended it."""
    if signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN:  # inherited; then nobody is told how a program ended
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        code: int = arguments.main(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())  # or the interpreter complains when it flushes at the end
        os.close(nowhere)
        return 141
    return code
