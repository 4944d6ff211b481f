"""INN in a folder of its own with one newsgroup: its nnrpd, which serves readers, and its innd, which serves peers."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.checks.servers import Certified, accepts, certify, free_ports, running

NEWS = Path("/usr/lib/news/bin")

_INN = """
domain: example.test
pathhost: news.example.test
mta: "/bin/false %s"
organization: "healthd test"
hismethod: hisv6
nnrpdloadlimit: 0
ovmethod: tradindexed
pathnews: /usr/lib/news
pathbin: /usr/lib/news/bin
pathcontrol: /usr/lib/news/bin/control
pathdb: {folder}/db
pathetc: {folder}/etc
pathfilter: {folder}/etc
pathrun: {folder}/run
pathspool: {folder}/spool
patharticles: {folder}/spool
pathoverview: {folder}/spool
pathincoming: {folder}/spool
pathoutgoing: {folder}/spool
patharchive: {folder}/spool
pathlog: {folder}/log
pathtmp: {folder}/tmp
pathhttp: {folder}/tmp
tlscafile: {folder}/ca.pem
tlscertfile: {folder}/server.pem
tlskeyfile: {folder}/server.key
"""
_INND = """
bindaddress: 127.0.0.1
bindaddress6: "::1"
"""
_INCOMING = """
peer ME {
    hostname: "127.0.0.1"
    max-connections: 100
}
"""
_FEEDS = """
ME:!*::
null:!*:Tf,Wnm:
"""
_INTERNAL = "".join(f"{name} 0000000000 0000000001 n\n" for name in ("control", "control.cancel", "junk"))
_READERS = """
auth "everybody" {{
    hosts: "*"
    default: "guest"
}}
auth "members" {{
    hosts: "*"
    auth: "ckpasswd -f {folder}/etc/passwd"
}}
access "guests" {{
    users: "guest"
    newsgroups: "local.*"
    access: {guests}
}}
access "joe" {{
    users: "joe"
    newsgroups: "*"
    access: RP
}}
"""
_JOE = "joe:$5$healthdsalt$inuuTB9Cbk6qVDmNtoP1bo8yzQvuJLrB1AUz38HwrxA\n"  # the word is "secret"


@dataclass(frozen=True)
class News:
    """Ports of an nnrpd, plain and TLS, whose readers may post, and of one whose guests may not.

    process: of the first.
    """

    plain: int
    secure: int
    reading: int
    process: subprocess.Popen[bytes]
    certified: Certified


@contextlib.contextmanager
def news() -> Iterator[News]:
    """Three of them over the same group `local.test`; `joe` with the password `secret` may read `private.test` too."""
    _installed()
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        plain, secure, reading = free_ports(3)
        folder = Path(name)
        certified = _prepare(folder)
        _readers(folder, "readers.conf", "RP")
        _readers(folder, "reading.conf", "R")
        _hand_over(folder)
        started = stack.enter_context(_nnrpd(folder, plain))
        stack.enter_context(_nnrpd(folder, secure, "-S"))
        stack.enter_context(_nnrpd(folder, reading, "-c", "reading.conf"))
        yield News(plain, secure, reading, started, certified)


@contextlib.contextmanager
def innd() -> Iterator[int]:
    """The port of an innd. With 127.0.0.1, its peer, it speaks until MODE READER; ::1 it hands to an nnrpd at once."""
    _installed()
    with tempfile.TemporaryDirectory() as name:
        (port,) = free_ports(1)
        folder = Path(name)
        _prepare(folder)
        _readers(folder, "readers.conf", "RP")
        for path, more in (("inn.conf", _INND), ("etc/incoming.conf", _INCOMING), ("etc/newsfeeds", _FEEDS)):
            with (folder / path).open("a") as file:
                file.write(more)
        active = folder / "db/active"
        active.write_text(_INTERNAL + active.read_text())
        _hand_over(folder)
        argv = [str(NEWS / "innd"), "-d", "-f", "-P", str(port)]
        with running(
            argv, folder / "log/innd", lambda: accepts(port), env=_environment(folder), cwd=folder, **_as_news()
        ) as process:
            try:
                yield port
            finally:
                process.kill()  # no other signal ends it while it is in the foreground


def _installed() -> None:
    if not (NEWS / "nnrpd-ssl").exists():
        pytest.skip("needs the package inn2")


def _prepare(folder: Path) -> Certified:
    for name in ("db", "etc", "run", "spool", "log", "tmp"):
        (folder / name).mkdir()
    (folder / "inn.conf").write_text(_INN.format(folder=folder))
    (folder / "db/active").write_text("local.test 0000000003 0000000001 y\nprivate.test 0000000000 0000000001 y\n")
    for name in ("newsgroups", "active.times", "history"):
        (folder / "db" / name).touch()
    (folder / "etc/storage.conf").write_text('method trash { newsgroups: "*" class: 0 }\n')
    (folder / "etc/passwd").write_text(_JOE)
    return certify(folder)


def _readers(folder: Path, name: str, guests: str) -> None:
    (folder / "etc" / name).write_text(_READERS.format(folder=folder, guests=guests))


def _hand_over(folder: Path) -> None:
    """To the user whom nnrpd becomes; its indexes of articles and groups, both empty, are made as that user."""
    folder.chmod(0o755)
    (folder / "server.key").chmod(0o600)
    if os.getuid() == 0:
        for path in (folder, *folder.rglob("*")):
            shutil.chown(path, "news", "news")
    options: dict[str, Any] = {"cwd": folder, "env": _environment(folder), **_as_news()}
    for argv in ([f"{NEWS}/makedbz", "-i", "-o", "-s", "1000"], [f"{NEWS}/makehistory", "-O", "-x", "-F"]):
        subprocess.run(argv, check=True, capture_output=True, stdin=subprocess.DEVNULL, **options)


def _as_news() -> dict[str, object]:
    if os.getuid():
        return {}
    user = pwd.getpwnam("news")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _environment(folder: Path) -> dict[str, str]:
    return {"PATH": os.defpath, "INNCONF": f"{folder}/inn.conf"}


def _nnrpd(folder: Path, port: int, *options: str) -> contextlib.AbstractContextManager[subprocess.Popen[bytes]]:
    """One in the foreground; it forks for each reader, and those end with their connection."""
    argv = [str(NEWS / "nnrpd-ssl"), "-D", "-f", "-4", "127.0.0.1", "-6", "::1", "-p", str(port), *options]
    environment = _environment(folder)
    return running(argv, folder / f"log/{port}", lambda: accepts(port), env=environment, cwd=folder, **_as_news())
