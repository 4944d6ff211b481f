"""Script checks from schedule to verdict, with the real runner: whose fault it is when a script has no time left."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

import pytest

from checks.script import ScriptCheck
from healthd.check import Outcome, Reason, Target, Verdict
from healthd.config.schema import RunnerSettings
from healthd.health import Health, Thresholds
from healthd.prober.base import Cadence, Observation, Probe, Summary, Watch
from healthd.prober.local import LocalProber
from healthd.runner.process import RunnerProcesses, start_runner
from tests.processes.waiting import until


@dataclass
class Ear:
    """Remembers the first verdict of each probe."""

    verdicts: dict[int, Verdict] = field(default_factory=dict)

    def observed(self, batch: Sequence[Observation]) -> None:
        """Remember."""
        for one in batch:
            self.verdicts.setdefault(one.probe, one.verdict)

    def summarised(self, summary: Summary) -> None:
        """Nothing."""

    def lost(self, why: str) -> None:
        """Cannot be."""
        raise AssertionError(why)


@dataclass
class Rig:
    """A prober in this process and its runner."""

    prober: LocalProber
    runner: RunnerProcesses
    ear: Ear
    folder: Path

    async def ask(self, *texts: str, deadline: float) -> list[Verdict]:
        """The first verdicts of shell scripts that are all due at once."""
        probes = []
        for number, text in enumerate(texts):
            path = self.folder / f"check{number}"
            path.write_text(f"#!/bin/sh\n{text}\n")
            path.chmod(0o755)
            target = Target(ip_address("127.0.0.1"), 80)
            watch = Watch(number, Thresholds(), Health())
            cadence = Cadence(interval=deadline + 60, timeout=deadline)
            probes.append(Probe(number, ScriptCheck(str(path)), target, cadence, (watch,)))
        await self.prober.assign(probes)
        await self.prober.hurry(range(len(probes)))
        await until(lambda: len(self.ear.verdicts) == len(probes))
        return [self.ear.verdicts[number] for number in range(len(probes))]


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    ear = Ear()
    runner = start_runner(RunnerSettings(parallel=2), log=lambda _: None)
    (await runner.attach(None, None)).close()
    prober = LocalProber(ear, runner=runner, freeze=False)
    yield Rig(prober, runner, ear, tmp_path)
    await prober.close()
    await runner.close()


async def test_a_script_is_told_all_and_its_last_line_is_the_detail(rig: Rig) -> None:
    (verdict,) = await rig.ask("echo noise; echo $1 $2 $3 $4", deadline=20)
    assert verdict == Verdict(Outcome.PASS, detail="127.0.0.1 80 127.0.0.1 80")


async def test_a_hung_script_fails_its_server_and_one_that_never_ran_does_not(rig: Rig) -> None:
    verdicts = await rig.ask(*["sleep 300"] * 2, *["exit 0"] * 6, deadline=1.5)
    hung = [one for one in verdicts if one.outcome is Outcome.FAIL]
    ours = [one for one in verdicts if one.outcome is Outcome.INCONCLUSIVE]
    passed = [one for one in verdicts if one.outcome is Outcome.PASS]
    assert all(one.reason is Reason.TIMEOUT and "within 1.5 s" in one.detail for one in hung)
    assert len(hung) + len(ours) + len(passed) == 8
    assert all(one.reason is Reason.LOCAL and "scripts at once are allowed" in one.detail for one in ours)
    assert not [one for one in verdicts[2:] if one.outcome is Outcome.FAIL], "a script that was not hung was blamed"


async def test_a_script_that_kills_itself_fails_before_its_deadline(rig: Rig) -> None:
    (verdict,) = await rig.ask("kill -KILL $$", deadline=25)
    assert (verdict.outcome, verdict.reason) == (Outcome.FAIL, Reason.UNEXPECTED)
    assert "signal 9" in verdict.detail


async def test_a_missing_script_is_our_fault(rig: Rig) -> None:
    target = Target(ip_address("127.0.0.1"), 80)
    probe = Probe(0, ScriptCheck("/no/such/script"), target, Cadence(60, 20), ())
    await rig.prober.assign([probe])
    await rig.prober.hurry([0])
    await until(lambda: rig.ear.verdicts)
    assert rig.ear.verdicts[0] == Verdict(Outcome.INCONCLUSIVE, Reason.LOCAL, "/no/such/script: no such file")


async def test_a_runner_that_hangs_is_our_fault(rig: Rig) -> None:
    (pid,) = rig.runner.pids().values()
    os.kill(pid, signal.SIGSTOP)
    try:
        (verdict,) = await rig.ask("exit 0", deadline=0.5)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert (verdict.outcome, verdict.reason) == (Outcome.INCONCLUSIVE, Reason.LOCAL)
    assert verdict.detail == "the runner does not answer"


async def test_a_prober_that_ends_takes_its_scripts_along(rig: Rig, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    asking = asyncio.ensure_future(rig.ask(f"echo $$ > {pids}; sleep 300", deadline=200))
    await until(lambda: pids.exists() and pids.read_text())
    asking.cancel()
    await rig.prober.close()
    await until(lambda: not Path(f"/proc/{pids.read_text().strip()}").exists())
