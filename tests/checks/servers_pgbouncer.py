"""A PgBouncer from Debian's package, in front of a PostgreSQL."""

from __future__ import annotations

import contextlib
import os
import pwd
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.checks.servers import accepts, free_ports, program, running
from tests.checks.servers_pgsql import Postgres

_CONFIG = """
[databases]
postgres = host=127.0.0.1 port={behind}
[pgbouncer]
listen_addr = 127.0.0.1,::1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {folder}/users
pool_mode = {mode}
default_pool_size = 1
max_client_conn = {clients}
"""


@contextlib.contextmanager
def pgbouncer(behind: Postgres, mode: str, clients: int = 50) -> Iterator[int]:
    """The port of a pooler that has one session with the server. mode: when somebody else may have that session."""
    binary = program("pgbouncer", "pgbouncer")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (port,) = free_ports(1)
        (folder / "users").write_text('"joe" "secret"\n')
        config = _CONFIG.format(behind=behind.port, port=port, folder=folder, mode=mode, clients=clients)
        (folder / "config").write_text(config)
        argv = [binary, str(folder / "config")]
        with running(argv, folder / "log", lambda: accepts(port), **_ordinary_user(folder)):
            yield port


def _ordinary_user(folder: Path) -> dict[str, object]:
    """What starts it as an ordinary user: it refuses to be run by root."""
    if os.getuid():
        return {}
    owner = pwd.getpwnam("nobody")
    for path in (folder, *folder.iterdir()):
        os.chown(path, owner.pw_uid, owner.pw_gid)
    return {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
