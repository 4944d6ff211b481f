"""A PostgreSQL from Debian's package, with users that log in in different ways."""

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

import pytest

from tests.checks.servers import LOOPBACK, Certified, accepts, certify, free_ports, running

_HBA = """
host all trusted,single all trust
host all clear all password
host all old all md5
host all somebody all ident
host all joe 127.0.0.0/8 scram-sha-256
"""
_ROLES = r"""
CREATE ROLE trusted LOGIN;
CREATE ROLE single LOGIN CONNECTION LIMIT 1;
CREATE ROLE clear LOGIN PASSWORD 'secret';
CREATE ROLE odd LOGIN PASSWORD U&'I\00ADX\2168\00A0\FB01';
SET password_encryption = 'md5';
CREATE ROLE old LOGIN PASSWORD 'secret';
"""


@dataclass(frozen=True)
class Postgres:
    """A PostgreSQL whose user `joe` has the password `secret`. pid: of its first process."""

    port: int
    certified: Certified
    log: Path
    pid: int


@contextlib.contextmanager
def postgres() -> Iterator[Postgres]:
    """A fresh cluster, run by an ordinary user: PostgreSQL refuses to be run by root."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not folders:
        pytest.skip("needs the package postgresql")
    binaries = folders[-1].parent
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (port,) = free_ports(1)
        certified = certify(folder)
        (folder / "password").write_text("secret")
        user = _hand_over(folder)
        _make_cluster(binaries, folder, user)
        settings = {
            "listen_addresses": "127.0.0.1,::1",
            "unix_socket_directories": name,
            "ssl": "on",
            "ssl_cert_file": f"{name}/server.pem",
            "ssl_key_file": f"{name}/server.key",
            "fsync": "off",
        }
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        argv = [str(binaries / "postgres"), "-D", f"{name}/data", "-p", str(port), *options]
        log = folder / "log"
        with running(argv, log, lambda: accepts(port) and _is_up(port), cwd=folder, **user) as process:
            _make_roles(binaries, folder, port)
            yield Postgres(port, certified, log, process.pid)


def _make_cluster(binaries: Path, folder: Path, user: dict[str, object]) -> None:
    init = ["-D", folder / "data", "-U", "joe", "-A", "scram-sha-256", f"--pwfile={folder}/password", "-N"]
    argv = [binaries / "initdb", *init, "-E", "UTF8", "--locale=C"]
    subprocess.run(argv, check=True, capture_output=True, cwd=folder, **user)  # type: ignore[call-overload]
    hba = folder / "data/pg_hba.conf"
    hba.write_text(_HBA + hba.read_text())


def _make_roles(binaries: Path, folder: Path, port: int) -> None:
    argv = [binaries / "psql", "-h", folder, "-p", str(port), "-U", "joe", "-d", "postgres", "-v", "ON_ERROR_STOP=1"]
    environment = {"PGPASSWORD": "secret", "HOME": str(folder), "LANG": "C.UTF-8"}
    subprocess.run(argv, input=_ROLES, text=True, check=True, capture_output=True, cwd=folder, env=environment)


def _hand_over(folder: Path) -> dict[str, object]:
    """Give the folder to the user who runs the server; what starts a process as that user."""
    (folder / "server.key").chmod(0o600)
    if os.getuid():
        return {}
    owner = pwd.getpwnam("postgres")
    for path in (folder, *folder.iterdir()):
        os.chown(path, owner.pw_uid, owner.pw_gid)
    return {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}


def _is_up(port: int) -> bool:
    """Whether the server is past its start, when it answers every login with an error."""
    with socket.create_connection((LOOPBACK[socket.AF_INET], port), 10) as probe:
        body = b"\0\3\0\0user\0joe\0\0"
        probe.sendall((len(body) + 4).to_bytes(4, "big") + body)
        return probe.recv(1) == b"R"
