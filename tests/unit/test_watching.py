"""Watching the configuration's files: every way of saving is noticed, nothing else is, and mistakes are tried once."""

from __future__ import annotations

import asyncio
import math
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

from healthd.config.disk import EMPTY
from healthd.config.load import load
from healthd.watching import Pace, Watching
from tests.config.writing import one

BOUND = 30.0

OTHER = one(virtual='virtual = "192.0.2.81:80"')
THIRD = one(virtual='virtual = "192.0.2.82:80"')
QUICK = Pace(every=0.04, quiet=0.03, patience=0.3, clocks=0.01)
STOCK = "autoreload = yes\nvirtual={}:80\n\treal=10.0.0.11:80 gate\n\tchecktype=connect\n"
HEAD = "[reload]\nwatch = true\n"


class Watched:
    """A `Watching` that runs over a real folder, with a reload that really reads it."""

    def __init__(self, folder: Path, read_at: float = math.inf, pace: Pace = QUICK, main: str = "healthd.toml") -> None:
        self.path = folder / main
        self.answers: list[bool] = []
        self.services: list[set[str]] = []
        self.ignored: list[str] = []
        self.watching = Watching(self.path, self.reload, self.ignored.append, pace=pace)
        loaded = load(self.path)
        assert loaded.config is not None, loaded.problems
        self.watching.apply(loaded.config, read_at)
        self.task = asyncio.create_task(self.watching.run())

    async def reload(self, changed: str) -> dict[str, bool]:
        """As the daemon does it."""
        at = time.time()
        loaded = await asyncio.to_thread(load, self.path)
        self.answers.append(loaded.config is not None)
        if loaded.config is None:
            self.watching.mind({problem.file for problem in loaded.problems}, at)
            return {"ok": False}
        self.services.append({str(service.key.address) for service in loaded.config.services})
        self.watching.apply(loaded.config, at)
        return {"ok": True}

    async def ready(self) -> None:
        """Wait until it knows the files as they are."""
        await self.until(lambda: self.watching._seen is not None)

    async def until(self, condition) -> None:
        """Wait until `condition()` is true."""
        async with asyncio.timeout(BOUND):
            while not condition():
                assert not self.task.done(), self.task.exception()
                await asyncio.sleep(0.005)

    async def settle(self) -> int:
        """Let it look a few times more; how often it has reloaded by then."""
        looks = self.watching._files
        for _ in range(3):
            before = looks._last
            await self.until(lambda before=before: looks._last is not before)
        return len(self.answers)

    async def close(self) -> None:
        """End it."""
        self.task.cancel()
        await asyncio.wait({self.task})


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "services.d").mkdir()
    (tmp_path / "healthd.toml").write_text(HEAD)
    (tmp_path / "services.d" / "www.toml").write_text(one())
    return tmp_path


@pytest.fixture
async def watched(folder):
    watched = Watched(folder)
    await watched.ready()
    yield watched
    await watched.close()


def in_place(file, text):
    file.write_text(text)


def by_rename(file, text):
    """As most editors do."""
    new = file.with_name(f".{file.name}.new")
    new.write_text(text)
    new.replace(file)


def with_backup(file, text):
    """As vim does with `backupcopy=no`."""
    (file.parent / "4913").touch()
    (file.parent / "4913").unlink()
    backup = file.with_name(f"{file.name}~")
    file.rename(backup)
    file.write_text(text)
    backup.unlink()


def in_pieces(file, text):
    """As a slow copy does."""
    with file.open("w") as out:
        for line in text.splitlines(keepends=True):
            out.write(line)
            out.flush()


def with_the_old_times(file, text):
    """As `rsync --times` or a restored backup may."""
    status = file.stat()
    file.write_text(text)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize("save", [in_place, by_rename, with_backup, in_pieces, with_the_old_times])
async def test_every_way_of_saving_is_noticed_and_read_once(watched, folder, save):
    save(folder / "services.d" / "www.toml", OTHER)
    await watched.until(lambda: watched.services == [{"192.0.2.81"}])
    assert await watched.settle() == 1


async def test_changes_are_told_by_the_kernel_long_before_the_next_look(folder):
    watched = Watched(folder, pace=replace(QUICK, every=1000.0))
    try:
        await watched.ready()
        by_rename(folder / "services.d" / "www.toml", OTHER)
        await watched.until(lambda: watched.services == [{"192.0.2.81"}])
        (folder / "services.d" / "third.toml").write_text(THIRD)
        await watched.until(lambda: watched.services[1:] == [{"192.0.2.81", "192.0.2.82"}])
    finally:
        await watched.close()


async def test_files_that_come_and_go_are_noticed(watched, folder):
    (folder / "services.d" / "other.toml").write_text(OTHER)
    await watched.until(lambda: watched.services == [{"192.0.2.80", "192.0.2.81"}])
    (folder / "services.d" / "www.toml").unlink()
    await watched.until(lambda: watched.services[1:] == [{"192.0.2.81"}])
    assert await watched.settle() == 2


async def test_a_link_that_is_turned_elsewhere_is_noticed(tmp_path):
    """As Kubernetes does with the files of a ConfigMap."""
    for name, text in (("one", one()), ("two", OTHER)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "healthd.toml").write_text(HEAD + text)
    (tmp_path / "..data").symlink_to("one")
    (tmp_path / "healthd.toml").symlink_to("..data/healthd.toml")
    watched = Watched(tmp_path)
    try:
        await watched.ready()
        (tmp_path / "..data_tmp").symlink_to("two")
        (tmp_path / "..data_tmp").rename(tmp_path / "..data")
        shutil.rmtree(tmp_path / "one")
        await watched.until(lambda: watched.services == [{"192.0.2.81"}])
        (tmp_path / "two" / "healthd.toml").write_text(HEAD + THIRD)
        await watched.until(lambda: watched.services[1:] == [{"192.0.2.82"}])
        assert await watched.settle() == 2
    finally:
        await watched.close()


async def test_a_main_file_that_includes_other_files_is_followed_there(watched, folder):
    (folder / "more").mkdir()
    (folder / "more" / "a.toml").write_text(OTHER)
    (folder / "healthd.toml").write_text(HEAD.replace("[reload]", 'include = ["more/*.toml"]\n[reload]'))
    await watched.until(lambda: watched.services == [{"192.0.2.81"}])
    (folder / "more" / "b.toml").write_text(THIRD)
    await watched.until(lambda: watched.services[1:] == [{"192.0.2.81", "192.0.2.82"}])
    (folder / "services.d" / "www.toml").write_text("this is no longer ours")
    assert await watched.settle() == 2
    assert watched.answers == [True, True]


async def test_a_mistake_is_tried_once_and_again_when_the_file_changes(watched, folder):
    (folder / "services.d" / "www.toml").write_text("[[service")
    await watched.until(lambda: watched.answers == [False])
    assert await watched.settle() == 1
    (folder / "services.d" / "www.toml").write_text("[[service again")
    await watched.until(lambda: watched.answers == [False, False])
    (folder / "services.d" / "www.toml").write_text(OTHER)
    await watched.until(lambda: watched.services == [{"192.0.2.81"}])
    assert await watched.settle() == 3


async def test_a_mistake_in_a_file_that_was_never_in_force_is_watched_too(watched, folder):
    (folder / "more").mkdir()
    (folder / "more" / "a.toml").write_text("[[service")
    (folder / "healthd.toml").write_text(HEAD.replace("[reload]", 'include = ["more/*.toml"]\n[reload]'))
    await watched.until(lambda: watched.answers == [False])
    (folder / "more" / "a.toml").write_text(OTHER)
    await watched.until(lambda: watched.services == [{"192.0.2.81"}])
    assert await watched.settle() == 2


async def test_files_that_a_file_of_ldirectord_executes_are_watched_even_if_they_never_were_in_force(tmp_path):
    main, other = tmp_path / "ldirectord.cf", tmp_path / "other.cf"
    main.write_text(STOCK.format("192.0.2.80"))
    watched = Watched(tmp_path, main=main.name, read_at=0.0)
    try:
        await watched.until(lambda: watched.answers == [True])
        assert await watched.settle() == 1
        other.write_text("virtual=nonsense\n")
        main.write_text("execute = other.cf\n" + STOCK.format("192.0.2.80"))
        await watched.until(lambda: watched.answers == [True, False])
        assert await watched.settle() == 2
        other.write_text(STOCK.format("192.0.2.81"))
        await watched.until(lambda: watched.services[1:] == [{"192.0.2.80", "192.0.2.81"}])
        assert await watched.settle() == 3
        other.write_text(STOCK.format("192.0.2.82"))
        await watched.until(lambda: watched.services[2:] == [{"192.0.2.80", "192.0.2.82"}])
        main.write_text(STOCK.format("192.0.2.80"))
        await watched.until(lambda: watched.services[3:] == [{"192.0.2.80"}])
        assert await watched.settle() == 5
    finally:
        await watched.close()


async def test_what_says_the_same_is_no_change(watched, folder):
    for save in (in_place, by_rename):
        save(folder / "services.d" / "www.toml", one())
    os.utime(folder / "healthd.toml", (1.0, 1.0))
    (folder / "services.d" / "README").write_text("not ours")
    (folder / "services.d" / ".www.toml.swp").write_text("not ours")
    assert await watched.settle() == 0


async def test_a_file_that_is_empty_for_a_while_is_waited_for(folder):
    """Half saved it would be a configuration without services, and a valid one."""
    watched = Watched(folder, pace=replace(QUICK, patience=1000.0))
    try:
        await watched.ready()
        (folder / "services.d" / "www.toml").write_text("")
        await watched.until(lambda: EMPTY in watched.watching._files._last.digests.values())
        assert await watched.settle() == 0
        (folder / "services.d" / "www.toml").write_text(OTHER)
        await watched.until(lambda: watched.services == [{"192.0.2.81"}])
        assert await watched.settle() == 1
    finally:
        await watched.close()


async def test_a_file_that_stays_empty_counts_in_the_end(watched, folder):
    (folder / "services.d" / "other.toml").write_text(OTHER)
    await watched.until(lambda: len(watched.answers) == 1)
    (folder / "services.d" / "www.toml").write_text("")
    await watched.until(lambda: watched.services[1:] == [{"192.0.2.81"}])


async def test_what_changed_while_the_daemon_started_is_read(folder):
    watched = Watched(folder, read_at=time.time() - 10.0)
    try:
        await watched.until(lambda: watched.answers == [True])
        assert await watched.settle() == 1
    finally:
        await watched.close()


async def test_a_reload_by_a_signal_is_no_change(watched, folder):
    """It may have read other files than the one before."""
    quiet = watched.watching
    (folder / "more").mkdir()
    (folder / "more" / "a.toml").write_text(OTHER)
    text = HEAD.replace("[reload]", 'include = ["more/*.toml"]\n[reload]')
    (folder / "healthd.toml").write_text(text)
    await watched.until(lambda: len(watched.answers) == 1)
    await watched.settle()
    await asyncio.sleep(0.3)  # what was saved just before a reload might have come after its reading
    await watched.reload("")
    assert await watched.settle() == 2
    assert quiet._config.files


async def test_nothing_is_watched_where_nobody_wants_it(folder):
    (folder / "healthd.toml").write_text("")
    watched = Watched(folder)
    try:
        await asyncio.sleep(0.05)
        assert watched.watching._files._last.digests == {}
        (folder / "healthd.toml").write_text(HEAD)
        await watched.reload("")
        await watched.ready()
        (folder / "services.d" / "www.toml").write_text(OTHER)
        await watched.until(lambda: {"192.0.2.81"} in watched.services)
    finally:
        await watched.close()


# --- the operator's program --------------------------------------------------------------------------------------


@pytest.fixture
def callback(tmp_path):
    """A program that writes what it is told, a line for each time."""
    program, told = tmp_path / "callback", tmp_path / "told"
    program.write_text(f'#!/bin/sh\necho "$# $1 $HEALTHD_RELOAD" >> {told}\n')
    program.chmod(0o755)
    return program


def told(folder):
    file = folder / "told"
    return file.read_text().splitlines() if file.exists() else []


@pytest.mark.parametrize(
    ("watch", "text", "outcome", "reloads"),
    [("true", OTHER, "reloaded", 1), ("true", "[[", "refused", 1), ("false", OTHER, "ignored", 0)],
)
async def test_the_callback_is_run_with_the_path_after_the_change(folder, callback, watch, text, outcome, reloads):
    (folder / "healthd.toml").write_text(f'[reload]\nwatch = {watch}\ncallback = "{callback}"')
    watched = Watched(folder)
    try:
        await watched.ready()
        (folder / "services.d" / "www.toml").write_text(text)
        await watched.until(lambda: told(folder))
        assert told(folder) == [f"1 {folder}/healthd.toml {outcome}"]
        assert await watched.settle() == reloads
        assert len(told(folder)) == 1
    finally:
        await watched.close()


async def test_a_callback_that_fails_or_hangs_is_in_nobodys_way(folder, callback, caplog):
    callback.write_text(
        f'#!/bin/sh\necho "$1" >> {folder}/told\ntest -e {folder}/hang && exec sleep 1000\necho no\nexit 3\n'
    )
    (folder / "healthd.toml").write_text(f'[reload]\nwatch = true\ncallback = "{callback}"')
    watched = Watched(folder)
    try:
        await watched.ready()
        (folder / "services.d" / "www.toml").write_text(OTHER)
        await watched.until(lambda: "exit status 3: no" in caplog.text)
        (folder / "hang").touch()
        (folder / "services.d" / "www.toml").write_text(THIRD)
        await watched.until(lambda: len(told(folder)) == 2)
        (folder / "services.d" / "www.toml").write_text(one())
        await watched.until(lambda: len(watched.answers) == 3)
    finally:
        await watched.close()
