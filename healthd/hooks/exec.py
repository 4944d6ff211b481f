"""The exec hook: a program of the operator's for each event."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
from asyncio import Future
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from subprocess import Popen

from healthd.config.schema import ExecHook
from healthd.events import Event, Kind
from healthd.hooks.base import DeliveryFailed
from healthd.hooks.courier import Courier, Retries
from healthd.hooks.words import QUIET, document, variables
from healthd.log.printable import printable

# What a hook inherits of our environment; the rest is nobody's business.
INHERITED = ("PATH", "HOME", "LANG", "TZ")
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
OUTPUT_LIMIT = 4096
# A killed program that hangs in the kernel is left to a later reaping after so many seconds.
REAP_GRACE = 1.0
# A pipe holds 64 KiB and nobody writes to it any more; a few reads empty it.
READS_AT_END = 64


def exec_hook(settings: ExecHook) -> Courier:
    """The hook the settings describe."""

    async def deliver(event: Event) -> None:
        await run(settings.command, variables(event), document(event), settings.timeout)

    name = f"exec {shlex.join(settings.command)}"
    loud = frozenset(kind.value for kind in Kind if kind not in QUIET)
    return Courier(name, deliver, on=settings.on or loud, retries=Retries(settings.retries))


async def run(command: Sequence[str], extra: Mapping[str, str], stdin: bytes, deadline: float) -> None:
    """Run a program to its end: exactly this argv, no shell, a session of its own.

    extra: variables besides the few it inherits. stdin: what it can read. deadline: seconds until its whole process
    group is killed. Raises DeliveryFailed unless it exits with 0 in time.
    """
    try:
        program = _Program(command, environment(extra), stdin)
    except (OSError, ValueError) as error:
        raise DeliveryFailed(f"cannot start {command[0]}: {error}") from error
    try:
        async with asyncio.timeout(deadline):
            code = await asyncio.shield(program.ended)
    except TimeoutError:
        await program.kill(REAP_GRACE)
        raise DeliveryFailed(f"not done within {deadline:g} s, killed{_said(program.output)}", program.text) from None
    except asyncio.CancelledError:
        await program.kill(REAP_GRACE)
        raise
    if code != 0:
        raise DeliveryFailed(ending(code) + _said(program.output), program.text)


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """A small environment with these variables added."""
    kept = {name: os.environ[name] for name in INHERITED if name in os.environ}
    return {"PATH": DEFAULT_PATH, **kept, **extra}


def ending(code: int) -> str:
    """How a program ended, in words."""
    if code >= 0:
        return f"exit status {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


def _said(output: bytes) -> str:
    lines = output.decode(errors="backslashreplace").strip().splitlines()
    return f": {printable(lines[-1])[:200]}" if lines else ""


class _Program:
    """A running program. ended: its exit status, or minus the signal, once it and its process group are gone.

    OSError or ValueError if it cannot be started.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], stdin: bytes) -> None:
        self._loop = asyncio.get_running_loop()
        self.ended: Future[int] = self._loop.create_future()
        self.output = b""
        with ExitStack() as undo:
            self._pipe, theirs = os.pipe2(os.O_CLOEXEC)
            undo.callback(os.close, self._pipe)
            os.set_blocking(self._pipe, False)
            try:
                self._process = _start(command, environment, stdin, theirs)
            finally:
                os.close(theirs)
            undo.callback(_abandon, self._process)
            self._pidfd = os.pidfd_open(self._process.pid)
            undo.pop_all()
        self._loop.add_reader(self._pipe, self._read)
        self._loop.add_reader(self._pidfd, self._reap)

    @property
    def text(self) -> str:
        """The last that the program wrote to standard output or standard error."""
        return self.output.decode(errors="backslashreplace")

    async def kill(self, grace: float) -> None:
        """Kill the whole process group, and wait at most `grace` seconds until it is reaped."""
        if not self.ended.done():
            _kill_group(self._process)
            await asyncio.wait({self.ended}, timeout=grace)

    def _read(self) -> bool:
        try:
            data = os.read(self._pipe, 65536)
        except BlockingIOError:
            return False
        self.output = (self.output + data)[-OUTPUT_LIMIT:]
        if not data:
            self._loop.remove_reader(self._pipe)
        return bool(data)

    def _reap(self) -> None:
        """The program is dead but not reaped: end what it left in its group, read what it said, then reap it."""
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        _kill_group(self._process)
        for _ in range(READS_AT_END):
            if not self._read():
                break
        self._loop.remove_reader(self._pipe)
        os.close(self._pipe)
        code = self._process.wait()
        if not self.ended.done():
            self.ended.set_result(code)


def _start(command: Sequence[str], environment: Mapping[str, str], stdin: bytes, output: int) -> Popen[bytes]:
    # A memory file for standard input: it never blocks us, and a program that does not read it does no harm.
    fd = os.memfd_create("healthd-event", os.MFD_CLOEXEC)
    try:
        os.write(fd, stdin)
        os.lseek(fd, 0, os.SEEK_SET)
        return Popen(
            list(command), stdin=fd, stdout=output, stderr=output, env=environment, cwd="/", start_new_session=True
        )
    finally:
        os.close(fd)


def _kill_group(process: Popen[bytes]) -> None:
    # Only called while the leader is not reaped, so its number cannot have become somebody else's. Members that
    # became another user (sudo) are beyond us; they must not keep us from reaping the leader.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _abandon(process: Popen[bytes]) -> None:
    _kill_group(process)
    process.wait()
