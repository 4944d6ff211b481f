"""The fallback command: a line of the operator's for /bin/sh, run when a service's last server goes or the first comes.

It is ldirectord's `fallbackcommand`: `LINE start|stop ADDRESS:PORT PROTOCOL`, for a firewall mark `LINE start|stop
MARK:0 fwm`. It does not depend on a fallback server. Each service has its own queue, in which the command is run in the
order of what happened; what is outdated before its turn comes is left out, and so is what it did last. A command that
a reload brings to a service without servers is run with `start`; one that a reload takes away is not run any more. When
the daemon stops while a service is without servers, its command is run with `stop` if that is asked for
(`fallback_command_at_stop`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from healthd.config.schema import Config, ServiceConfig
from healthd.events import Event, Kind
from healthd.hooks.base import HookStats
from healthd.hooks.courier import Courier, Retries
from healthd.hooks.exec import run
from healthd.hooks.words import document, variables
from healthd.model import AddressKey, ServiceKey, endpoint

TIMEOUT = 60.0
"""Seconds after which the command is killed."""

WORDS = {Kind.SERVICE_DOWN: "start", Kind.SERVICE_UP: "stop"}


def arguments(key: ServiceKey) -> tuple[str, str]:
    """What the command is told of the service."""
    if isinstance(key, AddressKey):
        return endpoint(key.address, key.port), key.protocol.name.lower()
    return f"{key.fwmark}:0", "fwm"


def delivery(command: str, key: ServiceKey) -> Callable[[Event], Awaitable[None]]:
    """Runs the command for one event of the service, unless that is what it did last."""
    done = ""

    async def deliver(event: Event) -> None:
        nonlocal done
        words = (WORDS[event.kind], *arguments(key))
        if words[0] == done:
            return
        done = ""  # of one that fails nobody knows what it did
        # "$@" and not text pasted into the line: what the command is told is never taken for the shell's own
        argv = ("/bin/sh", "-c", f'{command} "$@"', "healthd", *words)
        await run(argv, variables(event), document(event), TIMEOUT)
        done = words[0]

    return deliver


class FallbackCommands:
    """The fallback commands of all services that have one."""

    name = "fallback commands"

    def __init__(self) -> None:
        self._couriers: dict[tuple[str, str, ServiceKey], Courier] = {}
        self._down: dict[str, Event] = {}
        self._at_stop: frozenset[str] = frozenset()
        self._retiring: set[asyncio.Task[None]] = set()

    def configure(self, config: Config) -> None:
        """Have these services' commands from now on. A command that stays keeps its queue."""
        wanted = {
            (service.name, service.fallback_command, service.key): service
            for service in config.services
            if service.fallback_command is not None
        }
        self._at_stop = frozenset(service.name for service in config.services if service.fallback_command_at_stop)
        for known in self._couriers.keys() - wanted.keys():
            self._retire(self._couriers[known])
        there = {(service.name, str(service.key)) for service in config.services}
        self._down = {name: event for name, event in self._down.items() if (name, event.virtual) in there}
        before, self._couriers = self._couriers, {}
        for which, service in wanted.items():
            self._couriers[which] = before.get(which) or _courier(service)
            if which not in before and service.name in self._down:
                self._couriers[which].event(self._down[service.name])

    def event(self, event: Event) -> None:
        """Take what happened to a service, or that the daemon stops."""
        if event.kind is Kind.STOPPING:
            for service in self._down.keys() & self._at_stop:
                self._tell(replace(self._down[service], kind=Kind.SERVICE_UP, at=event.at, message=event.message))
        elif event.kind in WORDS:
            self._down.pop(event.service, None)
            if event.kind is Kind.SERVICE_DOWN:
                self._down[event.service] = event
            self._tell(event)

    def _tell(self, event: Event) -> None:
        for (service, _, _), courier in self._couriers.items():
            if service == event.service:
                courier.event(event)

    def stats(self) -> HookStats:
        """All of them together."""
        each = [courier.stats() for courier in self._couriers.values()]
        counts = {
            name: sum(getattr(one, name) for one in each)
            for name in ("delivered", "failed", "dropped", "queued", "retries")
        }
        return HookStats(self.name, **counts, last_error=next((one.last_error for one in each if one.last_error), ""))

    async def close(self, grace: float) -> None:
        """Run what waits."""
        for task in self._retiring:
            task.cancel()
        closing = (courier.close(grace) for courier in self._couriers.values())
        await asyncio.gather(*closing, *self._retiring, return_exceptions=True)

    def _retire(self, courier: Courier) -> None:
        task = asyncio.get_running_loop().create_task(courier.close(TIMEOUT))
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)


def _courier(service: ServiceConfig) -> Courier:
    assert service.fallback_command is not None
    name = f"fallback command of {service.name}"
    return Courier(name, delivery(service.fallback_command, service.key), retries=Retries(0), room=1)
