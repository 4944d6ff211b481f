"""healthd check-now: ask real servers as soon as possible, and show what they answer."""

from __future__ import annotations

import argparse
import time

from healthd.commands import exits
from healthd.commands.talking import Document, add_json, add_names, names_of, query, say, told
from healthd.show import HEAD, aligned, server_row

PATIENCE = 60.0
LOOK_EVERY = 0.1
MARGIN = 1.0
"""Seconds that an answer may take to reach us after its timeout."""


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    add_names(parser)
    add_json(parser)


def main(arguments: argparse.Namespace) -> int:
    """Exits 0 if all have answered well, 2 if one has not, 66 for an unknown name, 69 if no daemon answers."""
    names = names_of(arguments)
    asked_at = time.monotonic()
    told(arguments, "POST", "/v1/check-now", {"names": names})
    while True:
        time.sleep(LOOK_EVERY)
        document = told(arguments, "GET", query("/v1/servers", name=names))
        elapsed = time.monotonic() - asked_at
        waiting = [check for check in _checks(document) if not _is_new(check, elapsed)]
        longest = max((check["timeout"] for check in waiting), default=0.0)
        if elapsed > min(longest + MARGIN, PATIENCE) or not waiting:
            break
    rows = [(f"{real['service']} {row[0]}", *row[1:]) for real in document["servers"] for row in [server_row(real)]]
    say(arguments, document, "\n".join(aligned([HEAD, *rows])))
    well = all(check["last"] and check["last"]["outcome"] == "pass" for check in _checks(document))
    return exits.OK if well and not waiting else exits.CHANGES


def _checks(document: Document) -> list[Document]:
    return [check for real in document["servers"] for check in real["checks"]]


def _is_new(check: Document, elapsed: float) -> bool:
    """Whether an answer was there after we asked."""
    return check["last"] is not None and check["last"]["age"] <= elapsed
