"""A machine like this one: its own files under a layer of memory, in namespaces of their own. Nothing is left.

What is installed and written there is forgotten at the end; no process and no network of this machine is seen, nor its
systemd, so packages start nothing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

UNSHARE = ("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--propagation", "private")
PREPARE = r"""
set -e
mount -t tmpfs -o mode=755 layer "$1"
cd "$1"
mkdir upper work root
mount -t overlay -o lowerdir=/,upperdir=upper,workdir=work overlay root
mount -t proc proc root/proc
mount --rbind /dev root/dev
mount -t tmpfs -o mode=755 run root/run
mount -t tmpfs -o mode=1777 tmp root/tmp
ip link set lo up
echo ready
exec sleep infinity
"""
NEEDED = ("unshare", "nsenter", "ip", "dpkg-deb", "deb-systemd-helper", "py3compile", "systemd-sysusers", "runuser")
ENVIRONMENT = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
}


def why_not() -> str:
    """Why there can be no such machine here; empty if there can."""
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        return f"{', '.join(missing)} not found: apt install iproute2 init-system-helpers python3 systemd"
    if os.geteuid() != 0:
        return "only root can mount a layer over this machine's files"
    tried = subprocess.run([*UNSHARE, "sh", "-c", "mount -t tmpfs layer /mnt"], capture_output=True, check=False)
    return f"no namespaces here: {tried.stderr.decode().strip()}" if tried.returncode else ""


class Machine:
    """One of them. folder: an empty one to mount it in."""

    def __init__(self, folder: Path) -> None:
        self._first = subprocess.Popen(
            [*UNSHARE, "sh", "-c", PREPARE, "sh", folder], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert self._first.stdout is not None
        assert self._first.stderr is not None
        if self._first.stdout.readline() != b"ready\n":
            raise RuntimeError(self._first.stderr.read().decode())
        pid = self._first.pid
        inside = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0]
        self._enter = ("nsenter", "--target", inside, "--mount", "--net", "--pid", "chroot", f"{folder}/root")

    def run(self, line: str, *, files: dict[str, bytes] | None = None, fails: bool = False) -> str:
        """What a line of shell prints on both outputs. fails: it must not succeed, or else it must."""
        for path, content in (files or {}).items():
            self._tell(f"cat > {path}", content)
        done = self._tell(line)
        assert (done.returncode != 0) is fails, f"{line}: {done.returncode}\n{done.stdout.decode()}"
        return done.stdout.decode()

    def start(self, line: str) -> subprocess.Popen[bytes]:
        """A line of shell, running."""
        return subprocess.Popen(
            [*self._enter, "sh", "-c", f"exec {line}"],
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def _tell(self, line: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*self._enter, "sh", "-c", f"cd /; {line}"],
            env=ENVIRONMENT,
            input=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=100,
        )

    def close(self) -> None:
        """Forget all of it."""
        self._first.kill()
        self._first.communicate()
