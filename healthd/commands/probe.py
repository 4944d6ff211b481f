"""healthd probe SERVICE [REAL]: ask real servers once, as the daemon would, and show what was sent and received."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from healthd.check import Outcome, Verdict
from healthd.commands import exits
from healthd.commands.arguments import add_config
from healthd.commands.loading import load_or_tell
from healthd.config.problems import nearest
from healthd.config.schema import CheckPlan, Config, RealServer, ServiceConfig, Settings
from healthd.narrate import label
from healthd.privileges import PrivilegeError, enter_namespace
from healthd.prober.ask import ask
from healthd.prober.trace import trace_text
from healthd.prober.transcript import Transcript
from healthd.runner.process import start_runner

CODES = {Outcome.PASS: exits.OK, Outcome.FAIL: exits.CHANGES, Outcome.INCONCLUSIVE: exits.UNSURE}


@dataclass(frozen=True, slots=True)
class Answer:
    """One check of one server, asked once."""

    real: RealServer
    plan: CheckPlan
    verdict: Verdict
    transcript: Transcript


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    add_config(parser)
    parser.add_argument("--json", action="store_true", help="print verdicts as JSON, without transcripts")
    parser.add_argument("--quiet", action="store_true", help="print verdicts only")
    parser.add_argument("service", help="name of a service")
    parser.add_argument("real", nargs="?", help="address, address:port or name of one real server; default: all")


def main(arguments: argparse.Namespace) -> int:
    """Exits 0 if all passed, 2 if one failed, 3 if one could not be asked, 66 if there is no such service or server."""
    config = load_or_tell(arguments.config, warnings=False)
    if config is None:
        return exits.CONFIG
    try:
        service = _service(config, arguments.service)
        reals = _reals(service, arguments.real)
    except LookupError as error:
        print(f"healthd: {error.args[0]}", file=sys.stderr)
        return exits.NO_INPUT
    try:
        answers = asyncio.run(_ask_all(config.settings, reals))
    except PrivilegeError as error:
        print(f"healthd: {error}", file=sys.stderr)
        return exits.UNAVAILABLE
    if arguments.json:
        print(json.dumps([_document(answer) for answer in answers], indent=2))
    else:
        print("\n".join(_text(answer, quiet=arguments.quiet) for answer in answers))
    return max((CODES[answer.verdict.outcome] for answer in answers), default=exits.OK)


def _service(config: Config, name: str) -> ServiceConfig:
    by_name = {service.name: service for service in config.services}
    if name not in by_name:
        guess = nearest(name, by_name)
        raise LookupError(f"no service is called {name!r}{f'; did you mean {guess!r}?' if guess else ''}")
    return by_name[name]


def _reals(service: ServiceConfig, wanted: str | None) -> list[RealServer]:
    if wanted is None:
        return list(service.reals)
    found = [real for real in service.reals if wanted in (str(real.key), str(real.key.address), real.name)]
    if not found:
        known = ", ".join(label(real) for real in service.reals)
        raise LookupError(f"service {service.name!r} has no real server {wanted!r}; it has {known}")
    return found


async def _ask_all(settings: Settings, reals: list[RealServer]) -> list[Answer]:
    runner = start_runner(settings.runner)
    answers = []
    try:
        for real in reals:
            for plan in real.checks:
                with _inside(plan.target.netns):
                    asked = ask(plan.check, plan.target, plan.cadence.timeout, runner, plan.target.netns)
                    answers.append(Answer(real, plan, *await asked))
    finally:
        await runner.close()
    return answers


@contextlib.contextmanager
def _inside(netns: str | None) -> Iterator[None]:
    """Be in a network namespace for as long as a probe takes."""
    if netns is None:
        yield
        return
    home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        enter_namespace(netns)
        yield
        enter_namespace(f"/proc/self/fd/{home}")
    finally:
        os.close(home)


def _head(answer: Answer) -> str:
    verdict = answer.verdict
    weight = "" if verdict.weight is None else f", asks for weight {verdict.weight}"
    return (
        f"{label(answer.real)} {answer.plan.check.kind} {answer.plan.target}: {verdict.outcome.value.upper()}"
        f" ({verdict.reason.value}) {verdict.detail}{weight} [{answer.transcript.took * 1000:.2f} ms]"
    )


def _text(answer: Answer, *, quiet: bool) -> str:
    return _head(answer) if quiet else f"{_head(answer)}\n{trace_text(answer.transcript)}"


def _document(answer: Answer) -> dict[str, Any]:
    verdict = answer.verdict
    return {
        "real": str(answer.real.key),
        "kind": answer.plan.check.kind,
        "target": str(answer.plan.target),
        "outcome": verdict.outcome.value,
        "reason": verdict.reason.value,
        "detail": verdict.detail,
        "weight": verdict.weight,
        "took_ms": round(answer.transcript.took * 1000, 3),
    }
