"""What people can ask of the running daemon, and what they can have done. Fulfils `healthd.api.Actions`."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import asdict, replace

from healthd import __version__
from healthd.api import Document, NotFound, Order, Refused
from healthd.assignment import ServerRef
from healthd.config.load import Loaded
from healthd.config.problems import render
from healthd.config.schema import RealServer, ServiceConfig
from healthd.effective import effective
from healthd.explain import explain_server, explain_service
from healthd.ipvs.base import ServiceCounters, TableUnavailable
from healthd.maintenance import MAINTENANCE_FILES
from healthd.metrics import Exposition
from healthd.model import ServiceKey
from healthd.ops import describe
from healthd.overrides import Override, OverrideKind, Scope, UnknownName, endangered, find, wishes
from healthd.parts import Parts
from healthd.policy import combined
from healthd.preview import known_from, preview
from healthd.state import Kept, StateUnusable, Wanted
from healthd.view import Scene, describe_all, describe_override, describe_server, refused_rows

PAST = 20
"""Events of a server that an explanation has."""

Reload = Callable[[], Awaitable[Document]]
Read = Callable[[], Awaitable[Loaded]]


class Console:
    """Answers for one daemon. reload, read: the daemon's; the second only reads what the first would bring."""

    def __init__(self, parts: Parts, reload: Reload, read: Read) -> None:
        self._parts = parts
        self._exposition = Exposition(parts)
        self._director = parts.director
        self._reload = reload
        self._read = read
        self._ordering = asyncio.Lock()

    # --- to look at --------------------------------------------------------------------------------------------

    async def status(self, counters: bool) -> Document:
        """Everything that is believed."""
        scene, table_error = await self._scene(counters)
        document = describe_all(scene, table_error, self._director.summary)
        hooks = [asdict(stats) for stats in self._parts.announcer.stats()]
        about = {"healthd": __version__, "pid": os.getpid(), "log": asdict(self._parts.log.stats()), "hooks": hooks}
        return {**about, **document, **self._overrides()}

    async def servers(self, names: Sequence[str], counters: bool) -> Document:
        """The servers that names mean."""
        scope = self._find(names) if names else Scope()
        scene, table_error = await self._scene(counters)
        probes = {probe.id: probe for probe in scene.roster.assignment.probes}
        told = [
            {"service": service.name, "virtual": str(service.key), **describe_server(scene, service, real, probes)}
            for service, real in self._covered(scope)
        ]
        return {"table_error": table_error, "servers": told}

    async def explain(self, names: Sequence[str]) -> Document:
        """Why servers, or services, are as they are."""
        scope = self._find(names)
        if not scope.server:
            scene, _ = await self._scene(True)
            services = dict.fromkeys(service for service, _ in self._covered(scope))
            return {"services": [explain_service(scene, service) for service in services]}
        memories = await self._parts.prober.recall(self._probes(scope))
        pasts = {
            (service.key, real.key): await self._past(Wanted(service.name, str(real.key), most=PAST))
            for service, real in self._covered(scope)
        }
        scene, _ = await self._scene(True)  # last of all: a reload may come at every await
        told = [
            explain_server(scene, service, real, pasts.get((service.key, real.key), ()), memories)
            for service, real in self._covered(scope)
        ]
        return {"servers": told}

    async def overrides(self) -> Document:
        """What operators have asked for."""
        return self._overrides()

    async def events(self, names: Sequence[str], wanted: Wanted) -> Document:
        """What happened."""
        past = await self._past(self._about(names, wanted))
        return {"events": [{"id": kept.id, **kept.event} for kept in past]}

    def follow(self, names: Sequence[str], wanted: Wanted) -> AsyncGenerator[Kept]:
        """What happened, and then what happens."""
        return self._parts.history.follow(self._about(names, wanted))

    async def config(self) -> Document:
        """The configuration in force, without secrets."""
        return effective(self._director.config)

    async def metrics(self, accept: str) -> tuple[str, Sequence[bytes]]:
        """What Prometheus scrapes."""
        return await self._exposition.scrape(accept)

    # --- to have done ------------------------------------------------------------------------------------------

    async def override(self, order: Order) -> Document:
        """Have an override in force; returns once the director has gone by it."""
        scope, now = self._find(order.names), time.time()
        until = None if order.lasting is None else now + order.lasting
        override = Override(scope, order.kind, order.who, order.why, now, until, order.weight)
        async with self._ordering:  # or two orders at once would each count on the other's servers
            if override.lowers and not order.force:
                self._guard(override)
            await self._parts.operators.put(override)
            await self._director.settled()
        return {"override": describe_override(override), **self._in_force()}

    async def withdraw(self, names: Sequence[str], kinds: Collection[OverrideKind], who: str) -> Document:
        """End what was asked for exactly these names."""
        scope = self._find_asked(names)
        there = self._parts.operators.overrides
        gone = [one for one in there if one.scope == scope and one.kind in kinds]
        if not gone:
            raise NotFound(self._nothing_to_end(scope, kinds))
        await self._parts.operators.withdraw(gone, who)
        await self._director.settled()
        return {"ended": [describe_override(one) for one in gone], **self._in_force()}

    async def check_now(self, names: Sequence[str]) -> Document:
        """Ask these servers as soon as possible."""
        probes = self._probes(self._find(names) if names else Scope())
        await self._parts.prober.hurry(probes)
        return {"probes": len(probes)}

    async def resync(self) -> Document:
        """Compare with the table now."""
        self._director.read_again()
        await self._director.settled()
        error, refused = self._director.table_error, len(self._director.ledger.refusals)
        found = f"it refuses {refused} operations, as `healthd status` shows" if refused else "it is as it should be"
        return {"ok": error is None, "message": error or f"the table was read: {found}"}

    async def reload(self, *, dry: bool) -> Document:
        """Read the configuration again."""
        return await (self._difference() if dry else self._reload())

    async def _difference(self) -> Document:
        """What a reload would write now, and what is wrong with the configuration."""
        loaded = await self._read()
        if loaded.config is None:
            return {"ok": False, "message": render(loaded.problems), "ops": []}
        known = known_from(await self.status(False))
        keys = {service.key for service in loaded.config.services} | self._director.wanted.keys()
        try:
            found = await self._parts.table.snapshot(keys)
        except TableUnavailable as error:
            raise Refused(str(error)) from None
        wanted = wishes(self._parts.operators.overrides, loaded.config.services)
        for ref, wish in self._director.roster.wishes.get(MAINTENANCE_FILES, {}).items():
            wanted[ref] = combined([wish, wanted[ref]] if ref in wanted else [wish])
        shown = preview(loaded.config, found, known, wanted)
        return {"ok": True, "message": render(loaded.problems), "ops": [describe(op) for op in shown.ops]}

    # --- parts of answers --------------------------------------------------------------------------------------

    async def _scene(self, counters: bool) -> tuple[Scene, str | None]:
        """What a view is made of, and why the table cannot be used."""
        director = self._director
        latest = {seen.probe: seen for seen in await self._parts.prober.latest()}
        read: dict[ServiceKey, ServiceCounters] = {}
        table_error = director.table_error
        if counters and table_error is None:
            try:
                snapshot = await self._parts.table.snapshot(director.roster.services.keys(), counters=True)
                read = dict(snapshot.counters)
            except TableUnavailable as error:
                table_error = str(error)
        states = {
            (service.key, real.key): director.state(service, real)
            for service in director.roster.services.values()
            for real in service.reals
        }
        refused = refused_rows(director.ledger)
        now, overrides = time.monotonic(), self._parts.operators.overrides
        return Scene(director.roster, director.ledger, states, now, latest, read, refused, overrides), table_error

    def _about(self, names: Sequence[str], wanted: Wanted) -> Wanted:
        if not names:
            return wanted
        scope = self._find(names)
        return replace(wanted, service=scope.service, real=scope.server)

    async def _past(self, wanted: Wanted) -> list[Kept]:
        try:
            return await self._parts.history.find(wanted)
        except StateUnusable as error:
            raise Refused(str(error)) from None

    def _overrides(self) -> Document:
        operators = self._parts.operators
        return {"overrides": [describe_override(one) for one in operators.overrides], "unsaved": operators.unsaved}

    def _in_force(self) -> Document:
        """Why a change is not in the table, or would not live through a restart."""
        return {"table_error": self._director.table_error, "unsaved": self._parts.operators.unsaved}

    def _find(self, names: Sequence[str]) -> Scope:
        try:
            return find(names, list(self._director.roster.services.values()))
        except UnknownName as error:
            raise NotFound(str(error)) from None

    def _find_asked(self, names: Sequence[str]) -> Scope:
        """The same, also of what is no longer configured and has an override still."""
        spoken = (names[0] if len(names) > 1 else "", names[-1])
        for one in self._parts.operators.overrides:
            if spoken in ((one.scope.service, one.scope.server), ("", one.scope.service or one.scope.server)):
                return one.scope
        return self._find(names)

    def _covered(self, scope: Scope) -> Iterable[tuple[ServiceConfig, RealServer]]:
        for service in sorted(self._director.roster.services.values(), key=lambda service: service.name):
            for real in service.reals:
                if scope.covers(service, real):
                    yield service, real

    def _probes(self, scope: Scope) -> list[int]:
        """The probes that the servers of a scope depend on."""
        assignment = self._director.roster.assignment
        refs: list[ServerRef] = [(service.key, real.key) for service, real in self._covered(scope)]
        return sorted({assignment.probe_of[watch] for ref in refs for watch in assignment.watches.get(ref, ())})

    def _guard(self, override: Override) -> None:
        """Refuse what would leave a service with too few servers."""
        director = self._director
        found = endangered(override.scope, director.roster.services.values(), director.usable)
        if found:
            raise Refused(f"that would leave {'; '.join(found)} (--force does it all the same)")

    def _nothing_to_end(self, scope: Scope, kinds: Collection[OverrideKind]) -> str:
        """There is nothing of exactly this scope; what there is for the same servers is named."""
        asked = f"no {' or '.join(kind.value for kind in kinds)} of {scope}"
        refs = {(service.key, real.key) for service, real in self._covered(scope)}
        others = [
            str(one)
            for one in self._parts.operators.overrides
            if refs & {(service.key, real.key) for service, real in self._covered(one.scope)}
        ]
        return f"there is {asked}" + (f", but there is {', '.join(others)}" if others else "")
