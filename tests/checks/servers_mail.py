"""A Dovecot and a Postfix for the tests of the checks of mail; Postfix asks Dovecot who may log in.

Both insist on being started by root, give up their rights themselves, and are several processes: each gets a session of
its own, whose process group is stopped and ended as one.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.checks.servers import Certified, accepts, certify, free_ports, program, running

_DOVECOT = """
base_dir = {folder}/run
state_dir = {folder}/run
log_path = /dev/stderr
protocols = imap pop3
listen = 127.0.0.1, ::1
ssl = yes
ssl_cert = <{folder}/server.pem
ssl_key = <{folder}/server.key
ssl_dh =
login_greeting = mail.test ready
auth_mechanisms = plain login cram-md5 apop
auth_username_chars =
auth_failure_delay = 0
auth_verbose = yes
mail_location = maildir:{folder}/mail/%u
first_valid_uid = 1
passdb {{
  driver = passwd-file
  args = scheme=PLAIN {folder}/users
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={folder}/mail/%u
}}
namespace inbox {{
  inbox = yes
  mailbox Entwürfe {{
    auto = create
  }}
}}
service imap-login {{
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
    ssl = yes
  }}
}}
service pop3-login {{
  inet_listener pop3 {{
    port = {pop}
  }}
  inet_listener pop3s {{
    port = {pops}
    ssl = yes
  }}
}}
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service auth {{
  unix_listener {folder}/auth {{
    mode = 0666
  }}
}}
"""

_MAIN = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = /dev/stdout
inet_interfaces = 127.0.0.1, [::1]
inet_protocols = all
myhostname = mail.test
mydestination = localhost.test
mynetworks =
alias_maps =
local_recipient_maps = inline:{{ joe=1 }}
smtpd_relay_restrictions = reject_unauth_destination
smtpd_tls_cert_file = {folder}/server.pem
smtpd_tls_key_file = {folder}/server.key
smtpd_tls_security_level = may
smtpd_peername_lookup = no
in_flow_delay = 0
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = {folder}/auth
smtpd_sasl_security_options = noanonymous
broken_sasl_auth_clients = yes
postscreen_access_list =
postscreen_greet_action = enforce
postscreen_greet_wait = 1s
"""
_MASTER = """
{smtp} inet n - n - - smtpd
{smtps} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes
{submission} inet n - n - - smtpd -o smtpd_tls_security_level=encrypt
{rejecting} inet n - n - - smtpd -o smtpd_delay_reject=no -o smtpd_client_restrictions=reject
{screened} inet n - n - 1 postscreen
smtpd pass - - n - - smtpd
dnsblog unix - - n - 0 dnsblog
tlsproxy unix - - n - 0 tlsproxy
cleanup unix n - n - 0 cleanup
rewrite unix - - n - - trivial-rewrite
tlsmgr unix - - n 1000? 1 tlsmgr
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""


@dataclass(frozen=True)
class Dovecot:
    r"""Ports of a Dovecot, its process group, and its folder.

    Users are `joe` with the password `sec"ret`, and `jörg` with `pä ß\`; each has the mailboxes INBOX and Entwürfe.
    """

    imap: int
    imaps: int
    pop: int
    pops: int
    group: int
    certified: Certified


@dataclass(frozen=True)
class Postfix:
    """Ports of a Postfix, its process group, and its log.

    It takes mail for joe@localhost.test, and the users of the Dovecot may log in.
    submission: without TLS nothing is taken. rejecting: nobody is welcome. screened: whoever speaks before the second
    half of the greeting, a second after the first, is sent away.
    """

    smtp: int
    smtps: int
    submission: int
    rejecting: int
    screened: int
    group: int
    log: Path
    certified: Certified


@contextlib.contextmanager
def dovecot(*ports: int) -> Iterator[Dovecot]:
    """A Dovecot that serves IMAP, POP3, both over TLS too, and logins for others. ports: of its four, if not free."""
    binary = program("dovecot", "dovecot-imapd")
    program("/usr/lib/dovecot/pop3", "dovecot-pop3d")
    _root()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        certified = certify(folder)
        owner = pwd.getpwnam("mail")
        (folder / "mail").mkdir()
        os.chown(folder / "mail", owner.pw_uid, owner.pw_gid)
        (folder / "users").write_text('joe:sec"ret\njörg:pä ß\\\n')
        named = dict(zip(("imap", "imaps", "pop", "pops"), ports or free_ports(4), strict=True))
        config = _DOVECOT.format(folder=folder, uid=owner.pw_uid, gid=owner.pw_gid, **named)
        (folder / "dovecot.conf").write_text(config)
        argv = [binary, "-F", "-c", str(folder / "dovecot.conf")]
        with _group(argv, folder / "log", list(named.values())) as group:
            yield Dovecot(**named, group=group, certified=certified)


@contextlib.contextmanager
def postfix(users: Dovecot) -> Iterator[Postfix]:
    """A Postfix that takes mail and lets in whom Dovecot knows. Its folder is within that of Dovecot."""
    control = program("postfix", "postfix")
    master = program("/usr/lib/postfix/sbin/master", "postfix")
    _root()
    folder = users.certified.folder
    ports = free_ports(5)
    named = dict(zip(("smtp", "smtps", "submission", "rejecting", "screened"), ports, strict=True))
    with tempfile.TemporaryDirectory(dir=folder) as name:
        config = Path(name)
        config.chmod(0o755)
        (config / "queue").mkdir()
        (config / "data").mkdir()
        os.chown(config / "data", pwd.getpwnam("postfix").pw_uid, -1)
        main = _MAIN.format(folder=config).replace(f"{config}/server", f"{folder}/server")
        (config / "main.cf").write_text(main.replace(f"{config}/auth", f"{folder}/auth"))
        (config / "master.cf").write_text(_MASTER.format(**named))
        subprocess.run([control, "-c", name, "check"], check=True, capture_output=True, timeout=60)
        with _group([master, "-c", name, "-d"], config / "log", ports) as group:
            yield Postfix(**named, group=group, log=config / "log", certified=users.certified)


def _root() -> None:
    if os.getuid():
        pytest.skip("needs root: Postfix and Dovecot insist on starting as root")


@contextlib.contextmanager
def _group(argv: list[str], log: Path, ports: list[int]) -> Iterator[int]:
    """A program and what it starts, as a process group that is ended as a whole."""
    with running(argv, log, lambda: all(map(accepts, ports)), start_new_session=True) as process:
        try:
            yield process.pid
        finally:
            os.killpg(process.pid, signal.SIGCONT)
            os.killpg(process.pid, signal.SIGTERM)
