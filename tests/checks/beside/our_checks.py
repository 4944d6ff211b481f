"""What healthd's checks say of the real servers of ldirectord's files: `our_checks.py FILE...`.

Each line of standard output is JSON: the path of a file, and of each check of each of its servers the outcome and the
detail; `warnings` is what the reader said of the file. All files are read, as a drop-in reads them, before the first
question: who reads cannot listen. Whoever could not be asked is asked again, as the daemon does.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from healthd.check import Outcome, Verdict
from healthd.config.formats import Format, Reading
from healthd.config.load import Loaded, load
from healthd.config.problems import render
from healthd.config.schema import CheckPlan, RunnerSettings
from healthd.prober.ask import ask
from healthd.prober.base import Runner
from healthd.runner.process import start_runner

TRIES = 5


async def told(path: Path, loaded: Loaded, runner: Runner) -> dict[str, Any]:
    """What one file and its servers say."""
    warnings = render(loaded.problems, color=False)
    if loaded.config is None:
        return {"path": str(path), "asked": [["refused", warnings]], "warnings": warnings}
    reals = [real for service in loaded.config.services for real in service.reals]
    plans = [plan for real in reals for plan in real.checks]
    asked = [await verdict_of(plan, runner) for plan in plans]
    verdicts = [[verdict.outcome.value, f"{verdict.reason.value}: {verdict.detail}"] for verdict in asked]
    return {"path": str(path), "asked": verdicts, "warnings": warnings}


async def verdict_of(plan: CheckPlan, runner: Runner) -> Verdict:
    """What the server is, or that it could not be found out in several tries."""
    for _ in range(TRIES):
        verdict, _ = await ask(plan.check, plan.target, plan.cadence.timeout, runner)
        if verdict.outcome is not Outcome.INCONCLUSIVE:
            break
    return verdict


async def main(paths: list[Path]) -> None:
    """Ask all at the same time."""
    files = {path: load(path, reading=Reading(Format.LDIRECTORD)) for path in paths}
    runner = start_runner(RunnerSettings())
    try:
        for answer in await asyncio.gather(*(told(path, loaded, runner) for path, loaded in files.items())):
            print(json.dumps(answer))
    finally:
        await runner.close()


if __name__ == "__main__":
    asyncio.run(main([Path(argument) for argument in sys.argv[1:]]))
