"""python -m checks KIND ADDRESS[:PORT]: ask one server once, as the daemon would.

Prints one line and exits 0 (passed), 2 (failed) or 3 (could not ask, or called wrongly), as monitoring plugins do.
"""

from __future__ import annotations

import argparse
import asyncio
import inspect
import os
import re
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, NoReturn

from checks.arguments import Unusable, add_options, build
from healthd.check import AsyncCheck, Check, Outcome, Reason, Target, Verdict
from healthd.config.schema import RunnerSettings
from healthd.prober.ask import ask
from healthd.prober.trace import trace_text
from healthd.prober.transcript import Transcript
from healthd.registry import UnknownCheck, check_class, names
from healthd.runner.process import start_runner

EXITS: Mapping[Outcome, int] = {Outcome.PASS: 0, Outcome.FAIL: 2, Outcome.INCONCLUSIVE: 3}
WORDS: Mapping[Outcome, str] = {Outcome.PASS: "OK", Outcome.FAIL: "FAIL", Outcome.INCONCLUSIVE: "INCONCLUSIVE"}
UNITS: Mapping[str, float] = {"": 1.0, "s": 1.0, "ms": 0.001, "m": 60.0}
_SPAN = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|)")
_BRACKETED = re.compile(r"\[([^\]]*)\](?::(\d+))?")


class _Parser(argparse.ArgumentParser):
    """Exits 3 where argparse would exit 2, which means a failed server here."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(EXITS[Outcome.INCONCLUSIVE], f"{self.prog}: {message}\n")


def main(argv: Sequence[str]) -> int:
    """Run the command; its exit code."""
    if argv and not argv[0].startswith("-"):
        return _probe(argv[0], argv[1:])
    parser = _Parser(prog="python -m checks", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("kind", nargs="?", metavar="KIND", help="kind of check; KIND --help tells its options")
    parser.add_argument("--list", action="store_true", help="list the kinds of checks")
    if not parser.parse_args(argv).list:
        parser.error("which kind of check? --list tells them")
    print("\n".join(_catalogue()))
    return 0


def _catalogue() -> list[str]:
    """Every kind with the first line of its description, or why it cannot be used."""
    lines = []
    for name in names():
        try:
            text = (check_class(name).__doc__ or "").partition("\n")[0]
        except ImportError as error:
            text = f"cannot be used: {error}"
        lines.append(f"{name:8} {text}")
    return lines


def _probe(kind: str, argv: Sequence[str]) -> int:
    parser = _Parser(prog=f"python -m checks {kind}", allow_abbrev=False)
    try:
        cls: type[Any] = check_class(kind)
    except UnknownCheck:
        parser.error(f"there is no check {kind!r}; there are {', '.join(names())}")
    except ImportError as error:
        parser.error(f"the check {kind!r} cannot be used: {error}")
    _describe(parser, cls)
    values = parser.parse_args(argv)
    try:
        check = build(cls, values, os.environ)
        target = _target(values, check)
        timeout = _seconds(values.timeout)
    except Unusable as error:
        parser.error(str(error))
    verdict, transcript = asyncio.run(_ask(check, target, timeout))
    if values.trace:
        print(trace_text(transcript))
    print(_line(kind, target, verdict, transcript))
    return EXITS[verdict.outcome]


def _describe(parser: argparse.ArgumentParser, cls: type[Any]) -> None:
    parser.usage = "%(prog)s ADDRESS[:PORT] [--OPTION VALUE ...]"
    parser.description = inspect.cleandoc(cls.__doc__ or "")
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("where", metavar="ADDRESS[:PORT]", help="whom to ask; IPv6 with a port in brackets")
    parser.add_argument("--timeout", default="2s", metavar="TIME", help="2s, 500ms, 1m (default: %(default)s)")
    parser.add_argument("--source", metavar="ADDRESS", help="address to ask from")
    parser.add_argument("--interface", metavar="NAME", help="interface to leave by")
    parser.add_argument("--mark", type=int, metavar="N", help="firewall mark of our packets (SO_MARK)")
    parser.add_argument("--trace", action="store_true", help="print what was sent and received, with times in ms")
    add_options(parser, cls)


def _target(values: argparse.Namespace, check: Check | AsyncCheck) -> Target:
    host, port = _split(values.where)
    usual: int | None = getattr(check, "usual_port", None)
    if port is None:
        port = usual if getattr(check, "needs_port", True) else 0
    if port is None:
        raise Unusable(f"{values.where}: which port? Write {values.where}:PORT")
    if not 0 <= port <= 65535:
        raise Unusable(f"{port} is not a port")
    if values.mark is not None and not 1 <= values.mark < 2**32:
        raise Unusable(f"--mark: must be 1 to {2**32 - 1}, got {values.mark}")
    source = None if values.source is None else _address(values.source)
    return Target(_address(host), port, source=source, interface=values.interface, mark=values.mark)


def _split(where: str) -> tuple[str, int | None]:
    if match := _BRACKETED.fullmatch(where):
        return match[1], None if match[2] is None else int(match[2])
    host, found, port = where.partition(":")
    if not found or ":" in port:
        return where, None
    if not port.isdecimal():
        raise Unusable(f"{where}: {port!r} is not a port")
    return host, int(port)


def _address(host: str) -> IPv4Address | IPv6Address:
    """An address, also of a name, which the daemon would not look up."""
    try:
        return ip_address(host)
    except ValueError:
        pass
    try:
        return ip_address(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0])
    except OSError as error:
        raise Unusable(f"{host}: {error.strerror}") from None


def _seconds(text: str) -> float:
    match = _SPAN.fullmatch(text)
    if match is None or not float(match[1]):
        raise Unusable(f"--timeout: must be a time such as 2s or 500ms, got {text!r}")
    return float(match[1]) * UNITS[match[2]]


async def _ask(check: Check | AsyncCheck, target: Target, within: float) -> tuple[Verdict, Transcript]:
    async with AsyncExitStack() as stack:
        runner = start_runner(RunnerSettings())
        stack.push_async_callback(runner.close)
        return await ask(check, target, within, runner)


def _line(kind: str, target: Target, verdict: Verdict, transcript: Transcript) -> str:
    reason = "" if verdict.reason in (Reason.OK, Reason.LOCAL) else f"{verdict.reason.value}: "
    weight = "" if verdict.weight is None else f", weight {verdict.weight}"
    where = str(target) if target.port else str(target.address)
    head = f"{WORDS[verdict.outcome]} - {kind} {where}: {reason}{verdict.detail}"
    return f"{head}{weight} ({transcript.took * 1000:.1f} ms)"


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)  # as a shell tells of SIGINT
