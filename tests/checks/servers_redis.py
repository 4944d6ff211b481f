"""Redis servers from Debian's package: a master with users, its replica, and what is wrong with either."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.checks.servers import Certified, accepts, certify, free_ports, program, running

_COMMON = ["--bind", "127.0.0.1", "::1", "--save", "", "--appendonly", "no", "--daemonize", "no"]


@dataclass(frozen=True)
class Redis:
    """Ports of a server, one of them with TLS, and its process."""

    port: int
    secure: int
    certified: Certified
    process: subprocess.Popen[bytes]


@contextlib.contextmanager
def redis(*options: str) -> Iterator[Redis]:
    """A server in a folder of its own. options: as on its command line, after what each of them has."""
    binary = program("redis-server", "redis-server")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        port, secure = free_ports(2)
        certified = certify(folder)
        files = ["--tls-cert-file", f"{name}/server.pem", "--tls-key-file", f"{name}/server.key"]
        tls = ["--tls-port", str(secure), *files, "--tls-auth-clients", "no"]
        argv = [binary, "--port", str(port), *_COMMON, *tls, "--dir", name, *options]
        with running(argv, folder / "log", lambda: accepts(port) and accepts(secure), cwd=name) as process:
            yield Redis(port, secure, certified, process)


def told(port: int, *lines: str) -> bytes:
    """Say something to a server, one line after the other; the first part of its last answer."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), 20) as connection:
        for line in lines:
            connection.sendall(f"{line}\r\n".encode())
            answer = connection.recv(65536)
    return answer
