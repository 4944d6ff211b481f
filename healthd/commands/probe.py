"""healthd probe [SERVICE [REAL]]: ask real servers once, as the daemon would, and show what was sent and received."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from healthd.check import Outcome, Reason, Verdict
from healthd.commands import exits
from healthd.commands.arguments import add_config, reading
from healthd.commands.loading import load_or_tell
from healthd.config.problems import nearest
from healthd.config.schema import CheckPlan, Config, RealServer, ServiceConfig, Settings
from healthd.log.printable import printable
from healthd.narrate import label
from healthd.privileges import PrivilegeError, enter_namespace
from healthd.prober.ask import ask
from healthd.prober.base import Runner
from healthd.prober.trace import trace_text
from healthd.prober.transcript import Transcript
from healthd.runner.process import start_runner

CODES = {Outcome.PASS: exits.OK, Outcome.FAIL: exits.CHANGES, Outcome.INCONCLUSIVE: exits.UNSURE}


Asked = tuple[ServiceConfig, RealServer]
Question = tuple[ServiceConfig, RealServer, CheckPlan]
KEYS = ("service", "real", "kind", "target", "outcome", "reason", "detail", "weight", "took_ms")
MOST_AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class Answer:
    """One check of one server of a service, asked once."""

    service: ServiceConfig
    real: RealServer
    plan: CheckPlan
    verdict: Verdict
    transcript: Transcript


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    add_config(parser)
    parser.add_argument("--json", action="store_true", help="print verdicts as JSON, without transcripts")
    parser.add_argument("--quiet", action="store_true", help="print verdicts only")
    parser.add_argument("service", nargs="?", help="name of a service; default: every service")
    parser.add_argument("real", nargs="?", help="address, address:port or name of one real server; default: all")


def main(arguments: argparse.Namespace) -> int:
    """Exits 0 if all passed, 2 if one failed, 3 if one could not be asked, 66 if there is no such service or server."""
    config = load_or_tell(arguments.config, reading(arguments), warnings=False)
    if config is None:
        return exits.CONFIG
    try:
        services = [_service(config, arguments.service)] if arguments.service else config.services
        asked = [(service, real) for service in services for real in _reals(service, arguments.real)]
    except LookupError as error:
        print(f"healthd: {error.args[0]}", file=sys.stderr)
        return exits.NO_INPUT
    answers = asyncio.run(_ask_all(config.settings, asked))
    if arguments.json:
        print(json.dumps(_documents(asked, answers), indent=2))
    else:
        print("\n".join(_texts(asked, answers, quiet=arguments.quiet)))
    return max((CODES[answer.verdict.outcome] for found in answers for answer in found), default=exits.OK)


def _service(config: Config, name: str) -> ServiceConfig:
    by_name = {service.name: service for service in config.services}
    if name not in by_name:
        guess = nearest(name, by_name)
        remedy = f"did you mean {guess!r}?" if guess else f"there are {', '.join(by_name)}"
        raise LookupError(f"no service is called {name!r}; {remedy}")
    return by_name[name]


def _reals(service: ServiceConfig, wanted: str | None) -> list[RealServer]:
    if wanted is None:
        return list(service.reals)
    found = [real for real in service.reals if wanted in (str(real.key), str(real.key.address), real.name)]
    if not found:
        known = ", ".join(label(real) for real in service.reals)
        raise LookupError(f"service {service.name!r} has no real server {wanted!r}; it has {known}")
    return found


async def _ask_all(settings: Settings, asked: list[Asked]) -> list[list[Answer]]:
    """The answers of each server. All of one network namespace are asked at once, as a process is in one at a time.

    Every check has its own deadline, so the whole ends as well.
    """
    questions = [(service, real, plan) for service, real in asked for plan in real.checks]
    answers: dict[int, Answer] = {}
    runner = start_runner(settings.runner)
    try:
        for netns in dict.fromkeys(plan.target.netns for _, _, plan in questions):
            here = [number for number, (_, _, plan) in enumerate(questions) if plan.target.netns == netns]
            found = await _ask_inside(netns, [questions[number] for number in here], runner)
            answers |= zip(here, found, strict=True)
    finally:
        await runner.close()
    in_order = iter([answers[number] for number in range(len(questions))])
    return [list(itertools.islice(in_order, len(real.checks))) for _, real in asked]


async def _ask_inside(netns: str | None, questions: list[Question], runner: Runner) -> list[Answer]:
    at_once = asyncio.Semaphore(MOST_AT_ONCE)

    async def one(service: ServiceConfig, real: RealServer, plan: CheckPlan) -> Answer:
        async with at_once:
            return Answer(service, real, plan, *await ask(plan.check, plan.target, plan.cadence.timeout, runner, netns))

    try:
        with _inside(netns):
            return list(await asyncio.gather(*(one(*question) for question in questions)))
    except PrivilegeError as error:
        verdict = Verdict(Outcome.INCONCLUSIVE, Reason.LOCAL, str(error))
        return [Answer(*question, verdict, Transcript((), 0.0)) for question in questions]


@contextlib.contextmanager
def _inside(netns: str | None) -> Iterator[None]:
    """Be in a network namespace for as long as probes take. Raises PrivilegeError."""
    if netns is None:
        yield
        return
    home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        enter_namespace(netns)
        try:
            yield
        finally:
            enter_namespace(f"/proc/self/fd/{home}")
    finally:
        os.close(home)


def _texts(asked: list[Asked], answers: list[list[Answer]], *, quiet: bool) -> Iterator[str]:
    several = len({service.key for service, _ in asked}) > 1
    for (service, real), found in zip(asked, answers, strict=True):
        before = f"{service.name}: " if several else ""
        if not real.checks:
            yield printable(f"{before}{label(real)}: not checked")
        for answer in found:
            yield printable(before + _head(answer))
            yield from () if quiet else map(printable, trace_text(answer.transcript).splitlines())


def _head(answer: Answer) -> str:
    verdict = answer.verdict
    weight = "" if verdict.weight is None else f", asks for weight {verdict.weight}"
    return (
        f"{label(answer.real)} {answer.plan.check.kind} {answer.plan.target}: {verdict.outcome.value.upper()}"
        f" ({verdict.reason.value}) {verdict.detail}{weight} [{answer.transcript.took * 1000:.2f} ms]"
    )


def _documents(asked: list[Asked], answers: list[list[Answer]]) -> list[dict[str, Any]]:
    """One for each check of each server; a server without any has one with outcome null."""
    documents = []
    for (service, real), found in zip(asked, answers, strict=True):
        unchecked = dict.fromkeys(KEYS) | {"service": service.name, "real": str(real.key)}
        documents += [_document(answer) for answer in found] or [unchecked]
    return documents


def _document(answer: Answer) -> dict[str, Any]:
    verdict = answer.verdict
    values = (
        answer.service.name,
        str(answer.real.key),
        answer.plan.check.kind,
        str(answer.plan.target),
        verdict.outcome.value,
        verdict.reason.value,
        verdict.detail,
        verdict.weight,
        round(answer.transcript.took * 1000, 3),
    )
    return dict(zip(KEYS, values, strict=True))
