"""A machine of its own with healthd under the name of ldirectord, for tests of that command."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from healthd.cli import main
from healthd.pidfile import find
from tests.daemon.conftest import PATIENCE, Listener

ROOT = Path(__file__).parents[2]
NAME = "www.cf"
PROGRAM = """\
#!{python}
import sys
sys.path.insert(0, {root!r})
sys.argv[1:1] = {options!r}
from healthd.cli import main
sys.exit(main())
"""
FILE = """\
checkinterval = 1
checktimeout = 1
quiescent = {quiescent}
{globals}
virtual = {virtual}
    real = {real} gate 5
    checktype = connect
    scheduler = wlc
"""
STARTING = ("start", "restart", "try-restart")
BROKEN = "virtual = 192.0.2.80:80\n    no such thing\n"


@dataclass(frozen=True, slots=True)
class Said:
    """How a call ended and what it printed."""

    code: int
    out: str
    err: str


class Place:
    """A machine of its own: a program called ldirectord, its configuration, its pid files.

    A short path, because the control socket's has little room.
    """

    def __init__(self, folder: Path, listener: Listener) -> None:
        self.folder = folder
        self.listener = listener
        self.real = f"{listener.address}:{listener.port}"
        self.virtual = f"192.0.2.80:{listener.port}"
        self.etc, self.run = folder / "etc", folder / "run"
        for made in (self.etc, self.run):
            made.mkdir()
        self.config = self.etc / NAME
        self.log = folder / "log"
        self.pid_file = self.run / f"ldirectord.{NAME}.pid"
        self.program = folder / "ldirectord"
        self.configure()
        self.install("--table", "memory", "--in-process")

    def install(self, *options: str) -> None:
        """Have a program called ldirectord, which always gets these options besides."""
        self.options = [*options, "--run", str(self.run), "--look-in", str(self.etc)]
        self.program.write_text(PROGRAM.format(python=sys.executable, root=str(ROOT), options=self.options))
        self.program.chmod(0o755)

    def configure(self, more: str = "", quiescent: str = "no", log: str | None = None) -> None:
        """Write the configuration."""
        told = f'logfile = "{log or self.log}"\n{more}'
        self.config.write_text(FILE.format(virtual=self.virtual, real=self.real, globals=told, quiescent=quiescent))

    def call(self, *words: str) -> Said:
        """Call the program; in this process where it starts none, which is quicker."""
        if words and words[-1] not in STARTING:
            return self.called_here(*words)
        done = subprocess.run(
            [str(self.program), *words], capture_output=True, text=True, timeout=PATIENCE * 2, check=False, cwd="/"
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def called_here(self, *words: str) -> Said:
        """Call what the program calls, with its options."""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(["ldirectord", *self.options, *words])
        return Said(code, out.getvalue(), err.getvalue())

    def begin(self, *words: str) -> subprocess.Popen[str]:
        """Call the program without waiting for its end."""
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
        return subprocess.Popen([str(self.program), *words], text=True, **pipes)  # type: ignore[call-overload]

    def start(self) -> int:
        """Start the daemon; its number."""
        assert self.call(NAME, "start").code == 0
        return self.pid

    @property
    def pid(self) -> int:
        """The number in the pid file."""
        return int(self.pid_file.read_text())

    @property
    def socket(self) -> Path:
        """The daemon's control socket."""
        return self.run / "healthd" / f"ldirectord.{NAME}.sock"

    def lines(self) -> list[str]:
        """The messages of the log so far."""
        text = self.log.read_text() if self.log.exists() else ""
        return [line.partition("] ")[2] for line in text.splitlines()]

    def end(self) -> None:
        """End whatever still runs by a pid file here, and only if it does."""
        for path in self.run.glob("ldirectord.*.pid"):
            pid = find(path, "").pid
            if pid is not None:
                os.kill(pid, signal.SIGKILL)


def until(holds: Callable[[], object], what: str) -> None:
    """Wait until something is so."""
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, f"{what}: not within {PATIENCE} s"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """True while a process is there and has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def paused(pid: int) -> bool:
    """True while a process stands still."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
