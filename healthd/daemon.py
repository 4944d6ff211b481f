"""Lifecycle of the daemon: start, signals, reload, stop. Everything it starts, it ends, in reverse order.

Start: claims, table (must answer, or we say why and go), hooks, director, prober, control socket. systemd is told READY
after the first round of probes, or after `READY_PATIENCE` where something keeps a probe from being made.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from healthd import __version__
from healthd.api import Actions, ControlSocket, ControlSocketUnusable
from healthd.claims import AlreadyClaimed, Claims
from healthd.commands import exits
from healthd.config.load import load
from healthd.config.problems import Severity, render
from healthd.config.schema import Config, Settings
from healthd.director import Director
from healthd.events import Event, Kind
from healthd.hooks import Announcer, LogHook
from healthd.ipvs.base import IpvsTable, ServiceCounters, TableUnavailable
from healthd.ipvs.kernel import KernelTable
from healthd.ipvs.memory import MemoryTable
from healthd.ipvs.namespace import namespace_identity
from healthd.ipvs.watch import LinkChange, NeighbourFailed, watch
from healthd.log import Log, configure
from healthd.model import ServiceKey
from healthd.prober.base import Prober
from healthd.prober.local import LocalProber
from healthd.prober.remote import RemoteProber
from healthd.runner.process import start_runner
from healthd.sdnotify import Notifier, watchdog_interval
from healthd.view import Scene, describe_all

logger = logging.getLogger(__name__)

READY_PATIENCE = 60.0
HOOK_GRACE = 5.0
LOG_GRACE = 2.0
STATUS_EVERY = 5.0


@dataclass(frozen=True, slots=True)
class Options:
    """How the daemon was started. memory: keep a table of its own instead of the kernel's."""

    config: Path
    memory: bool = False
    in_process: bool = False
    log_level: str | None = None


async def serve(config: Config, options: Options) -> int:
    """Run until a signal says stop. Returns the exit code."""
    log = configure(config.settings.log)
    try:
        async with contextlib.AsyncExitStack() as stack:
            daemon = await _started(config, options, log, stack)
            await daemon.run()
        return exits.OK
    except (TableUnavailable, AlreadyClaimed, ControlSocketUnusable, OSError) as error:
        logger.error("healthd cannot start: %s", error)
        return exits.UNAVAILABLE
    finally:
        log.close(LOG_GRACE)


async def _started(config: Config, options: Options, log: Log, stack: contextlib.AsyncExitStack) -> Daemon:
    settings = config.settings
    claims = None if options.memory else Claims(_lock_file(settings))
    if claims:
        stack.callback(claims.close)
        claims.hold([service.key for service in config.services])
    table: IpvsTable = MemoryTable() if options.memory else KernelTable(settings.table.netns)
    stack.push_async_callback(table.close)
    await table.snapshot([service.key for service in config.services])
    announcer = Announcer([LogHook()])
    announcer.apply(settings.hooks)
    stack.push_async_callback(announcer.close, HOOK_GRACE)
    director = Director(table, announcer.event, time.monotonic, time.time)
    prober = await _prober(director, settings, options.in_process, stack)
    director.attach(prober)
    daemon = Daemon(config, options, log, claims, table, announcer, director, prober)
    control = ControlSocket(settings.control.socket, settings.control.group, Actions(daemon.status, daemon.reload))
    await control.start()
    stack.push_async_callback(control.close)
    return daemon


async def _prober(director: Director, settings: Settings, in_process: bool, stack: contextlib.AsyncExitStack) -> Prober:
    if not in_process:
        remote = RemoteProber(director, settings.prober, settings.runner)
        stack.push_async_callback(remote.close)
        return remote
    runner = start_runner(settings.runner)
    stack.push_async_callback(runner.close)
    local = LocalProber(director, runner=runner, in_flight=settings.prober.in_flight)
    stack.push_async_callback(local.close)
    return local


def _lock_file(settings: Settings) -> Path:
    """The lock file of one table: tables are told apart by the network namespace they live in."""
    _, inode = namespace_identity(settings.table.netns or "/proc/self/ns/net")
    return settings.control.socket.parent / f"table-{inode}.lock"


class Daemon:
    """The running daemon: what signals and the control socket can ask of it."""

    def __init__(
        self,
        config: Config,
        options: Options,
        log: Log,
        claims: Claims | None,
        table: IpvsTable,
        announcer: Announcer,
        director: Director,
        prober: Prober,
    ) -> None:
        self._config = config
        self._options = options
        self._log = log
        self._claims = claims
        self._table = table
        self._announcer = announcer
        self._director = director
        self._prober = prober
        self._manager = Notifier.of_environment()
        self._stopping = asyncio.Event()
        self._reloading = asyncio.Lock()

    # --- running -----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Work until told to stop, then do what the stop policy says."""
        with self._signals():
            async with self._tasks():
                self._tell(Kind.STARTED, f"healthd {__version__} keeps {len(self._config.services)} services")
                await self._director.configure(self._config)
                await self._stopping.wait()
                self._manager.stopping()
                self._tell(Kind.STOPPING, f"healthd stops, stop policy {self._config.settings.on_stop.value}")
            await self._leave_table()

    @contextlib.asynccontextmanager
    async def _tasks(self) -> AsyncIterator[None]:
        """Everything that goes on while the daemon runs. A task that fails ends the daemon: that is a bug of ours."""
        async with asyncio.TaskGroup() as group:
            jobs: list[Callable[[], Awaitable[None]]] = [self._director.run, self._become_ready, self._report]
            if self._config.settings.prober.watch_neighbours and not self._options.memory:
                jobs.append(self._watch)
            tasks = [group.create_task(_forever(job), name=job.__name__) for job in jobs]
            yield
            for task in tasks:
                task.cancel()

    async def _leave_table(self) -> None:
        try:
            await self._director.stop(self._config.settings.on_stop)
        except TableUnavailable as error:
            logger.error("the stop policy could not be carried out: %s", error)

    @contextlib.contextmanager
    def _signals(self) -> Any:
        loop = asyncio.get_running_loop()
        handlers = {signal.SIGTERM: self._stop, signal.SIGINT: self._stop, signal.SIGHUP: self._hang_up}
        for number, handler in handlers.items():
            loop.add_signal_handler(number, handler)
        try:
            yield
        finally:
            for number in handlers:
                loop.remove_signal_handler(number)

    def _stop(self) -> None:
        if self._stopping.is_set():
            logger.error("told to stop a second time: leaving at once")
            os._exit(exits.FAILED)
        self._stopping.set()

    def _hang_up(self) -> None:
        self._log.reopen()
        self._hang_up_task = asyncio.get_running_loop().create_task(self.reload(), name="reload")

    async def _become_ready(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(READY_PATIENCE):
                await self._director.first_round.wait()
        self._manager.ready(self._status_line())

    async def _report(self) -> None:
        """Keep systemd's watchdog and status line fed."""
        every = min(STATUS_EVERY, watchdog_interval(os.environ, os.getpid()) or STATUS_EVERY)
        while True:
            await asyncio.sleep(every)
            self._manager.alive()
            self._manager.status(self._status_line())

    async def _watch(self) -> None:
        """Something moved on the way to servers: ask them now. It only triggers probes, it never decides."""
        try:
            async for change in watch():
                match change:
                    case NeighbourFailed(address):
                        await self._director.suspect([address])
                    case LinkChange(up=True):
                        await self._director.suspect(self._director.roster.missing())
        except (OSError, TableUnavailable) as error:
            logger.warning("links and neighbours are not watched: %s", error)

    def _status_line(self) -> str:
        roster = self._director.roster
        phases = [roster.phase(ref).value for ref in roster.reals]
        counts = ", ".join(f"{phases.count(word)} {word}" for word in ("up", "down", "unknown") if word in phases)
        trouble = f"; table: {self._director.table_error}" if self._director.table_error else ""
        return f"{len(roster.services)} services, servers: {counts or 'none'}{trouble}"

    def _tell(self, kind: Kind, message: str, detail: str = "") -> None:
        self._announcer.event(Event(kind, time.time(), message, detail=detail))

    # --- asked for ---------------------------------------------------------------------------------------------

    async def status(self, counters: bool) -> dict[str, Any]:
        """The status document."""
        director = self._director
        latest = {seen.probe: seen for seen in await self._prober.latest()}
        read: dict[ServiceKey, ServiceCounters] = {}
        if counters and director.table_error is None:
            with contextlib.suppress(TableUnavailable):
                snapshot = await self._table.snapshot(director.roster.services.keys(), counters=True)
                read = dict(snapshot.counters)
        states = {
            (service.key, real.key): director.state(service, real)
            for service in director.roster.services.values()
            for real in service.reals
        }
        scene = Scene(director.roster, director.ledger, states, time.monotonic(), latest, read)
        document = describe_all(scene, director.table_error, director.summary)
        hooks = [asdict(stats) for stats in self._announcer.stats()]
        about = {"healthd": __version__, "pid": os.getpid(), "log": asdict(self._log.stats()), "hooks": hooks}
        return {**about, **document}

    async def reload(self) -> dict[str, Any]:
        """Read the configuration again; only a good one changes anything."""
        async with self._reloading:
            self._manager.reloading()
            try:
                return await self._reload()
            finally:
                self._manager.ready(self._status_line())

    async def _reload(self) -> dict[str, Any]:
        loaded = await asyncio.to_thread(load, self._options.config)
        problems = render(loaded.problems)
        if loaded.config is None:
            errors = sum(problem.severity is Severity.ERROR for problem in loaded.problems)
            self._tell(Kind.RELOAD_FAILED, f"reload refused: {errors} errors, nothing was changed", problems)
            return {"ok": False, "message": f"{problems}nothing was changed"}
        try:
            if self._claims:
                self._claims.hold([service.key for service in loaded.config.services])
        except AlreadyClaimed as error:
            self._tell(Kind.RELOAD_FAILED, f"reload refused: {error}, nothing was changed", str(error))
            return {"ok": False, "message": f"{error}; nothing was changed"}
        fixed = needs_restart(self._config.settings, loaded.config.settings)
        await self._take_over(loaded.config)
        message = f"the configuration was read again: {len(loaded.config.services)} services"
        if fixed:
            message += f"; changes of {', '.join(fixed)} take effect at the next start"
        self._tell(Kind.RELOADED, message)
        return {"ok": True, "message": problems + message}

    async def _take_over(self, config: Config) -> None:
        log = config.settings.log
        if self._options.log_level:
            log = replace(log, level=self._options.log_level)
        self._log.apply(log)
        self._config = config
        self._announcer.apply(config.settings.hooks)
        await self._director.configure(config)


def needs_restart(old: Settings, new: Settings) -> list[str]:
    """Names of settings that changed but are read only at the start."""
    parts = {
        "table.netns": (old.table.netns, new.table.netns),
        "prober": (old.prober, new.prober),
        "runner": (old.runner, new.runner),
        "control": (old.control, new.control),
    }
    return [name for name, (before, after) in parts.items() if before != after]


async def _forever(job: Callable[[], Awaitable[None]]) -> None:
    await job()
