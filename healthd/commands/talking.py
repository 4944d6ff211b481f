"""What the commands that talk to a running daemon have in common."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from healthd.commands import exits
from healthd.commands.arguments import add_socket
from healthd.control import ControlError, Refusal, ask
from healthd.log.printable import printable

Document = dict[str, Any]

WORDS = {"drain": "drain", "maintenance": "maintenance", "remove": "removal"}
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
SPAN = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)?")


def add_names(parser: argparse.ArgumentParser, *, optional: bool = False) -> None:
    """The socket, and one or two names."""
    add_socket(parser)
    parser.add_argument(
        "name",
        nargs="?" if optional else None,
        help="a service, a server (address:port or its name), or a host (address) in all services"
        + ("; default: everything" if optional else ""),
    )
    parser.add_argument("server", nargs="?", help="with a service: one of its servers or hosts")


def add_asking(parser: argparse.ArgumentParser) -> None:
    """What every override has."""
    add_names(parser)
    add_json(parser)
    parser.add_argument("-r", "--reason", default="", metavar="TEXT", help="why, for whoever looks at it later")
    parser.add_argument(
        "-e", "--expires", type=span, metavar="TIME", help="ends by itself after so long (90s, 15m, 2h)"
    )
    parser.add_argument(
        "-f",
        "--force",
        action="store_true",
        help="also if a service is left with fewer usable servers than it must keep",
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """--json."""
    parser.add_argument("--json", action="store_true", help="print what the daemon answers")


def names_of(arguments: argparse.Namespace) -> list[str]:
    """The names given: none, one, or two."""
    return [name for name in (arguments.name, arguments.server) if name is not None]


def asked(arguments: argparse.Namespace, kind: str, **others: Any) -> Document:
    """Have an override in force. others: more fields of the request."""
    body = {
        "names": names_of(arguments),
        "kind": kind,
        "why": arguments.reason,
        "lasting": arguments.expires,
        "force": arguments.force,
        "who": os.environ.get("SUDO_USER") if os.geteuid() == 0 else None,
        **others,
    }
    return told(arguments, "POST", "/v1/overrides", {name: value for name, value in body.items() if value is not None})


def end(arguments: argparse.Namespace, *kinds: str) -> int:
    """End the overrides of these kinds, and print which those were."""
    document = told(arguments, "DELETE", "/v1/overrides", {"names": names_of(arguments), "kinds": list(kinds)})
    say(arguments, document, "\n".join(f"ended: {override_text(one)}" for one in document["ended"]))
    return exits.OK


def override_text(override: Document) -> str:
    """An override in one line."""
    whom = " of ".join(filter(None, (override["server"], override["service"])))
    if override["server"] and not override["service"]:
        whom += " in every service"
    what = f"weight {override['weight']}" if override["kind"] == "weight" else WORDS[override["kind"]]
    why = f": {override['why']}" if override["why"] else ""
    until = f", until {override['until']}" if override["until"] else ""
    return f"{what} for {whom}, asked for by {override['who']} at {override['since']}{until}{why}"


def query(path: str, **values: str | int | float | Sequence[str] | None) -> str:
    """A path with a query; what is None or empty is left out."""
    pairs = {name: value for name, value in values.items() if value not in (None, "", [], ())}
    return f"{path}?{urlencode(pairs, doseq=True)}" if pairs else path


def told(arguments: argparse.Namespace, method: str, what: str, body: Document | None = None) -> Document:
    """The daemon's answer. Where there is none the program ends, with a sentence: 69, 1 if refused, 66 if not found."""
    try:
        return ask(arguments.socket, method, what, body=body)
    except Refusal as error:
        print(f"healthd: {printable(error.said)}", file=sys.stderr)
        raise SystemExit(exits.NO_INPUT if error.status == 404 else exits.FAILED) from None
    except ControlError as error:
        print(f"healthd: {error}", file=sys.stderr)
        raise SystemExit(exits.UNAVAILABLE) from None


def say(arguments: argparse.Namespace, document: Document, text: str) -> None:
    """Print an answer, as JSON if that was asked for. What it says of the state store goes to standard error."""
    print(json.dumps(document, indent=2) if arguments.json else "\n".join(map(printable, text.split("\n"))))
    if document.get("table_error"):
        print(f"healthd: the table does not have it yet: {printable(document['table_error'])}", file=sys.stderr)
    if document.get("unsaved"):
        print(f"healthd: this does not live through a restart: {printable(document['unsaved'])}", file=sys.stderr)


def span(text: str) -> float:
    """Seconds of a duration as people write it: 90, 15m, 1.5h. Raises ArgumentTypeError."""
    found = SPAN.fullmatch(text)
    if not found or float(found[1]) == 0:
        raise argparse.ArgumentTypeError(f"want a time such as 90s, 15m or 2h, not {text!r}")
    return float(found[1]) * UNITS[found[2] or "s"]
