"""healthd explain: why a server or a service is as it is, and what would bring it back."""

from __future__ import annotations

import argparse

from healthd.commands import exits
from healthd.commands.talking import add_json, add_names, names_of, query, say, told


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    add_names(parser)
    add_json(parser)


def main(arguments: argparse.Namespace) -> int:
    """Exits 66 if there is nothing of that name, 69 if no daemon answers."""
    document = told(arguments, "GET", query("/v1/explain", name=names_of(arguments)))
    say(arguments, document, "\n\n".join(one["text"] for one in document.get("servers") or document["services"]))
    return exits.OK
