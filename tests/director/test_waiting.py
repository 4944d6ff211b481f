"""The director's own loop in virtual time: it wakes when there is something to do, and only then."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from healthd.director import Director
from healthd.events import Event, Kind
from healthd.ipvs.memory import MemoryTable
from healthd.ops import AddDest, AddService, DelDest, DelService, SetDest
from tests.director.scenario import ScriptedProber
from tests.support.builders import FAIL, PASS, WLC, WWW, A, B, config, listed, real, row, service
from tests.support.clock import in_virtual_time

HOUR = 3600.0


class Asked(MemoryTable):
    """A memory table that notes when it was read and when it was written."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.read: list[float] = []
        self.written: list[float] = []

    async def snapshot(self, only=None, *, counters=False):
        """Note, and answer."""
        self.read.append(asyncio.get_running_loop().time())
        return await super().snapshot(only, counters=counters)

    async def apply(self, ops):
        """Note, and answer."""
        self.written += [asyncio.get_running_loop().time()] * len(ops)
        return await super().apply(ops)


class Running:
    """A director in its loop."""

    def __init__(self, table: Asked) -> None:
        self.table = table
        self.events: list[Event] = []
        self.loop = asyncio.get_running_loop()
        self.director = Director(table, self.events.append, self.loop.time, self.loop.time)
        self.prober = ScriptedProber()
        self.director.attach(self.prober)

    def says(self, verdict, key=A) -> None:
        """A server's check gives a verdict."""
        (number,) = [n for n, probe in self.prober.probes.items() if probe.target.address == key.address]
        seen = self.prober.answer(number, verdict, self.loop.time())
        if seen is not None:
            self.director.observed([seen])

    def kinds(self) -> list[Kind]:
        """Kinds of all events so far."""
        return [event.kind for event in self.events]


@asynccontextmanager
async def running(table: Asked | None = None) -> AsyncIterator[Running]:
    """A director that runs until the end of the block."""
    world = Running(table or Asked())
    task = asyncio.create_task(world.director.run())
    try:
        yield world
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_an_idle_hour_is_one_read_every_resync_and_nothing_else():
    async def story():
        async with running() as world:
            await world.director.configure(config(service(real(A)), resync=15.0))
            world.says(PASS)
            await asyncio.sleep(HOUR)
            assert world.table.written == [1000.0, 1000.0]
            assert len(world.table.read) in range(240, 243)

    in_virtual_time(story())


def test_without_services_the_director_sleeps():
    async def story():
        async with running() as world:
            await world.director.configure(config())
            reads = len(world.table.read)
            await asyncio.sleep(HOUR)
            assert len(world.table.read) == reads

    in_virtual_time(story())


def test_a_verdict_is_written_at_once():
    async def story():
        async with running() as world:
            await world.director.configure(config(service(real(A), real(B))))
            await asyncio.sleep(7.0)
            world.says(PASS)
            await asyncio.sleep(1.0)
            world.says(FAIL)
            await asyncio.sleep(1.0)
            assert world.table.written == [1000.0, 1007.0, 1008.0]

    in_virtual_time(story())


def test_a_refused_row_is_tried_again_when_its_time_comes_though_nothing_else_happens():
    async def story():
        refusing = True
        table = Asked(refuse=lambda op: errno.EINVAL if refusing and isinstance(op, AddDest) else 0)
        async with running(table) as world:
            await world.director.configure(config(service(real(A)), resync=10_000.0))
            world.says(PASS)
            await asyncio.sleep(20)
            assert table.written == [1000.0, 1000.0, 1001.0, 1003.0, 1007.0, 1015.0]
            refusing = False
            await asyncio.sleep(20)
            assert table.written[6:] == [1031.0]
            assert (await table.snapshot()).services == {WWW: listed({A: 10})}

    in_virtual_time(story())


def test_a_refusal_that_solved_itself_wakes_nobody():
    async def story():
        table = Asked(refuse=lambda op: errno.EBUSY if isinstance(op, DelDest) else 0)
        async with running(table) as world:
            await world.director.configure(config(service(real(A), real(B))))
            world.says(PASS)
            world.says(PASS, B)
            await asyncio.sleep(1)
            await world.director.configure(config(service(real(A))))
            table.edit(DelDest(WWW, B))
            await asyncio.sleep(HOUR)
            assert (await table.snapshot()).services == {WWW: listed({A: 10})}
            assert max(table.written) < 1020

    in_virtual_time(story())


def test_rows_of_a_service_that_is_refused_again_and_again_wake_nobody_by_themselves():
    async def story():
        refused: set[type] = {AddDest}
        table = Asked(refuse=lambda op: errno.EINVAL if type(op) in refused else 0)
        async with running(table) as world:
            await world.director.configure(config(service(real(A))))
            world.says(PASS)
            await asyncio.sleep(1)
            refused.add(AddService)
            table.edit(DelService(WWW))
            await asyncio.sleep(HOUR)
            assert len(table.written) < 200

    in_virtual_time(story())


def test_a_table_that_is_away_for_an_hour_is_asked_with_patience_and_used_when_it_is_back():
    async def story():
        table = Asked({WWW: listed({A: 10})}, unavailable="no table")
        async with running(table) as world:
            await world.director.configure(config(service(real(A))))
            world.says(FAIL)
            await asyncio.sleep(HOUR)
            assert len(table.read) in range(118, 130)
            assert world.kinds() == [Kind.TABLE_LOST]
            table.unavailable = ""
            await asyncio.sleep(31)
            assert (await table.snapshot()).services == {WWW: listed({A: 0})}
            assert world.kinds() == [Kind.TABLE_LOST, Kind.SERVER_DOWN, Kind.SERVICE_DOWN, Kind.TABLE_BACK]

    in_virtual_time(story())


def test_a_strangers_edit_is_found_within_the_resync_interval():
    async def story():
        async with running() as world:
            await world.director.configure(config(service(real(A)), resync=15.0))
            world.says(PASS)
            await asyncio.sleep(100)
            world.table.edit(SetDest(WWW, A, row(1)))
            await asyncio.sleep(15.1)
            assert (await world.table.snapshot()).services == {WWW: listed({A: 10}, WLC)}

    in_virtual_time(story())
