"""chrony from Debian's package as a time server that leaves this machine's clock alone."""

from __future__ import annotations

import contextlib
import os
import pwd
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.checks.servers import LOOPBACK, free_ports, program, running


@dataclass(frozen=True)
class Chrony:
    """Port of a server, and its process."""

    port: int
    process: subprocess.Popen[bytes]


@contextlib.contextmanager
def chrony(*directives: str) -> Iterator[Chrony]:
    """A server. directives: lines of its configuration besides its port; without "local" it is never synchronised."""
    binary = program("chronyd", "chrony")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (port,) = free_ports(1)
        owner = pwd.getpwuid(os.getuid()).pw_name
        addresses = [f"bindaddress {address}" for address in LOOPBACK.values()]
        lines = [f"port {port}", *addresses, "cmdport 0", f"user {owner}", f"pidfile {name}/pid", *directives]
        (folder / "chrony.conf").write_text("\n".join(lines) + "\n")
        argv = [binary, "-x", "-d", "-U", "-f", str(folder / "chrony.conf")]
        with running(argv, folder / "log", lambda: _is_bound(port), cwd=name) as process:
            yield Chrony(port, process)


def _is_bound(port: int) -> bool:
    """Whether somebody has the port, on both families."""
    for family, address in LOOPBACK.items():
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind((address, port))
            except OSError:
                continue
            return False
    return True
