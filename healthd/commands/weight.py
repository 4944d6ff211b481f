"""healthd weight: another weight than the configured one."""

from __future__ import annotations

import argparse

from healthd.commands import exits
from healthd.commands.talking import add_asking, asked, end, override_text, say
from healthd.model import MAX_WEIGHT

CONFIGURED = "configured"


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument(
        "weight",
        type=_weight,
        metavar="WEIGHT",
        help=f"0 to {MAX_WEIGHT}, or {CONFIGURED} to have the configured one again",
    )
    add_asking(parser)


def main(arguments: argparse.Namespace) -> int:
    """Exits 1 if a service would be left with too few servers, 66 for an unknown name, 69 if no daemon answers."""
    if arguments.weight is None:
        return end(arguments, "weight")
    document = asked(arguments, "weight", weight=arguments.weight)
    say(arguments, document, override_text(document["override"]))
    return exits.OK


def _weight(text: str) -> int | None:
    if text == CONFIGURED:
        return None
    if not (text.isascii() and text.isdigit()) or int(text) > MAX_WEIGHT:
        raise argparse.ArgumentTypeError(f"want a whole number from 0 to {MAX_WEIGHT}, or {CONFIGURED}, not {text!r}")
    return int(text)
