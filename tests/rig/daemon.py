"""The real daemon as a process in the director's namespace, its configuration files, and what it can be asked."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from healthd.control import ControlError, ask
from tests.rig.namespace import Namespace
from tests.rig.patience import SLOW, seconds, until

ROOT = Path(__file__).parents[2]

# Probes as fast as the place allows: every 0.2 s at full speed. Two failures take a server out, two passes bring it
# back, so one verdict alone never moves a weight once a server is known.
INTERVAL = 0.2 * SLOW
PACE = f"""
interval = "{INTERVAL * 1000:.0f}ms"
timeout = "{INTERVAL * 750:.0f}ms"
rise = 2
fall = 2
"""

SETTINGS = """
[control]
socket = "{here}/control.sock"

[state]
file = "{here}/state.db"

[log]
level = "info"

[table]
resync = "{resync}s"
{table}

{more}

[defaults.check]
{pace}
"""

TCP = 'type = "tcp"'
HTTP = 'type = "http"\npath = "/health"'


def real(address: object, *lines: str) -> str:
    """The table of one real server."""
    return "\n".join(["[[service.real]]", f'address = "{address}"', *lines, ""])


def service(name: str, lines: str, check: str, reals: Iterable[str]) -> str:
    """The table of one service. lines: its own keys. check: the keys of its check; without any it has no check."""
    checked = f"[service.check]\n{check}\n" if check else ""
    return f'[[service]]\nname = "{name}"\n{lines}\n\n{checked}\n' + "\n".join(reals)


class Daemon:
    """`healthd run` on files of its own. Not started until `start`. around: the command line that starts it, if any."""

    def __init__(
        self,
        director: Namespace,
        directory: Path,
        *,
        more: str = "",
        table: str = "",
        resync: int = 15,
        around: Sequence[str] = (),
    ) -> None:
        self.directory = directory
        self.output = directory / "output"
        self.socket = directory / "control.sock"
        self._director = director
        self._around = tuple(around)
        self._process: subprocess.Popen[bytes] | None = None
        (directory / "services.d").mkdir(parents=True)
        settings = SETTINGS.format(here=directory, resync=resync, more=more, table=table, pace=PACE)
        (directory / "healthd.toml").write_text(settings)

    # --- files -------------------------------------------------------------------------------------------------

    def write(self, name: str, text: str) -> None:
        """Put a file of services in place, whole at once."""
        target = self.directory / "services.d" / f"{name}.toml"
        fresh = target.with_suffix(".new")
        fresh.write_text(text)
        fresh.rename(target)

    def remove(self, name: str) -> None:
        """Take a file of services away."""
        (self.directory / "services.d" / f"{name}.toml").unlink()

    # --- the process -------------------------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        """The director process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it answers on its socket and has asked every server once."""
        assert self._process is None
        with self.output.open("ab") as output:
            self._process = self._director.popen(
                [*self._around, sys.executable, "-m", "healthd", "run", "-c", str(self.directory)],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                process_group=0,
            )
        until("the daemon answers", self._answers, within=20)
        until("every server was asked", self._has_asked, within=20)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"healthd ended with {self._process.returncode}:\n{self.log()}"
        try:
            return bool(self.status())
        except ControlError:
            return False

    def _has_asked(self) -> bool:
        return all(check["last"] for check in self.checks())

    def stop(self) -> None:
        """SIGTERM, and expect an orderly end. Nothing if it does not run."""
        if self._process is not None:
            if self._process.poll() is None:
                self.thaw(self.pid, *self.children())  # a test may have failed halfway
                self._process.terminate()
            status = self._wait()
            assert status == 0, f"healthd ended with {status}:\n{self.log()}"

    def kill(self) -> None:
        """SIGKILL to the director process alone; its children must notice by themselves."""
        assert self._process is not None
        children = self.children()
        self._process.kill()
        self._wait()
        until("the daemon's children end", lambda: not [pid for pid in children if _runs(pid)])

    def signal(self, number: int, *pids: int) -> None:
        """Send a signal to the director process, or to other processes of the daemon's."""
        for pid in pids or (self.pid,):
            os.kill(pid, number)

    def thaw(self, *pids: int) -> None:
        """SIGCONT to those of these processes that are still there: a child that hung may have been replaced."""
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def children(self) -> list[int]:
        """The processes it started."""
        return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]

    def _wait(self) -> int:
        assert self._process is not None
        status = self._process.wait(seconds(30))
        self._process = None
        return status

    # --- asking ------------------------------------------------------------------------------------------------

    def healthd(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Another command of healthd's, with this daemon's socket or files, in the director's namespace."""
        options = {"capture_output": True, "text": True, "check": False, "timeout": seconds(20)}
        return self._director.call(subprocess.run, self.command(*words), cwd=ROOT, **options)

    def command(self, *words: str) -> list[str]:
        """The whole command line of another command."""
        files = words[0] in ("check-config", "plan", "probe", "doctor")
        place = ["-c", str(self.directory)] if files else ["-s", str(self.socket)]
        return [sys.executable, "-m", "healthd", words[0], *place, *words[1:]]

    def status(self) -> dict[str, Any]:
        """The status document."""
        return ask(self.socket, "GET", "/v1/status", timeout=seconds(10))

    def checks(self) -> list[dict[str, Any]]:
        """The checks of all real servers, from the status document."""
        return [check for service in self.status()["services"] for real in service["reals"] for check in real["checks"]]

    def asks_everyone(self, times: int = 3) -> None:
        """Wait until every check has been asked so many times from now on."""
        for _ in range(times):
            now = time.monotonic()
            until("everyone is asked again", lambda now=now: self._newer_than(now), within=20)

    def _newer_than(self, then: float) -> bool:
        asked = time.monotonic()
        return all(check["last"] and asked - check["last"]["age"] > then for check in self.checks())

    def reload(self) -> str:
        """`healthd reload`, which must succeed; what it said."""
        done = self.healthd("reload")
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def log(self) -> str:
        """All that it has said."""
        return self.output.read_text(errors="replace")


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
