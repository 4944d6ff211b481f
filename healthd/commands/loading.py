"""Reading the configuration for a command: problems go to stderr, with the place and the remedy."""

from __future__ import annotations

import sys
from pathlib import Path

from healthd.config.formats import Reading
from healthd.config.load import load
from healthd.config.problems import render
from healthd.config.schema import Config


def load_or_tell(path: Path, reading: Reading, *, warnings: bool = True) -> Config | None:
    """The configuration, or None after its problems were printed. warnings: print those of a usable one as well."""
    loaded = load(path, reading=reading)
    if loaded.problems and (warnings or loaded.config is None):
        print(render(loaded.problems, color=sys.stderr.isatty()), end="", file=sys.stderr)
    return loaded.config
