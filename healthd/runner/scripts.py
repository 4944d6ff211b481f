"""Starting one program and knowing what became of it. Part of the runner process, so it imports little.

A program gets a session and process group of its own, /dev/null as input, one pipe for output and errors, the runner's
working directory (/), default signals, and no descriptor besides. `os.posix_spawn` reports a failed exec to us.
"""

from __future__ import annotations

import errno
import os
import signal
import stat
from contextlib import suppress

_READ = 65536
_PIPE = 1 << 17
_IGNORED_BY_US = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGHUP, signal.SIGTERM)


class CannotRun(Exception):
    """The program could not be started; the text says why."""


class Script:
    """A program that runs: `pid` is also its session and its group, `pipe` is where its output comes from."""

    __slots__ = ("limit", "pid", "pipe", "tail")

    def __init__(self, pid: int, pipe: int, limit: int) -> None:
        self.pid = pid
        self.pipe = pipe
        self.limit = limit
        self.tail = b""

    def read(self) -> int | None:
        """Take one piece of output, keep the last `limit` bytes. Its length: 0 at the end, None: none now."""
        try:
            data = os.read(self.pipe, _READ)
        except BlockingIOError:
            return None
        self.tail = (self.tail + data)[-self.limit :] if self.limit else b""
        return len(data)

    def drain(self) -> bytes:
        """All output there is now, and be done with the pipe. Bounded: somebody may still be writing."""
        if self.pipe >= 0:
            left = _PIPE // _READ + 1
            while left and self.read():
                left -= 1
            os.close(self.pipe)
            self.pipe = -1
        return self.tail

    def kill(self) -> None:
        """Kill the whole group. Right as long as the program has not been waited for."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)


def start(argv: list[bytes], env: dict[bytes, bytes], limit: int, null: int) -> Script:
    """Start a program. null: an open /dev/null. Raises CannotRun."""
    try:
        reading, writing = os.pipe()
    except OSError as error:
        raise CannotRun(f"{_name(argv)}: no pipe for its output: {error.strerror}") from None
    try:
        pid = _spawn(argv, env, null, writing)
    except OSError as error:
        os.close(reading)
        raise CannotRun(f"{_name(argv)}: {explain(argv[0], error.errno or 0)}") from None
    except CannotRun:
        os.close(reading)
        raise
    finally:
        os.close(writing)
    os.set_blocking(reading, False)
    return Script(pid, reading, limit)


def _spawn(argv: list[bytes], env: dict[bytes, bytes], null: int, output: int) -> int:
    actions = [(os.POSIX_SPAWN_DUP2, null, 0), (os.POSIX_SPAWN_DUP2, output, 1), (os.POSIX_SPAWN_DUP2, output, 2)]

    def spawn(path: bytes, words: list[bytes]) -> int:
        return os.posix_spawn(
            path, words, env, file_actions=actions, setsid=True, setsigmask=(), setsigdef=_IGNORED_BY_US
        )

    try:
        return spawn(argv[0], argv)
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise
    _must_be_text(argv)
    return spawn(b"/bin/sh", [b"/bin/sh", *argv])


def _must_be_text(argv: list[bytes]) -> None:
    """A file without "#!" is for /bin/sh, as execvp(3) has it; but neither an empty one nor a foreign binary is."""
    start = _start_of(argv[0])
    if not start:
        raise CannotRun(f"{_name(argv)}: the file is empty")
    if b"\0" in start:
        raise CannotRun(f"{_name(argv)}: not a program for this machine")


def explain(path: bytes, number: int) -> str:
    """Why a program could not be started, from errno and from what can be seen of the file."""
    if number == errno.ENOENT and os.path.lexists(path):
        return _missing_interpreter(path)
    if number == errno.EACCES and (mode := _mode(path)):
        return _not_executable(path, mode)
    known = {
        errno.ENOENT: "no such file",
        errno.EAGAIN: "no more processes allowed (EAGAIN)",
        errno.ENOMEM: "no memory to start it (ENOMEM)",
        errno.E2BIG: "arguments and environment are too long",
        errno.ETXTBSY: "the file is being written",
    }
    return known.get(number) or os.strerror(number)


def _not_executable(path: bytes, mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "is a directory"
    if not os.access(path, os.X_OK):
        return "not executable (by the user scripts run as)"
    return "its interpreter is not executable, or its file system is mounted noexec"


def _mode(path: bytes) -> int:
    try:
        return os.stat(path).st_mode  # noqa: PTH116 (pathlib would cost the runner a megabyte)
    except OSError:
        return 0


def _missing_interpreter(path: bytes) -> str:
    first = _start_of(path).split(b"\n", 1)[0]
    if not first.startswith(b"#!"):
        return "its link or its loader leads nowhere"
    words = first[2:].strip(b" \t").split(b" ")
    return f"its interpreter {os.fsdecode(words[0])!r} does not exist"


def _start_of(path: bytes) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return b""
    try:
        return os.read(fd, 256)
    except OSError:
        return b""
    finally:
        os.close(fd)


def _name(argv: list[bytes]) -> str:
    return os.fsdecode(argv[0])
