"""Asking runners, from any process with an asyncio loop. Both classes fulfil `healthd.prober.base.Runner`."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from healthd.check import Inconclusive, Ran, Run
from healthd.runner import wire

Done = Callable[[Ran | Inconclusive], None]
Identity = tuple[str | None, str | None]
"""Whom scripts run as, and in which network namespace."""

_GRACE = 3.0  # seconds beyond its deadline that an answer may take before the runner is taken for hung
_LOOK = 1.0


@dataclass(slots=True)
class _Pending:
    done: Done
    until: float
    output: bytes = b""


class RunnerClient:
    """One socket to one runner.

    lost: called once when the runner is gone, after every pending run was told so. Needs a running loop.
    """

    def __init__(self, sock: socket.socket, lost: Callable[[], None]) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._pending: dict[int, _Pending] = {}
        self._outbox: deque[tuple[int, bytes]] = deque()
        self._serial = 0
        self._look: asyncio.TimerHandle | None = None
        self._loop.add_reader(sock, self._read)

    def run(self, request: Run, timeout: float, done: Done) -> Callable[[], None]:
        """As in `Runner`. user and netns of the request are taken for the runner's."""
        number = self._serial = (self._serial + 1) & 0xFFFFFFFF
        self._pending[number] = _Pending(done, self._loop.time() + timeout + _GRACE)
        try:
            packet = wire.pack_run(number, max(timeout, 0.0), request.output_limit, request.argv, request.env)
        except ValueError as error:
            self._loop.call_soon(self._fail, number, str(error))
        else:
            self._send(number, packet)
        if self._look is None:
            self._look = self._loop.call_later(_LOOK, self._find_overdue)
        return lambda: self._kill(number)

    def close(self) -> None:
        """Let go; the runner kills what it still runs for us, and nobody is told."""
        self._pending.clear()
        self._release()

    def _kill(self, number: int) -> None:
        if self._pending.pop(number, None) is not None and self._sock.fileno() >= 0:
            self._send(number, wire.pack_kill(number))

    def _send(self, number: int, packet: bytes) -> None:
        if self._sock.fileno() < 0:
            self._loop.call_soon(self._fail, number, "the runner is gone")
            return
        self._outbox.append((number, packet))
        if len(self._outbox) == 1:
            self._flush()

    def _flush(self) -> None:
        while self._outbox:
            number, packet = self._outbox[0]
            try:
                self._sock.send(packet)
            except BlockingIOError:
                self._loop.add_writer(self._sock, self._flush)
                return
            except OSError as error:
                self._loop.call_soon(self._fail, number, f"cannot hand it to the runner: {error.strerror}")
            self._outbox.popleft()
        self._loop.remove_writer(self._sock)

    def _read(self) -> None:
        try:
            packet = self._sock.recv(wire.MAX_PACKET)
            if packet:
                self._tell(packet)
                return
        except (BlockingIOError, ConnectionResetError):
            return  # a reset (it ended without reading all) comes before what it said last, and is told once
        except (OSError, wire.Malformed):
            pass  # a runner that cannot be understood is as good as gone
        self._give_up()

    def _tell(self, packet: bytes) -> None:
        number, status, rest = wire.unpack_answer(packet)
        pending = self._pending.get(number)
        if pending is None:
            return
        if packet[:1] == wire.PART:
            pending.output += rest
        elif packet[:1] == wire.RAN:
            self._finish(number, Ran(status, pending.output + rest))
        else:
            self._finish(number, Inconclusive(rest.decode("utf-8", "backslashreplace")))

    def _finish(self, number: int, how: Ran | Inconclusive) -> None:
        pending = self._pending.pop(number, None)
        if pending is not None:
            pending.done(how)

    def _fail(self, number: int, why: str) -> None:
        self._finish(number, Inconclusive(why))

    def _give_up(self) -> None:
        self._release()
        for number in list(self._pending):
            self._fail(number, "the runner ended while the script was under way")
        self._lost()

    def _release(self) -> None:
        if self._look is not None:
            self._look.cancel()
        if self._sock.fileno() >= 0:
            self._loop.remove_reader(self._sock)
            self._loop.remove_writer(self._sock)
            self._sock.close()
        self._outbox.clear()

    def _find_overdue(self) -> None:
        self._look = self._loop.call_later(_LOOK, self._find_overdue) if self._pending else None
        now = self._loop.time()
        for number in [number for number, pending in self._pending.items() if pending.until < now]:
            self._outbox = deque(entry for entry in self._outbox if entry[0] != number)
            self._fail(number, "the runner does not answer")


Give = Callable[[socket.socket | str], None]
"""Takes a socket to a runner, or why there is none."""


class _Waiting:
    """A run for which the runner is being fetched; `kill` is what its caller was given."""

    __slots__ = ("_done", "_inner", "_loop", "_over", "_request", "_timer", "_until")

    def __init__(self, request: Run, timeout: float, done: Done) -> None:
        self._loop = asyncio.get_running_loop()
        self._request = request
        self._until = self._loop.time() + timeout
        self._done = done
        self._inner: Callable[[], None] | None = None
        self._over = False
        self._timer = self._loop.call_later(timeout, self.fail, "there was no runner in time")

    def proceed(self, client: RunnerClient) -> None:
        """Run it now, in what is left of its time."""
        if not self._settle():
            self._inner = client.run(self._request, self._until - self._loop.time(), self._done)

    def fail(self, why: str) -> None:
        """Say that it cannot be run."""
        if not self._settle():
            self._done(Inconclusive(why))

    def kill(self) -> None:
        """Nobody waits any more."""
        self._settle()
        if self._inner is not None:
            self._inner()

    def _settle(self) -> bool:
        """No more waiting; True if it was over already."""
        over, self._over = self._over, True
        self._timer.cancel()
        return over


@dataclass(slots=True, eq=False)
class _Route:
    """The way to one runner: there, or being fetched for those who wait."""

    client: RunnerClient | None = None
    fetching: bool = False
    waiting: list[_Waiting] = field(default_factory=list)


class RunnerRoutes:
    """Runs each request with the runner of its user and namespace, which is fetched when it is first needed.

    fetch: asked for a runner's socket; calls `Give` once, now or later. user: for requests that name nobody.
    """

    def __init__(self, fetch: Callable[[Identity, Give], None], user: str | None) -> None:
        self._fetch = fetch
        self._user = user
        self._routes: dict[Identity, _Route] = {}
        self._loop = asyncio.get_running_loop()

    def run(self, request: Run, timeout: float, done: Done) -> Callable[[], None]:
        """As in `Runner`."""
        identity = (request.user or self._user, request.netns)
        route = self._routes.setdefault(identity, _Route())
        if route.client is not None:
            return route.client.run(request, timeout, done)
        waiting = _Waiting(request, timeout, done)
        route.waiting.append(waiting)
        if not route.fetching:
            route.fetching = True
            self._loop.call_soon(self._fetch, identity, lambda given: self._given(identity, route, given))
        return waiting.kill

    def close(self) -> None:
        """Let go of all runners; nobody is told."""
        for route in self._routes.values():
            for waiting in route.waiting:
                waiting.kill()
            if route.client is not None:
                route.client.close()
        self._routes.clear()

    def _given(self, identity: Identity, route: _Route, given: socket.socket | str) -> None:
        waiting, route.waiting, route.fetching = route.waiting, [], False
        if isinstance(given, str):
            for one in waiting:
                one.fail(given)
        elif self._routes.get(identity) is not route:
            given.close()
        else:
            client = route.client = RunnerClient(given, lambda: self._lost(route))
            for one in waiting:
                one.proceed(client)

    def _lost(self, route: _Route) -> None:
        route.client = None
