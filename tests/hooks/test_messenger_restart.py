"""What waits for a receiver lives through a kill, a stop and a disk that fails, unless it is outdated by then."""

from __future__ import annotations

import logging
from dataclasses import replace

from healthd.state import StateStore, StateUnusable

from .messages import down, kept, kill, up
from .receiver import hang, receiver
from .samples import until


async def test_what_waits_when_healthd_is_killed_is_told_by_the_next(make, store):
    async with receiver() as there:
        there.always = hang
        first = make(there.url, store)
        for event in (down(1), down(2), down(3)):
            first.event(event)
        first.event(up(2))
        await kept(store, 3)
        await kill(first)
        there.always = None
        second = make(there.url, store)
        await until(lambda: second.stats().delivered == 3)
        await kept(store, 0)
    assert [(event["kind"], event["real"]) for event in there.events] == [
        ("server-down", down(1).real),
        ("server-down", down(3).real),
        ("server-up", down(2).real),
    ]


async def test_what_is_outdated_by_the_next_healthd_is_not_told(make, store):
    async with receiver() as there:
        url = there.url
    first = make(url, store)
    first.event(down(1))
    await kept(store, 1)
    await kill(first)
    async with receiver(port=int(url.split(":")[2].split("/")[0])) as there:
        second = make(there.url, store, group=0.3)
        second.event(up(1))
        await until(lambda: second.stats().delivered == 1)
        await kept(store, 0)
    assert [event["kind"] for event in there.events] == ["server-up"]


async def test_what_an_orderly_stop_leaves_is_told_by_the_next(make, store, caplog):
    caplog.set_level(logging.INFO)
    async with receiver() as there:
        url = there.url
    first = make(url, store)
    first.event(down(1))
    await until(lambda: first.stats().last_error)
    await first.close(1)
    assert "webhook test: 1 event waits for the next start" in caplog.messages
    assert first.stats().dropped == 0
    async with receiver() as there:
        second = make(there.url, store)
        await until(lambda: second.stats().delivered == 1)
    assert [event["real"] for event in there.events] == [down(1).real]


async def test_what_was_told_and_could_not_be_taken_off_the_shelf_is_told_again_with_its_id(make, store):
    """At least once: whoever must not act twice looks at the id."""
    ids = []

    async def taken_and_killed(request):
        ids.append((await request.json())["id"])
        return await hang(request)

    async with receiver() as there:
        there.always = taken_and_killed
        first = make(there.url, store)
        first.event(down(1))
        await until(lambda: ids)
        await kept(store, 1)
        await kill(first)
        there.always = None
        second = make(there.url, store)
        await until(lambda: second.stats().delivered == 1)
    assert there.taken[0].body["id"] == ids[0]


async def test_what_on_the_shelf_is_no_event_goes(make, store, caplog):
    async with receiver() as there:
        url = there.url
        first = make(url.replace("http", "http"), store, group=3600.0)
        first.event(down(1))
        (row,) = await kept(store, 1)
        await kill(first)
        strange = [
            replace(row, number=7, text="{"),
            replace(row, number=8, text='{"kind": "of-tomorrow", "effect": []}'),
        ]
        await store.shelve("webhook test", strange, [])
        second = make(url, store)
        await until(lambda: second.stats().delivered == 1)
        await kept(store, 0)
    assert sum("an event that an earlier healthd left is dropped" in line for line in caplog.messages) == 2


class Failing:
    """A shelf that fails while it is told to."""

    def __init__(self, store: StateStore) -> None:
        self.store = store
        self.fails = True

    async def shelved(self, hook):
        """Nothing is there."""
        return await self.store.shelved(hook)

    async def shelve(self, hook, put, drop):
        """Put it there, or fail."""
        if self.fails:
            raise StateUnusable("the disk is full")
        await self.store.shelve(hook, put, drop)


async def test_a_shelf_that_fails_is_told_and_does_not_keep_a_message_from_going(make, store, caplog):
    shelf = Failing(store)
    async with receiver() as there:
        messenger = make(there.url, shelf)
        messenger.event(down(1))
        await until(lambda: messenger.stats().delivered == 1)
        there.always = hang
        messenger.event(down(2))
        await until(lambda: any("what waits is not kept for now: the disk is full" in m for m in caplog.messages))
        shelf.fails = False
        (row,) = await kept(store, 1)
    assert down(2).real in row.text
