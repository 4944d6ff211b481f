"""Real servers on loopback for a whole ldirectord.cf, that can die: one by one, a rack of them, or by hanging."""

from __future__ import annotations

import contextlib
import random
import socket
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path

from targets import address

PER_VIRTUAL = 10
RACK = 40
VICTIMS = 6
INTERVAL = 5

GLOBALS = """\
checktimeout = {interval}
checkinterval = {interval}
failurecount = 1
quiescent = yes
readdquiescent = {readd}
cleanstop = no
autoreload = no

"""
VIRTUAL = """\
virtual = 10.10.{high}.{low}:80
{reals}
    service = none
    checktype = connect
    scheduler = wrr
    protocol = tcp

"""


class Answerer:
    """A process that accepts connections on every address at a port of its own."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [str(folder / "answerer"), "tcp"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout
        self.port = int(self.process.stdout.readline())

    def die(self) -> None:
        """From now on connections are refused."""
        self.process.kill()
        self.process.communicate()


class Hanging:
    """A server that accepts until it hangs: its queue is full then, and the kernel drops who knocks."""

    def __init__(self, host: str) -> None:
        self._socket = socket.create_server((host, 0), backlog=128)
        self._fillers: list[socket.socket] = []
        self.port: int = self._socket.getsockname()[1]
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        self._socket.settimeout(0.1)
        while not self._over.is_set():
            with contextlib.suppress(TimeoutError):
                self._socket.accept()[0].close()

    def hang(self) -> None:
        """Accept nobody any more."""
        self._over.set()
        self._thread.join()
        self._socket.listen(0)
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(self._socket.getsockname())
            self._fillers.append(filler)

    def close(self) -> None:
        """End it."""
        self._over.set()
        self._thread.join()
        for one in (self._socket, *self._fillers):
            one.close()


@dataclass(frozen=True, slots=True)
class Roles:
    """Which servers, by number, are in the rack, die alone, and hang; the same for every contestant."""

    rack: tuple[int, ...]
    victims: tuple[int, ...]
    hanging: int

    @classmethod
    def of(cls, count: int) -> Roles:
        """A rack is spread over as many virtual services as it can be; all others fall by lot."""
        step = count // RACK
        rack = tuple(range(step // 2, count, step))[:RACK]
        drawn = random.Random(count).sample([n for n in range(count) if n not in rack], VICTIMS + 1)
        return cls(rack, tuple(drawn[1:]), drawn[0])


class Farm:
    """All the servers. folder: with the compiled answerer."""

    def __init__(self, folder: Path, count: int) -> None:
        roles = Roles.of(count)
        self._crowd, self._rack = Answerer(folder), Answerer(folder)
        self._victims = [Answerer(folder) for _ in roles.victims]
        self._hanging = Hanging(address(roles.hanging))
        ports = dict.fromkeys(range(count), self._crowd.port) | dict.fromkeys(roles.rack, self._rack.port)
        ports |= {n: victim.port for n, victim in zip(roles.victims, self._victims, strict=True)}
        ports[roles.hanging] = self._hanging.port
        self.servers = [f"{address(n)}:{ports[n]}" for n in range(count)]
        self.rack = {self.servers[n] for n in roles.rack}
        self.victims = [self.servers[n] for n in roles.victims]
        self.hanging = self.servers[roles.hanging]

    def write(self, file: Path, readd: str) -> None:
        """The configuration with all of them, ten to a virtual service. readd: value of readdquiescent."""
        text = GLOBALS.format(interval=INTERVAL, readd=readd)
        for number, first in enumerate(range(0, len(self.servers), PER_VIRTUAL)):
            members = self.servers[first : first + PER_VIRTUAL]
            reals = "\n".join(f"    real = {server} masq 1" for server in members)
            text += VIRTUAL.format(high=number // 250, low=number % 250 + 1, reals=reals)
        file.write_text(text)

    def kill(self, server: str) -> None:
        """One of the victims dies."""
        self._victims[self.victims.index(server)].die()

    def kill_rack(self) -> None:
        """The whole rack dies at once."""
        self._rack.die()

    def hang(self) -> None:
        """The one that can hang does."""
        self._hanging.hang()

    def close(self) -> None:
        """End all."""
        for one in (self._crowd, self._rack, *self._victims):
            one.die()
        self._hanging.close()
