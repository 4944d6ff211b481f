"""Starting the daemon: everything it is made of, in order, and taken apart in reverse order.

Claims, table (must answer, or we say why and go), hooks, director, prober, control socket, HTTP.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Sequence
from functools import partial

from healthd.api import ControlSocket, ControlSocketUnusable, HttpListener
from healthd.claims import AlreadyClaimed, Claims, ClaimsImpossible, lock_file
from healthd.commands import exits
from healthd.config.problems import Problem
from healthd.config.schema import Admin, Config, Settings
from healthd.console import Console
from healthd.daemon import Daemon, Options, log_problems
from healthd.director import Director, both
from healthd.failures import Failures
from healthd.history import History
from healthd.hooks import Announcer, FallbackCommands, LogHook, MailHook
from healthd.hooks.monitor import Monitor
from healthd.ipvs.base import TableUnavailable
from healthd.ipvs.kernel import KernelTable
from healthd.log.setup import configure
from healthd.missing import missing, stands
from healthd.operators import Operators
from healthd.overrides import OPERATORS
from healthd.parts import Parts
from healthd.privileges import DIRECTOR, LENT, PROBER, Capabilities, Capability, lower
from healthd.prober.base import Prober
from healthd.prober.local import LocalProber
from healthd.prober.remote import RemoteProber
from healthd.runner.process import start_runner
from healthd.signals import Orders
from healthd.state import StateStore, StateUnusable

logger = logging.getLogger(__name__)
children_logger = logging.getLogger("healthd.children")

HOOK_GRACE = 5.0
LOG_GRACE = 2.0


class CannotStart(Exception):
    """Something that is needed cannot be had. One sentence for people."""


async def serve(config: Config, options: Options, warnings: Sequence[Problem] = ()) -> int:
    """Run until a signal says stop. Returns the exit code. warnings: about the configuration, for the log."""
    if os.geteuid() != 0:  # root stays root: it was not given single rights
        lower(keep=rights(config.settings, options.in_process), reserve=LENT)
    log = configure(config.settings.log, instance=options.config.name)
    orders = Orders(log, patient=options.patient)
    try:
        with orders.taken():
            log_problems(warnings)
            return await _serve(config, options, orders)
    except CannotStart as error:
        logger.error("healthd cannot start: %s", error)
        options.decided(str(error))
        return exits.UNAVAILABLE
    except Exception:
        logger.critical("healthd ends because of a fault of its own; please report it", exc_info=True)
        options.decided("a fault of healthd's own ended it; the log has it, please report it")
        return exits.SOFTWARE
    finally:
        log.close(LOG_GRACE)


def rights(settings: Settings, in_process: bool) -> Capabilities:
    """What the director itself needs to be able to do; programs that hooks start inherit none of it."""
    probing = PROBER if in_process else frozenset()
    entering = frozenset() if settings.table.netns is None else {Capability.SYS_ADMIN}
    return DIRECTOR | probing | entering


async def _serve(config: Config, options: Options, orders: Orders) -> int:
    async with contextlib.AsyncExitStack() as stack:
        daemon = await orders.until_stop(_started(config, options, orders, stack))
        if daemon is None:
            logger.info("told to stop before it had started")
            options.decided("told to stop before it had started")
            return exits.OK
        options.decided("")
        return await daemon.run()


async def _started(config: Config, options: Options, orders: Orders, stack: contextlib.AsyncExitStack) -> Daemon:
    try:
        return await _start(config, options, orders, stack)
    except (TableUnavailable, AlreadyClaimed, ClaimsImpossible, ControlSocketUnusable, OSError) as error:
        raise CannotStart(str(error)) from error


async def _start(config: Config, options: Options, orders: Orders, stack: contextlib.AsyncExitStack) -> Daemon:
    settings = config.settings
    claims = None if options.table else Claims(lock_file(settings.table.netns, options.locks))
    if claims:
        stack.callback(claims.close)
        claims.take([service.key for service in config.services])
    table = options.table or KernelTable(settings.table.netns)
    stack.push_async_callback(table.close)
    await table.snapshot([service.key for service in config.services])
    store = await _state(config.settings, options, stack)
    mail = MailHook(shelf=store)
    monitor = Monitor()
    history = History()
    announcer = Announcer([LogHook(), history, FallbackCommands(), monitor, mail], shelf=store)
    announcer.apply(config)
    stack.push_async_callback(announcer.close, HOOK_GRACE)
    await history.begin(store, settings.state.keep)
    failures = Failures()
    watched = both(monitor.observed, failures.observed)
    director = Director(table, announcer.event, time.monotonic, time.time, watched)
    prober = await _prober(director, settings, options.in_process, stack)
    director.attach(prober)
    operators = Operators(partial(director.wish, OPERATORS), announcer.event, time.time)
    await operators.begin(store)
    http = HttpListener(settings.http)
    daemon = Daemon(config, options, orders, claims, table, announcer, director, operators, http)
    mail.attach(lambda: daemon.stage, lambda: missing(director))
    announcer.attach(partial(stands, director))
    monitor.attach(lambda ref: director.roster.admin(ref) is Admin.MAINTENANCE)
    parts = Parts(director, table, prober, operators, history, announcer, orders.log, failures)
    console = Console(parts, daemon.reload, daemon.read)
    control = ControlSocket(settings.control.socket, settings.control.group, console)
    stack.push_async_callback(control.close)
    await control.start()
    stack.push_async_callback(http.close)
    await http.start(console)
    return daemon


async def _state(settings: Settings, options: Options, stack: contextlib.AsyncExitStack) -> StateStore | None:
    """The state store; None where it cannot be had, which the log tells: traffic matters more.

    A table that is ours alone ends with us, so there is nothing to remember unless the configuration says where.
    """
    usual = None if options.table else options.state
    path = settings.state.file or usual
    if path is None:
        return None
    try:
        store = await StateStore.open(path)
    except StateUnusable as error:
        logger.error("%s; overrides and the history of events will not live through a restart", error)
        return None
    stack.push_async_callback(store.close)
    if store.put_aside:
        logger.error("the state in %s was damaged and is now %s; healthd begins a new one", path, store.put_aside)
    return store


async def _prober(director: Director, settings: Settings, in_process: bool, stack: contextlib.AsyncExitStack) -> Prober:
    if not in_process:
        remote = RemoteProber(director, settings.prober, settings.runner, log=children_logger.warning)
        stack.push_async_callback(remote.close)
        return remote
    runner = start_runner(settings.runner, log=children_logger.warning)
    stack.push_async_callback(runner.close)
    local = LocalProber(director, runner=runner, in_flight=settings.prober.in_flight)
    stack.push_async_callback(local.close)
    return local
