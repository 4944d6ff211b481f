"""memcached servers from Debian's package: plain, with logins of either kind, with TLS."""

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

_SASL = """
pwcheck_method: auxprop
auxprop_plugin: sasldb
sasldb_path: {folder}/sasldb
mech_list: plain
"""


CONNECTIONS = 64
"""How many a server takes, some of which it needs itself."""


@dataclass(frozen=True)
class Memcached:
    """Port of a server, and its process."""

    port: int
    certified: Certified
    process: subprocess.Popen[bytes]


@contextlib.contextmanager
def memcached(login: str = "", tls: bool = False) -> Iterator[Memcached]:
    """A server in a folder of its own. login: "text" or "sasl" for one that wants joe's password, which is "secret"."""
    binary = program("memcached", "memcached")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (port,) = free_ports(1)
        certified = certify(folder)
        argv = [binary, "-l", "127.0.0.1,::1", "-p", str(port), "-U", "0", "-t", "1", "-c", str(CONNECTIONS)]
        argv += _with_login(folder, login)
        if tls:
            files = f"ssl_chain_cert={name}/server.pem,ssl_key={name}/server.key"
            argv += ["-Z", "-o", files]
        environment = {**os.environ, "SASL_CONF_PATH": name}
        user = _hand_over(folder)
        with running(argv, folder / "log", lambda: accepts(port), cwd=name, env=environment, **user) as process:
            yield Memcached(port, certified, process)


def _with_login(folder: Path, login: str) -> list[str]:
    match login:
        case "text":
            (folder / "users").write_text("joe:secret\n")
            return ["-Y", str(folder / "users")]
        case "sasl":
            (folder / "memcached.conf").write_text(_SASL.format(folder=folder))
            argv = [program("saslpasswd2", "sasl2-bin"), "-p", "-c", "-f", str(folder / "sasldb"), "-a", "memcached"]
            subprocess.run([*argv, "joe"], input=b"secret", check=True, capture_output=True)
            return ["-S"]
    return []


def _hand_over(folder: Path) -> dict[str, object]:
    """Give the folder to the user who runs the server: it refuses to be run by root."""
    if os.getuid():
        return {}
    owner = pwd.getpwnam("nobody")
    for path in (folder, *folder.iterdir()):
        os.chown(path, owner.pw_uid, owner.pw_gid)
    return {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
