"""A real server that is there and says nothing."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator


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
