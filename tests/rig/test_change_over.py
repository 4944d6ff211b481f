"""From a running ldirectord to healthd and back, on the same file, while clients are served.

What docs/from-ldirectord.md tells an operator to do: cleanstop = no and a reload, `restart` by healthd, the way back.
Both write the same lines in the log, so the expressions of whoever watches it match those of both.
"""

from __future__ import annotations

import math
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from healthd.control import ask
from tests.rig import ipvsadm
from tests.rig.namespace import Namespace
from tests.rig.patience import SLOW, until
from tests.rig.traffic import Download

ROOT = Path(__file__).parents[2]
FILE = """\
checkinterval = 1
checktimeout = {patience}
failurecount = 1
cleanstop = {cleanstop}
logfile = "{log}"

"""
SERVICE = """\
virtual = {virtual}:80
{reals}
    service = http
    checktype = connect
    scheduler = wrr
    quiescent = {quiescent}

"""
WATCHED = (
    r"Added real server: (\S+) \((\S+)\) \(Weight set to [1-9]\d*\)$",
    r"^\[\w{3} \w{3} [ \d]\d [\d:]{8} \d{4}\|change\.cf\|\d+\] Quiescent real server: \S+ \(\S+\) \(Weight set to 0\)$",
    r"\] Deleted real server: (?P<server>[\d.]+:\d+) \((?P<service>[\d.]+:\d+)\)$",
    r"\] Restored real server: [\d.]+:80 \([\d.]+:80\) \(Weight set to \d+\)$",
    r"\|\d+\] Starting Linux Director v[\d.]+\S* as daemon$",
)
"""Expressions as people have them in logcheck, swatch, fail2ban, Zabbix and Splunk."""


@dataclass
class Machine:
    """A director on which either of both runs on the same file."""

    director: Namespace
    folder: Path
    services: dict[str, str]
    reals: list[str]

    @property
    def file(self) -> Path:
        """The configuration."""
        return self.folder / "change.cf"

    @property
    def log(self) -> Path:
        """Where both log."""
        return self.folder / "log"

    @property
    def pid_file(self) -> Path:
        """Where both say who they are."""
        return Path("/var/run/ldirectord.change.cf.pid")

    def write(self, cleanstop: str) -> None:
        """The file: every service has all servers."""
        text = FILE.format(patience=SLOW, cleanstop=cleanstop, log=self.log)
        reals = "\n".join(f"    real = {real} masq {weight}" for weight, real in enumerate(self.reals, 1))
        for quiescent, virtual in self.services.items():
            text += SERVICE.format(virtual=virtual, reals=reals, quiescent=quiescent)
        self.file.write_text(text)

    def perl(self, action: str) -> None:
        """Call ldirectord itself."""
        self.director.run("perl", "/usr/sbin/ldirectord", str(self.file), action)

    def healthd(self, action: str) -> None:
        """Call healthd in its place."""
        words = ("ldirectord", "--in-process", str(self.file), action)
        self.director.run("env", f"PYTHONPATH={ROOT}", sys.executable, "-m", "healthd", *words)

    def said(self, what: str) -> int:
        """How often the log has an expression, in lines of their own."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return sum(bool(re.search(what, line)) for line in lines)

    def tell(self, number: signal.Signals) -> None:
        """A signal for whichever runs."""
        os.kill(int(self.pid_file.read_text()), number)

    def stop(self) -> None:
        """As its `stop` does, and wait for the end."""
        self.tell(signal.SIGTERM)
        until("its pid file is gone", lambda: not self.pid_file.exists(), within=20)

    def has(self, *up: int) -> None:
        """Wait until exactly these servers, by number from 1, have their weight, and the others as the service says."""
        wanted = {
            "yes": {real: n if n in up else 0 for n, real in enumerate(self.reals, 1)},
            "no": {real: n for n, real in enumerate(self.reals, 1) if n in up},
        }
        until(f"{up} serve", lambda: self.rows() == wanted, within=30)

    def rows(self) -> dict[str, dict[str, int]]:
        """The weights of both services."""
        return {key: ipvsadm.weights(self.director, f"TCP {virtual}:80") for key, virtual in self.services.items()}

    def asks_everyone(self) -> None:
        """Wait until healthd has asked every server once more."""
        now = time.monotonic()
        until("everyone is asked", lambda: self._oldest_answer() < time.monotonic() - now, within=20)

    def _oldest_answer(self) -> float:
        """Seconds since the server that was asked longest ago was asked."""
        status = ask(Path("/var/run/healthd/ldirectord.change.cf.sock"), "GET", "/v1/status")
        reals = [real for service in status["services"] for real in service["reals"]]
        answers = [check["last"] for real in reals for check in real["checks"]]
        return max(answer["age"] if answer else math.inf for answer in answers)


@pytest.fixture
def machine(director, servers, web, virtual, tmp_path) -> Iterator[Machine]:
    """One with the package ldirectord; nothing runs on it afterwards."""
    if not Path("/usr/sbin/ldirectord").exists() or shutil.which("perl") is None:
        pytest.skip("needs the package ldirectord")
    services = {"yes": str(virtual.masq()), "no": str(virtual.masq())}
    made = Machine(director, tmp_path, services, [f"{server.address}:80" for server in servers])
    yield made
    if made.pid_file.exists():
        made.stop()


def test_a_change_over_and_back_loses_no_connection_and_writes_nothing_that_is_not_needed(machine, client, web, writes):
    web[2].crash()
    machine.write(cleanstop="yes")
    machine.perl("start")
    machine.has(1, 2)
    assert [what for what in WATCHED if not machine.said(what)] == []
    downloads = [Download(client, virtual) for virtual in machine.services.values()]

    machine.write(cleanstop="no")
    taken_out = rf"(Quiescent|Deleted) real server: {machine.reals[2]}"
    before = machine.said(taken_out)
    machine.tell(signal.SIGHUP)
    until(
        "it has given the dead one its weight and taken it again (B1)",
        lambda: machine.said(taken_out) == before + 2,
        30,
    )
    machine.has(1, 2)
    theirs = ipvsadm.saved(machine.director)
    machine.log.unlink()
    writes.forget()
    machine.healthd("restart")
    machine.asks_everyone()
    machine.asks_everyone()
    assert writes.by_program() == {}
    assert ipvsadm.saved(machine.director) == theirs
    web[2].ensure_well()
    machine.has(1, 2, 3)
    web[2].crash()
    machine.has(1, 2)
    assert writes.total() == 4
    assert [what for what in WATCHED if not machine.said(what)] == []

    writes.forget()
    machine.stop()
    assert writes.total() == 0
    machine.perl("start")
    machine.has(1, 2)
    assert ipvsadm.saved(machine.director) == theirs
    for download in downloads:
        download.goes_on()
        assert download.error is None
        download.close()
