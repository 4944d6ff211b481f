"""Events of many servers, and what a kill and a shelf do to those that wait."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

from healthd.events import Event, Kind
from healthd.hooks.messenger import Messenger, Pace
from healthd.state import StateStore

from .samples import sample

BRISK = Pace(first=0.01, most=0.05)


def down(number: int, kind: Kind = Kind.SERVER_DOWN, **changes) -> Event:
    return replace(sample(kind), real=f"10.0.{number // 250}.{number % 250}:80", at=time.time(), **changes)


def up(number: int) -> Event:
    return down(number, Kind.SERVER_UP)


async def kill(messenger: Messenger) -> None:
    """End it as a kill does, once the shelf has what it was given."""
    for task in (messenger._task, messenger._shelving._task):
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
    messenger._waiting, messenger._task = type(messenger._waiting)(), None


async def kept(store: StateStore, number: int, name: str = "webhook test") -> list:
    """Wait until so many of a hook's events are on the shelf."""
    end = time.monotonic() + 20
    while len(found := await store.shelved(name)) != number:
        assert time.monotonic() < end, found
        await asyncio.sleep(0.01)
    return found
