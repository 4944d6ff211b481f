"""Real servers from Debian's packages, each in a folder of its own on free ports of loopback, ended by its pid."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import pytest
import trustme

from healthd.check import Target, Tls

LOOPBACK = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
PATIENCE = 60.0
"""Seconds a server may take to start on a busy machine."""


@dataclass(frozen=True)
class Certified:
    """Files of a certificate for `localhost.test` and loopback, and of one for clients."""

    folder: Path
    authority: trustme.CA

    @property
    def tls(self) -> Tls:
        """What a client trusts."""
        return Tls(ca_file=str(self.folder / "ca.pem"), server_name="localhost.test")

    @property
    def client(self) -> Tls:
        """What a client with a certificate of its own shows and trusts."""
        own = {"cert_file": str(self.folder / "client.pem"), "key_file": str(self.folder / "client.key")}
        return Tls(ca_file=str(self.folder / "ca.pem"), server_name="localhost.test", **own)


def certify(folder: Path) -> Certified:
    """Make an authority and what it certifies, as files in `folder`."""
    authority = trustme.CA()
    for name, leaf in (
        ("server", authority.issue_cert("localhost.test", "127.0.0.1", "::1")),
        ("client", authority.issue_cert("prober@localhost.test")),
    ):
        leaf.private_key_pem.write_to_path(str(folder / f"{name}.key"))
        for blob in leaf.cert_chain_pems:
            blob.write_to_path(str(folder / f"{name}.pem"), append=True)
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    return Certified(folder, authority)


def program(name: str, package: str) -> str:
    """Path of a server's program; the test is skipped where it is not installed."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin:/usr/local/sbin")
    if found is None:
        pytest.skip(f"needs the package {package}")
    return found


@contextlib.contextmanager
def running(
    argv: list[str], log: Path, ready: Callable[[], bool], **popen: object
) -> Iterator[subprocess.Popen[bytes]]:
    """A program in the foreground, until it is `ready` and from then until the end of the block."""
    with log.open("wb") as output:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, **popen)  # type: ignore[call-overload]
        try:
            deadline = time.monotonic() + PATIENCE
            while not ready():
                assert process.poll() is None, log.read_text(errors="replace")
                assert time.monotonic() < deadline, log.read_text(errors="replace")
                time.sleep(0.05)
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def free_ports(count: int) -> list[int]:
    """Ports that are free for TCP and UDP on both families of loopback, a moment ago."""
    with contextlib.ExitStack() as stack:
        ports: list[int] = []
        while len(ports) < count:
            with contextlib.ExitStack() as attempt:
                first = attempt.enter_context(socket.create_server((LOOPBACK[socket.AF_INET], 0)))
                port = first.getsockname()[1]
                try:
                    for family, kind in (
                        (socket.AF_INET, socket.SOCK_DGRAM),
                        (socket.AF_INET6, socket.SOCK_STREAM),
                        (socket.AF_INET6, socket.SOCK_DGRAM),
                    ):
                        other = attempt.enter_context(socket.socket(family, kind))
                        other.bind((LOOPBACK[family], port))
                except OSError:
                    continue
                ports.append(port)
                stack.push(attempt.pop_all())
        return ports


def accepts(port: int) -> bool:
    """Whether somebody listens on both families of loopback."""
    for family, address in LOOPBACK.items():
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            if probe.connect_ex((address, port)):
                return False
    return True


def both(port: int) -> list[Target]:
    """The same port by IPv4 and by IPv6."""
    return [Target(ip_address(address), port) for address in LOOPBACK.values()]


# --- nginx ------------------------------------------------------------------------------------------------------

_NGINX = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 256; }}
http {{
    access_log off;
    log_format counted "$connection_requests";
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 3;
    default_type text/plain;
    ssl_certificate {folder}/server.pem;
    ssl_certificate_key {folder}/server.key;
    server {{
        listen 127.0.0.1:{http}; listen [::1]:{http};
        listen 127.0.0.1:{https} ssl; listen [::1]:{https} ssl;
        server_name localhost.test;
        root {folder}/www;
        location = /healthz {{ return 200 "alive\\n"; }}
        location = /served {{ access_log {folder}/served.$server_port counted; return 200 "fine"; }}
        location = /busy {{ return 503; }}
        location = /agent {{ return 200 "$http_user_agent|$http_x_probe|$host|$request_method|$server_protocol"; }}
        location = /old {{ return 301 /healthz; }}
        location = /round {{ return 302 /round; }}
        location = /away {{ return 302 https://elsewhere.test/; }}
        location = /private {{ auth_basic "private"; auth_basic_user_file {folder}/users; try_files /page.html =404; }}
        location = /chunked.html {{ ssi on; ssi_types text/plain; }}
    }}
    server {{
        listen 127.0.0.1:{mutual} ssl; listen [::1]:{mutual} ssl;
        server_name localhost.test;
        ssl_client_certificate {folder}/ca.pem;
        ssl_verify_client on;
        location / {{ return 200 "hello $ssl_client_verify\\n"; }}
    }}
}}
"""


@dataclass(frozen=True)
class Nginx:
    """Ports of an nginx, and its folder."""

    http: int
    https: int
    mutual: int
    certified: Certified


@contextlib.contextmanager
def nginx() -> Iterator[Nginx]:
    """An nginx that serves HTTP, HTTPS, and HTTPS for known clients."""
    binary = program("nginx", "nginx-light")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        http, https, mutual = free_ports(3)
        (folder / "www").mkdir()
        (folder / "www/page.html").write_text("<html>welcome</html>\n")
        (folder / "www/chunked.html").write_text(
            "<!--#set var='a' value='chunks' --><html><!--#echo var='a' --></html>\n"
        )
        (folder / "www/big").write_bytes(b"0123456789abcdef" * 65536)
        (folder / "users").write_text("joe:{PLAIN}secret\n")
        served = Nginx(http, https, mutual, certify(folder))
        (folder / "nginx.conf").write_text(_NGINX.format(folder=folder, http=http, https=https, mutual=mutual))
        argv = [binary, "-p", name, "-e", "stderr", "-c", str(folder / "nginx.conf")]
        with running(argv, folder / "log", lambda: all(map(accepts, (http, https, mutual)))):
            yield served


# --- BIND -------------------------------------------------------------------------------------------------------

_NAMED = """
tls local {{ cert-file "{folder}/server.pem"; key-file "{folder}/server.key"; }};
options {{
    directory "{folder}"; pid-file none; session-keyfile none;
    listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 port {port} {{ ::1; }};
    listen-on port {secure} tls local {{ 127.0.0.1; }}; listen-on-v6 port {secure} tls local {{ ::1; }};
    recursion no; dnssec-validation no; minimal-responses yes; version "healthd test";
}};
controls {{ }};
zone "example.test" {{ type primary; file "{folder}/zone"; }};
zone "2.0.192.in-addr.arpa" {{ type primary; file "{folder}/reverse"; }};
"""
_ZONE = """$TTL 60
@ SOA ns.example.test. root.example.test. 1 60 60 60 60
@ NS ns
@ MX 10 Mail
ns A 192.0.2.53
www A 192.0.2.1
www A 192.0.2.2
www AAAA 2001:db8::1
alias CNAME www
long TXT {long}
"""
_REVERSE = """$TTL 60
@ SOA ns.example.test. root.example.test. 1 60 60 60 60
@ NS ns.example.test.
1 PTR www.example.test.
"""


@dataclass(frozen=True)
class Named:
    """Ports of a BIND."""

    port: int
    secure: int
    certified: Certified


@contextlib.contextmanager
def named() -> Iterator[Named]:
    """A BIND that is authoritative for example.test and 192.0.2.0/24, over UDP, TCP and TLS."""
    binary = program("named", "bind9")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        port, secure = free_ports(2)
        served = Named(port, secure, certify(folder))
        (folder / "zone").write_text(_ZONE.format(long=" ".join(['"' + "x" * 250 + '"'] * 8)))
        (folder / "reverse").write_text(_REVERSE)
        (folder / "named.conf").write_text(_NAMED.format(folder=folder, port=port, secure=secure))
        argv = [binary, "-g", "-n", "1", "-c", str(folder / "named.conf")]
        with running(argv, folder / "log", lambda: accepts(port) and accepts(secure)):
            yield served


def server_context(certified: Certified) -> ssl.SSLContext:
    """The same certificate for a server of the test's own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certified.folder / "server.pem", certified.folder / "server.key")
    return context
