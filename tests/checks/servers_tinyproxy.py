"""Tinyproxy from Debian's package on a free port of loopback, and an nginx behind it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.checks import servers
from tests.checks.servers import accepts, free_ports, program, running

_CONFIG = """
Port {port}
Listen 127.0.0.1
Listen ::1
Timeout 30
LogLevel Info
MaxClients 50
DisableViaHeader Yes
{login}
Filter "{folder}/filter"
FilterURLs Off
"""


@dataclass(frozen=True)
class Tinyproxy:
    """Port of a Tinyproxy that wants the password secret of joe, what is behind it, and its process."""

    port: int
    nginx: servers.Nginx
    process: subprocess.Popen[bytes]

    @contextlib.contextmanager
    def silent(self) -> Iterator[None]:
        """It keeps its socket and says nothing for the length of a `with` block."""
        os.kill(self.process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.process.pid, signal.SIGCONT)


@contextlib.contextmanager
def tinyproxy(nginx: servers.Nginx, login: str = "BasicAuth joe secret") -> Iterator[Tinyproxy]:
    """A Tinyproxy that lets nobody go to forbidden.test. login: its line of configuration for who may use it."""
    binary = program("tinyproxy", "tinyproxy")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (port,) = free_ports(1)
        (folder / "filter").write_text("forbidden\\.test\n")
        (folder / "tinyproxy.conf").write_text(_CONFIG.format(port=port, folder=folder, login=login))
        argv = [binary, "-d", "-c", str(folder / "tinyproxy.conf")]
        with running(argv, folder / "log", lambda: accepts(port)) as process:
            yield Tinyproxy(port, nginx, process)
