"""Starting a process of our own code: with a control socket, with the capabilities it needs to confine itself.

The child imports what we import, from the same places, in a session of its own (a terminal's signals are for the
director alone), with nothing open but its control socket and a pipe for what it writes to stderr.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import healthd
from healthd.privileges import Capabilities, Capability, lending, using

Log = Callable[[str], None]

_START = "import sys; sys.path[:] = sys.argv.pop(1).split(':'); from {0} import main; main(sys.argv[1:])"
_LONGEST_LINE = 4096
_TO_KILL = frozenset({Capability.KILL})
_NOT_FOR_CHILDREN = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID")


def to_stderr(line: str) -> None:
    """Write a line to stderr: where lines go if nobody says otherwise."""
    print(line, file=sys.stderr, flush=True)


class Child:
    """A process that was started by us. `control` is our end of its socket (SOCK_SEQPACKET, non-blocking)."""

    def __init__(self, process: subprocess.Popen[bytes], control: socket.socket, lines: LineReader) -> None:
        self._process = process
        self._lines = lines
        self.control = control

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def end(self, patience: float = 0.0) -> str:
        """Kill it if it is still there, release all, and say in a few words how it ended.

        patience: seconds that one which is about to end gets for it; this waits, so they must be few.
        """
        until = time.monotonic() + patience
        while self._process.poll() is None and time.monotonic() < until:
            time.sleep(0.001)
        self.control.close()
        try:
            with using(_TO_KILL):
                self._process.kill()
            return how_it_ended(self._process.wait())
        except PermissionError:
            return "is another user's and could not be killed (needs CAP_KILL)"
        finally:
            self._lines.close()

    async def leave(self, patience: float) -> None:
        """Close its control socket, which asks it to end; kill it after `patience` seconds."""
        self.control.close()
        for _ in range(int(patience / 0.01)):
            if self._process.poll() is not None:
                break
            await asyncio.sleep(0.01)
        self.end()


def start(module: str, arguments: Sequence[str], *, name: str, lend: Capabilities, small: bool, log: Log) -> Child:
    """Start `module`'s main(arguments), with the number of its control socket put before them.

    small: nothing but the standard library and healthd itself can be imported, and nothing is read at start. Raises
    OSError. Needs a running loop, in which `log` gets the lines it writes.
    """
    flags = ["-I", "-S"] if small else ["-P"]
    with ExitStack() as ours_too, ExitStack() as theirs:
        control, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours_too.callback(control.close)
        theirs.callback(far.close)
        reading, writing = os.pipe()
        ours_too.callback(os.close, reading)
        theirs.callback(os.close, writing)
        command = [sys.executable, *flags, "-c", _START.format(module), _path(small), str(far.fileno()), *arguments]
        with lending(lend):
            process = _popen(command, far.fileno(), writing)
        ours_too.pop_all()
    control.setblocking(False)
    return Child(process, control, LineReader(reading, lambda line: log(f"{name}: {line}")))


def _popen(command: Sequence[str], control: int, output: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        cwd="/",
        env={key: value for key, value in os.environ.items() if key not in _NOT_FOR_CHILDREN},
        pass_fds=(control,),
        start_new_session=True,
    )


def _path(small: bool) -> str:
    """Where the child imports from: as we do, every place made absolute, and the home of healthd itself."""
    own = str(Path(healthd.__file__).resolve().parent.parent)
    standard = [place for place in sys.path if place and not (small and "site-packages" in place)]
    places = [str(Path(place).absolute()) for place in standard]
    return ":".join(places if own in places else [*places, own])


def how_it_ended(status: int) -> str:
    """Words for an exit status as `subprocess` has it: negative is a signal."""
    if status >= 0:
        return f"exited with status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"


class LineReader:
    """Hands on what comes out of a pipe, line by line, until its end. Lines end after 4096 bytes and are printable."""

    def __init__(self, fd: int, line: Callable[[str], None]) -> None:
        self._fd = fd
        self._line = line
        self._rest = b""
        os.set_blocking(fd, False)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(fd, self._read)

    def _read(self) -> bool:
        try:
            data = os.read(self._fd, _LONGEST_LINE)
        except BlockingIOError:
            return False
        *lines, rest = (self._rest + data).split(b"\n")
        if not data or len(rest) > _LONGEST_LINE:
            lines, rest = [*lines, rest], b""
        self._rest = rest
        for line in filter(None, lines):
            text = line.decode("utf-8", "backslashreplace")
            self._line("".join(c if c.isprintable() else repr(c)[1:-1] for c in text))
        if not data:
            self._loop.remove_reader(self._fd)
        return bool(data)

    def close(self) -> None:
        """Hand on what is there, which is not much, and close the pipe."""
        if self._fd < 0:
            return
        for _ in range(16):
            if not self._read():
                break
        self._loop.remove_reader(self._fd)
        os.close(self._fd)
        self._fd = -1
