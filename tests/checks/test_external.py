"""Defects of ldirectord's external checks that are not here, with the real runner, each test named after its defect."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

import pytest

from checks.perl import PerlCheck
from checks.script import ScriptCheck
from healthd.check import Binding, Outcome, Reason, Verdict
from healthd.config.schema import RunnerSettings
from healthd.prober.ask import ask
from healthd.prober.base import Observation, Summary
from healthd.prober.local import LocalProber
from healthd.runner.process import RunnerProcesses, start_runner
from tests.checks.harness import V4
from tests.checks.servers import program
from tests.prober.stage import probe
from tests.processes.waiting import alive, until

ROW = Binding("web", "192.0.2.80", 80, ip_address("192.0.2.11"), 8080)
HANGS = "trap '' TERM INT HUP\necho $$ >> PIDS\nsleep 300 &\necho $! >> PIDS\nwhile :; do sleep 300; done\n"


@pytest.fixture
async def runner() -> AsyncIterator[RunnerProcesses]:
    started = start_runner(RunnerSettings())
    yield started
    await started.close()


def script(folder: Path, text: str, name: str = "check") -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def perl(folder: Path, text: str) -> PerlCheck:
    program("perl", "perl-base")
    path = folder / "check.pl"
    path.write_text(text)
    return PerlCheck(str(path))


@pytest.mark.parametrize("signal", ["SEGV", "KILL", "TERM", "ABRT"])
async def test_b7_a_check_killed_by_a_signal_has_failed(runner: RunnerProcesses, tmp_path: Path, signal: str):
    for check in (
        ScriptCheck(str(script(tmp_path, f"kill -{signal} $$; sleep 60"))),
        perl(tmp_path, f"kill '{signal}', $$; sleep 60;"),
    ):
        verdict, _ = await ask(check.bound(ROW), V4, 20.0, runner)
        assert (verdict.outcome, verdict.reason) == (Outcome.FAIL, Reason.UNEXPECTED)
        assert re.match(r"killed by signal \d+", verdict.detail)


async def test_b8_a_command_takes_arguments_and_a_path_may_have_spaces(runner: RunnerProcesses, tmp_path: Path):
    path = script(tmp_path, 'printf "%s|" "$@"; echo', "my check")
    args = ("-w", "5 or more", "{virtual}", "{virtual_port}", "{address}", "{port}")
    for check, said in (
        (ScriptCheck(str(path), args=args), "-w|5 or more|192.0.2.80|80|192.0.2.11|8080|"),
        (ScriptCheck(str(path)), "192.0.2.80|80|192.0.2.11|8080|"),
    ):
        verdict, _ = await ask(check.bound(ROW), V4, 20.0, runner)
        assert verdict == Verdict(Outcome.PASS, detail=said)


@dataclass
class Ear:
    """Counts verdicts."""

    verdicts: list[Verdict] = field(default_factory=list)

    def observed(self, batch: object) -> None:
        """Remember."""
        self.verdicts += [one.verdict for one in batch if isinstance(one, Observation)]  # type: ignore[attr-defined]

    def summarised(self, summary: Summary) -> None:
        """Nothing."""

    def lost(self, why: str) -> None:
        """Cannot be."""
        raise AssertionError(why)


def started(pids: Path) -> list[int]:
    return [int(line) for line in pids.read_text().split()] if pids.exists() else []


async def test_b17_hung_checks_are_killed_with_their_group_and_do_not_pile_up(runner: RunnerProcesses, tmp_path: Path):
    pids = tmp_path / "pids"
    check = ScriptCheck(str(script(tmp_path, HANGS.replace("PIDS", str(pids)))))
    ear = Ear()
    (await runner.attach(None, None)).close()
    prober = LocalProber(ear, runner=runner, freeze=False)
    try:
        await prober.assign([probe(1, check.bound(ROW), V4, interval=0.6, timeout=0.4)])
        await until(lambda: [one.reason for one in ear.verdicts].count(Reason.TIMEOUT) >= 4 and len(started(pids)) >= 8)
        # each run leaves two processes that no TERM ends: with none of them killed there would be eight by now
        await until(lambda: sum(map(alive, started(pids))) <= 2)
    finally:
        await prober.close()
    await until(lambda: not any(map(alive, started(pids))))
    assert {one.outcome for one in ear.verdicts} <= {Outcome.FAIL, Outcome.INCONCLUSIVE}
