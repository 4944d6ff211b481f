"""Real servers for the rig: nginx and BIND from Debian's packages, and scripted ones where behaviour must be chosen."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.rig.namespace import Namespace
from tests.rig.patience import until
from tests.rig.topology import Server

IPPROTO_SCTP = 132
TICK = 0.2  # seconds after which a scripted server looks whether it is to end


class _Program:
    """A server program in the foreground, one process, ended by its pid."""

    def __init__(self, space: Namespace, package: str, argv: list[str], port: int) -> None:
        if shutil.which(argv[0]) is None:
            pytest.skip(f"needs the package {package}")
        self.space = space
        self._argv = argv
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it listens."""
        assert self._process is None, "it is running"
        self._process = self.space.popen(
            self._argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until(f"{self._argv[0]} of {self.space.name} listens", self._listens, within=20)

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"{self._argv[0]} ended with {self._process.returncode}"
        with self.space.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._port)) == 0

    @property
    def running(self) -> bool:
        """True between start and stop or crash."""
        return self._process is not None

    def crash(self) -> None:
        """SIGKILL: its connections are reset, new ones are refused."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM, and wait. Nothing happens if it does not run."""
        self._end(signal.SIGTERM)

    def freeze(self) -> None:
        """SIGSTOP: the kernel still accepts connections for it, but nobody answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(number)
            self._process.wait()
            self._process = None


NGINX = """
daemon off; master_process off; worker_processes 1;
pid {here}/pid; error_log {here}/error.log;
events {{ worker_connections 512; }}
http {{
  access_log {here}/access.log;
  client_body_temp_path {here}/tmp; proxy_temp_path {here}/tmp; fastcgi_temp_path {here}/tmp;
  uwsgi_temp_path {here}/tmp; scgi_temp_path {here}/tmp;
  default_type text/plain;
  server {{
    listen 80; listen [::]:80 ipv6only=on;
    root {here}/www;
    location = /who {{ return 200 "{name}\\n"; }}
    location = /slow {{ limit_rate {rate}; }}
  }}
}}
"""


class Nginx(_Program):
    """nginx on port 80: /who says its name, /health is a file, /slow is a long download at a limited rate."""

    DOWNLOAD = 40_000_000  # bytes; at 20 kB/s longer than any test

    def __init__(self, space: Namespace, directory: Path, rate: str = "20k") -> None:
        (directory / "www").mkdir(parents=True)
        with (directory / "www" / "slow").open("wb") as slow:
            slow.truncate(self.DOWNLOAD)
        self._health = directory / "www" / "health"
        config = directory / "nginx.conf"
        config.write_text(NGINX.format(here=directory, name=space.name, rate=rate))
        self.be_well()
        argv = ["nginx", "-e", str(directory / "error.log"), "-p", str(directory), "-c", str(config)]
        super().__init__(space, "nginx-light", argv, 80)

    def be_well(self) -> None:
        """/health is there: 200."""
        self._health.write_text("well\n")

    def ensure_well(self) -> None:
        """Running and well, whatever was done to it before."""
        self.be_well()
        if self.running:
            self.thaw()
        else:
            self.start()

    def be_ill(self) -> None:
        """/health is gone: 404, while all else works."""
        self._health.unlink()


BIND = """
options {{
  directory "{here}"; pid-file none; session-keyfile "{here}/session.key"; lock-file none;
  listen-on port 53 {{ any; }}; listen-on-v6 port 53 {{ any; }};
  recursion no; allow-query {{ any; }}; dnssec-validation no; notify no; empty-zones-enable no;
}};
controls {{ }};
zone "rig.test" {{ type primary; file "{here}/zone"; }};
"""
ZONE = """
$TTL 60
@ SOA ns hostmaster 1 3600 600 86400 60
@ NS ns
ns A {address}
ns AAAA {address6}
who TXT "{name}"
www A 192.0.2.1
"""


class Bind(_Program):
    """BIND on port 53: the TXT record of who.rig.test is its name, the A record of www.rig.test is 192.0.2.1."""

    def __init__(self, server: Server, directory: Path) -> None:
        directory.mkdir(parents=True)
        zone = ZONE.format(address=server.address, address6=server.address6, name=server.name)
        (directory / "zone").write_text(zone)
        (directory / "named.conf").write_text(BIND.format(here=directory))
        argv = ["named", "-f", "-n", "1", "-c", str(directory / "named.conf"), "-D", f"rig-{server.name}"]
        super().__init__(server.namespace, "bind9", argv, 53)


# --- scripted servers -------------------------------------------------------------------------------------------

Talk = Callable[[socket.socket], None]


def says(text: str) -> Talk:
    """A conversation: say this at once, and hang up."""

    def talk(connection: socket.socket) -> None:
        connection.sendall(text.encode())

    return talk


@contextmanager
def stream_server(space: Namespace, port: int, talk: Talk, protocol: int = 0) -> Iterator[socket.socket]:
    """A server on all addresses of a namespace, IPv4 and IPv6; each connection is a thread that talks.

    protocol: 0 is TCP, IPPROTO_SCTP is SCTP. Yields the listening socket.
    """
    with space.socket(socket.AF_INET6, socket.SOCK_STREAM, protocol) as listener:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("::", port))
        listener.listen(64)
        listener.settimeout(TICK)
        with _thread(lambda: _accept(listener, talk)):
            yield listener


def _accept(listener: socket.socket, talk: Talk) -> None:
    with contextlib.suppress(TimeoutError):
        connection, _ = listener.accept()
        connection.settimeout(None)
        threading.Thread(target=_talk, args=(connection, talk), daemon=True).start()


def _talk(connection: socket.socket, talk: Talk) -> None:
    with connection, contextlib.suppress(ConnectionError):
        talk(connection)


@contextmanager
def datagram_server(space: Namespace, address: str, port: int, text: str) -> Iterator[None]:
    """A UDP server on one address that answers every datagram with a text."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with space.socket(family, socket.SOCK_DGRAM) as answering:
        answering.setsockopt(socket.SOL_IP, 15, 1)  # IP_FREEBIND: virtual addresses are routes here, not addresses
        answering.bind((address, port))
        answering.settimeout(TICK)
        with _thread(lambda: _answer(answering, text)):
            yield


def _answer(answering: socket.socket, text: str) -> None:
    with contextlib.suppress(TimeoutError, ConnectionError):
        _, sender = answering.recvfrom(2048)
        answering.sendto(text.encode(), sender)


@contextmanager
def _thread(step: Callable[[], None]) -> Iterator[None]:
    """Call `step` again and again on a thread while the block runs."""
    over = threading.Event()

    def loop() -> None:
        while not over.is_set():
            step()

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
