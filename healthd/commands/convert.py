"""healthd convert: an ldirectord.cf as TOML."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from healthd.commands import exits
from healthd.config.ldirectord.convert import convert
from healthd.config.problems import render


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("file", type=Path, metavar="FILE", help="the ldirectord.cf")
    parser.add_argument("--strict", action="store_true", help="read it to the letter, as ldirectord itself does")


def main(arguments: argparse.Namespace) -> int:
    """Prints TOML; names of hosts are looked up now, once. Exits 78 if the file cannot be used, and says why."""
    found = convert(arguments.file, strict=arguments.strict)
    if found.text is None:
        print(render(found.problems, color=sys.stderr.isatty()), end="", file=sys.stderr)
        return exits.CONFIG
    print(found.text, end="")
    return exits.OK
