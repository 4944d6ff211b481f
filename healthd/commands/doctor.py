"""healthd doctor: what makes this director fail in silence, and what to do."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from pathlib import Path

from healthd.commands import exits
from healthd.commands.arguments import add_config, add_socket, reading
from healthd.config.load import load
from healthd.daemon import LOCKS, STATE
from healthd.doctor.findings import Level
from healthd.doctor.gather import gather
from healthd.doctor.judgement import judge, worst
from healthd.doctor.text import as_document, as_text

CODES = {Level.OK: exits.OK, Level.HINT: exits.OK, Level.WARNING: exits.WARNINGS, Level.ERROR: exits.ERRORS}


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    add_config(parser)
    add_socket(parser)
    parser.add_argument("--json", action="store_true", help="print everything that was looked at as JSON")
    parser.add_argument("--quiet", action="store_true", help="print warnings and errors only")
    parser.add_argument("-v", "--verbose", action="store_true", help="print also what is in order")


def main(arguments: argparse.Namespace) -> int:
    """Exits 0 if there is nothing worse than hints, 1 for warnings, 2 for errors."""
    loaded = load(arguments.config, reading=reading(arguments))
    locks = Path(os.environ.get("HEALTHD_LOCKS", LOCKS))
    findings = judge(asyncio.run(gather(loaded, arguments.socket, locks, STATE)))
    if arguments.json:
        print(json.dumps(as_document(findings), indent=2))
        return CODES[worst(findings)]
    least = Level.WARNING if arguments.quiet else Level.OK if arguments.verbose else Level.HINT
    if told := as_text(findings, least=least, color=sys.stdout.isatty()):
        print(told)
    return CODES[worst(findings)]
