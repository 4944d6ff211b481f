"""The state store on a real disk: what is promised is there after a crash, and nothing is ever thrown away."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from healthd.events import Event, Kind
from healthd.hooks.base import Shelved
from healthd.hooks.words import values
from healthd.overrides import Override, OverrideKind, Scope
from healthd.state import VERSION, Kept, StateStore, StateUnusable, Wanted

DRAIN = Override(Scope("www", "10.0.0.11:80"), OverrideKind.DRAIN, "amy", "new kernel", 1000.0)
WEIGHT = Override(Scope("", "10.0.0.12"), OverrideKind.WEIGHT, "bob", "", 1001.5, 2000.25, 7)


def event(number: int, service: str = "www", real: str = "10.0.0.11:80") -> Kept:
    """An event whose id and time are the same number."""
    told = Event(Kind.SERVER_DOWN, float(number), f"{service}: something", service=service, real=real, effect=("set",))
    return Kept(number, told.at, values(told))


@pytest.fixture
async def store(tmp_path):
    opened = await StateStore.open(tmp_path / "folder" / "state.db")
    yield opened
    await opened.close()


async def reopened(store: StateStore) -> StateStore:
    await store.close()
    return await StateStore.open(store.path)


# --- overrides --------------------------------------------------------------------------------------------------


async def test_overrides_live_through_a_restart(store):
    await store.keep([WEIGHT, DRAIN])
    again = await reopened(store)
    assert await again.overrides() == [DRAIN, WEIGHT]
    await again.keep([WEIGHT])
    assert await again.overrides() == [WEIGHT]
    await again.close()


async def test_what_cannot_be_kept_leaves_what_was_kept(store):
    await store.keep([DRAIN])
    with pytest.raises(StateUnusable):
        await store.keep([WEIGHT, WEIGHT])  # no two of the same kind and scope
    assert await store.overrides() == [DRAIN]


async def test_a_kill_loses_nothing_that_was_promised(tmp_path):
    path = tmp_path / "state.db"
    program = f"""
import asyncio, os, signal
from pathlib import Path
from healthd.overrides import Override, OverrideKind, Scope
from healthd.state import StateStore

async def main():
    store = await StateStore.open(Path({str(path)!r}))
    for number in range(50):
        await store.keep([Override(Scope("www"), OverrideKind.WEIGHT, "amy", "", 1.0, None, number)])
        print(number, flush=True)
        if number == 20:
            os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""
    ended = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", program], capture_output=True, timeout=60)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    store = await StateStore.open(path)
    (kept,) = await store.overrides()
    assert kept.weight == int(ended.stdout.split()[-1])
    assert store.put_aside is None
    await store.close()


# --- events -----------------------------------------------------------------------------------------------------


async def test_events_come_back_in_their_order_as_they_were(store):
    events = [event(1), event(2, "mail"), event(7, real="10.0.0.12:80")]
    await store.append(events[:2])
    await store.append(events[2:])
    again = await reopened(store)
    assert await again.events(Wanted()) == events
    await again.close()


async def test_an_event_that_is_kept_already_is_not_kept_twice(store):
    await store.append([event(1), event(2)])
    await store.append([event(2), event(3)])
    assert [kept.id for kept in await store.events(Wanted())] == [1, 2, 3]


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        (Wanted(), [1, 2, 3, 4]),
        (Wanted(service="mail"), [2]),
        (Wanted(real="10.0.0.12:80"), [3]),
        (Wanted(service="www", real="10.0.0.11:80"), [1, 4]),
        (Wanted(after=2), [3, 4]),
        (Wanted(since=2.0), [2, 3, 4]),
        (Wanted(service="nobody"), []),
    ],
)
async def test_events_are_found_by_what_they_are_about(store, wanted, ids):
    events = [event(1), event(2, "mail"), event(3, real="10.0.0.12:80"), event(4)]
    await store.append(events)
    assert [kept.id for kept in await store.events(wanted)] == ids
    assert [kept.id for kept in events if wanted.includes(kept)] == ids


async def test_the_newest_are_given_if_there_are_more_than_wanted(store):
    await store.append([event(number) for number in range(1, 10)])
    assert [kept.id for kept in await store.events(Wanted(most=2))] == [8, 9]


async def test_old_events_are_forgotten_but_for_the_last(store):
    await store.append([event(number) for number in range(1, 10)])
    await store.forget_events(before=3.0, most=100)
    assert [kept.id for kept in await store.events(Wanted())] == [3, 4, 5, 6, 7, 8, 9]
    await store.forget_events(before=3.0, most=5)
    assert [kept.id for kept in await store.events(Wanted())] == [5, 6, 7, 8, 9]
    await store.forget_events(before=1000.0, most=5)
    assert [kept.id for kept in await store.events(Wanted())] == [9]


# --- what hooks have not got rid of -----------------------------------------------------------------------------


async def test_a_shelf_holds_what_was_put_there_and_not_taken_away(store):
    rows = [Shelved(number, float(number), "", f"event {number}") for number in (1, 2, 3)]
    await store.shelve("pager", rows, [])
    await store.shelve("other", rows[:1], [])
    told = replace(rows[2], group="msg_1")
    await store.shelve("pager", [told], [1, 3, 99])
    again = await reopened(store)
    assert await again.shelved("pager") == [rows[1], told]
    assert await again.shelved("other") == rows[:1]
    assert await again.shelved("nobody") == []
    await again.close()


async def test_a_store_of_the_first_version_keeps_all_and_gets_a_shelf(store):
    await store.keep([DRAIN])
    await store.append([event(1), event(2)])
    await store.close()
    with sqlite3.connect(store.path) as db:  # as the first version left it
        db.execute("DROP TABLE shelf")
        db.execute("PRAGMA user_version = 1")
    db.close()
    again = await StateStore.open(store.path)
    assert await again.overrides() == [DRAIN]
    assert await again.events(Wanted()) == [event(1), event(2)]
    await again.shelve("pager", [Shelved(1, 1.0, "", "event")], [])
    assert len(await again.shelved("pager")) == 1
    await again.close()
    with sqlite3.connect(store.path) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (VERSION,)
    db.close()


async def test_a_step_to_a_newer_version_that_fails_is_undone_as_a_whole(store):
    await store.keep([DRAIN])
    await store.close()
    with sqlite3.connect(store.path) as db:  # whatever it is that is in the way
        db.execute("PRAGMA user_version = 1")
    db.close()
    with pytest.raises(StateUnusable, match="table shelf already exists"):
        await StateStore.open(store.path)
    with sqlite3.connect(store.path) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (1,)
        assert db.execute("SELECT count(*) FROM override").fetchone() == (1,)
    db.close()


# --- files that are not as they should be -----------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"this is no database, and long enough to be seen as none" * 20, b"\x00" * 5000])
async def test_a_file_that_is_no_database_is_put_aside_and_a_new_one_begun(tmp_path, content):
    path = tmp_path / "state.db"
    path.write_bytes(content)
    store = await StateStore.open(path)
    assert store.put_aside is not None
    assert store.put_aside.read_bytes() == content
    await store.keep([DRAIN])
    assert await store.overrides() == [DRAIN]
    await store.close()


async def test_a_damaged_database_is_put_aside(tmp_path):
    path = tmp_path / "state.db"
    store = await StateStore.open(path)
    await store.append([event(number, "x" * 500) for number in range(1, 500)])
    await store.close()
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(8 * 4096))
    again = await StateStore.open(path)
    assert again.put_aside is not None
    assert await again.events(Wanted()) == []
    await again.close()


async def test_a_database_of_a_newer_healthd_is_left_alone(tmp_path):
    path = tmp_path / "state.db"
    await (await StateStore.open(path)).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(StateUnusable, match="newer healthd"):
        await StateStore.open(path)


async def test_two_daemons_do_not_share_one_state(store):
    with pytest.raises(StateUnusable, match="another healthd uses it"):
        await StateStore.open(store.path)


@pytest.mark.parametrize("what", ["file", "folder"])
async def test_a_place_that_cannot_be_written_is_told(tmp_path, what):
    blocked = tmp_path / "blocked"
    blocked.write_text("")
    path = blocked / "state.db" if what == "file" else tmp_path / "folder"
    if what == "folder":
        path.mkdir()
    with pytest.raises(StateUnusable, match=str(path)):
        await StateStore.open(path)


async def test_nobody_else_may_read_it(store):
    assert {path.stat().st_mode & 0o077 for path in store.path.parent.iterdir()} == {0}


async def test_a_full_disk_is_told_and_harms_nothing(tmp_path):
    store = await StateStore.open(tmp_path / "state.db")
    await store.keep([DRAIN])
    await store._worker.do(lambda: _fill(store))
    with pytest.raises(StateUnusable, match="full"):
        await store.append([event(1, "x" * 100_000)])
    assert await store.overrides() == [DRAIN]
    await store.close()


def _fill(store: StateStore) -> None:
    """No page more than there are: what SQLite says then is what it says of a full disk."""
    (pages,) = store._db.execute("PRAGMA page_count").fetchone()
    store._db.execute(f"PRAGMA max_page_count = {pages}")


async def test_a_disk_that_hangs_does_not_keep_the_process_from_ending(tmp_path):
    program = f"""
import asyncio, threading
from pathlib import Path
from healthd import state

async def main():
    state.LAST_WORK = 0.1
    store = await state.StateStore.open(Path({str(tmp_path / "state.db")!r}))
    hanging = asyncio.ensure_future(store._worker.do(threading.Event().wait))
    await asyncio.sleep(0)
    await store.close()
    hanging.cancel()

asyncio.run(main())
print("ended")
"""
    ended = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", program], capture_output=True, timeout=60)
    assert ended.stdout == b"ended\n", ended.stderr


async def test_after_the_end_it_says_so(tmp_path: Path):
    store = await StateStore.open(tmp_path / "state.db")
    await store.close()
    with pytest.raises(StateUnusable, match="closed"):
        await store.overrides()
