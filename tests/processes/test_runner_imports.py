"""The runner stays small: what it imports is paid for at every start of a script."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_the_runner_imports_next_to_nothing() -> None:
    code = "import sys; sys.path.append(sys.argv[1]); import healthd.runner.child; print(*sys.modules)"
    here = str(Path(__file__).parents[2])
    loaded = set(
        subprocess.run(
            [sys.executable, "-I", "-S", "-c", code, here], capture_output=True, text=True, check=True
        ).stdout.split()
    )
    assert not loaded & {"asyncio", "dataclasses", "typing", "pathlib", "json", "subprocess", "logging", "inspect"}
