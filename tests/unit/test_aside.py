"""Work aside: what it gives, what it raises, and that nobody waits for it longer than they like."""

from __future__ import annotations

import asyncio
import threading

import pytest

from healthd.aside import aside


async def test_it_gives_what_the_work_gives_and_raises_what_it_raises():
    assert await aside(lambda: threading.current_thread().name, "worker") == "worker"
    with pytest.raises(ZeroDivisionError):
        await aside(lambda: 1 // 0, "worker")


async def test_work_that_hangs_is_left_to_itself():
    never = threading.Event()
    hanging = asyncio.create_task(asyncio.wait_for(aside(never.wait, "hanging"), 0.01))
    with pytest.raises(TimeoutError):
        await hanging
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "hanging"]
    assert thread.daemon
    never.set()
    thread.join(20.0)
    await asyncio.sleep(0)  # what it says now is said to nobody
