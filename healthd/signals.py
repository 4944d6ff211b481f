"""What the operator orders by signals: stop (SIGTERM, SIGINT), read again (SIGHUP).

They are heeded from the first moment to the last, so none of them ends the daemon in the middle of something.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

from healthd.commands import exits
from healthd.log.setup import Log

logger = logging.getLogger(__name__)

STOPS = (signal.SIGTERM, signal.SIGINT)
HEEDED = (*STOPS, signal.SIGHUP)

LAST_LINES = 0.5
"""Seconds that the log has to say why we leave at once."""

_Result = TypeVar("_Result")


class Orders:
    """Signals as events. log: is opened again at SIGHUP, as log rotation wants. Make it in a running loop.

    patient: a second order to stop changes nothing, nor does one after `taken`, as long as the loop is there, so what
    is still to be removed is removed. told_by: name of the signal that told to stop.
    """

    def __init__(self, log: Log, *, patient: bool = False) -> None:
        self.log = log
        self.told_by = ""
        self._patient = patient
        self._told_again = False
        self.stopping = asyncio.Event()
        self.hung_up = asyncio.Event()

    @contextlib.contextmanager
    def taken(self) -> Iterator[None]:
        """Heed signals inside this block, also those that were sent while they were blocked before it."""
        loop = asyncio.get_running_loop()
        for number in STOPS:
            loop.add_signal_handler(number, self.stop, number.name.removeprefix("SIG"))
        loop.add_signal_handler(signal.SIGHUP, self.hang_up)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HEEDED)
        try:
            yield
        finally:
            for number in () if self._patient else HEEDED:
                loop.remove_signal_handler(number)

    def stop(self, name: str = "TERM") -> None:
        """Stop in order; told a second time, at once, unless we are patient."""
        self.told_by = self.told_by or name
        if self.stopping.is_set() and self._patient:
            if not self._told_again:
                logger.info("told to stop a second time: it is being done")
            self._told_again = True
        elif self.stopping.is_set():
            logger.error("told to stop a second time: leaving at once")
            self.log.flush(LAST_LINES)
            os._exit(exits.FAILED)
        self.stopping.set()

    def hang_up(self) -> None:
        """Read the configuration again, and begin a new file of log."""
        self.log.reopen()
        self.hung_up.set()

    async def until_stop(self, work: Coroutine[Any, Any, _Result]) -> _Result | None:
        """The result of `work`; None if the order to stop came first, which cancels it."""
        task = asyncio.ensure_future(work)
        stop = asyncio.ensure_future(self.stopping.wait())
        try:
            await asyncio.wait((task, stop), return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.cancel()
            if not task.done():
                task.cancel()
                await asyncio.wait((task,))
        return None if task.cancelled() else task.result()
