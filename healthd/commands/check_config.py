"""healthd check-config: every problem of every file in one run."""

from __future__ import annotations

import argparse
import json
import sys

from healthd.commands import exits
from healthd.commands.arguments import add_config, reading
from healthd.commands.loading import tell
from healthd.config.load import load
from healthd.config.problems import as_json


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    add_config(parser)
    parser.add_argument("--json", action="store_true", help="print the problems as JSON")


def main(arguments: argparse.Namespace) -> int:
    """Exits 0 if the configuration can be used (warnings may be printed), 78 if not."""
    loaded = load(arguments.config, reading=reading(arguments))
    if arguments.json:
        print(json.dumps([as_json(problem) for problem in loaded.problems], indent=2))
    elif loaded.problems:
        tell(arguments.config, loaded, sys.stdout)
    if loaded.config is None:
        return exits.CONFIG
    if not arguments.json:
        reals = sum(len(service.reals) for service in loaded.config.services)
        print(f"ok: services {len(loaded.config.services)}, real servers {reals}, files {len(loaded.config.files)}")
    return exits.OK
