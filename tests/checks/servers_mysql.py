"""A MariaDB from Debian's package, with users that log in in different ways."""

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

_USERS = """
INSTALL SONAME 'auth_ed25519';
CREATE DATABASE app;
CREATE USER joe@'%' IDENTIFIED VIA mysql_native_password USING PASSWORD('secret');
GRANT ALL ON *.* TO joe@'%';
CREATE USER free@'%';
CREATE USER curve@'%' IDENTIFIED VIA ed25519 USING PASSWORD('secret');
CREATE USER single@'%' IDENTIFIED BY 'secret' WITH MAX_USER_CONNECTIONS 1;
CREATE USER secured@'%' IDENTIFIED BY 'secret' REQUIRE SSL;
CREATE TABLE app.numbers (seq INT);
INSERT INTO app.numbers VALUES (1), (2), (3), (4);
DELIMITER //
CREATE PROCEDURE app.healthy() BEGIN SELECT seq FROM app.numbers LIMIT 3; SELECT 'second'; END//
"""


@dataclass(frozen=True)
class MariaDb:
    """A MariaDB whose user `joe` has the password `secret` and all rights."""

    port: int
    certified: Certified
    log: Path
    pid: int


@contextlib.contextmanager
def mariadb() -> Iterator[MariaDb]:
    """A fresh MariaDB, run by an ordinary user where tests are run by root."""
    binary, install = program("mariadbd", "mariadb-server"), program("mariadb-install-db", "mariadb-server")
    client = program("mariadb", "mariadb-server")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (port,) = free_ports(1)
        certified = certify(folder)
        user = _hand_over(folder)
        made = [install, "--no-defaults", f"--datadir={name}/data", "--auth-root-authentication-method=normal"]
        subprocess.run([*made, "--skip-test-db"], check=True, capture_output=True, cwd=folder, **user)  # type: ignore[call-overload]
        options = {
            "datadir": f"{name}/data",
            "socket": f"{name}/socket",
            "pid-file": f"{name}/pid",
            "port": port,
            "bind-address": "127.0.0.1,::1",
            "ssl-cert": f"{name}/server.pem",
            "ssl-key": f"{name}/server.key",
            "innodb-flush-log-at-trx-commit": 0,
            "log-warnings": 4,
            "skip-name-resolve": 1,
        }
        argv = [binary, "--no-defaults", *(f"--{key}={value}" for key, value in options.items())]
        log = folder / "log"
        with running(argv, log, lambda: accepts(port), cwd=folder, **user) as process:
            login = [client, "--no-defaults", f"--socket={name}/socket", "--user=root"]
            subprocess.run(login, input=_USERS, text=True, check=True, capture_output=True)
            yield MariaDb(port, certified, log, process.pid)
            process.terminate()  # SIGINT means nothing to it
            process.wait(20)


def _hand_over(folder: Path) -> dict[str, object]:
    """Give the folder to the user who runs the server; what starts a process as that user."""
    if os.getuid():
        return {}
    owner = pwd.getpwnam("mysql")
    for path in (folder, *folder.iterdir()):
        os.chown(path, owner.pw_uid, owner.pw_gid)
    return {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
