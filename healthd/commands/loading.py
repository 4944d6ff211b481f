"""Reading the configuration for a command: problems are printed with the place and the remedy."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TextIO

from healthd.commands.arguments import DEFAULT_CONFIG
from healthd.config.formats import Reading
from healthd.config.load import Loaded, load
from healthd.config.problems import render
from healthd.config.schema import Config


def load_or_tell(path: Path, reading: Reading, *, warnings: bool = True) -> Config | None:
    """The configuration, or None after its problems were printed. warnings: print those of a usable one as well."""
    loaded = load(path, reading=reading)
    if loaded.problems and (warnings or loaded.config is None):
        tell(path, loaded, sys.stderr)
    return loaded.config


def tell(path: Path, loaded: Loaded, out: TextIO) -> None:
    """Print the problems of a configuration."""
    print(render(loaded.problems, color=out.isatty()), end="", file=out)
    if path == DEFAULT_CONFIG and not path.exists():
        print("healthd: -c names another configuration, which may be an ldirectord.cf", file=out)
