"""Becoming a daemon in the old way, whose starter waits to hear how the start went."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import traceback
from collections.abc import Callable

Report = Callable[[int, str], None]
Work = Callable[[Report], int]

SOFTWARE = 1


def in_background(work: Work) -> tuple[int, str]:
    """Do work in a daemon: no terminal, in /, reading and writing nowhere. Returns what it reports; it goes on.

    work: gets a function that takes an exit code for the starter and a sentence for people, empty if all is well; the
    first call counts. Its own result is the daemon's exit code. Needs a process without threads.
    """
    reading, writing = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    first = os.fork()
    if first == 0:
        os.close(reading)
        _become_daemon(work, writing)
    os.close(writing)
    os.waitpid(first, 0)
    with os.fdopen(reading, "rb") as report:
        told = report.read()
    if not told:
        return SOFTWARE, "the daemon ended before it had started"
    code, message = json.loads(told)
    return code, message


def _become_daemon(work: Work, writing: int) -> None:
    """Never returns. A session of its own has no terminal; who is not its leader can never get one."""
    code = SOFTWARE
    try:
        os.setsid()
        if os.fork():
            code = 0
        else:
            os.chdir("/")
            _hold_nothing_but(writing)
            code = _report_on(work, writing)
    finally:
        os._exit(code)


def _hold_nothing_but(kept: int) -> None:
    """Close what others left open to us (a lock, a pipe that somebody waits at), and read and write nowhere."""
    for number in map(int, os.listdir("/proc/self/fd")):  # noqa: PTH208 - names alone, of what is open just now
        if number > 2 and number != kept:
            with contextlib.suppress(OSError):  # the listing itself is open no more
                os.close(number)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nowhere, number)
    os.close(nowhere)


def _report_on(work: Work, writing: int) -> int:
    open_ends = [writing]

    def report(code: int, message: str) -> None:
        while open_ends:
            with os.fdopen(open_ends.pop(), "wb") as pipe:
                pipe.write(json.dumps([code, message]).encode())

    try:
        return work(report)
    except BaseException:
        report(SOFTWARE, f"a fault of healthd's own; please report it\n{traceback.format_exc().rstrip()}")
        raise
