"""Gives each event to every hook. The director calls `event` after the table's acknowledgement and is back at once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

from healthd.config.schema import Config, ExecHook, Place, Webhook
from healthd.events import Event
from healthd.hooks.base import Hook, HookStats, Shelf
from healthd.hooks.exec import exec_hook
from healthd.hooks.messenger import Messenger, Stands, nobody_knows
from healthd.hooks.webhook import Client

logger = logging.getLogger(__name__)

# A hook that a reload took away may finish what it has for so many seconds.
RETIRED_GRACE = 60.0


@runtime_checkable
class Configurable(Protocol):
    """A hook that goes by the configuration."""

    def configure(self, config: Config) -> None:
        """Go by this configuration from now on."""
        ...


class Announcer:
    """All hooks. always: those that stay for good, the log first. make: builds one that runs a program.

    shelf: where webhooks keep what waits through a restart; None for nowhere.
    """

    def __init__(
        self,
        always: Sequence[Hook] = (),
        make: Callable[[ExecHook], Hook] = exec_hook,
        shelf: Shelf | None = None,
    ) -> None:
        self._always = tuple(always)
        self._make = make
        self._shelf = shelf
        self._stands: Stands = nobody_knows
        self._client = Client()
        self._configured: dict[ExecHook | str, Hook] = {}
        self._retiring: set[asyncio.Task[None]] = set()

    def attach(self, stands: Stands) -> None:
        """Learn whom to ask whether a problem of which an earlier healthd told is still there."""
        self._stands = stands

    def apply(self, config: Config) -> None:
        """Have exactly its hooks from now on.

        A program's hook that stays as it is, and a webhook that keeps its name, keep queue, counts and pace.
        """
        wanted = {_identity(settings): settings for settings in config.settings.hooks}
        for gone in self._configured.keys() - wanted.keys():
            self._retire(self._configured[gone])
        self._configured = {
            identity: self._configured.get(identity) or self._made(settings) for identity, settings in wanted.items()
        }
        for hook in self._hooks():
            if isinstance(hook, Configurable):
                hook.configure(config)

    def _made(self, settings: ExecHook | Webhook) -> Hook:
        if isinstance(settings, Webhook):
            return Messenger(settings, self._client.send, self._shelf, stands=lambda event: self._stands(event))
        return self._make(settings)

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
        await self._client.close()
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


def _identity(settings: ExecHook | Webhook) -> ExecHook | str:
    """What makes it the same hook after a reload."""
    return settings.name if isinstance(settings, Webhook) else replace(settings, place=Place())


async def _close(hooks: Sequence[Hook], grace: float) -> None:
    """Side by side; what goes wrong in one is told."""
    ended = await asyncio.gather(*(hook.close(grace) for hook in hooks), return_exceptions=True)
    for hook, error in zip(hooks, ended, strict=True):
        if isinstance(error, BaseException):
            logger.error("hook %s did not close", hook.name, exc_info=error)
