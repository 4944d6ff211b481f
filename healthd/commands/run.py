"""healthd run: the daemon, in the foreground."""

from __future__ import annotations

import argparse
import asyncio
from dataclasses import replace

from healthd.commands import exits
from healthd.commands.arguments import add_config
from healthd.commands.loading import load_or_tell
from healthd.daemon import Options, serve


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
    parser.add_argument("--log-level", choices=("debug", "info", "warning", "error"), help="instead of the configured")


def main(arguments: argparse.Namespace) -> int:
    """Runs until SIGTERM or SIGINT. Exits 0 after an orderly stop, 78 for a bad configuration, 69 for no table."""
    config = load_or_tell(arguments.config)
    if config is None:
        return exits.CONFIG
    if arguments.log_level:
        log = replace(config.settings.log, level=arguments.log_level)
        config = replace(config, settings=replace(config.settings, log=log))
    options = Options(arguments.config, arguments.table == "memory", arguments.in_process, arguments.log_level)
    return asyncio.run(serve(config, options))
