"""Pid files that cannot lie: who wrote one holds a lock on it for as long as it lives.

The number in a file may be that of a stranger once its writer is gone. A lock (POSIX's, which tells who holds it) goes
with its process, however that ends, so a file without one is stale. The lock has one trap: it is gone when its holder
closes *any* descriptor of the file, so the holder opens it once. And it outlives a kill for a moment, as threads end
one by one: who is ending is waited for.

One stranger is told from all others: ldirectord itself, running for the same configuration. Whoever moves from it to
healthd can so ask for it and stop it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_FLOCK = struct.Struct("hhqqi")
_TRIES = 100
_MOST = 64
_LAST_BREATH = 5.0
"""Seconds that a process which is ending may take for it; one that hangs in the kernel takes longer."""
_EXITING = 0x4  # PF_EXITING, include/linux/sched.h


class PidFileUnusable(Exception):
    """A pid file cannot be had. One sentence for people."""


class AlreadyRunning(Exception):
    """Another process holds the pid file."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a pid file says. there: whether there is a file. pid: of the process that runs, None if none does."""

    there: bool
    pid: int | None


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Keep a pid file of this process. Raises AlreadyRunning, PidFileUnusable.

    A file that nobody holds is taken over. It is removed at the end, unless somebody has put another in its place.
    """
    try:
        fd = _locked(path)
    except OSError as error:
        raise PidFileUnusable(f"Can not open {path}: {error.strerror}") from None
    try:
        try:
            os.truncate(fd, 0)
            os.write(fd, b"%d\n" % os.getpid())
        except OSError as error:
            raise PidFileUnusable(f"Can not write {path}: {error.strerror}") from None
        yield
    finally:
        if _same(fd, path):
            path.unlink()
        os.close(fd)


def _locked(path: Path) -> int:
    """A descriptor of the file at this path, locked; a file that was removed meanwhile is not it."""
    for _ in range(_TRIES):
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            os.close(fd)
            raise AlreadyRunning(str(path)) from None
        if _same(fd, path):
            return fd
        os.close(fd)
    raise AlreadyRunning(str(path))


def _same(fd: int, path: Path) -> bool:
    ours = os.fstat(fd)
    try:
        there = path.stat()
    except OSError:
        return False
    return (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino)


def find(path: Path, instance: str) -> Found:
    """Who runs by a pid file. instance: what ldirectord calls its configuration. Raises PidFileUnusable.

    One that is ending is waited for.
    """
    found = _look(path, instance)
    if found.pid is None or not _ending(found.pid):
        return found
    with contextlib.suppress(ProcessLookupError):
        process = os.pidfd_open(found.pid)
        try:
            _ended(process, _LAST_BREATH)
        finally:
            os.close(process)
    return _look(path, instance)


def _look(path: Path, instance: str) -> Found:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return Found(there=False, pid=None)
    except OSError as error:
        raise PidFileUnusable(f"Can not open {path}: {error.strerror}") from None
    try:
        written = _number(os.read(fd, _MOST))
        holder = _holder(fd)
    finally:
        os.close(fd)
    if holder == 0:  # the number in the file is somebody else's here
        raise PidFileUnusable(
            f"{path} is held by a process that cannot be seen from here, of another container perhaps"
        )
    if holder is not None:
        return Found(there=True, pid=holder)
    return Found(there=True, pid=written if written and _is_ldirectord(written, instance) else None)


def _number(data: bytes) -> int | None:
    """The first line as a process id."""
    text = data.partition(b"\n")[0].strip()
    return int(text) if text.isdigit() and 0 < int(text) < 2**31 else None


def _holder(fd: int) -> int | None:
    """Who holds the lock: None for nobody, 0 for a process that is not seen from here."""
    question = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    kind, _, _, _, pid = _FLOCK.unpack(fcntl.fcntl(fd, fcntl.F_GETLK, question))
    return None if kind == fcntl.F_UNLCK else max(0, pid)


def _ending(pid: int) -> bool:
    """Whether a process is killed already, or its first thread has ended: the rest of it is about to follow."""
    try:
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return False
    flags, pending = int(rest[5]), int(rest[27])  # fields 9 and 31 of proc_pid_stat(5)
    return state in "ZX" or bool(flags & _EXITING) or bool(pending & 1 << signal.SIGKILL - 1)


def _ended(process: int, patience: float) -> bool:
    """Whether the process of a descriptor has ended within so many seconds."""
    waiting = select.poll()
    waiting.register(process, select.POLLIN)
    return bool(waiting.poll(patience * 1000))


def _is_ldirectord(pid: int, instance: str) -> bool:
    """Whether a process is ldirectord itself, a program of perl, started for this instance."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0")
    except OSError:
        return False
    if not Path(words[0]).name.startswith("perl"):
        return False
    script, *rest = [word for word in words[1:] if not word.startswith("-")] or [""]
    named = Path(rest[0]).name if len(rest) > 1 else "ldirectord"
    return Path(script).name == "ldirectord" and named == instance


def end(path: Path, instance: str, patience: float) -> bool:
    """Send SIGTERM to who runs by a pid file and wait for the end. False if it is still there after so many seconds.

    Raises PermissionError, PidFileUnusable.
    """
    process = _signalled(path, instance, signal.SIGTERM)
    if process is None:
        return True
    try:
        return _ended(process, patience)
    finally:
        os.close(process)


def hang_up(path: Path, instance: str) -> bool:
    """Send SIGHUP to who runs by a pid file. False if nobody does. Raises PermissionError, PidFileUnusable."""
    process = _signalled(path, instance, signal.SIGHUP)
    if process is not None:
        os.close(process)
    return process is not None


def _signalled(path: Path, instance: str, number: int) -> int | None:
    """A descriptor of the process that runs, after the signal; the signal reaches it or nobody, never a stranger."""
    pid = find(path, instance).pid
    if pid is None:
        return None
    with contextlib.ExitStack() as stack, contextlib.suppress(ProcessLookupError):
        process = os.pidfd_open(pid)
        stack.callback(os.close, process)
        if find(path, instance).pid == pid:
            signal.pidfd_send_signal(process, number)
            stack.pop_all()
            return process
    return None
