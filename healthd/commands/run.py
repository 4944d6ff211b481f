"""healthd run: the daemon, in the foreground."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

from healthd.commands import exits
from healthd.commands.arguments import add_config, reading
from healthd.commands.loading import tell
from healthd.config.load import load
from healthd.config.schema import Config
from healthd.config.settings import LEVELS, STYLES
from healthd.daemon import LOCKS, Options
from healthd.ipvs.memory import MemoryTable
from healthd.startup import serve


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    add_config(parser)
    parser.add_argument(
        "--table",
        choices=("kernel", "memory"),
        default="kernel",
        help="memory: a table in this process that obeys the kernel's rules, to try things with",
    )
    parser.add_argument(
        "--in-process", action="store_true", help="probe in this process instead of one with fewer rights"
    )
    parser.add_argument(
        "--locks",
        type=Path,
        default=Path(os.environ.get("HEALTHD_LOCKS", LOCKS)),
        metavar="DIR",
        help="folder of the lock files that keep two daemons off the same services; all daemons of a table must have "
        f"the same (default: $HEALTHD_LOCKS or {LOCKS})",
    )
    parser.add_argument("--log-level", choices=LEVELS, help="instead of the configured")
    parser.add_argument("--log-style", choices=STYLES, help="instead of the configured")


def main(arguments: argparse.Namespace) -> int:
    """Runs until SIGTERM or SIGINT.

    Exits 0 after an orderly stop, 78 for a bad configuration, 69 if something that is needed cannot be had (or the stop
    policy could not be carried out), 70 for a fault of its own.
    """
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is something to read again, it must not end us
    how = reading(arguments)
    read_at = time.time()
    loaded = load(arguments.config, reading=how)
    if loaded.config is None:
        tell(arguments.config, loaded, sys.stderr)
        return exits.CONFIG
    table = MemoryTable() if arguments.table == "memory" else None
    adapt = partial(logging, level=arguments.log_level, style=arguments.log_style)
    options = Options(
        arguments.config,
        table,
        arguments.in_process,
        arguments.locks,
        reading=how,
        read_at=read_at,
        adapt=adapt,
        called=" ".join(sys.argv),
        decided=partial(_decided, loaded.config.settings.log.to),
    )
    return asyncio.run(serve(adapt(loaded.config), options, loaded.problems))


def _decided(log: str, why: str) -> None:
    """Who waits at the terminal hears how the start went, if the log is not there. log: where it is."""
    if log != "stderr":
        print(f"healthd: {why or f'started, the log goes to {log}'}", file=sys.stderr)


def logging(config: Config, **given: str | None) -> Config:
    """The configuration with other settings of the log. given: None where the configured one stays."""
    log = replace(config.settings.log, **{name: value for name, value in given.items() if value is not None})
    return replace(config, settings=replace(config.settings, log=log))
