"""Starting runners and watching over them. For the process that has the right to: the director, or a lone prober.

One runner per user and network namespace, started when it is first needed. It has become that user and has entered
that namespace before it runs anything, so no runner needs any privilege, and none that asks one can choose another.
A runner that ends, or does not answer, is started again when next needed, after a pause that grows with each loss.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from contextlib import suppress

from healthd.backoff import Backoff
from healthd.check import Inconclusive, Run
from healthd.children import Child, Log, start, to_stderr
from healthd.config.schema import RunnerSettings
from healthd.privileges import RUNNER, PrivilegeError, needed
from healthd.runner import wire
from healthd.runner.client import Done, Give, Identity, RunnerRoutes

_START_PATIENCE = 10.0
PING_EVERY = 2.0
_MISSED_PINGS = 5
_END_PATIENCE = 2.0
_ABOUT_TO_END = 0.1


class RunnerProcess:
    """One runner. user, netns: who it is and where; None: as we are. parallel: most scripts at once.

    ping: seconds between two questions whether it is alive; five of them unanswered, and it is killed.
    """

    def __init__(self, user: str | None, netns: str | None, parallel: int, log: Log, ping: float) -> None:
        self._user = user
        self._netns = netns
        self._parallel = parallel
        self._log = log
        self._ping_every = ping
        self._loop = asyncio.get_running_loop()
        self._backoff = Backoff()
        self._child: Child | None = None
        self._ready: asyncio.Future[None] | None = None
        self._unanswered = 0
        self._ping: asyncio.TimerHandle | None = None
        self._why = ""

    @property
    def pid(self) -> int | None:
        """Its process id while it is there."""
        return self._child.pid if self._child else None

    async def attach(self) -> socket.socket:
        """A new socket for a `RunnerClient`, here or elsewhere. Starts the runner. Raises Inconclusive."""
        if self._child is None:
            self._start()
        ready = self._ready
        if ready is not None:
            await self._until_ready(ready)
        if self._child is None:
            raise Inconclusive(self._why)
        try:
            return _attached(self._child.control)
        except OSError as error:
            raise Inconclusive(f"{self._name} cannot be reached: {error.strerror}") from None

    async def close(self) -> None:
        """End it, and with it every script it runs."""
        child = self._release()
        if child is not None:
            await child.leave(_END_PATIENCE)

    @property
    def _name(self) -> str:
        """Text for logs: runner, runner of nobody, runner in blue."""
        return "runner" + (f" of {self._user}" if self._user else "") + (f" in {self._netns}" if self._netns else "")

    def _start(self) -> None:
        wait = self._backoff.remaining(self._loop.time())
        if wait > 0:
            raise Inconclusive(f"{self._why}; it is started again in {wait:.1f} s")
        try:
            lend = needed(user=self._user, netns=self._netns, keep=RUNNER)
            arguments = [str(self._parallel), self._user or "", self._netns or ""]
            self._child = start(
                "healthd.runner.child", arguments, name=self._name, lend=lend, small=True, log=self._log
            )
        except (OSError, PrivilegeError) as error:
            self._failed(f"{self._name} cannot be started: {error}")
            raise Inconclusive(self._why) from None
        self._ready = self._loop.create_future()
        self._unanswered = 0
        self._loop.add_reader(self._child.control, self._read)
        self._ping = self._loop.call_later(self._ping_every, self._look)

    async def _until_ready(self, ready: asyncio.Future[None]) -> None:
        try:
            await asyncio.wait_for(asyncio.shield(ready), _START_PATIENCE)
        except TimeoutError:
            raise Inconclusive(f"{self._name} takes long to start") from None

    def _read(self) -> None:
        if self._child is None:
            return
        try:
            packet = self._child.control.recv(wire.MAX_PACKET)
        except (BlockingIOError, ConnectionResetError):
            return  # a reset (it ended without reading all) comes before what it said last, and is told once
        except OSError:
            packet = b""
        self._hear(packet)

    def _hear(self, packet: bytes) -> None:
        self._unanswered = 0
        if packet[:1] == wire.READY:
            self._settle()
            self._backoff.succeeded(self._loop.time())
        elif packet[:1] == wire.CANNOT:
            self._lose(f"{self._name} cannot be had: {os.fsdecode(packet[1:])}")
        elif packet != wire.PONG:
            self._lose("", patience=_ABOUT_TO_END)

    def _look(self) -> None:
        if self._child is None:
            return
        if self._unanswered >= _MISSED_PINGS:
            self._lose(f"{self._name} did not answer for {self._ping_every * _MISSED_PINGS:g} s")
            return
        self._unanswered += 1
        self._ping = self._loop.call_later(self._ping_every, self._look)
        with suppress(OSError):  # full: it does not read, which the next looks find; gone: _read finds that
            self._child.control.send(wire.PING)

    def _lose(self, why: str, patience: float = 0.0) -> None:
        child = self._release()
        how = child.end(patience) if child else ""
        self._failed(why or f"{self._name} {how}")

    def _failed(self, why: str) -> None:
        self._why = why
        self._backoff.failed(self._loop.time())
        self._log(why)

    def _release(self) -> Child | None:
        child, self._child = self._child, None
        if self._ping is not None:
            self._ping.cancel()
        if child is not None:
            self._loop.remove_reader(child.control)
        self._settle()
        return child

    def _settle(self) -> None:
        """Let those go on who wait for it to be ready, or not to be."""
        ready, self._ready = self._ready, None
        if ready is not None and not ready.done():
            ready.set_result(None)


def _attached(control: socket.socket) -> socket.socket:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        try:
            socket.send_fds(control, [wire.ATTACH], [theirs.fileno()])
        except OSError:
            ours.close()
            raise
    return ours


class RunnerProcesses:
    """All runners of this process, and the `Runner` that uses them. Needs a running loop. ping: see RunnerProcess."""

    def __init__(self, settings: RunnerSettings, *, log: Log = to_stderr, ping: float = PING_EVERY) -> None:
        self._settings = settings
        self._log = log
        self._ping = ping
        self._processes: dict[Identity, RunnerProcess] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._routes = RunnerRoutes(self._fetch, settings.user)

    def run(self, request: Run, timeout: float, done: Done) -> Callable[[], None]:
        """As in `Runner`."""
        return self._routes.run(request, timeout, done)

    async def attach(self, user: str | None, netns: str | None) -> socket.socket:
        """A socket to the runner of that user, in that namespace. Raises Inconclusive."""
        identity = (user or self._settings.user, netns)
        process = self._processes.get(identity)
        if process is None:
            process = self._processes[identity] = RunnerProcess(
                *identity, self._settings.parallel, self._log, self._ping
            )
        return await process.attach()

    def pids(self) -> dict[Identity, int]:
        """Process ids of the runners that are there."""
        return {identity: one.pid for identity, one in self._processes.items() if one.pid is not None}

    async def close(self) -> None:
        """End all runners and what they run; nobody is told."""
        self._routes.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(process.close() for process in self._processes.values()))
        self._processes.clear()

    def _fetch(self, identity: Identity, give: Give) -> None:
        task = asyncio.get_running_loop().create_task(self._bring(identity, give))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _bring(self, identity: Identity, give: Give) -> None:
        try:
            sock = await self.attach(*identity)
        except Inconclusive as error:
            give(error.detail)
        else:
            give(sock)


def start_runner(settings: RunnerSettings, *, log: Log = to_stderr) -> RunnerProcesses:
    """A `Runner` with processes of its own, for probing within this process; `close` it at the end."""
    return RunnerProcesses(settings, log=log)
