"""The history of events: what is asked for is found wherever it is, and who follows hears everything or is let go."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from healthd.events import Event, Kind
from healthd.history import MOST_WAITING, REMEMBERED, FellBehind, History
from healthd.state import StateStore, Wanted
from tests.processes.waiting import until

YEAR = 366 * 86400.0


def event(at: float = 1e9, real: str = "10.0.0.11:80") -> Event:
    return Event(Kind.SERVER_DOWN, at, "www: something", service="www", real=real)


@pytest.fixture
async def store(tmp_path):
    opened = await StateStore.open(tmp_path / "state.db")
    yield opened
    await opened.close()


async def ids(history: History, **wanted) -> list[int]:
    return [kept.id for kept in await history.find(Wanted(**wanted))]


async def test_without_a_store_the_last_events_are_known():
    history = History()
    await history.begin(None, YEAR)
    for _ in range(REMEMBERED + 5):
        history.event(event())
    found = await ids(history, most=REMEMBERED * 2)
    assert len(found) == REMEMBERED
    assert found[-1] == REMEMBERED + 5
    assert await ids(history, real="10.0.0.12:80") == []
    assert len(await ids(history, real="10.0.0.11", most=3)) == 3


async def test_the_next_daemon_goes_on_with_the_numbers_and_knows_what_was(store):
    first = History()
    await first.begin(store, YEAR)
    first.event(event())
    first.event(event())
    await first.close(20.0)
    second = History()
    await second.begin(store, YEAR)
    second.event(event())
    assert await ids(second) == [1, 2, 3]
    await second.close(20.0)
    assert [kept.id for kept in await store.events(Wanted())] == [1, 2, 3]


async def test_what_memory_has_forgotten_comes_from_the_store(store):
    history = History()
    await history.begin(store, 100 * YEAR)
    for number in range(REMEMBERED + 50):
        history.event(event(real=f"10.0.0.{number % 2}:80"))
        if number % 500 == 0:
            await asyncio.sleep(0)
    await until(lambda: not history.stats().queued)
    found = await ids(history, most=REMEMBERED + 100)
    assert found == list(range(1, REMEMBERED + 51))
    assert await ids(history, after=REMEMBERED + 45) == list(range(REMEMBERED + 46, REMEMBERED + 51))
    await history.close(20.0)


async def test_old_events_are_forgotten(store):
    first = History()
    await first.begin(store, 60.0)
    first.event(event(at=1000.0))
    await until(lambda: first.stats().delivered == 1)
    first.event(event(at=4e9))
    await first.close(20.0)
    again = History()
    await again.begin(store, 60.0)
    again.event(event(at=4e9))
    await until(lambda: again.stats().delivered == 1)
    await until(lambda: not again.stats().queued)
    await again.close(20.0)
    assert 1 not in [kept.id for kept in await store.events(Wanted())]


async def test_a_disk_that_fails_is_told_and_gets_everything_later(store):
    history = History()
    await history.begin(store, YEAR)
    await store._worker.do(lambda: _query_only(store, on=True))
    history.event(event())
    await until(lambda: history.stats().last_error)
    assert history.stats().queued == 1
    await store._worker.do(lambda: _query_only(store, on=False))
    await until(lambda: history.stats().delivered == 1 and not history.stats().last_error)
    await history.close(20.0)


async def test_a_store_that_cannot_be_read_is_not_written_to(store):
    first = History()
    await first.begin(store, YEAR)
    first.event(event())
    await first.close(20.0)
    await store._worker.do(lambda: store._db.execute("ALTER TABLE event RENAME TO away"))
    second = History()
    await second.begin(store, YEAR)
    await store._worker.do(lambda: store._db.execute("ALTER TABLE away RENAME TO event"))
    second.event(event(real="10.0.0.12:80"))
    await second.close(20.0)
    assert "no such table" in second.stats().last_error
    assert [kept.event["real"] for kept in await store.events(Wanted())] == ["10.0.0.11:80"]


async def _all_of(seen) -> None:
    """To the end, which must come before all that happened was heard."""
    heard = [kept async for kept in seen]
    raise AssertionError(f"{len(heard)} were heard")


def _query_only(store: StateStore, *, on: bool) -> None:
    store._db.execute(f"PRAGMA query_only = {int(on)}")


async def test_who_follows_hears_what_was_and_then_what_happens():
    history = History()
    await history.begin(None, YEAR)
    history.event(event())
    async with aclosing(history.follow(Wanted(real="10.0.0.11:80"))) as seen:
        assert (await anext(seen)).id == 1
        history.event(event(real="10.0.0.12:80"))
        history.event(event())
        assert (await anext(seen)).id == 3


async def test_who_falls_behind_is_let_go_and_delays_nobody():
    history = History()
    await history.begin(None, YEAR)
    async with aclosing(history.follow(Wanted(after=0))) as seen:
        first = asyncio.ensure_future(anext(seen))
        await asyncio.sleep(0)
        for _ in range(MOST_WAITING + 10):
            history.event(event())
        assert (await first).id == 1
        with pytest.raises(FellBehind):
            await _all_of(seen)
