"""A real server that is there and says nothing."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def silenced(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """A server that stands still for the length of a `with` block: the kernel goes on to accept connections for it.

    A signal is under way when it has been sent; the threads of a server may answer until all of them have stopped.
    """
    process.send_signal(signal.SIGSTOP)
    try:
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        yield
    finally:
        process.send_signal(signal.SIGCONT)


@contextlib.contextmanager
def silenced_group(group: int) -> Iterator[None]:
    """The same for a server of several processes, all in one process group."""
    os.killpg(group, signal.SIGSTOP)
    try:
        deadline = time.monotonic() + 20
        while not _states(group) <= set("TZ"):
            assert time.monotonic() < deadline, "it does not stop"
            time.sleep(0.005)
        yield
    finally:
        os.killpg(group, signal.SIGCONT)


def _states(group: int) -> set[str]:
    """The states of a group's processes (proc(5), stat)."""
    states = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended
            state, _, its_group = path.read_text(errors="replace").rpartition(") ")[2].split()[:3]
            states |= {state} if int(its_group) == group else set()
    return states
