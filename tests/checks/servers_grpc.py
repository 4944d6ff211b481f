"""A real gRPC server: grpcio from Debian's package, which only the system's Python sees."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.checks.servers import Certified, accepts, certify, free_ports, running

_PYTHON = "/usr/bin/python3"


@dataclass(frozen=True)
class Grpc:
    """Ports of a server, one of them with TLS, and its process."""

    port: int
    secure: int
    certified: Certified
    process: subprocess.Popen[bytes]


@contextlib.contextmanager
def grpc(*options: str) -> Iterator[Grpc]:
    """A server. options: "without-health" for one that has no health service."""
    if not Path(_PYTHON).exists() or subprocess.run([_PYTHON, "-c", "import grpc"], capture_output=True).returncode:
        pytest.skip("needs the package python3-grpcio")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        port, secure = free_ports(2)
        certified = certify(folder)
        files = [str(folder / "server.pem"), str(folder / "server.key")]
        script = Path(__file__).with_name("grpc_server.py")
        argv = [_PYTHON, "-I", str(script), str(port), str(secure), *files, *options]
        with running(argv, folder / "log", lambda: accepts(port) and accepts(secure), cwd=name) as process:
            yield Grpc(port, secure, certified, process)
