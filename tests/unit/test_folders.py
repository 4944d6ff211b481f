"""Noticing changes in folders: also in one that was removed and made again, and in a link that is turned elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from healthd.folders import changes
from tests.hooks.samples import until

BOUND = 20.0
NEVER = 3600.0
"""Seconds between two looks without inotify: what is noticed was told."""


async def noticed(seen):
    """Wait for the next change."""
    async with asyncio.timeout(BOUND):
        await anext(seen)


def watches():
    """How many watches all inotify descriptors of this process have."""
    found = 0
    for one in Path("/proc/self/fdinfo").iterdir():
        with contextlib.suppress(OSError):
            found += one.read_text().count("inotify wd:")
    return found


async def test_a_folder_that_is_made_again_with_its_old_number_is_watched_again(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    number = folder.stat().st_ino
    async with contextlib.aclosing(changes([folder], NEVER)) as seen:
        await anext(seen)
        folder.rmdir()
        await noticed(seen)
        for spare in range(100):
            folder.mkdir()
            if folder.stat().st_ino == number:
                break
            folder.rename(tmp_path / f"spare{spare}")
        else:
            return  # a file system that never gives a number again has no such trap
        watching = asyncio.create_task(noticed(seen))
        await until(watches, BOUND)
        (folder / "file").touch()
        await watching


async def test_a_link_that_is_turned_elsewhere_again_and_again_leaves_no_watches_behind(tmp_path):
    link = tmp_path / "link"
    folders = [tmp_path / str(number) for number in range(20)]
    for folder in folders:
        folder.mkdir()
    link.symlink_to(folders[0])
    async with contextlib.aclosing(changes([link, folders[0]], 0.01)) as seen:
        for folder in folders:
            link.unlink()
            link.symlink_to(folder)
            for _ in range(3):
                await noticed(seen)
        assert watches() == 2, "that of the link, and that of the first folder"
