"""Waiting for what must come, with a bound that only a failure reaches; and looking at processes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

BOUND = 30.0


async def until(condition: Callable[[], object], what: str = "") -> None:
    """Wait until the condition is true; fail the test after BOUND seconds."""
    loop = asyncio.get_running_loop()
    end = loop.time() + BOUND
    while not condition():
        assert loop.time() < end, f"waited {BOUND:g} s in vain {what}"
        await asyncio.sleep(0.01)


def alive(pid: int) -> bool:
    """True for a process that is there and not just waiting to be reaped."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def status_of(pid: int) -> dict[str, str]:
    """The lines of /proc/PID/status."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def children_of(pid: int) -> list[int]:
    """Process ids of the children of a process's main thread."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def open_files(pid: int) -> list[str]:
    """What a process has open, as /proc/PID/fd says."""
    return [str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()]


def inode_of(path: str) -> int:
    """Number of the inode of a file."""
    return Path(path).stat().st_ino


def is_root() -> bool:
    """True if we may do what only root may."""
    return os.geteuid() == 0
