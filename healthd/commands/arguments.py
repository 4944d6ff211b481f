"""Arguments that several commands have."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

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
        help=f"healthd.toml, or a directory with one (default: $HEALTHD_CONFIG or {DEFAULT_CONFIG})",
    )


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
