"""Monitor files: a line for every probe of a service's servers, as ldirectord's `monitorfile` has them.

    [Sun Nov 22 07:30:23 2026] [16504] http tcp 10.0.0.11 80 1 masq [down] no answer within 2 s

That is the time, our process id, the kind of check, protocol, address, port, configured weight and forwarding of the
server, `up`, `down` or, where we could not ask, `unknown`, and what was found, `-` for nothing. Whatever might end or
divide a line is written as %xx in what was found, so a line is always one probe. Of a server in maintenance each line
says `[down] Server in maintenance`, whatever was found.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from operator import attrgetter
from pathlib import Path

from healthd.assignment import Assignment, ServerRef
from healthd.check import Outcome, Verdict
from healthd.config.schema import Admin, Config, RealServer, ServiceConfig
from healthd.events import Event, Kind
from healthd.hooks.appender import Appender
from healthd.hooks.base import HookStats
from healthd.model import AddressKey
from healthd.prober.base import Observation

STATES = {Outcome.PASS: "up", Outcome.FAIL: "down", Outcome.INCONCLUSIVE: "unknown"}
IN_MAINTENANCE = "Server in maintenance"
UNCHECKED = "off"


def identity(kind: str, service: ServiceConfig, real: RealServer) -> str:
    """What a line calls a server. kind: of the check that asked."""
    protocol = service.key.protocol.name if isinstance(service.key, AddressKey) else "fwm"
    forwarding = real.spec.forwarding.name
    address, port = real.key.address, real.key.port
    return f"{kind} {protocol.lower()} {address} {port} {real.spec.weight} {forwarding.lower()}"


def line(at: float, pid: int, who: str, state: str, said: str) -> str:
    """One line, without its end. at: seconds since the epoch. said: text of strangers."""
    return f"[{time.ctime(at)}] [{pid}] {who} [{state}] {escaped(said) or '-'}"


def escaped(text: str) -> str:
    """The text in one line without `|`: what could be taken for an end or a bar is %xx, as is the percent sign."""
    return "".join(
        c if c.isprintable() and c not in "%|" else "".join(f"%{b:02X}" for b in c.encode("utf-8", "surrogatepass"))
        for c in text
    )


def said_by(verdict: Verdict) -> str:
    """What was found; where a check has no words for a failure, the reason."""
    return verdict.detail or ("" if verdict.outcome is Outcome.PASS else verdict.reason.value)


class Monitor:
    """Writes the monitor files. clock: monotonic seconds, those of observations. wall: seconds since the epoch."""

    name = "monitor files"

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        appender: Appender | None = None,
    ) -> None:
        self._clock = clock
        self._wall = wall
        self._appender = appender or Appender()
        self._services: dict[ServerRef, tuple[ServiceConfig, RealServer]] = {}
        self._lines: dict[tuple[str, str], tuple[Path, str]] = {}
        self._assignment: Assignment | None = None
        self._watches: dict[int, tuple[Path, str, ServerRef]] = {}
        self._in_maintenance: Callable[[ServerRef], bool] = lambda _: False

    def attach(self, in_maintenance: Callable[[ServerRef], bool]) -> None:
        """Learn whom to ask whether a server is in maintenance; of servers that are asked now."""
        self._in_maintenance = in_maintenance

    def configure(self, config: Config) -> None:
        """Write the files of this configuration from now on."""
        services = [service for service in config.services if service.monitor_file is not None]
        self._services = {(service.key, real.key): (service, real) for service in services for real in service.reals}
        self._lines = {
            (service.name, str(real.key)): (service.monitor_file, identity(_first_kind(real), service, real))
            for service, real in self._services.values()
            if service.monitor_file is not None
        }
        self._assignment = None

    def observed(self, assignment: Assignment, batch: Sequence[Observation]) -> None:
        """Take what probes found. assignment: what was asked. Returns at once."""
        if not self._services:
            return
        if assignment is not self._assignment:
            self._learn(assignment)
        base, pid = self._wall() - self._clock(), os.getpid()
        lines: dict[Path, list[str]] = defaultdict(list)
        for seen in sorted(batch, key=attrgetter("at")):
            for watch, _ in seen.healths:
                if watch in self._watches:
                    path, who, ref = self._watches[watch]
                    state, said = STATES[seen.verdict.outcome], said_by(seen.verdict)
                    if self._in_maintenance(ref):
                        state, said = "down", IN_MAINTENANCE
                    lines[path].append(line(base + seen.at, pid, who, state, said))
        if lines:
            self._appender.put(lines)

    def event(self, event: Event) -> None:
        """Take an event: of those, a file has at once that a server goes into maintenance, also of one never asked."""
        known = self._lines.get((event.service, event.real))
        if known is not None and event.kind is Kind.SERVER_ADMIN and event.detail == Admin.MAINTENANCE.value:
            path, who = known
            self._appender.put({path: [line(event.at, os.getpid(), who, "down", IN_MAINTENANCE)]})

    def stats(self) -> HookStats:
        """Counts of lines."""
        counts = self._appender.counts()
        return HookStats(
            self.name,
            delivered=counts.written,
            failed=counts.lost,
            dropped=counts.dropped,
            queued=counts.queued,
            last_error=counts.last_error,
        )

    async def close(self, grace: float) -> None:
        """Write what waits."""
        await asyncio.to_thread(self._appender.close, grace)

    def _learn(self, assignment: Assignment) -> None:
        """Which watch has a line in which file, and what that calls its server."""
        kinds = {probe.id: probe.check.kind for probe in assignment.probes}
        self._watches = {}
        for watch, ref in assignment.servers.items():
            service, real = self._services.get(ref, (None, None))
            if service is not None and real is not None and service.monitor_file is not None:
                who = identity(kinds[assignment.probe_of[watch]], service, real)
                self._watches[watch] = (service.monitor_file, who, ref)
        self._assignment = assignment


def _first_kind(real: RealServer) -> str:
    return real.checks[0].check.kind if real.checks else UNCHECKED
