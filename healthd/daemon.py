"""The daemon while it runs: readiness, signals, reload, status, stop. `healthd.startup` puts it together.

systemd is told READY after the first round of probes, or after `READY_PATIENCE` where something keeps a probe from
being made.

A task that fails is a fault of our own and ends the daemon, with the traceback in the log: the service manager starts
another one, which adopts the table as it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import math
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from healthd import __version__
from healthd.api import HttpListener
from healthd.claims import AlreadyClaimed, Claims
from healthd.commands import exits
from healthd.config.formats import AS_IT_IS, Reading
from healthd.config.load import Loaded, load
from healthd.config.problems import Problem, Severity, render
from healthd.config.schema import Config, Settings, Stage
from healthd.director import Director
from healthd.events import Event, Kind
from healthd.hooks import Announcer
from healthd.ipvs.base import IpvsTable, TableUnavailable
from healthd.ipvs.watch import AddressChange, Change, LinkChange, LookAgain, NeighbourFailed, watch
from healthd.maintenance import MAINTENANCE_FILES, Maintenance
from healthd.model import Address
from healthd.operators import Operators
from healthd.roster import Roster
from healthd.sdnotify import Notifier, watchdog_interval
from healthd.signals import Orders
from healthd.watching import Watching

logger = logging.getLogger(__name__)

LOCKS = Path("/run/healthd")
STATE = Path("/var/lib/healthd")
READY_PATIENCE = 60.0
STOP_PATIENCE = 15.0
MOST_TOLD = 20
STATUS_EVERY = 5.0


def unchanged(config: Config) -> Config:
    """The configuration as it is."""
    return config


def unsaid(why: str) -> None:
    """Nobody waits to hear it."""


@dataclass(frozen=True, slots=True)
class Options:
    """How the daemon was started.

    read_at: seconds since the epoch when the reading of the configuration began; what changed since is read again.
    table: keep this one, which is nobody else's, instead of the kernel's. locks: folder that all daemons of one table
    share. state: the file of the state store, unless the configuration names one. stop_patience: seconds that the table
    may take to carry the stop policy out. reading: how to take the configuration, also when it is read again. adapt:
    what the command line says instead of a configuration. patient: a second SIGTERM does not hurry the end.
    background: nobody waits at a terminal. called: the command, for the log. decided: called once, with nothing when
    the daemon has started, or with a sentence why it cannot.
    """

    config: Path
    table: IpvsTable | None = None
    in_process: bool = False
    locks: Path = LOCKS
    state: Path = STATE / "state.db"
    stop_patience: float = STOP_PATIENCE
    reading: Reading = AS_IT_IS
    read_at: float = math.inf
    adapt: Callable[[Config], Config] = unchanged
    patient: bool = False
    background: bool = False
    called: str = ""
    decided: Callable[[str], None] = unsaid


def log_problems(problems: Sequence[Problem]) -> None:
    """Have warnings in the log, too, the first of them: who reads it did not see the daemon's terminal."""
    for problem in problems[:MOST_TOLD]:
        logger.warning("%s", problem)
    if len(problems) > MOST_TOLD:
        logger.warning("... and %d more; healthd check-config tells them all", len(problems) - MOST_TOLD)


class Daemon:
    """The running daemon: what signals and the control socket can ask of it."""

    def __init__(
        self,
        config: Config,
        options: Options,
        orders: Orders,
        claims: Claims | None,
        table: IpvsTable,
        announcer: Announcer,
        director: Director,
        operators: Operators,
        http: HttpListener,
    ) -> None:
        self._config = config
        self._options = options
        self._begun = config.settings
        self._orders = orders
        self._claims = claims
        self._table = table
        self._announcer = announcer
        self._director = director
        self._operators = operators
        self._http = http
        self._maintenance = Maintenance(partial(director.wish, MAINTENANCE_FILES))
        self._watching = Watching(options.config, self.reload, self._ignored, options.reading)
        self._read_at = options.read_at
        self._manager = Notifier.of_environment()
        self._in_force = asyncio.Event()
        self._told_ready = False
        self._changed = ""
        self._reloading = asyncio.Lock()

    # --- running -----------------------------------------------------------------------------------------------

    async def run(self) -> int:
        """Work until told to stop, then do what the stop policy says. Returns the exit code."""
        async with self._tasks():
            manner = "as daemon" if self._options.background else f"with pid: {os.getpid()}"
            message = f"healthd {__version__} keeps {counted(len(self._config.services))}"
            self._tell(Kind.STARTED, message, manner, self._options.called)
            await self._maintenance.apply(self._config.services)
            self._operators.apply(self._config.services)
            await self._orders.until_stop(self._director.configure(self._config))
            self._in_force.set()
            self._watching.apply(self._config, self._read_at)
            await self._orders.stopping.wait()
            self._manager.stopping()
            policy = self._config.settings.on_stop.value
            self._tell(Kind.STOPPING, f"healthd stops, stop policy {policy}", self._orders.told_by)
        return await self._leave_table()

    @contextlib.asynccontextmanager
    async def _tasks(self) -> AsyncIterator[None]:
        """Everything that goes on while the daemon runs. A task that fails ends the daemon: that is a bug of ours."""
        async with asyncio.TaskGroup() as group:
            jobs: list[Callable[[], Awaitable[None]]] = [
                self._director.run,
                self._become_ready,
                self._report,
                self._reload_when_hung_up,
                self._maintenance.run,
                self._operators.run,
                self._watching.run,
            ]
            if self._config.settings.prober.watch_neighbours and not self._options.table:
                jobs.append(self._watch)
            tasks = [group.create_task(_forever(job), name=job.__name__) for job in jobs]
            yield
            for task in tasks:
                task.cancel()

    async def _leave_table(self) -> int:
        policy = self._config.settings.on_stop
        try:
            async with asyncio.timeout(self._options.stop_patience):
                await self._director.stop(policy)
        except TableUnavailable as error:
            why = str(error)
        except TimeoutError:
            why = f"the table did not take it within {self._options.stop_patience:g} s"
        else:
            return exits.OK
        logger.error("the stop policy %r could not be carried out: %s; the rows stay as they are", policy.value, why)
        return exits.UNAVAILABLE

    async def _reload_when_hung_up(self) -> None:
        """However many signals came meanwhile, one reload answers them all."""
        await self._in_force.wait()
        while True:
            await self._orders.hung_up.wait()
            self._orders.hung_up.clear()
            await self.reload()

    async def _become_ready(self) -> None:
        await self._in_force.wait()
        try:
            async with asyncio.timeout(READY_PATIENCE):
                if self._director.roster.assignment.probes:
                    await self._director.first_round.wait()
        except TimeoutError:
            logger.warning("not every server could be asked within %g s; ready without them", READY_PATIENCE)
        set_aside()
        self._told_ready = True
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
                await self._director.suspect(suspects(change, self._director.roster))
        except (OSError, TableUnavailable) as error:
            logger.warning("links and neighbours are not watched: %s", error)
        except Exception:  # it is a help and nothing more: no reason to end
            logger.exception("links and neighbours are no longer watched")

    def _status_line(self) -> str:
        roster = self._director.roster
        phases = [roster.phase(ref).value for ref in roster.reals]
        counts = ", ".join(f"{phases.count(word)} {word}" for word in ("up", "down", "unknown") if word in phases)
        trouble = f"; table: {self._director.table_error}" if self._director.table_error else ""
        return f"{counted(len(roster.services))}, servers: {counts or 'none'}{trouble}"

    def _tell(self, kind: Kind, message: str, detail: str = "", reason: str = "") -> None:
        self._announcer.event(Event(kind, time.time(), message, detail=detail, reason=reason))

    @property
    def stage(self) -> Stage:
        """What the daemon is doing, as those who get mail see it."""
        if self._orders.stopping.is_set():
            return Stage.STOPPING
        if self._reloading.locked():
            return Stage.RELOADING
        return Stage.RUNNING if self._told_ready else Stage.STARTING

    # --- asked for ---------------------------------------------------------------------------------------------

    async def reload(self, changed: str = "") -> dict[str, Any]:
        """Read the configuration again; only a good one changes anything. changed: files that are why, if any are."""
        async with self._reloading:
            self._changed = changed
            if self._orders.stopping.is_set():
                return {"ok": False, "message": "healthd is stopping; nothing was changed"}
            told = self._told_ready  # READY must not be said before its time
            if told:
                self._manager.reloading()
            try:
                return await self._reload()
            finally:
                if told:
                    self._manager.ready(self._status_line())

    async def _reload(self) -> dict[str, Any]:
        self._read_at = time.time()
        try:
            how, running = self._options.reading, self._config.files
            loaded = await asyncio.to_thread(load, self._options.config, reading=how, running=running)
        except Exception as error:
            logger.exception("reading the configuration failed because of a fault of healthd's own; please report it")
            return self._refuse("the configuration could not be read", f"{type(error).__name__}: {error}")
        if loaded.config is None:
            self._watching.mind({problem.file for problem in loaded.problems}, self._read_at)
            return self._refuse(first_error(loaded.problems), render(loaded.problems))
        try:
            if self._claims:
                self._claims.take([service.key for service in loaded.config.services])
        except AlreadyClaimed as error:
            return self._refuse(str(error), str(error))
        await self._take_over(loaded.config)
        message = render(loaded.problems) + self._reloaded(loaded)
        await self._write()
        if self._director.table_error is not None:
            message += f"; it is written once the table is back: {self._director.table_error}"
        return {"ok": True, "message": message}

    async def read(self) -> Loaded:
        """The configuration as it is on the disk now, as this daemon would run it. Nothing is changed."""
        how, running = self._options.reading, self._config.files
        loaded = await asyncio.to_thread(load, self._options.config, reading=how, running=running)
        return loaded if loaded.config is None else replace(loaded, config=self._options.adapt(loaded.config))

    def _refuse(self, why: str, detail: str) -> dict[str, Any]:
        self._tell(Kind.RELOAD_FAILED, f"reload refused: {why}; nothing was changed", detail, self._changed)
        return {"ok": False, "message": f"{detail.rstrip()}\nnothing was changed"}

    def _reloaded(self, loaded: Loaded) -> str:
        """Tell that it was read, before what becomes of it is told. Returns the message."""
        log_problems(loaded.problems)
        message = f"the configuration was read again: {counted(len(self._config.services))}"
        fixed = needs_restart(self._begun, self._config.settings)
        if fixed:
            message += f"; changes of {', '.join(fixed)} take effect at the next start"
        self._tell(Kind.RELOADED, message, reason=self._changed)
        return message

    def _ignored(self, changed: str) -> None:
        message = f"changed on disk: {changed}; [reload] watch is off, so it is not read"
        self._tell(Kind.CHANGE_IGNORED, message, reason=changed)

    async def _take_over(self, config: Config) -> None:
        """Have everything go by a configuration, but for the table."""
        config = self._options.adapt(config)
        self._orders.log.apply(config.settings.log)
        self._config = config
        self._announcer.apply(config)
        self._http.apply(config.settings.http)
        await self._maintenance.apply(config.services)
        self._watching.apply(config, self._read_at)

    async def _write(self) -> None:
        """Have the table go by it. Services that go are ours until their rows are gone."""
        await self._director.configure(self._config)
        set_aside()
        if self._claims:
            self._claims.keep({service.key for service in self._config.services} | self._director.ledger.actual.keys())


def set_aside() -> None:
    """Take what a configuration and its servers are made of, which stays, out of the garbage collector's sight.

    It would look through all of it again and again while others wait, a sixth of a second each time for ten thousand
    servers.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def first_error(problems: Sequence[Problem]) -> str:
    """The first error with its place, and how many follow it. problems: one at least is an error."""
    first, *rest = [problem for problem in problems if problem.severity is Severity.ERROR]
    return f"{first}{f' (and {len(rest)} more)' if rest else ''}"


def counted(services: int) -> str:
    """A number of services in words."""
    return f"{services} service{'' if services == 1 else 's'}"


def needs_restart(old: Settings, new: Settings) -> list[str]:
    """Names of settings that changed but are read only at the start."""
    parts = {
        "table.netns": (old.table.netns, new.table.netns),
        "prober": (old.prober, new.prober),
        "runner": (old.runner, new.runner),
        "control": (old.control, new.control),
        "http.listen": (old.http.listen, new.http.listen),
        "http.cert_file": (old.http.cert_file is None, new.http.cert_file is None),
        "state": (old.state, new.state),
    }
    return [name for name, (before, after) in parts.items() if before != after]


def suspects(change: Change, roster: Roster) -> set[Address]:
    """Whom to ask at once after a change on the way to them.

    A neighbour that is down already is left to its schedule: asking it is what makes the kernel give it up again.
    """
    match change:
        case NeighbourFailed(address):
            return {address} & roster.counted_on()
        case LinkChange(up=True) | AddressChange(present=True) | LookAgain():
            return roster.missing()
    return set()


async def _forever(job: Callable[[], Awaitable[None]]) -> None:
    await job()
