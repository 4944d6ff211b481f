"""Gives each event to every hook. The director calls `event` after the table's acknowledgement and is back at once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

from healthd.config.schema import Config, ExecHook, Place
from healthd.events import Event
from healthd.hooks.base import Hook, HookStats
from healthd.hooks.exec import exec_hook

logger = logging.getLogger(__name__)

# A hook that a reload took away may finish what it has for so many seconds.
RETIRED_GRACE = 60.0


@runtime_checkable
class Configurable(Protocol):
    """A hook that is always there and goes by the configuration."""

    def configure(self, config: Config) -> None:
        """Go by this configuration from now on."""
        ...


class Announcer:
    """All hooks. always: those that stay for good, the log first. make: builds one that is configured."""

    def __init__(self, always: Sequence[Hook] = (), make: Callable[[ExecHook], Hook] = exec_hook) -> None:
        self._always = tuple(always)
        self._make = make
        self._configured: dict[ExecHook, Hook] = {}
        self._retiring: set[asyncio.Task[None]] = set()

    def apply(self, config: Config) -> None:
        """Have exactly its hooks from now on. One that stays as it is keeps its queue, its counts and its pace."""
        for hook in self._always:
            if isinstance(hook, Configurable):
                hook.configure(config)
        keys = dict.fromkeys(replace(settings, place=Place()) for settings in config.settings.hooks)
        for settings in self._configured.keys() - keys.keys():
            self._retire(self._configured[settings])
        self._configured = {settings: self._configured.get(settings) or self._make(settings) for settings in keys}

    def event(self, event: Event) -> None:
        """Give one event to every hook, in the order of the configuration."""
        for hook in self._hooks():
            try:
                hook.event(event)
            except Exception:
                logger.exception("hook %s broke its promise not to raise", hook.name)

    def stats(self) -> tuple[HookStats, ...]:
        """How every hook fares."""
        return tuple(hook.stats() for hook in self._hooks())

    async def close(self, grace: float) -> None:
        """Let all hooks deliver what waits, together at most `grace` seconds. The log ends after the others."""
        await _close((*self._always[1:], *self._configured.values()), grace)
        await self._end_retired()
        await _close(self._always[:1], grace)

    def _hooks(self) -> tuple[Hook, ...]:
        return (*self._always, *self._configured.values())

    def _retire(self, hook: Hook) -> None:
        task = asyncio.get_running_loop().create_task(hook.close(RETIRED_GRACE), name=f"retire {hook.name}")
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    async def _end_retired(self) -> None:
        retiring = set(self._retiring)
        for task in retiring:
            task.cancel()
        await asyncio.gather(*retiring, return_exceptions=True)


async def _close(hooks: Sequence[Hook], grace: float) -> None:
    """Side by side; what goes wrong in one is told."""
    ended = await asyncio.gather(*(hook.close(grace) for hook in hooks), return_exceptions=True)
    for hook, error in zip(hooks, ended, strict=True):
        if isinstance(error, BaseException):
            logger.error("hook %s did not close", hook.name, exc_info=error)
