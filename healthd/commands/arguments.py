"""Arguments that several commands have."""

from __future__ import annotations

import argparse
import os
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
        default=Path(os.environ.get("HEALTHD_SOCKET", DEFAULT_SOCKET)),
        metavar="PATH",
        help=f"the daemon's control socket (default: $HEALTHD_SOCKET or {DEFAULT_SOCKET})",
    )
