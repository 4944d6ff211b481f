"""What the demonstration consists of: three servers, a configuration, and the daemon as it runs in earnest."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from healthd.control import ControlError, ask

CONFIG = """\
[control]
socket = "{folder}/control.sock"

[log]
to = "{folder}/healthd.log"
format = "json"

[[service]]
name = "www"
virtual = "{virtual}"
scheduler = "wlc"
forward = "masq"
on_failure = "quiesce"
fallback = {{ address = "127.0.0.14", port = {port}, forward = "masq" }}

[service.check]
type = "http"
path = "/"
interval = "1s"
timeout = "500ms"
fast_interval = "300ms"
rise = 2
fall = 2
"""
REAL = """
[[service.real]]
address = "{address}:{port}"
name = "{name}"
weight = 10
"""
ADDRESSES = ("127.0.0.11", "127.0.0.12", "127.0.0.13")


@dataclass(slots=True)
class Server:
    """One real server, in a process of its own that can be killed and started again."""

    name: str
    address: str
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def alive(self) -> bool:
        """True while its process runs."""
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Start it on its address."""
        script = Path(__file__).with_name("server.py")
        self.process = subprocess.Popen(
            [sys.executable, "-S", "-E", str(script), self.address, str(self.port), self.name]
        )

    def kill(self) -> None:
        """Kill it, as a crash would."""
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def toggle(self) -> None:
        """Kill it if it is alive, else start it."""
        if self.alive:
            self.kill()
        else:
            self.start()


@dataclass(slots=True)
class Stage:
    """Everything that runs. folder: for the configuration, the log and the control socket. kernel: which table."""

    folder: Path
    kernel: bool
    servers: list[Server] = field(default_factory=list)
    daemon: subprocess.Popen[bytes] | None = None

    @property
    def errors(self) -> Path:
        """What the daemon says outside its log: warnings about the configuration, or why it could not start."""
        return self.folder / "stderr"

    def start(self) -> None:
        """Start the servers, then the daemon."""
        port = _free_port()
        self.servers = [Server(f"web{n}", address, port) for n, address in enumerate(ADDRESSES, 1)]
        for server in self.servers:
            server.start()
        config = self.folder / "healthd.toml"
        head = CONFIG.format(folder=self.folder, virtual=f"192.0.2.80:{80}", port=port)
        reals = (REAL.format(address=s.address, port=s.port, name=s.name) for s in self.servers)
        config.write_text(head + "".join(reals))
        table = "kernel" if self.kernel else "memory"
        command = [sys.executable, "-m", "healthd", "run", "-c", str(config), "--table", table]
        with self.errors.open("wb") as errors:
            self.daemon = subprocess.Popen(command, stderr=errors)

    def stop(self) -> None:
        """End everything that was started."""
        if self.daemon:
            self.daemon.terminate()
            self.daemon.wait()
        for server in self.servers:
            server.kill()

    def status(self) -> dict[str, Any] | None:
        """The daemon's status document; None while it does not answer yet."""
        try:
            return ask(self.folder / "control.sock", "GET", "/v1/status", timeout=5)
        except ControlError:
            return None

    def events(self, most: int) -> list[dict[str, Any]]:
        """The last events of the daemon's log, as it wrote them; other lines of log are left out."""
        log = self.folder / "healthd.log"
        lines = log.read_text().splitlines() if log.exists() else []
        return [told for told in map(json.loads, lines) if "kind" in told][-most:]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((ADDRESSES[0], 0))
        port: int = probe.getsockname()[1]
        return port
