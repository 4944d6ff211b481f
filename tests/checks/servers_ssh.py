"""OpenSSH's sshd in a folder of its own, with a key of its own."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.checks.servers import LOOPBACK, accepts, free_ports, program, running

_CONF = """
Port {port}
{listen}
HostKey {folder}/key
PidFile none
UsePAM no
LogLevel VERBOSE
{more}
"""


@dataclass(frozen=True)
class Sshd:
    """Port, process and log of one."""

    port: int
    process: subprocess.Popen[bytes]
    log: Path


@contextlib.contextmanager
def sshd(more: str = "") -> Iterator[Sshd]:
    """A server; more: further lines of its configuration."""
    binary, keygen = program("sshd", "openssh-server"), program("ssh-keygen", "openssh-client")
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where it locks itself in; the package's service makes it
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (port,) = free_ports(1)
        subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", folder / "key"], check=True, capture_output=True)
        listen = "\n".join(f"ListenAddress {address}" for address in LOOPBACK.values())
        (folder / "conf").write_text(_CONF.format(port=port, listen=listen, folder=folder, more=more))
        log = folder / "log"
        argv = [binary, "-D", "-e", "-f", str(folder / "conf")]
        with running(argv, log, lambda: accepts(port)) as process:
            yield Sshd(port, process, log)
