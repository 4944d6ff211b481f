"""Names of addresses, looked up beside everything else: nobody waits for a name server that does not answer.

Lookups run in threads of their own that end with the process, a few at a time, and are remembered for a while, also
those that found nothing. A name server that is away changes nothing: what was known stays.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterable

from healthd.aside import aside
from healthd.model import Address

AT_ONCE = 8
KEPT = 300.0
"""Seconds that what was found of an address is good for."""
AWAY = 10.0
"""Seconds until a resolver that could not say is asked again."""


Ask = Callable[[tuple[str, int], int], tuple[str, str]]


def name_of(address: Address, ask: Ask = socket.getnameinfo) -> str:
    """The name that the resolver has for an address, empty if it has none. OSError if it cannot say."""
    try:
        return ask((str(address), 0), socket.NI_NAMEREQD)[0]
    except socket.gaierror as error:
        if error.errno == socket.EAI_NONAME:
            return ""
        raise


class HostNames:
    """What is known of the names of addresses. lookup: as `name_of`, may block. clock: monotonic seconds."""

    def __init__(self, clock: Callable[[], float], lookup: Callable[[Address], str] = name_of) -> None:
        self._clock = clock
        self._lookup = lookup
        self._known: dict[Address, tuple[float, str]] = {}
        self._asked: set[Address] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._places = asyncio.Semaphore(AT_ONCE)

    def of(self, address: Address) -> str:
        """The name of an address, empty while none is known."""
        return self._known.get(address, (0.0, ""))[1]

    def want(self, addresses: Iterable[Address]) -> None:
        """Have these looked up where that was not done lately."""
        now = self._clock()
        for address in addresses:
            if address not in self._asked and self._known.get(address, (0.0, ""))[0] <= now:
                self._asked.add(address)
                task = asyncio.get_running_loop().create_task(self._learn(address))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _learn(self, address: Address) -> None:
        name, kept = self.of(address), AWAY
        with contextlib.suppress(OSError):
            async with self._places:
                name, kept = await aside(lambda: self._lookup(address), f"name of {address}"), KEPT
        self._known[address] = (self._clock() + kept, name)
        self._asked.discard(address)

    def close(self) -> None:
        """Wait for nothing any more."""
        for task in self._tasks:
            task.cancel()
