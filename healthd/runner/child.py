"""The runner process: starts programs on request, kills their groups at the deadline, reaps all there is to reap.

One thread around poll(2). In every turn the ended are reaped first, deadlines are looked at later, and the queue is
served last: after we were stopped ourselves, a program that ended in time has ended in time.

Nothing is left behind. A program that ended takes its group and session with it, also those of its descendants that
went into a group of their own, as `timeout` does: we are their subreaper. One that made a *session* of its own is a
daemon on purpose and stays.
"""

from __future__ import annotations

import os
import pwd
import resource
import signal
import socket
import sys
from collections import deque
from heapq import heappop, heappush
from select import POLLIN, POLLOUT, poll
from time import monotonic, sleep

from healthd.privileges import RUNNER, PrivilegeError, adopt_orphans, confine, show_as
from healthd.runner import descendants, scripts, wire

_PATH = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_QUEUED_TOO_LONG = 0.1  # part of its time that a program may wait and still be blamed for being late
_LAST_MOMENT = 1.0  # seconds to wait at our end for killed programs to be gone


class Client:
    """One socket that asks, and the answers that it has not taken yet."""

    __slots__ = ("jobs", "outbox", "sock")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.jobs: dict[int, Job] = {}
        self.outbox: deque[bytes] = deque()


class Job:
    """One request. started: when its program was; None while it waits. script: while it runs."""

    __slots__ = ("argv", "asked", "client", "deadline", "env", "limit", "number", "script", "started", "timeout")

    def __init__(self, client: Client, packet: bytes, now: float) -> None:
        self.number, self.timeout, self.limit, self.argv, self.env = wire.unpack_run(packet)
        self.client = client
        self.asked = now
        self.deadline = now + self.timeout
        self.started: float | None = None
        self.script: scripts.Script | None = None

    @property
    def wanted(self) -> bool:
        """True as long as somebody waits for the answer."""
        return self.client.jobs.get(self.number) is self


class Server:
    """All clients, all programs. parallel: most programs at once; more wait their turn."""

    def __init__(self, control: socket.socket, parallel: int, null: int) -> None:
        self._control = control
        self._parallel = parallel
        self._null = null
        self._children = descendants.open_children()
        self._env = environment()
        self._poll = poll()
        self._clients: dict[int, Client] = {}
        self._running: dict[int, Job] = {}
        self._pipes: dict[int, Job] = {}
        self._queue: deque[Job] = deque()
        self._deadlines: list[tuple[float, int, Job]] = []
        self._serial = 0
        self._condemned: set[int] = set()
        self._over = False

    def serve(self, ended: int) -> None:
        """Work until control is closed. ended: descriptor that becomes readable when a child has ended."""
        for fd in (ended, self._control.fileno()):
            self._poll.register(fd, POLLIN)
        while not self._over:
            events = self._poll.poll(self._patience())
            if any(fd == ended for fd, _ in events):
                os.read(ended, 4096)
                self._reap()
            for fd, what in events:
                self._handle(fd, what)
            self._expire(monotonic())
            self._start_queued()
        self._kill_all()

    def _patience(self) -> float | None:
        while self._deadlines and not self._deadlines[0][2].wanted:
            heappop(self._deadlines)
        if not self._deadlines:
            return None
        return max(0.0, self._deadlines[0][0] - monotonic()) * 1000 + 1

    def _handle(self, fd: int, what: int) -> None:
        if fd == self._control.fileno():
            self._listen()
        elif fd in self._pipes:
            self._take_output(fd)
        elif fd in self._clients:
            client = self._clients[fd]
            if what & POLLOUT:
                self._flush(client)
            if what & ~POLLOUT:
                self._hear(client)

    # --- control ---

    def _listen(self) -> None:
        try:
            packet, fds = wire.receive_with_fds(self._control, wire.MAX_PACKET)
        except BlockingIOError:
            return
        except OSError:
            packet, fds = b"", []
        if packet == wire.PING:
            self._control.send(wire.PONG)
        for fd in fds:
            self._attach(socket.socket(fileno=fd))
        self._over = not packet

    def _attach(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._clients[sock.fileno()] = Client(sock)
        self._poll.register(sock, POLLIN)

    # --- clients ---

    def _hear(self, client: Client) -> None:
        try:
            packet = client.sock.recv(wire.MAX_PACKET)
            if not packet:
                raise ConnectionResetError
            self._obey(client, packet)
        except BlockingIOError:
            return
        except (OSError, wire.Malformed):
            self._forget(client)

    def _obey(self, client: Client, packet: bytes) -> None:
        if packet[:1] == wire.RUN:
            self._enqueue(Job(client, packet, monotonic()))
        elif packet[:1] == wire.KILL:
            self._abandon(client, wire.unpack_kill(packet))
        else:
            raise wire.Malformed(packet[:1])

    def _forget(self, client: Client) -> None:
        self._poll.unregister(client.sock)
        del self._clients[client.sock.fileno()]
        for number in list(client.jobs):
            self._abandon(client, number)
        client.sock.close()

    def _abandon(self, client: Client, number: int) -> None:
        job = client.jobs.pop(number, None)
        if job is not None and job.script is not None:
            job.script.kill()

    def _answer(self, job: Job, packets: list[bytes]) -> None:
        if not job.wanted:
            return
        del job.client.jobs[job.number]
        job.client.outbox.extend(packets)
        self._flush(job.client)

    def _flush(self, client: Client) -> None:
        try:
            while client.outbox:
                client.sock.send(client.outbox[0])
                client.outbox.popleft()
        except BlockingIOError:
            pass
        except OSError:
            client.outbox.clear()  # it has gone; the next read of its socket says so
        if client.sock.fileno() in self._clients:
            self._poll.modify(client.sock, POLLIN | POLLOUT if client.outbox else POLLIN)

    # --- programs ---

    def _enqueue(self, job: Job) -> None:
        if job.number in job.client.jobs:
            raise wire.Malformed("a number in use")
        job.client.jobs[job.number] = job
        self._queue.append(job)
        self._serial += 1
        heappush(self._deadlines, (job.deadline, self._serial, job))

    def _start_queued(self) -> None:
        while self._queue and len(self._running) < self._parallel:
            job = self._queue.popleft()
            if job.wanted:
                self._start(job)

    def _start(self, job: Job) -> None:
        job.started = monotonic()
        settings = dict(setting.split(b"=", 1) for setting in job.env)
        try:
            job.script = scripts.start(job.argv, self._env | settings, job.limit, self._null)
        except scripts.CannotRun as error:
            self._answer(job, wire.pack_failed(job.number, str(error)))
            return
        self._running[job.script.pid] = job
        self._pipes[job.script.pipe] = job
        self._poll.register(job.script.pipe, POLLIN)

    def _take_output(self, fd: int) -> None:
        script = self._pipes[fd].script
        if script is not None and script.read() == 0:
            self._close_pipe(script)

    def _close_pipe(self, script: scripts.Script) -> None:
        if script.pipe >= 0:
            self._poll.unregister(script.pipe)
            del self._pipes[script.pipe]
        script.drain()

    def _expire(self, now: float) -> None:
        if self._deadlines and self._deadlines[0][0] <= now:
            self._reap()  # the signal of an end may have come after the poll that woke us
        while self._deadlines and self._deadlines[0][0] <= now:
            job = heappop(self._deadlines)[2]
            if job.wanted:
                self._end(job)

    def _end(self, job: Job) -> None:
        """At the deadline: answer at once, for a program in an uninterruptible call dies when it likes."""
        if job.script is None:
            self._answer(job, wire.pack_failed(job.number, self._waited(job, "was never started")))
            return
        job.script.kill()
        self._close_pipe(job.script)
        if job.started is not None and job.started - job.asked > job.timeout * _QUEUED_TOO_LONG:
            had = f"had {job.deadline - job.started:.1f} s of {job.timeout:.1f} s"
            self._answer(job, wire.pack_failed(job.number, self._waited(job, had)))
        else:
            self._answer(job, wire.pack_ran(job.number, -signal.SIGKILL, job.script.tail))

    def _waited(self, job: Job, what: str) -> str:
        return (
            f"{os.fsdecode(job.argv[0])}: {what}: {self._parallel} scripts at once are allowed, and others were first"
        )

    # --- the ended ---

    def _reap(self) -> None:
        while (pid := descendants.ended_child()) is not None:
            job = self._running.pop(pid, None)
            if job is None or job.script is None:
                os.waitpid(pid, 0)
                continue
            job.script.kill()  # the rest of its group, while its number cannot be anybody else's
            _, status = os.waitpid(pid, 0)
            self._close_pipe(job.script)
            self._condemned.add(pid)
            self._answer(job, wire.pack_ran(job.number, os.waitstatus_to_exitcode(status), job.script.tail))
        self._condemned = descendants.kill_sessions(self._condemned, self._children)

    def _kill_all(self) -> None:
        for job in self._running.values():
            if job.script is not None:
                job.script.kill()
        until = monotonic() + _LAST_MOMENT
        while (self._running or self._condemned) and monotonic() < until:
            self._reap()
            sleep(0.005)


def environment() -> dict[bytes, bytes]:
    """The minimal environment of every program."""
    try:
        home = os.fsencode(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        home = b"/"
    return {b"PATH": _PATH, b"LANG": b"C.UTF-8", b"HOME": home}


def _set_limits(parallel: int) -> None:
    """As many descriptors as we need; programs inherit the limit, and old ones mind a large one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(1024, parallel + 256)), hard))


def _watch_children() -> int:
    """Descriptor that becomes readable with every SIGCHLD."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    return reading


def main(arguments: list[str]) -> None:
    """Be the runner. arguments: control's descriptor, parallel, user and namespace (empty: as we are)."""
    control = socket.socket(fileno=int(arguments[0]))
    control.set_inheritable(False)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the end of control is what ends us
    try:
        confine(user=arguments[2] or None, keep=RUNNER, netns=arguments[3] or None)
    except PrivilegeError as error:
        control.send(wire.CANNOT + os.fsencode(str(error)))
        sys.exit(1)
    show_as("healthd-runner")
    adopt_orphans()
    os.chdir("/")
    os.umask(0o022)
    _set_limits(int(arguments[1]))
    server = Server(control, int(arguments[1]), os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC))
    ended = _watch_children()
    control.send(wire.READY)
    server.serve(ended)
