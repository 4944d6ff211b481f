"""A real FreeRADIUS with one user, on ports that sign their answers, that do not, for accounting, and over TLS."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.checks.servers import Certified, certify, free_ports, program, running

_CONFIG = """
name = radiusd
prefix = /usr
logdir = {folder}
run_dir = {folder}
pidfile = {folder}/radiusd.pid
max_request_time = 10
cleanup_delay = 1
proxy_requests = no
log {{
    destination = stdout
    auth = yes
}}
security {{
    reject_delay = 0
    status_server = yes
}}
thread pool {{
    start_servers = 1
    max_servers = 4
    max_queue_size = 1024
}}
clients own {{
    client four {{
        ipaddr = 127.0.0.1
        secret = {secret}
    }}
    client six {{
        ipv6addr = ::1
        secret = {secret}
    }}
}}
clients secure {{
    client four {{
        ipaddr = 127.0.0.1
        proto = tls
        secret = radsec
    }}
    client six {{
        ipv6addr = ::1
        proto = tls
        secret = radsec
    }}
}}
modules {{
    pap {{
    }}
    chap {{
    }}
    always handled {{
        rcode = handled
    }}
}}
server updated {{
    {listen_signed}
    authorize {{
        {authorize}
    }}
    authenticate {{
        {authenticate}
    }}
    post-auth {{
        update reply {{
            Message-Authenticator := 0x00
        }}
        Post-Auth-Type REJECT {{
            update reply {{
                Message-Authenticator := 0x00
                Reply-Message := "not today"
            }}
        }}
        Post-Auth-Type Challenge {{
            update reply {{
                Message-Authenticator := 0x00
            }}
        }}
    }}
}}
server old {{
    {listen_old}
    authorize {{
        {authorize}
    }}
    authenticate {{
        {authenticate}
    }}
}}
"""

_LISTEN = """
    listen {{
        type = {type}
        {family} = {address}
        port = {port}
        clients = own
    }}
"""

_LISTEN_TLS = """
    listen {{
        type = auth
        proto = tcp
        {family} = {address}
        port = {port}
        clients = secure
        tls {{
            private_key_file = {folder}/server.key
            certificate_file = {folder}/server.pem
            ca_file = {folder}/ca.pem
            require_client_cert = no
            tls_min_version = "1.2"
            tls_max_version = "1.3"
        }}
    }}
"""

_AUTHORIZE = """
        if (&User-Name == "joe") {
            update control {
                Cleartext-Password := "secret"
            }
            update reply {
                Reply-Message := "hello %{%{NAS-Identifier}:-%{NAS-IP-Address}} %{NAS-Port-Type}"
            }
        }
        if (&User-Name == "long") {
            update control {
                Cleartext-Password := "LONG"
            }
        }
        if (&User-Name == "ann") {
            update control {
                Response-Packet-Type := Access-Challenge
            }
            update reply {
                Reply-Message := "which number?"
            }
            handled
        }
        chap
        pap
"""

_AUTHENTICATE = """
        Auth-Type PAP {
            pap
        }
        Auth-Type CHAP {
            chap
        }
"""

SECRET = "testing123"
LONG_PASSWORD = "0123456789abcdef" * 7 + "0123456789"
_FAMILIES = {"ipaddr": "127.0.0.1", "ipv6addr": "::1"}


@dataclass(frozen=True)
class FreeRadius:
    """Ports: signed with Message-Authenticator, as of before 2024, accounting, TLS. Its log and process."""

    signed: int
    old: int
    accounting: int
    secure: int
    certified: Certified
    log: Path
    process: subprocess.Popen[bytes]


def _listeners(port: int, text: str = _LISTEN, **values: object) -> str:
    return "".join(
        text.format(family=family, address=address, port=port, **values) for family, address in _FAMILIES.items()
    )


@contextlib.contextmanager
def freeradius() -> Iterator[FreeRadius]:
    """A server that knows joe (secret), challenges ann, and rejects all others."""
    path = program("freeradius", "freeradius")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        signed, old, accounting, secure = free_ports(4)
        certified = certify(folder)
        config = _CONFIG.format(
            folder=folder,
            secret=SECRET,
            listen_signed=_listeners(signed, type="auth") + _listeners(secure, _LISTEN_TLS, folder=folder),
            listen_old=_listeners(old, type="auth") + _listeners(accounting, type="acct"),
            authorize=_AUTHORIZE.replace("LONG", LONG_PASSWORD),
            authenticate=_AUTHENTICATE,
        )
        (folder / "radiusd.conf").write_text(config)
        (folder / "dictionary").write_text("")
        log = folder / "log"
        argv = [path, "-f", "-l", "stdout", "-d", str(folder)]
        with running(argv, log, lambda: b"Ready to process" in log.read_bytes(), cwd=folder) as process:
            yield FreeRadius(signed, old, accounting, secure, certified, log, process)
