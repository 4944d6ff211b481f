"""vsftpd with a file: for anonymous users, as TLS wants it and without, and for one with a password of his own."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.checks.servers import LOOPBACK, Certified, certify, free_ports, program, running

CONTENT = b"the quick brown fox\n"
BIG = b"0123456789abcdef" * 65536

_CONF = """
background=NO
listen={four}
listen_ipv6={six}
listen_address{suffix}={address}
listen_port={port}
anonymous_enable=YES
local_enable=NO
anon_root={folder}/files
secure_chroot_dir={folder}/empty
ftp_username=daemon
nopriv_user=nobody
no_anon_password=NO
deny_email_enable=YES
banned_email_file={folder}/banned
xferlog_enable=YES
vsftpd_log_file={folder}/{name}.log
dual_log_enable=NO
log_ftp_protocol=YES
seccomp_sandbox=NO
ftpd_banner=healthd test
{more}
"""
_TLS = """
ssl_enable=YES
allow_anon_ssl=YES
force_anon_logins_ssl=YES
force_anon_data_ssl=YES
require_ssl_reuse=YES
ssl_tlsv1=YES
rsa_cert_file={folder}/server.pem
rsa_private_key_file={folder}/server.key
"""
_MEMBERS = """
anonymous_enable=NO
local_enable=YES
guest_enable=YES
guest_username=daemon
local_root={folder}/files
pam_service_name=healthd
session_support=NO
banner_file={folder}/banner
cmds_denied=EPSV
delay_failed_login=0
"""
_PAM = """
auth required pam_userdb.so db={folder}/users crypt=none
account required pam_permit.so
"""
_USERS = """
use DB_File;
tie my %users, "DB_File", $ARGV[0], O_RDWR | O_CREAT, 0600, $DB_HASH or die $!;
$users{"joe"} = $ARGV[1];
"""
PASSWORD = "sé cret"


@dataclass(frozen=True)
class Ftp:
    """Ports of vsftpd: plain, with TLS that is asked for, with TLS from the start. groups: process groups of `plain`.

    Each port is served over IPv4 and IPv6. A password in which "banned" stands alone is refused.
    """

    plain: int
    starttls: int
    secure: int
    groups: tuple[int, ...]
    certified: Certified
    folder: Path


@contextlib.contextmanager
def vsftpd() -> Iterator[Ftp]:
    """Six of them: one for each port and family."""
    binary = program("vsftpd", "vsftpd")
    if os.getuid():
        pytest.skip("vsftpd insists on being started by root")
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        certified = _prepare(folder)
        plain, starttls, secure = free_ports(3)
        ways = ((plain, ""), (starttls, _TLS), (secure, f"{_TLS}implicit_ssl=YES"))
        groups = [
            stack.enter_context(_one(binary, folder, port, address, more))
            for port, more in ways
            for address in LOOPBACK.values()
        ]
        yield Ftp(plain, starttls, secure, tuple(groups[:2]), certified, folder)


@contextlib.contextmanager
def vsftpd_with_users() -> Iterator[int]:
    """The port, on both families, of one that lets in `joe` with `PASSWORD`, greets in two lines, and denies EPSV.

    Its users are PAM's, which looks for a service's file in one place only; the server has a place of its own there.
    """
    binary = program("vsftpd", "vsftpd")
    alone = ["unshare", "-m", "sh", "-c", 'mount --bind "$0" /etc/pam.d && exec "$@"']
    if os.getuid() or subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        pytest.skip("vsftpd with users of its own needs root and the right to mount")
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        _prepare(folder)
        (folder / "banner").write_text("vsFTPd of the test\nplease come in\n")
        (folder / "pam").mkdir()
        (folder / "pam/healthd").write_text(_PAM.format(folder=folder))
        argv = [program("perl", "perl"), "-MFcntl", "-e", _USERS, str(folder / "users.db"), PASSWORD]
        subprocess.run(argv, check=True, capture_output=True)
        (port,) = free_ports(1)
        for address in LOOPBACK.values():
            stack.enter_context(_one(binary, folder, port, address, _MEMBERS, *alone, str(folder / "pam")))
        yield port


def _prepare(folder: Path) -> Certified:
    folder.chmod(0o755)
    (folder / "empty").mkdir(mode=0o555)
    files = folder / "files"
    (files / "pub").mkdir(parents=True)
    (files / "pub/motd.txt").write_bytes(CONTENT)
    (files / "pub/empty").touch()
    (files / "pub/big").write_bytes(BIG)
    for path in (files, files / "pub"):
        path.chmod(0o555)  # vsftpd lets nobody into a root that can be written to
    (folder / "banned").write_text("banned\n")
    return certify(folder)


@contextlib.contextmanager
def _one(binary: str, folder: Path, port: int, address: str, more: str, *by: str) -> Iterator[int]:
    """One server in a process group of its own, which its children share; the id of the group. by: what executes it."""
    six = ":" in address
    name = f"{port}-{'six' if six else 'four'}"
    conf = folder / f"{name}.conf"
    text = _CONF.format(
        four="NO" if six else "YES",
        six="YES" if six else "NO",
        suffix="6" if six else "",
        address=address,
        port=port,
        folder=folder,
        name=name,
        more=more.format(folder=folder),
    )
    conf.write_text(text.lstrip())
    with running(
        [*by, binary, str(conf)], folder / f"{name}.out", lambda: _listens(address, port), start_new_session=True
    ) as process:
        try:
            yield process.pid
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _listens(address: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        return probe.connect_ex((address, port)) == 0
