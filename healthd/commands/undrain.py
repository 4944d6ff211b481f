"""healthd undrain: end a drain, also one that ended with the row removed."""

from __future__ import annotations

import argparse

from healthd.commands.talking import add_json, add_names, end


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    add_names(parser)
    add_json(parser)


def main(arguments: argparse.Namespace) -> int:
    """Exits 66 if nothing of exactly these names is drained, 69 if no daemon answers."""
    return end(arguments, "drain", "remove")
