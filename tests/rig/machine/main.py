"""The command line of `tests/rig/run`."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from . import native, qemu
from .command import Command, NothingToRun, RigUnavailable

ROOT = Path(__file__).resolve().parents[3]
OUT = ROOT / "out"
PYTHON = ROOT / ".venv" / "bin" / "python"
PASSED_ON = ("CI", "PYTEST_ADDOPTS")
UNAVAILABLE, UNREADABLE = 77, 2
TEST_LIMIT = 60  # seconds for one test, times the slowness of the place


def main(arguments: Sequence[str], usage: str) -> int:
    """Run what the arguments ask for; returns the exit status."""
    if arguments[:1] in (["-h"], ["--help"]):
        print(usage.strip())
        return 0
    qemu.end_cleanly_when_told()
    try:
        return _run(arguments, os.environ)
    except RigUnavailable as error:
        print(f"rig: {error}", file=sys.stderr)
        return UNAVAILABLE
    except NothingToRun as error:
        print(error, file=sys.stderr)
        return UNREADABLE


def _run(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    writable, rest = [OUT], list(arguments)
    while rest[:1] == ["--rw"] and len(rest) > 1:
        writable.append(Path(rest[1]).resolve())
        rest = rest[2:]
    for directory in writable:
        directory.mkdir(parents=True, exist_ok=True)
    if rest[:1] == ["--shell"]:
        line = rest[1] if len(rest) == 2 else shlex.join(rest[1:])
    else:
        selected = _selected(rest)
        _collect(selected)
        line = _pytest(selected)
    return _place(_command(line, tuple(writable), environment), environment)


def _command(line: str, writable: tuple[Path, ...], environment: Mapping[str, str]) -> Command:
    passed = {
        name: value for name, value in environment.items() if name in PASSED_ON or name.startswith(("HEALTHD_", "RIG_"))
    }
    timeout = float(environment.get("RIG_TIMEOUT", "2400"))
    return Command(line, Path.cwd(), {**passed, "HEALTHD_RIG": "1"}, writable, timeout)


def _place(command: Command, environment: Mapping[str, str]) -> int:
    mode = environment.get("RIG_MODE", "auto")
    if mode not in ("auto", "native", "vm"):
        raise RigUnavailable(f"RIG_MODE={mode} is not known: auto, native or vm")
    why_not = "RIG_MODE=vm" if mode == "vm" else native.available()
    if why_not is None:
        return native.run(command.slowed(1))
    if mode == "native":
        raise RigUnavailable(why_not)
    kept = Path(environment.get("RIG_KERNEL", ROOT / ".cache" / "rig" / "kernel")).resolve()
    hardware = qemu.from_environment(environment)
    return qemu.run(command.slowed(qemu.slowness(hardware)), kept, OUT / "console.log", hardware)


WITH_A_KERNEL = ("tests/rig", "tests/contract")
"""Where tests marked "kernel" are; reading only these saves half a minute inside the machine."""


def _selected(arguments: Sequence[str]) -> list[str]:
    """All tests of the rig unless the arguments name a file, a directory or a test."""
    named = any((ROOT / argument.partition("::")[0]).exists() for argument in arguments if not argument.startswith("-"))
    return list(arguments) if named else [*arguments, *WITH_A_KERNEL]


def _pytest(arguments: Sequence[str]) -> str:
    """The shell line that runs the kernel's tests; the results go to out/kernel.xml, too."""
    own = ["-m", "pytest", "-m", "kernel", "-p", "no:cacheprovider", f"--junitxml={OUT / 'kernel.xml'}"]
    limit = f"--timeout=$(({TEST_LIMIT} * RIG_SLOW))"
    return f"cd {shlex.quote(str(ROOT))} && exec {shlex.join([str(PYTHON), *own])} {limit} {shlex.join(arguments)}"


def _collect(arguments: Sequence[str]) -> None:
    """Compile everything here and let pytest read the tests once: inside, both would take 20 times as long.

    A test that cannot be imported is found before anything boots. Raises NothingToRun, RigUnavailable.
    """
    if not PYTHON.exists():
        raise RigUnavailable("there is no .venv yet: run ./test once, it makes it")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    compileall = [str(PYTHON), "-m", "compileall", "-q", "healthd", "checks", "tests"]
    subprocess.run(compileall, cwd=ROOT, env=environment, check=False)
    collect = [
        str(PYTHON),
        "-m",
        "pytest",
        "-m",
        "kernel",
        "-q",
        "--collect-only",
        "-p",
        "no:cacheprovider",
        *arguments,
    ]
    done = subprocess.run(collect, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NothingToRun(f"{done.stdout}{done.stderr}".rstrip())
