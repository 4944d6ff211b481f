"""healthd complete: names that a command line may have, for completion in shells. Says nothing where there are none."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from healthd.commands import exits
from healthd.commands.arguments import add_socket
from healthd.control import ControlError, ask

PATIENCE = 2.0
"""Seconds: somebody has pressed a key and waits."""


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    add_socket(parser)
    parser.add_argument("kind", choices=("services", "names", "servers"), help="which names")
    parser.add_argument("service", nargs="?", help="the service whose servers are meant; default: all")


def main(arguments: argparse.Namespace) -> int:
    """Print the names, each once. Always exits 0: whoever presses Tab does not want to read an error."""
    try:
        services = ask(arguments.socket, "GET", "/v1/status", timeout=PATIENCE)["services"]
    except ControlError:
        return exits.OK
    for name in dict.fromkeys(names(services, arguments.kind, arguments.service)):
        print(name)
    return exits.OK


def names(services: list[dict[str, Any]], kind: str, of: str | None) -> Iterator[str]:
    """The names of services, of their servers, or both. of: the name of the only service that counts."""
    meant = [service for service in services if of in (None, service["name"])]
    if kind != "servers":
        yield from (service["name"] for service in meant)
    if kind != "services":
        yield from (name for service in meant for real in service["reals"] for name in _names_of(real))


def _names_of(real: dict[str, Any]) -> Iterator[str]:
    """What a server may be called: address and port, its name, and the host that it is on."""
    yield real["address"]
    if real["name"]:
        yield real["name"]
    yield real["address"].rpartition(":")[0].strip("[]")
