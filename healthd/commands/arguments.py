"""Arguments that several commands have."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path

from healthd.config.formats import Format, Reading

DEFAULT_CONFIG = Path("/etc/healthd/healthd.toml")
DEFAULT_SOCKET = Path("/run/healthd/control.sock")


def add_config(parser: argparse.ArgumentParser) -> None:
    """-c: the configuration."""
    parser.add_argument(
        "-c",
        "--config",
        type=Path,
        default=Path(os.environ.get("HEALTHD_CONFIG", DEFAULT_CONFIG)),
        metavar="PATH",
        help=f"healthd.toml, a directory with one, or an ldirectord.cf (default: $HEALTHD_CONFIG or {DEFAULT_CONFIG})",
    )
    add_reading(parser)


def add_reading(parser: argparse.ArgumentParser) -> None:
    """--format and --strict: how to take the configuration."""
    parser.add_argument(
        "--format",
        choices=tuple(one.value for one in Format),
        help="format of the configuration (default: by its content)",
    )
    parser.add_argument(
        "--strict", action="store_true", help="read an ldirectord.cf to the letter, as ldirectord itself does"
    )


def reading(arguments: argparse.Namespace) -> Reading:
    """How to take the configuration, as the arguments say."""
    return Reading(None if arguments.format is None else Format(arguments.format), arguments.strict)


def add_socket(parser: argparse.ArgumentParser) -> None:
    """-s: the control socket."""
    parser.add_argument(
        "-s",
        "--socket",
        type=Path,
        default=usual_socket(os.environ),
        metavar="PATH",
        help=f"the daemon's control socket (default: $HEALTHD_SOCKET or {DEFAULT_SOCKET} or, where that is not there, "
        "the one of `healthd ldirectord`, if there is one)",
    )


def usual_socket(environment: Mapping[str, str]) -> Path:
    """The control socket that is meant if nobody says which; of several ldirectord instances none is."""
    named = environment.get("HEALTHD_SOCKET")
    if named or DEFAULT_SOCKET.exists():
        return Path(named or DEFAULT_SOCKET)
    folder = Path(environment.get("HEALTHD_RUN", "/run")) / "healthd"
    found = list(folder.glob("ldirectord.*.sock"))
    return found[0] if len(found) == 1 else DEFAULT_SOCKET
