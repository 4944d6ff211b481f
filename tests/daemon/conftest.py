"""The real daemon as a process, on its table in memory, with listeners on loopback as real servers."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from healthd.control import ControlError, ask

PATIENCE = 30.0

HEAD = """\
[daemon]
on_stop = "{on_stop}"
[control]
socket = "{folder}/control.sock"
[log]
to = "{folder}/log"
format = "json"
"""
SERVICE = """
[[service]]
name = "{name}"
virtual = "{virtual}"
scheduler = "rr"
forward = "masq"
on_failure = "{on_failure}"
[service.check]
type = "tcp"
interval = "500ms"
timeout = "300ms"
fast_interval = "300ms"
rise = 1
fall = 2
"""


class Listener:
    """A real server that accepts connections in its backlog, until it is closed."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        self._sock = socket.create_server((address, 0), backlog=512)
        self.address, self.port = self._sock.getsockname()[:2]

    def close(self) -> None:
        """Refuse connections from now on."""
        self._sock.close()

    def reopen(self) -> None:
        """Accept them again."""
        self._sock = socket.create_server((self.address, self.port), backlog=512)

    def drain(self) -> None:
        """Take what waits out of the backlog."""
        self._sock.setblocking(False)
        try:
            while True:
                self._sock.accept()[0].close()
        except BlockingIOError:
            pass


class RunningDaemon:
    """A daemon's process and what it tells."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        self.socket = folder / "control.sock"
        self.notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        (folder / "notify").unlink(missing_ok=True)
        self.notified.bind(str(folder / "notify"))
        self.notified.settimeout(0.1)
        command = [sys.executable, "-m", "healthd", "run", "-c", str(folder / "healthd.toml"), "--table", "memory"]
        self.errors = folder / "stderr"
        with self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [*command, *arguments], stderr=errors, env={**os.environ, "NOTIFY_SOCKET": str(folder / "notify")}
            )

    @property
    def all_is_well(self) -> str:
        """What its terminal reads if all is well."""
        return f"healthd: started, the log goes to {self.folder / 'log'}\n"

    def told(self, word: str) -> str:
        """The next message to systemd that has this word."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            with contextlib.suppress(TimeoutError):
                message = self.notified.recv(4096).decode()
                if word in message:
                    return message
            assert self.process.poll() is None or self._has_more(), f"it ended: {self.errors.read_text()}"
        pytest.fail(f"{word} was not told within {PATIENCE} s")

    def _has_more(self) -> bool:
        return bool(select.select([self.notified], [], [], 0)[0])

    def status(self) -> dict[str, Any]:
        """The status document."""
        return ask(self.socket, "GET", "/v1/status")

    def weights(self) -> dict[str, int | None]:
        """Weight of every row by address."""
        return {real["address"]: real["weight"] for service in self.status()["services"] for real in service["reals"]}

    def until(self, holds: Callable[[], bool], what: str) -> None:
        """Wait until something is so."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                if holds():
                    return
            except ControlError:
                assert self.process.poll() is None, self.errors.read_text()
            time.sleep(0.05)
        pytest.fail(f"{what}: not within {PATIENCE} s; {self.events()}")

    def events(self) -> list[dict[str, Any]]:
        """Every line of the log."""
        log = self.folder / "log"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def kinds(self) -> list[str]:
        """Kinds of the events so far."""
        return [line["kind"] for line in self.events() if "kind" in line]

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def close(self) -> None:
        """End it, however it is."""
        self.notified.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


def service_text(
    name: str, listeners: list[Listener], virtual: str = "192.0.2.80:80", on_failure: str = "quiesce", more: str = ""
) -> str:
    """A service of these listeners."""
    reals = (f'[[service.real]]\naddress = "{one.address}:{one.port}"\nweight = 7\n' for one in listeners)
    return SERVICE.format(name=name, virtual=virtual, on_failure=on_failure) + more + "".join(reals)


@pytest.fixture
def listeners() -> Iterator[list[Listener]]:
    """Two real servers."""
    both = [Listener(), Listener("127.0.0.2")]
    yield both
    for one in both:
        one.close()


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes a configuration of the given texts of services."""

    def write(*services: str, on_stop: str = "leave", more: str = "") -> Path:
        path = tmp_path / "healthd.toml"
        path.write_text(HEAD.format(folder=tmp_path, on_stop=on_stop) + more + "".join(services))
        return path

    return write


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., RunningDaemon]]:
    """Starts the daemon; it is ended after the test. processes: with probers of their own, as it is in earnest.

    Without them it starts in half the time, which is what most tests want.
    """
    running: list[RunningDaemon] = []

    def start(*arguments: str, processes: bool = False) -> RunningDaemon:
        running.append(RunningDaemon(tmp_path, *arguments, *(() if processes else ("--in-process",))))
        return running[-1]

    yield start
    for daemon in running:
        daemon.close()


@pytest.fixture
def place() -> Iterator[Any]:
    """A machine with healthd under the name of ldirectord (tests.daemon.ldirectord.Place)."""
    from tests.daemon.ldirectord import Place

    folder, listener = Path(tempfile.mkdtemp(prefix="ld-")), Listener()
    made = Place(folder, listener)
    yield made
    made.end()
    listener.close()
    shutil.rmtree(folder)
