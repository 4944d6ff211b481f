"""healthd plan: the exact difference between what is wanted and the kernel's table, without writing."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from healthd.commands import exits
from healthd.commands.arguments import add_config, add_socket, reading
from healthd.commands.loading import load_or_tell
from healthd.config.schema import Config
from healthd.control import ControlError, ask
from healthd.ipvs.base import IpvsTable, Snapshot, TableUnavailable
from healthd.ipvs.kernel import KernelTable
from healthd.ops import describe
from healthd.preview import Known, Preview, departing, known_from, preview


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    add_config(parser)
    add_socket(parser)
    parser.add_argument("--json", action="store_true", help="print the plan as JSON")
    parser.add_argument(
        "--offline", action="store_true", help="do not ask a running daemon what it knows; go by the rows alone"
    )


def main(arguments: argparse.Namespace) -> int:
    """Exits 0 if nothing would change, 2 if something would, 78 or 69 if that cannot be told."""
    config = load_or_tell(arguments.config, reading(arguments), warnings=False)
    if config is None:
        return exits.CONFIG
    known = Known() if arguments.offline else _known(arguments.socket)
    try:
        found = asyncio.run(read(KernelTable(config.settings.table.netns), config, known))
    except TableUnavailable as error:
        print(f"healthd: {error}", file=sys.stderr)
        return exits.UNAVAILABLE
    shown = preview(config, found, known)
    print(json.dumps(as_document(shown), indent=2) if arguments.json else as_text(shown))
    return exits.CHANGES if shown.ops else exits.OK


async def read(table: IpvsTable, config: Config, known: Known) -> Snapshot:
    """The services of the configuration, and those that a running daemon would delete. Closes the table."""
    keys = {service.key for service in config.services}
    try:
        if known.services <= {str(key) for key in keys}:
            return await table.snapshot(keys)
        found = await table.snapshot()
        keys.update(departing(config, found.services, known))
        return replace(found, services={key: found.services[key] for key in found.services if key in keys})
    finally:
        await table.close()


def _known(socket: Path) -> Known:
    try:
        return known_from(ask(socket, "GET", "/v1/status"))
    except ControlError as error:
        print(f"healthd: {error}; servers are judged by their rows, as at a start", file=sys.stderr)
        return Known()


def as_text(shown: Preview) -> str:
    """A line for each operation; what is only told begins with #."""
    lines = [describe(op) for op in shown.ops] or ["the table is as it should be"]
    lines += [f"# {dest} of {name} comes in with its first pass" for name, dest in shown.waiting]
    lines += [f"# left as somebody else made it, so not done: {describe(op)}" for op in shown.left]
    return "\n".join(lines)


def as_document(shown: Preview) -> dict[str, Any]:
    """The same as values of JSON."""
    waiting = [{"service": name, "real": str(dest)} for name, dest in shown.waiting]
    return {
        "ops": [describe(op) for op in shown.ops],
        "waiting": waiting,
        "left": [describe(op) for op in shown.left],
    }
