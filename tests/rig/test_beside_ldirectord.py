"""ldirectord itself and healthd, one after the other, with the same file and the same servers: tables and logs agree.

What may differ is what docs/from-ldirectord.md says; `told` has it. How long each took for a step and how many writes
it made is printed and kept in out/beside-ldirectord.txt.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.rig import ipvsadm
from tests.rig.namespace import Namespace
from tests.rig.patience import SLOW, seconds, until
from tests.rig.writes import Writes

ROOT = Path(__file__).parents[2]
REPORT = ROOT / "out" / "beside-ldirectord.txt"
ALL = ("server1", "server2", "server3")
INTERVAL = max(1, SLOW // 5)
QUIET = 2 * INTERVAL
"""Seconds without a change after which a table counts as quiet."""

GLOBALS = """\
checkinterval = {interval}
checktimeout = {patience}
negotiatetimeout = {patience}
failurecount = 1
autoreload = no
logfile = "{folder}/log"
maintenancedir = {folder}/maintenance
readdquiescent = yes
"""
SERVICE = """\
virtual = {virtual}:80
{reals}
    service = http
    checktype = negotiate
    request = "health"
    receive = "well"
    scheduler = {scheduler}
    protocol = tcp
    fallback = 127.0.0.1:80 gate
    quiescent = {quiescent}

"""


WORDS = re.compile(
    r"((Added|Changed|Purged|Restored|Quiescent|Readd Quiescent|Deleted) (virtual|real|fallback) server"
    r"|Soft failure|Reloading|Starting|Invoking|Linux Director|Configuration file| - )"
)
"""How the lines begin that both have in their logs.

ldirectord resets a count of soft failures also where a server was out, for one of its services: that is left out.
"""

FIRST, AGAIN, OTHERWISE = "start", "a reload with it again", "a reload that changes rows"
UNREAD = "a file that changes"


def told(step: str, lines: list[str]) -> Counter[str]:
    """The lines of a step that both must have, each so often: without what is to differ, and with one way to say it."""
    found = [line for line in lines if WORDS.match(line) and not line.startswith("Purged real server (stop)")]
    if step != OTHERWISE:  # ldirectord says it of every service
        found = [line for line in found if not line.startswith("Changed virtual server")]
    if step != UNREAD:  # it has changed just before the signal to read it, so that either may come first
        found = [line for line in found if not line.startswith(("Configuration file", " - "))]
    if step in (FIRST, AGAIN):  # B1: servers and fallback are in or out for a moment before they are asked
        found = [line.replace("Restored", "Added") for line in found if not re.match("Readd|.* fallback ", line)]
    return Counter(re.sub(r"(invoked as:|Director v|with pid:).*", r"\1", line) for line in found)


@dataclass(frozen=True)
class Step:
    """What one contestant made of one step: the table when it was quiet again, seconds until it was right, writes.

    told: the lines of its log.
    """

    table: list[str]
    took: float
    writes: int
    told: Counter[str]


@dataclass
class Contest:
    """One contestant in the making of its results."""

    name: str
    argv: list[str]
    director: Namespace
    file: Path
    log: Path
    writes: Writes
    steps: dict[str, Step] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it in the director's namespace."""
        output = (self.file.parent / f"{self.name}.out").open("wb")
        with output:
            self.process = self.director.popen(
                self.argv, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output, process_group=0
            )

    def tell(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self.process is not None
        os.kill(self.process.pid, number)

    def step(self, name: str, do: Callable[[], object], right: Callable[[], bool]) -> None:
        """Do something, and note what the table is like once it is as it should be and then quiet."""
        self.writes.forget()
        before = len(self.lines())
        began = time.monotonic()
        do()
        until(f"{self.name}: {name}", lambda: self._alive() and right(), within=60)
        took = time.monotonic() - began
        table = self._quiet()
        self.steps[name] = Step(table, took, self.writes.total(), told(name, self.lines()[before:]))

    def lines(self) -> list[str]:
        """The messages of its log."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return [re.sub(r"^\[[^]|]*\|[^]]*\] ", "", line) for line in text.splitlines()]

    def _quiet(self) -> list[str]:
        table, since = ipvsadm.saved(self.director), time.monotonic()
        give_up = since + seconds(60)
        while time.monotonic() < since + QUIET:
            assert time.monotonic() < give_up, f"{self.name} never rests: {table}"
            time.sleep(0.2)
            now = ipvsadm.saved(self.director)
            if now != table:
                table, since = now, time.monotonic()
        return table

    def _alive(self) -> bool:
        assert self.process is not None
        said = (self.file.parent / f"{self.name}.out").read_text(errors="replace")
        assert self.process.poll() in (None, 0), f"{self.name} ended with {self.process.poll()}:\n{said[-3000:]}"
        return True

    def close(self) -> None:
        """End it, whatever it is doing."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(seconds(10))
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()


@dataclass(frozen=True)
class World:
    """What both are put before."""

    director: Namespace
    servers: dict[str, str]
    web: dict[str, object]
    addresses: dict[str, str]
    folder: Path

    def write(self, reals: tuple[str, ...], first: int = 1, scheduler: str = "wrr") -> None:
        """The file, with these real servers in every service. first: the weight of the first; they go up by 1."""
        lines = "\n".join(f"    real = {self.servers[name]}:80 masq {n}" for n, name in enumerate(reals, first))
        text = GLOBALS.format(interval=INTERVAL, patience=INTERVAL, folder=self.folder)
        for quiescent, virtual in self.addresses.items():
            text += SERVICE.format(virtual=virtual, reals=lines, quiescent=quiescent, scheduler=scheduler)
        (self.folder / "test.cf").write_text(text)

    def weights(self, quiescent: str) -> dict[str, int]:
        """The weight of each server of a service by name; the fallback is called so."""
        names = {f"{address}:80": name for name, address in self.servers.items()} | {"127.0.0.1:80": "fallback"}
        rows = ipvsadm.weights(self.director, f"TCP {self.addresses[quiescent]}:80")
        return {names[row]: weight for row, weight in rows.items()}

    def serving(self, *names: str) -> Callable[[], bool]:
        """Whether exactly these have weight in all services."""
        return lambda: all(
            {name for name, weight in self.weights(quiescent).items() if weight} == set(names)
            for quiescent in self.addresses
        )


def story(world: World, contest: Contest) -> None:
    """Start; one server dies and returns; all do; a maintenance file; reloads; a file that changes; stop."""
    file = world.folder / "maintenance" / world.servers["server2"]
    one, everyone = world.web["server1"], list(world.web.values())
    world.write(ALL)
    contest.step(FIRST, contest.start, world.serving(*ALL))
    contest.step("one server dies", one.crash, world.serving("server2", "server3"))
    contest.step("it returns", one.ensure_well, world.serving(*ALL))
    contest.step("all die", lambda: [server.crash() for server in everyone], world.serving("fallback"))
    contest.step("all return", lambda: [server.ensure_well() for server in everyone], world.serving(*ALL))
    contest.step("a maintenance file", file.touch, world.serving("server1", "server3"))
    contest.step("it is taken away", file.unlink, world.serving(*ALL))

    def reload(*reals: str) -> None:
        world.write(reals)
        contest.tell(signal.SIGHUP)

    contest.step("a reload without a server", lambda: reload("server1", "server2"), world.serving("server1", "server2"))
    contest.step(AGAIN, lambda: reload(*ALL), world.serving(*ALL))
    contest.step(
        UNREAD,
        lambda: world.write(ALL, first=4, scheduler="wlc"),
        lambda: " - ignore new configuration" in contest.lines(),
    )
    heavier = {name: weight for weight, name in enumerate(ALL, 4)}
    contest.step(
        OTHERWISE,
        lambda: contest.tell(signal.SIGHUP),
        lambda: all(world.weights(quiescent) == heavier for quiescent in world.addresses),
    )
    contest.step("stop", lambda: contest.tell(signal.SIGTERM), lambda: ipvsadm.saved(world.director) == [])
    assert contest.process is not None
    assert contest.process.wait(seconds(20)) == 0


@pytest.fixture
def world(director, servers, web, virtual, tmp_path) -> World:
    """The network's three servers in two services, with one that quiesces and one that removes."""
    (tmp_path / "maintenance").mkdir()
    return World(
        director,
        {f"server{server.number}": str(server.address) for server in servers},
        {f"server{server.number}": nginx for server, nginx in zip(servers, web, strict=True)},
        {"yes": str(virtual.masq()), "no": str(virtual.masq())},
        tmp_path,
    )


@pytest.fixture
def ldirectord() -> list[str]:
    """What starts the real one in the foreground."""
    found = shutil.which("ldirectord", path="/usr/sbin:/sbin")
    if found is None:
        pytest.skip("needs the package ldirectord")
    return ["perl", found, "-d"]


def report(both: list[Contest]) -> Iterator[str]:
    """A table for people."""
    names = [contest.name for contest in both]
    yield f"{'':28}" + "".join(f"{name + ' s':>14}{'writes':>8}" for name in names)
    for step in both[0].steps:
        cells = "".join(f"{contest.steps[step].took:14.1f}{contest.steps[step].writes:8}" for contest in both)
        yield f"{step:28}{cells}"


def test_the_same_file_leaves_the_same_table_and_the_same_log(world: World, ldirectord: list[str], writes: Writes):
    file = str(world.folder / "test.cf")
    healthd = [sys.executable, "-m", "healthd", "run", "-c", file, "--format", "ldirectord"]
    healthd += ["--log-style", "ldirectord"]
    said = world.folder / "ldirectord.out"  # where it debugs itself, too; its log stays empty
    contests = [
        Contest("ldirectord", [*ldirectord, file, "start"], world.director, Path(file), said, writes),
        Contest("healthd", healthd, world.director, Path(file), world.folder / "log", writes),
    ]
    for contest in contests:
        try:
            story(world, contest)
        finally:
            contest.close()
            ipvsadm.clear(world.director)
    text = "\n".join(report(contests)) + "\n"
    print(text)
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(text)
    theirs, ours = (contest.steps for contest in contests)
    assert {name: step.table for name, step in ours.items()} == {name: step.table for name, step in theirs.items()}
    differing = {
        name: {"theirs alone": step.told - ours[name].told, "ours alone": ours[name].told - step.told}
        for name, step in theirs.items()
        if step.told != ours[name].told
    }
    assert differing == {}
    assert all(step.told for step in theirs.values())
    assert sum(step.writes for step in ours.values()) <= sum(step.writes for step in theirs.values())
