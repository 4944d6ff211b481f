"""healthd plan: the exact difference between what is wanted and the kernel's table, without writing."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from typing import Any

from healthd.commands import exits
from healthd.commands.arguments import add_config, add_socket
from healthd.commands.loading import load_or_tell
from healthd.config.schema import Admin, Config
from healthd.control import ControlError, ask
from healthd.health import Phase
from healthd.ipvs.base import Snapshot, TableUnavailable
from healthd.ipvs.kernel import KernelTable
from healthd.ops import describe
from healthd.policy import ServerState
from healthd.preview import Known, Preview, preview


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
    config = load_or_tell(arguments.config, warnings=False)
    if config is None:
        return exits.CONFIG
    known = {} if arguments.offline else _known(arguments)
    try:
        found = asyncio.run(_read(config))
    except TableUnavailable as error:
        print(f"healthd: {error}", file=sys.stderr)
        return exits.UNAVAILABLE
    shown = preview(config, found, known)
    print(json.dumps(_document(shown), indent=2) if arguments.json else _text(shown))
    return exits.CHANGES if shown.ops else exits.OK


async def _read(config: Config) -> Snapshot:
    table = KernelTable(config.settings.table.netns)
    try:
        return await table.snapshot({service.key for service in config.services})
    finally:
        await table.close()


def _known(arguments: argparse.Namespace) -> Known:
    try:
        document = ask(arguments.socket, "GET", "/v1/status")
    except ControlError:
        return {}
    return known_from(document)


def known_from(document: dict[str, Any]) -> Known:
    """What a status document tells of each server."""
    return {
        (service["virtual"], real["address"]): ServerState(
            Phase(real["phase"]), real["asked_weight"], Admin(real["admin"])
        )
        for service in document["services"]
        for real in service["reals"]
    }


def _text(shown: Preview) -> str:
    lines = [describe(op) for op in shown.ops] or ["the table is as it should be"]
    return "\n".join(lines + [f"# {dest} of {name} comes in with its first pass" for name, dest in shown.waiting])


def _document(shown: Preview) -> dict[str, Any]:
    waiting = [{"service": name, "real": str(dest)} for name, dest in shown.waiting]
    return {"ops": [describe(op) for op in shown.ops], "waiting": waiting}
