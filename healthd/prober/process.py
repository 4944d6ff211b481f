"""The prober as a process of its own: a `LocalProber`, and a socket to the director at either end of it.

It confines itself before it reads anything, it never starts a process, and it ends when the director's end of the
socket is closed. Signals meant for the daemon (of a terminal, of a service manager) are the director's to act upon.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import gc
import logging
import os
import resource
import signal
import socket
import sys

from healthd.privileges import Capability, PrivilegeError, confine, die_with_parent, show_as
from healthd.prober import orders
from healthd.prober.local import LocalProber
from healthd.prober.outbox import Outbox
from healthd.prober.wire import Assembler, Assigned, Ready, Refused, RunnerWanted, encode, packets
from healthd.runner.client import Give, Identity, RunnerRoutes
from healthd.runner.wire import receive_with_fds

NICENESS = -5
_MAX_ORDER = 1 << 30


class ProberProcess:
    """All that is in the process. control: the socket to the director. in_flight, netns: as of `LocalProber`."""

    def __init__(self, control: socket.socket, *, in_flight: int, netns: str | None) -> None:
        self._control = control
        self._loop = asyncio.get_running_loop()
        self._outbox = Outbox(control)
        self._runners = RunnerRoutes(self._want_runner, None)
        self._wanted: dict[Identity, Give] = {}
        self._assembler = Assembler(_MAX_ORDER)
        self._assignment = orders.Assignment()
        self._prober = LocalProber(self._outbox, runner=self._runners, in_flight=in_flight, netns=netns, forks=False)

    async def serve(self, kept: tuple[str, ...]) -> None:
        """Do what the director says until it has gone."""
        self._outbox.say(Ready(kept))
        try:
            while (received := await self._receive()) is not None:
                await self._obey(*received)
        finally:
            await self._prober.close()
            self._runners.close()
            self._outbox.close()
            self._control.close()

    async def _receive(self) -> tuple[orders.Order, list[int]] | None:
        """The next order and what descriptors came with it; None at the end."""
        while True:
            try:
                packet, fds = receive_with_fds(self._control, 1 << 17)
            except BlockingIOError:
                await self._readable()
                continue
            except ConnectionResetError:
                return None
            if not packet:
                return None
            message = self._assembler.feed(packet)
            if message is not None:
                return orders.load(message), fds

    async def _readable(self) -> None:
        readable = self._loop.create_future()
        self._loop.add_reader(self._control, _settle, readable)
        try:
            await readable
        finally:
            self._loop.remove_reader(self._control)

    async def _obey(self, order: orders.Order, fds: list[int]) -> None:
        match order:
            case orders.Assign():
                probes = self._assignment.add(order)
                if probes is not None:
                    await self._prober.assign(probes)
                    self._outbox.say(Assigned(order.number))
            case orders.Hurry(probes=numbers):
                await self._prober.hurry(numbers)
            case orders.Tell(number):
                self._outbox.answer(number, await self._prober.latest())
            case orders.TellTimings(number):
                self._outbox.answer_timings(number, await self._prober.timings())
            case orders.Recall(number, probes):
                self._outbox.answer_recall(number, await self._prober.recall(probes))
            case orders.TakeRunner(user, netns, why):
                self._take_runner((user, netns), why, fds)
        await asyncio.sleep(0)

    def _want_runner(self, identity: Identity, give: Give) -> None:
        self._wanted[identity] = give
        self._outbox.say(RunnerWanted(*identity))

    def _take_runner(self, identity: Identity, why: str | None, fds: list[int]) -> None:
        give = self._wanted.pop(identity, None)
        if give is not None:
            give(socket.socket(fileno=fds[0]) if why is None else why)
        else:  # asked for by the process that was here before us
            for fd in fds:
                os.close(fd)


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def main(arguments: list[str]) -> None:
    """Be the prober.

    arguments: control's descriptor, user and namespace (empty: as we are), names of capabilities to keep with commas,
    most probes in flight, the director's process id.
    """
    control = socket.socket(fileno=int(arguments[0]))
    control.set_inheritable(False)
    control.setblocking(False)
    user, netns = arguments[1] or None, arguments[2] or None
    keep = frozenset(Capability[name] for name in arguments[3].split(",") if name)
    _prepare()
    try:
        kept = confine(user=user, keep=keep, netns=netns)
    except PrivilegeError as error:
        control.send(packets(encode(Refused(str(error))))[0])
        sys.exit(1)
    die_with_parent(signal.SIGKILL, int(arguments[5]))
    asyncio.run(_serve(control, int(arguments[4]), netns, tuple(sorted(one.name for one in kept))))


def _prepare() -> None:
    """What needs rights, or must be so before anything happens."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    faulthandler.enable()
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    with contextlib.suppress(PermissionError):
        os.nice(NICENESS)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    sys.dont_write_bytecode = True
    show_as("healthd-prober")


SELDOM = 20_000
"""Objects that come and stay before the collector looks through the young ones."""


async def _serve(control: socket.socket, in_flight: int, netns: str | None, kept: tuple[str, ...]) -> None:
    process = ProberProcess(control, in_flight=in_flight, netns=netns)
    gc.collect()
    gc.freeze()
    gc.set_threshold(SELDOM)  # a probe makes no cycles; looking for some at every seventieth is a twentieth of its cost
    await process.serve(kept)


if __name__ == "__main__":
    main(sys.argv[1:])
