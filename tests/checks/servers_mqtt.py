"""Mosquitto from Debian's package: open to all, with logins, and with TLS."""

from __future__ import annotations

import contextlib
import os
import pwd
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.checks.servers import Certified, accepts, certify, free_ports, program, running

_CONFIGURATION = """
per_listener_settings true
user {user}
log_dest stderr
sys_interval 1

listener {free} 127.0.0.1
allow_anonymous true
listener {free} ::1
allow_anonymous true

listener {closed} 127.0.0.1
password_file {folder}/users
acl_file {folder}/rights
listener {closed} ::1
password_file {folder}/users
acl_file {folder}/rights

listener {secure} 127.0.0.1
allow_anonymous true
certfile {folder}/server.pem
keyfile {folder}/server.key
listener {secure} ::1
allow_anonymous true
certfile {folder}/server.pem
keyfile {folder}/server.key
"""


@dataclass(frozen=True)
class Mosquitto:
    """Ports of a broker: free to all, closed to whom it does not know (joe's password is "secret"), and with TLS."""

    free: int
    closed: int
    secure: int
    certified: Certified
    process: subprocess.Popen[bytes]
    log: Path


@contextlib.contextmanager
def mosquitto() -> Iterator[Mosquitto]:
    """A broker in a folder of its own; it runs as whoever runs the tests."""
    binary = program("mosquitto", "mosquitto")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ports = dict(zip(("free", "closed", "secure"), free_ports(3), strict=True))
        certified = certify(folder)
        (folder / "rights").write_text("user joe\ntopic read open/#\n")
        passwords = [program("mosquitto_passwd", "mosquitto"), "-c", "-b", str(folder / "users"), "joe", "secret"]
        subprocess.run(passwords, check=True, capture_output=True)
        owner = pwd.getpwuid(os.getuid()).pw_name
        (folder / "broker.conf").write_text(_CONFIGURATION.format(folder=folder, user=owner, **ports))
        argv = [binary, "-v", "-c", str(folder / "broker.conf")]
        with running(argv, folder / "log", lambda: all(map(accepts, ports.values())), cwd=name) as process:
            yield Mosquitto(**ports, certified=certified, process=process, log=folder / "log")
