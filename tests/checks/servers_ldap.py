"""A real directory, OpenLDAP's slapd, with a small tree."""

from __future__ import annotations

import base64
import contextlib
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.checks.servers import Certified, accepts, certify, free_ports, program, running

_CONFIG = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
pidfile {folder}/slapd.pid
TLSCACertificateFile {folder}/ca.pem
TLSCertificateFile {folder}/server.pem
TLSCertificateKeyFile {folder}/server.key
referral ldap://elsewhere.test
sizelimit 20
{more}
modulepath /usr/lib/ldap
moduleload back_mdb
database mdb
maxsize 16777216
suffix dc=example,dc=test
directory {folder}/data
access to dn.subtree=ou=private,dc=example,dc=test by users read by * none
access to attrs=userPassword by anonymous auth by * none
access to * by * read
"""

_TREE = """
dn: dc=example,dc=test
objectClass: domain
dc: example
description: up

dn: ou=people,dc=example,dc=test
objectClass: organizationalUnit
ou: people

dn: ou=private,dc=example,dc=test
objectClass: organizationalUnit
ou: private

dn: cn=joe,ou=people,dc=example,dc=test
objectClass: inetOrgPerson
cn: joe
sn:: {name}
mail: joe@example.test
mail: second@example.test
userPassword: secret

dn: ou=far,dc=example,dc=test
objectClass: referral
objectClass: extensibleObject
ou: far
ref: ldap://far.test/ou=far,dc=example,dc=test

dn: ou=also,dc=example,dc=test
objectClass: alias
objectClass: extensibleObject
ou: also
aliasedObjectName: ou=people,dc=example,dc=test
"""

SURNAME = "Müller (joe) * \\"
_MANY = "\ndn: cn=n{n},ou=private,dc=example,dc=test\nobjectClass: device\ncn: n{n}\nserialNumber: {n}\n"


@dataclass(frozen=True)
class Slapd:
    """Ports for LDAP and LDAPS, the log with every operation, and the process."""

    port: int
    secure: int
    certified: Certified
    log: Path
    process: subprocess.Popen[bytes]


@contextlib.contextmanager
def slapd(more: str = "") -> Iterator[Slapd]:
    """A directory dc=example,dc=test. more: further lines for its configuration."""
    path = program("slapd", "slapd")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "data").mkdir()
        port, secure = free_ports(2)
        certified = certify(folder)
        config = folder / "slapd.conf"
        config.write_text(_CONFIG.format(folder=folder, more=more))
        surname = base64.b64encode(SURNAME.encode()).decode()
        tree = _TREE.format(name=surname) + "".join(_MANY.format(n=n) for n in range(30))
        load = [path, "-T", "add", "-f", str(config)]
        loaded = subprocess.run(
            load, input=tree.encode(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
        )
        assert loaded.returncode == 0, loaded.stdout.decode()
        hosts = ("127.0.0.1", "[::1]")
        urls = " ".join([*(f"ldap://{host}:{port}" for host in hosts), *(f"ldaps://{host}:{secure}" for host in hosts)])
        argv = [path, "-d", "stats", "-h", urls, "-f", str(config)]
        log = folder / "log"
        with running(argv, log, lambda: accepts(port) and accepts(secure), cwd=folder) as process:
            yield Slapd(port, secure, certified, log, process)
