"""healthd ldirectord: started, asked and stopped as ldirectord is, by init scripts and cluster managers.

Options, actions, pid files, messages and exit codes are ldirectord's. What is better: only what starts a daemon reads
the configuration, so `status`, `stop` and `reload` work and harm nobody whatever the file looks like; `stop` and
`restart` wait for the end; a pid file is believed only of a process that holds it.
"""

from __future__ import annotations

import asyncio
import getopt
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from healthd import pidfile
from healthd.commands.background import Report, in_background
from healthd.commands.run import logging
from healthd.config.formats import Reading
from healthd.config.load import load
from healthd.config.problems import Problem, render
from healthd.config.schema import Config, ControlSettings
from healthd.config.settings import LEVELS, STYLES
from healthd.daemon import LOCKS, STATE, Options
from healthd.hooks.ldirectord_words import VERSION
from healthd.ipvs.memory import MemoryTable
from healthd.pidfile import AlreadyRunning, PidFileUnusable
from healthd.signals import HEEDED
from healthd.startup import serve

OK, FAILED, BAD_CONFIG, STOPPED, USAGE = 0, 1, 2, 3, 255
RUN = Path("/var/run")
FOLDERS = ("/etc/ha.d", "/etc/ha.d/conf")
PATIENCE = 30.0
"""Seconds that `stop` and `restart` wait: the daemon itself gives its table and hooks less."""

SUMMARY = """\
Usage:
    ldirectord [-d|--debug] [--] [configfile] start | stop | restart |
    try-restart | reload | force-reload | status

    ldirectord [-h|-?|--help|-v|--version]
"""
HELP = f"""{SUMMARY}
Actions:
    start         the daemon in the background, once the table has answered
    stop          it, and wait for its end
    restart       stop and start; a configuration that cannot be used stops nothing
    try-restart   restart if it runs
    reload        have it read its configuration again; force-reload is the same
    status        exit 0 if it runs, 3 if it does not, 1 if it ended without removing its pid file

configfile: below /etc/ha.d, below /etc/ha.d/conf, or as it is (default: ldirectord.cf).

Options:
    -d, --debug          stay in the foreground, log everything to standard error
    -h, -?, --help       print this and exit
    -v, --version        print the version and exit

Options that only healthd has:
    --strict             read the configuration to the letter, as ldirectord itself does
    --table WHICH        kernel, or memory: a table in the daemon that obeys the kernel's rules, to try things with
    --in-process         probe in the daemon instead of in a process with fewer rights
    --locks DIR          lock files that keep two daemons off the same services (default: $HEALTHD_LOCKS or {LOCKS})
    --run DIR            pid files, and control sockets in DIR/healthd (default: $HEALTHD_RUN or {RUN})
    --look-in DIR        look for configurations there instead of below /etc/ha.d; may be given several times
    --wait SECONDS       how long stop and restart wait for the end (default: {PATIENCE:g})
    --log-level LEVEL    {", ".join(LEVELS)}; instead of the configured one
    --log-style STYLE    {", ".join(STYLES)} (default: ldirectord)
"""
_LONG = (
    "debug", "help", "version", "strict", "table=", "in-process", "locks=", "run=", "look-in=", "wait=",
    "log-level=", "log-style=",
)  # fmt: skip
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "--table": ("kernel", "memory"),
    "--log-level": LEVELS,
    "--log-style": STYLES,
}


class _Misused(Exception):
    """Words of the command line that mean nothing. The text may be empty."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call. config: as it was found, or as it was given. found: whether it is there."""

    config: str
    instance: str
    action: str
    given: Mapping[str, str]
    found: bool
    run: Path
    wait: float

    @property
    def pid_file(self) -> Path:
        """Where the daemon of this configuration says who it is."""
        return self.run / f"ldirectord.{self.instance}.pid"

    @property
    def socket(self) -> Path:
        """Its control socket: one for each instance."""
        return self.run / "healthd" / f"ldirectord.{self.instance}.sock"


def main(words: Sequence[str]) -> int:
    """Do what the words after the command's name say. Returns the exit code."""
    try:
        pairs, rest = getopt.getopt(list(words), "dh?v", list(_LONG))
        given = {"--debug" if name == "-d" else name: value for name, value in pairs}
        if given.keys() & {"-h", "-?", "--help"}:
            print(HELP, end="")
            return OK
        if given.keys() & {"-v", "--version"}:
            print(f"{VERSION}\nin place of ldirectord")
            return OK
        folders = tuple(value for name, value in pairs if name == "--look-in") or FOLDERS
        return _act(_call(given, rest, folders))
    except (getopt.GetoptError, _Misused) as error:
        if str(error):
            _tell(str(error))
        print(SUMMARY, end="")
        return USAGE
    except (PidFileUnusable, OSError) as error:
        _tell(f"ldirectord: {error}")
        return FAILED


def _call(given: Mapping[str, str], rest: Sequence[str], folders: Sequence[str]) -> Call:
    if not rest:
        raise _Misused
    wanted, action = (rest[0], rest[1]) if len(rest) > 1 else ("ldirectord.cf", rest[0])
    if action not in _ACTIONS:
        raise _Misused
    for name, choices in _CHOICES.items():
        if given.get(name, choices[0]) not in choices:
            raise _Misused(f"{name}: want one of {', '.join(choices)}")
    instance = "ldirectord" if len(rest) == 1 else wanted.rpartition("/")[2] or wanted.strip("/")
    places = [*(f"{folder}/{wanted}" for folder in folders), wanted]
    there = next((place for place in places if Path(place).is_file()), None)
    run = Path(given.get("--run") or os.environ.get("HEALTHD_RUN") or RUN).absolute()
    return Call(there or wanted, instance, action, given, there is not None, run, _seconds(given))


def _seconds(given: Mapping[str, str]) -> float:
    text = given.get("--wait", str(PATIENCE))
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 86400:
        raise _Misused(f"--wait: want seconds, not {text!r}")
    return seconds


def _act(call: Call) -> int:
    if not call.found and (call.action in _READING or pidfile.find(call.pid_file, call.instance).pid is None):
        _tell(f"Config file {call.config} not found")
        return FAILED
    return _ACTIONS[call.action](call)


def _tell(message: str) -> None:
    print(message, file=sys.stderr)


# --- what does not read the configuration -----------------------------------------------------------------------


def _status(call: Call) -> int:
    found = pidfile.find(call.pid_file, call.instance)
    if found.pid is not None:
        _tell(f"ldirectord for {call.config} is running with pid: {found.pid}")
        return OK
    if found.there:
        _tell(f"ldirectord stale pid file {call.pid_file} for {call.config}")
    print(f"ldirectord is stopped for {call.config}")
    return FAILED if found.there else STOPPED


def _stop(call: Call) -> int:
    if pidfile.end(call.pid_file, call.instance, call.wait):
        return OK
    _tell(f"ldirectord for {call.config} was told to stop, but has not ended within {call.wait:g} s")
    return FAILED


def _reload(call: Call) -> int:
    if pidfile.hang_up(call.pid_file, call.instance):
        return OK
    _tell(f"ldirectord is stopped for {call.config}")
    return FAILED


# --- what does --------------------------------------------------------------------------------------------------


def _start(call: Call) -> int:
    read = _read(call)
    if read is None:
        return BAD_CONFIG
    if pidfile.find(call.pid_file, call.instance).pid is not None:
        return OK
    return _run(call, read)


def _restart(call: Call, *, only_running: bool = False) -> int:
    read = _read(call)
    if read is None:
        return BAD_CONFIG
    if only_running and pidfile.find(call.pid_file, call.instance).pid is None:
        return OK
    return _stop(call) or _run(call, read)


_ACTIONS: Mapping[str, Callable[[Call], int]] = {
    "start": _start,
    "stop": _stop,
    "restart": _restart,
    "try-restart": partial(_restart, only_running=True),
    "reload": _reload,
    "force-reload": _reload,
    "status": _status,
}
_READING = ("start", "restart", "try-restart")


@dataclass(frozen=True, slots=True)
class _Read:
    """A configuration that can be used, and when its reading began, in seconds since the epoch."""

    config: Config
    problems: tuple[Problem, ...]
    at: float


def _read(call: Call) -> _Read | None:
    """The configuration, None if it cannot be used; what is wrong with it is on standard error."""
    at = time.time()
    loaded = load(Path(call.config).absolute(), reading=Reading(strict="--strict" in call.given))
    if loaded.problems:
        print(render(loaded.problems, color=sys.stderr.isatty()), end="", file=sys.stderr)
    return None if loaded.config is None else _Read(loaded.config, loaded.problems, at)


def _run(call: Call, read: _Read) -> int:
    """In the background; or here, if somebody debugs it, or supervises it: then it logs to a stream."""
    debugged = "--debug" in call.given
    adapt = partial(_adapted, call, "stderr" if debugged else _supervised_or(read.config.settings.log.to))
    options = Options(
        Path(call.config).absolute(),
        MemoryTable() if call.given.get("--table") == "memory" else None,
        "--in-process" in call.given,
        Path(call.given.get("--locks") or os.environ.get("HEALTHD_LOCKS") or LOCKS).absolute(),
        STATE / f"ldirectord.{call.instance}.db",
        reading=Reading(strict="--strict" in call.given),
        read_at=read.at,
        adapt=adapt,
        patient=True,
        called=" ".join(sys.argv),
    )
    served = partial(serve, adapt(read.config), warnings=read.problems)
    if debugged or read.config.settings.log.to == "stderr":
        signal.pthread_sigmask(signal.SIG_BLOCK, HEEDED)  # `serve` takes them
        return FAILED if asyncio.run(served(options)) else OK
    code, why = in_background(partial(_daemon, call.pid_file, served, options))
    if why:
        _tell(f"ldirectord: {why}")
    return code


def _supervised_or(to: str) -> str:
    """Where to log to; a supervised ldirectord uses standard output, for whose log there is no other place."""
    return "stdout" if to == "stderr" else to


def _adapted(call: Call, stream: str, config: Config) -> Config:
    """A configuration as this daemon runs it, also after a reload: what logs to a stream goes on with the first one."""
    to = stream if stream in ("stdout", "stderr") or config.settings.log.to == "stderr" else config.settings.log.to
    level = "debug" if "--debug" in call.given else None
    changed = logging(
        config, to=to, level=call.given.get("--log-level", level), style=call.given.get("--log-style", "ldirectord")
    )
    control = changed.settings.control
    if control.socket == ControlSettings().socket:
        control = replace(control, socket=call.socket)
    return replace(changed, settings=replace(changed.settings, control=control))


def _daemon(pid_file: Path, served: Callable[[Options], Coroutine[Any, Any, int]], how: Options, report: Report) -> int:
    """The daemon, from its pid file to its end. Signals wait until it can heed them."""
    signal.pthread_sigmask(signal.SIG_BLOCK, HEEDED)
    options = replace(how, background=True, decided=lambda why: report(FAILED if why else OK, why))

    async def life() -> int:
        with pidfile.held(pid_file):  # inside, as signals are heeded as long as the loop is there
            return await served(options)

    try:
        return FAILED if asyncio.run(life()) else OK
    except AlreadyRunning:  # another start was quicker, which is as good
        report(OK, "")
        return OK
    except PidFileUnusable as error:
        report(FAILED, str(error))
        return FAILED
