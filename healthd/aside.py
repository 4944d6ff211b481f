"""Work that may block for ever (a resolver, a disk that hangs), beside everything else.

asyncio's own threads are waited for when the process ends; these are not.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar

T = TypeVar("T")


async def aside(work: Callable[[], T], name: str) -> T:
    """What `work` gives or raises, done in a thread of its own. name: of the thread.

    If the caller is cancelled, the thread is left to itself.
    """
    done = _Done[T]()
    threading.Thread(target=done.tell_of, args=(work,), name=name, daemon=True).start()
    return await done.future


class _Done(Generic[T]):
    """A future of this loop that another thread fulfils."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.future: asyncio.Future[T] = self._loop.create_future()

    def tell_of(self, work: Callable[[], T]) -> None:
        """Do it, in whatever thread this is, and hand over what came of it; the loop may be gone by then."""
        try:
            tell = partial(self._give, work())
        except Exception as error:  # noqa: BLE001 - it is the caller's
            tell = partial(self._fail, error)
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(tell)

    def _give(self, result: T) -> None:
        if not self.future.done():
            self.future.set_result(result)

    def _fail(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class Worker:
    """One thread that does one thing after the other. name: of the thread."""

    def __init__(self, name: str) -> None:
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    async def do(self, work: Callable[[], T]) -> T:
        """What `work` gives or raises, done after all that was asked for before, even if the caller is cancelled."""
        done = _Done[T]()
        self._work.put(lambda: done.tell_of(work))
        return await done.future

    def end(self) -> None:
        """Let the thread end once it has done what it was asked for."""
        self._work.put(None)

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            work()
