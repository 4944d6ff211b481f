"""Kamailio from Debian's package, over UDP, TCP and TLS on free ports of loopback."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.checks.servers import LOOPBACK, PATIENCE, Certified, accepts, certify, free_ports, program, running

_CONFIG = """
debug=0
log_stderror=yes
children=1
tcp_children=1
disable_tcp=no
enable_tls=yes
auto_aliases=no
listen=udp:127.0.0.1:{plain}
listen=udp:[::1]:{plain}
listen=tcp:127.0.0.1:{plain}
listen=tcp:[::1]:{plain}
listen=tls:127.0.0.1:{secure}
listen=tls:[::1]:{secure}
alias=sip.example.test
loadmodule "tls.so"
loadmodule "sl.so"
loadmodule "pv.so"
loadmodule "kex.so"
loadmodule "textops.so"
loadmodule "maxfwd.so"
loadmodule "siputils.so"
modparam("tls", "config", "{folder}/tls.cfg")
request_route {{
    if (!mf_process_maxfwd_header("10")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
    if (!is_method("OPTIONS")) {{ sl_send_reply("405", "Method Not Allowed"); exit; }}
    if ($rU == "busy") {{ sl_send_reply("503", "Service Unavailable"); exit; }}
    if ($rU == "private") {{ sl_send_reply("401", "Unauthorized"); exit; }}
    if ($rU == "slow") {{ sl_send_reply("100", "Trying"); sl_send_reply("180", "Ringing"); }}
    if ($fU == "stranger") {{ sl_send_reply("403", "Forbidden"); exit; }}
    sl_send_reply("200", "OK");
}}
"""
_TLS = """
[server:default]
method = TLSv1.2+
private_key = {folder}/server.key
certificate = {folder}/server.pem
"""


@dataclass(frozen=True)
class Kamailio:
    """Ports of a Kamailio, plain (UDP and TCP) and TLS, and the leader of its processes."""

    plain: int
    secure: int
    certified: Certified
    process: subprocess.Popen[bytes]

    @contextlib.contextmanager
    def silent(self) -> Iterator[None]:
        """It keeps its sockets and says nothing for the length of a `with` block."""
        os.killpg(self.process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(self.process.pid, signal.SIGCONT)


@contextlib.contextmanager
def kamailio() -> Iterator[Kamailio]:
    """A Kamailio that answers OPTIONS by the user it is asked for: busy, private, slow, anybody."""
    binary = program("kamailio", "kamailio")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plain, secure = free_ports(2)
        certified = certify(folder)
        (folder / "kamailio.cfg").write_text(_CONFIG.format(folder=folder, plain=plain, secure=secure))
        (folder / "tls.cfg").write_text(_TLS.format(folder=folder))
        argv = [binary, "-f", str(folder / "kamailio.cfg"), "-DD", "-E", "-m", "16", "-M", "4", "-Y", name, "-w", name]
        with running(
            argv, folder / "log", lambda: accepts(plain) and accepts(secure), start_new_session=True
        ) as process:
            try:
                yield Kamailio(plain, secure, certified, process)
            finally:
                os.killpg(process.pid, signal.SIGKILL)  # its children do not always hear of its end
                _until_free(plain)


def _until_free(port: int) -> None:
    """Wait until the last of the killed has let go of the port."""
    deadline = time.monotonic() + PATIENCE
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
            probe.bind((LOOPBACK[socket.AF_INET], port))
            return
        assert time.monotonic() < deadline, f"port {port} is not free"
        time.sleep(0.02)
