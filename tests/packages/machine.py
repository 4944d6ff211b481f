"""A machine like this one: its own files under a layer of memory, in namespaces of their own. Nothing is left.

What is installed and written there is forgotten at the end; no process and no network of this machine is seen, nor its
systemd, so packages start nothing, unless the machine boots a systemd of its own.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

OUTER = r"""
set -e
mount -t tmpfs -o mode=755 layer "$1"
cd "$1"
mkdir upper work root groups
mount -t overlay -o lowerdir=/,upperdir=upper,workdir=work overlay root
if [ "$2" = boot ]; then
  mount -t cgroup2 groups groups
  group=groups/healthd-test.$$
  mkdir "$group"
  echo $$ > "$group/cgroup.procs"
fi
unshare --cgroup --net --pid --ipc --uts --fork --kill-child sh -c "$3" sh "$2" || true
if [ -n "$group" ]; then
  echo $$ > groups/cgroup.procs
  find "$group" -depth -type d -exec rmdir {} +
fi
"""
INNER = r"""
set -e
mount -t proc proc root/proc
mount --bind root/proc/sys root/proc/sys
mount -o remount,ro,bind root/proc/sys
mount -t tmpfs -o mode=755 dev root/dev
for name in null zero full random urandom tty; do
  touch root/dev/$name
  mount --bind /dev/$name root/dev/$name
done
mkdir root/dev/shm root/dev/pts
mount -t devpts -o newinstance,ptmxmode=666 devpts root/dev/pts
ln -s pts/ptmx root/dev/ptmx
ln -s /proc/self/fd root/dev/fd
mount -t tmpfs -o mode=755 run root/run
mount -t tmpfs -o mode=1777 tmp root/tmp
ip link set lo up
echo ready
[ "$1" = boot ] || exec sleep infinity
mount -t sysfs -o ro sysfs root/sys
mount -t cgroup2 groups root/sys/fs/cgroup
touch root/dev/console
rm -f root/usr/sbin/policy-rc.d
printf '[Unit]\nWants=systemd-journald.service\n' > root/etc/systemd/system/only.target
exec chroot root env container=test /lib/systemd/systemd --unit=only.target
"""
UNSHARE = ("unshare", "--mount", "--propagation", "private")
NEEDED = ("unshare", "nsenter", "ip", "dpkg-deb", "deb-systemd-helper", "py3compile", "systemd-sysusers", "runuser")
ENVIRONMENT = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
}
PATIENCE = 60.0


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
    """One of them. folder: an empty one to mount it in. boot: have systemd run there."""

    def __init__(self, folder: Path, *, boot: bool = False) -> None:
        argv = [*UNSHARE, "sh", "-c", OUTER, "sh", folder, "boot" if boot else "idle", INNER]
        self._outer = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert self._outer.stdout is not None
        assert self._outer.stderr is not None
        if self._outer.stdout.readline() != b"ready\n":
            raise RuntimeError(self._outer.stderr.read().decode())
        self._first = _child(_child(self._outer.pid))
        spaces = ("--mount", "--net", "--pid", "--ipc", "--uts", "--cgroup")
        self._enter = ("nsenter", "--target", str(self._first), *spaces, "chroot", f"{folder}/root")
        if boot:
            self.until("systemctl is-active only.target", "active\n")

    def run(self, line: str, *, files: dict[str, bytes] | None = None, fails: bool = False) -> str:
        """What a line of shell prints on both outputs. fails: it must not succeed, or else it must."""
        for path, content in (files or {}).items():
            self._tell(f"cat > {path}", content)
        done = self._tell(line)
        assert (done.returncode != 0) is fails, f"{line}: {done.returncode}\n{done.stdout.decode()}"
        return done.stdout.decode()

    def until(self, line: str, told: str) -> None:
        """Wait until a line of shell prints this."""
        until = time.monotonic() + PATIENCE
        while (last := self._tell(line).stdout.decode()) != told:
            if time.monotonic() > until or self._outer.poll() is not None:
                self.close()
                raise RuntimeError(f"{line}: {last}")
            time.sleep(0.2)

    def start(self, line: str) -> subprocess.Popen[bytes]:
        """A line of shell, running."""
        argv = [*self._enter, "sh", "-c", f"exec {line}"]
        return subprocess.Popen(argv, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

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
        if self._outer.poll() is None:
            os.kill(self._first, signal.SIGKILL)
        self._outer.communicate(timeout=PATIENCE)


def _child(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
