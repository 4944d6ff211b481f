"""Real prober processes: what they are given, what they say, and what it costs when one dies, hangs or goes mad."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import secrets
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import pytest

from checks.tcp import TcpCheck
from healthd.check import Outcome, Reason, Target
from healthd.config.schema import ProberSettings, RunnerSettings
from healthd.health import Health, Phase, Thresholds
from healthd.prober.base import Cadence, Observation, Probe, Watch
from healthd.prober.remote import RemoteProber
from tests.processes.ear import Ear
from tests.processes.sample_checks import (
    CrashesCheck,
    FactsCheck,
    HangsCheck,
    JunkCheck,
    ProgramCheck,
    SaysCheck,
)
from tests.processes.waiting import alive, inode_of, is_root, open_files, status_of, until

QUICK = Cadence(interval=0.1, timeout=0.09, jitter=0.0)
SCRIPTS = Cadence(interval=20.0, timeout=15.0, jitter=0.0)


@dataclass
class Rig:
    """A remote prober, its sink, and what it logged."""

    prober: RemoteProber
    ear: Ear
    lines: list[str]

    def pid(self, number: int = 0) -> int:
        """Process id of a prober process."""
        return self.prober.pids()[f"prober {number}"]


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    ear, lines = Ear(), []
    prober = RemoteProber(ear, ProberSettings(processes=2), RunnerSettings(), log=lines.append, silence=3.0)
    yield Rig(prober, ear, lines)
    await prober.close()


@pytest.fixture
async def port() -> AsyncIterator[int]:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()


def probe(number: int, check: object, port: int = 1, cadence: Cadence = QUICK, **options: object) -> Probe:
    """A probe of the host that is the shard: even numbers go to one process, odd ones to the other."""
    target = Target(ip_address(HOSTS[number % 2]), port, **options)
    return Probe(number, check, target, cadence, (Watch(number + 1000, Thresholds(1, 2), Health()),))


async def latest_of(prober: RemoteProber, number: int) -> Observation:
    """The last observation of a probe, as soon as there is one."""
    for _ in range(600):
        for one in await prober.latest():
            if one.probe == number:
                return one
        await asyncio.sleep(0.05)
    raise AssertionError(f"probe {number} was never asked")


HOSTS = ("127.0.0.1", "127.0.0.4")
"""One address of each shard of two, by CRC-32."""


async def test_a_server_goes_down_and_comes_back_through_the_process(rig: Rig, port: int) -> None:
    await rig.prober.assign([probe(2, TcpCheck(), port), probe(4, TcpCheck(), 1)])
    await until(lambda: rig.ear.phase(2) is Phase.UP)
    await until(lambda: rig.ear.phase(4) is Phase.DOWN)
    await until(lambda: any(one.passed and one.failed for one in rig.ear.summaries))
    latest = await rig.prober.latest()
    assert sorted(one.probe for one in latest) == [2, 4]
    assert not rig.ear.losses


async def test_when_and_how_fast_each_probe_was_answered_can_be_asked_alone(rig: Rig, port: int) -> None:
    await rig.prober.assign([probe(2, TcpCheck(), port), probe(4, TcpCheck(), 1)])
    await until(lambda: rig.ear.phase(2) is Phase.UP and rig.ear.phase(4) is Phase.DOWN)
    timings = await rig.prober.timings()
    latest = await rig.prober.latest()

    assert timings.keys() == {2, 4}
    assert all(0 < timings[one.probe][0] <= one.at for one in latest)
    assert all(took > 0 for _, took in timings.values())


async def test_what_each_process_remembers_can_be_asked(rig: Rig, port: int) -> None:
    await rig.prober.assign([probe(2, TcpCheck(), port), probe(4, TcpCheck(), 1)])
    await until(lambda: rig.ear.phase(2) is Phase.UP and rig.ear.phase(4) is Phase.DOWN)
    memories = await rig.prober.recall([2, 4, 6])

    assert memories.keys() == {2, 4}
    assert [one.verdict.outcome for one in memories[2]][-1] is Outcome.PASS
    assert {one.verdict.outcome for one in memories[4]} == {Outcome.FAIL}
    assert "connect" in memories[2][-1].trace


async def test_each_shard_has_a_process_and_hosts_stay_together(rig: Rig) -> None:
    await rig.prober.assign([probe(number, FactsCheck()) for number in range(8)])
    await until(lambda: all(rig.ear.said(number) for number in range(8)))
    pids = [rig.ear.said(number).split()[0] for number in range(8)]
    assert pids == [f"pid={rig.pid(0)}", f"pid={rig.pid(1)}"] * 4


async def test_the_process_has_only_what_it_needs(rig: Rig) -> None:
    await rig.prober.assign([probe(0, FactsCheck())])
    await until(lambda: rig.ear.said(0))
    assert "heavy=[]" in rig.ear.said(0)
    pid = rig.pid(0)
    kinds = [link.split(":")[0] for link in open_files(pid)]
    assert set(kinds) <= {"/dev/null", "pipe", "socket", "anon_inode"}
    status = status_of(pid)
    assert status["Name"] == "healthd-prober"
    assert status["NoNewPrivs"] == "1"
    expected = 1 << 13 if is_root() else 0
    assert [int(status[name], 16) for name in ("CapPrm", "CapEff")] == [expected] * 2
    ignored = int(status["SigIgn"], 16)
    assert all(ignored >> (number - 1) & 1 for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM))


async def test_a_killed_process_is_reported_and_started_again_and_no_state_is_lost(rig: Rig, port: int) -> None:
    await rig.prober.assign([probe(2, TcpCheck(), port), probe(3, SaysCheck())])
    await until(lambda: rig.ear.phase(2) is Phase.UP and rig.ear.phase(3) is Phase.UP)
    since = rig.ear.of(2)[-1].healths[0][1].since
    pids = dict(rig.prober.pids())
    before = len(rig.ear.observations)
    for pid in pids.values():
        os.kill(pid, signal.SIGKILL)
    await until(lambda: len(rig.ear.losses) == 2)
    assert all("was killed by SIGKILL" in why for why in rig.ear.losses)
    await until(lambda: len(rig.prober.pids()) == 2 and not set(pids.values()) & set(rig.prober.pids().values()))

    last = await latest_of(rig.prober, 2)
    assert last.healths[0][1] == Health(Phase.UP, since=since)
    assert not [one for one in rig.ear.observations[before:] if one.verdict.outcome is Outcome.FAIL]


async def test_the_death_of_one_process_is_nothing_to_the_other(rig: Rig, tmp_path: Path) -> None:
    fuse = tmp_path / "fuse"
    fuse.touch()
    await rig.prober.assign([probe(0, CrashesCheck(str(fuse))), probe(1, FactsCheck())])
    await until(lambda: len(rig.ear.losses) >= 2)
    assert all("SIGABRT" in why for why in rig.ear.losses)
    assert any("Fatal Python error" in line for line in rig.lines)
    fuse.unlink()
    await until(lambda: rig.ear.said(0) == "survived" and rig.ear.of(1))
    assert len({one.verdict.detail for one in rig.ear.of(1)}) == 1
    assert len({why.split(" was")[0] for why in rig.ear.losses}) == 1


async def test_a_stopped_process_is_killed_and_started_again(rig: Rig, port: int) -> None:
    await rig.prober.assign([probe(2, TcpCheck(), port)])
    await until(lambda: rig.ear.phase(2) is Phase.UP)
    (stopped,) = rig.prober.pids().values()
    os.kill(stopped, signal.SIGSTOP)
    await until(lambda: rig.ear.losses)
    assert "did not answer for 3 s" in rig.ear.losses[0]
    assert not alive(stopped)
    await until(lambda: [pid for pid in rig.prober.pids().values() if pid != stopped])
    rig.ear.summaries.clear()
    await until(lambda: any(one.passed for one in rig.ear.summaries))


async def test_a_hanging_process_blocks_neither_the_director_nor_the_others(rig: Rig, tmp_path: Path) -> None:
    fuse = tmp_path / "fuse"
    fuse.touch()
    await rig.prober.assign([probe(0, HangsCheck(str(fuse))), probe(1, SaysCheck())])
    await until(lambda: rig.ear.said(1))
    many = [probe(number, SaysCheck(f"text {number} " + "x" * 1000), cadence=SCRIPTS) for number in range(2, 2000, 2)]
    for _ in range(3):
        await asyncio.wait_for(rig.prober.assign([probe(0, HangsCheck(str(fuse))), *many, probe(1, SaysCheck())]), 5)
    await rig.prober.hurry([0, 1, 2])
    await until(lambda: rig.ear.losses)
    assert "did not answer" in rig.ear.losses[0]
    fuse.unlink()
    await until(lambda: rig.ear.said(1998).startswith("text 1998"))
    assert rig.ear.said(0) == "went on"


async def test_a_process_that_says_what_no_prober_says_is_killed(rig: Rig, tmp_path: Path) -> None:
    fuse = tmp_path / "fuse"
    fuse.touch()
    await rig.prober.assign([probe(0, JunkCheck(b".\x80\x04N.", str(fuse)))])
    await until(lambda: rig.ear.losses)
    assert "sent what no prober sends" in rig.ear.losses[0]
    fuse.unlink()
    await until(lambda: rig.ear.said(0) == "honest")


async def test_observations_of_strangers_are_not_passed_on(rig: Rig, tmp_path: Path) -> None:
    fuse = tmp_path / "fuse"
    fuse.touch()
    of_another = [3, "pass", "ok", "forged", None, 1, 1, [[1003, "up", 0, 0, None]]]
    of_no_watch_of_its_own = [0, "pass", "ok", "x", None, 1, 1, [[1003, "up", 0, 0, None]]]
    forged = json.dumps(["observed", [of_another, of_no_watch_of_its_own]])
    await rig.prober.assign([probe(0, JunkCheck(b"." + forged.encode(), str(fuse))), probe(3, SaysCheck("true"))])
    await until(lambda: any(one.verdict.detail == "x" for one in rig.ear.of(0)))
    assert {one.healths for one in rig.ear.of(0) if one.verdict.detail == "x"} == {()}
    await until(lambda: rig.ear.of(3))
    assert {one.verdict.detail for one in rig.ear.of(3)} == {"true"}


async def test_scripts_run_by_a_runner_that_the_director_started(rig: Rig) -> None:
    await rig.prober.assign([probe(0, ProgramCheck(("/bin/sh", "-c", "echo $PPID")), cadence=SCRIPTS)])
    await until(lambda: rig.ear.said(0))
    runner = int(rig.ear.said(0))
    assert runner in rig.prober.pids().values()
    assert status_of(runner)["Name"] == "healthd-runner"
    os.kill(runner, signal.SIGKILL)
    await until(lambda: not alive(runner))
    await until(lambda: any("runner" in line and "SIGKILL" in line for line in rig.lines))
    for _ in range(100):
        await rig.prober.hurry([0])
        await asyncio.sleep(0.1)
        if "runner of None in None" in rig.prober.pids():
            break
    assert rig.prober.pids()["runner of None in None"] != runner
    assert not rig.ear.losses


@pytest.mark.skipif(not is_root(), reason="only root may become somebody else")
async def test_scripts_run_as_whom_a_check_names_and_as_nobody_else(rig: Rig) -> None:
    whoami = ("/usr/bin/id", "-un")
    await rig.prober.assign(
        [
            probe(0, ProgramCheck(whoami, user="nobody"), cadence=SCRIPTS),
            probe(1, ProgramCheck(whoami, sneaky_user="bin"), cadence=SCRIPTS),
        ]
    )
    await until(lambda: rig.ear.said(0) and rig.ear.said(1))
    assert rig.ear.said(0) == "nobody"
    assert rig.ear.of(1)[0].verdict.outcome is Outcome.INCONCLUSIVE
    assert "no check runs anything as 'bin'" in rig.ear.said(1)


async def test_nothing_outlives_a_killed_director_not_even_a_prober_that_hangs(tmp_path: Path) -> None:
    fuse, pids = tmp_path / "fuse", tmp_path / "pids"
    fuse.touch()
    code = f"""
import asyncio
from pathlib import Path
from tests.processes.test_remote import *
async def main():
    prober = RemoteProber(Ear(), ProberSettings(processes=2), RunnerSettings(), silence=300)
    await prober.assign([probe(0, HangsCheck({str(fuse)!r})), probe(1, ProgramCheck(("/bin/sleep", "300")))])
    while len(prober.pids()) < 3:
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.5)
    Path({str(pids)!r}).write_text(" ".join(map(str, prober.pids().values())))
    await asyncio.sleep(300)
asyncio.run(main())
"""
    director = await asyncio.create_subprocess_exec(sys.executable, "-c", code, cwd=Path(__file__).parents[2])
    try:
        await until(lambda: pids.exists() and len(pids.read_text().split()) == 3)
    finally:
        director.kill()
        await director.wait()
    await until(lambda: not any(map(alive, map(int, pids.read_text().split()))))


async def test_probes_that_go_take_their_process_along(rig: Rig) -> None:
    await rig.prober.assign([probe(0, SaysCheck()), probe(1, SaysCheck())])
    await until(lambda: rig.ear.said(0) and rig.ear.said(1))
    pids = list(rig.prober.pids().values())
    await rig.prober.assign([probe(1, SaysCheck())])
    assert len(rig.prober.pids()) == 1
    await rig.prober.close()
    await until(lambda: not any(map(alive, pids)))
    assert not rig.ear.losses


async def test_an_assignment_of_thousands_arrives_whole(rig: Rig) -> None:
    checks = [SaysCheck("x" * 70_000), SaysCheck("y")]
    probes = [probe(number, checks[number % 2], cadence=SCRIPTS) for number in range(3000)]
    await rig.prober.assign(probes)
    await until(lambda: len({one.probe for one in rig.ear.observations}) == 3000)
    assert len(await rig.prober.latest()) == 3000
    assert (await rig.prober.timings()).keys() == set(range(3000))


@pytest.fixture
def namespace() -> Iterator[str]:
    name = f"hd-test-{secrets.token_hex(3)}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("no right to make a network namespace")
    yield name
    subprocess.run(["ip", "netns", "del", name], check=True)


async def test_a_namespace_has_a_process_that_is_in_it(rig: Rig, namespace: str) -> None:
    here = FactsCheck()
    await rig.prober.assign(
        [
            probe(0, here),
            probe(2, here, netns=namespace),
            probe(
                4, ProgramCheck(("/usr/bin/stat", "-Lc", "%i", "/proc/self/ns/net")), netns=namespace, cadence=SCRIPTS
            ),
        ]
    )
    await until(lambda: all(map(rig.ear.said, (0, 2, 4))))
    inode = inode_of(f"/run/netns/{namespace}")
    assert f"netns={inode} " in rig.ear.said(2)
    assert f"netns={inode} " not in rig.ear.said(0)
    assert rig.ear.said(4) == str(inode)
    status = status_of(rig.prober.pids()[f"prober 0 in {namespace}"])
    assert int(status["CapPrm"], 16) == 1 << 13


async def test_a_missing_namespace_is_told_and_tried_again_while_others_go_on(rig: Rig) -> None:
    await rig.prober.assign([probe(0, SaysCheck()), probe(2, SaysCheck(), netns="no-such-netns")])
    await until(lambda: rig.ear.said(0))
    await until(lambda: len(rig.ear.losses) >= 2)
    assert all("no-such-netns" in why and "No such file" in why for why in rig.ear.losses)
    (told,) = rig.ear.of(2)
    assert (told.verdict.outcome, told.verdict.reason) == (Outcome.INCONCLUSIVE, Reason.LOCAL)
    assert "no-such-netns" in told.verdict.detail
    assert told.healths == ((1002, Health()),)
    rig.ear.summaries.clear()
    await until(lambda: rig.ear.summaries and rig.ear.summaries[-1].unasked == 0)


async def test_probes_count_as_unasked_until_the_process_has_asked_them_once(rig: Rig, tmp_path: Path) -> None:
    await rig.prober.assign([])
    await until(lambda: rig.ear.summaries)
    assert rig.ear.summaries[-1].unasked == 0
    fuse = tmp_path / "fuse"
    fuse.touch()
    await rig.prober.assign([probe(0, HangsCheck(str(fuse))), probe(1, SaysCheck())])
    await until(lambda: rig.ear.said(1) == "fine")
    rig.ear.summaries.clear()
    await until(lambda: len(rig.ear.summaries) >= 2)
    assert {one.unasked for one in rig.ear.summaries[1:]} == {1}
    fuse.unlink()
    await until(lambda: rig.ear.summaries[-1].unasked == 0)


async def test_a_check_that_cannot_be_told_is_our_fault_and_said(rig: Rig) -> None:
    @dataclass(frozen=True)
    class LocalCheck(SaysCheck):
        """Nobody can import it."""

    await rig.prober.assign([probe(0, LocalCheck()), probe(1, SaysCheck())])
    await until(lambda: rig.ear.of(0) and rig.ear.of(1))
    assert rig.ear.of(0)[0].verdict.outcome is Outcome.INCONCLUSIVE
    assert "cannot be told what to ask" in rig.ear.said(0)
    assert "LocalCheck" in rig.ear.said(0)
    assert rig.ear.said(1) == "fine"
    await rig.prober.assign([probe(2, SaysCheck()), probe(1, SaysCheck())])
    await until(lambda: rig.ear.said(2) == "fine")


async def test_no_descriptor_left_is_our_fault_and_passes(rig: Rig) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    next_one = os.dup(0)
    os.close(next_one)
    resource.setrlimit(resource.RLIMIT_NOFILE, (next_one + 1, hard))
    try:
        await rig.prober.assign([probe(0, SaysCheck())])
        await until(lambda: rig.ear.of(0))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert rig.ear.of(0)[0].verdict.outcome is Outcome.INCONCLUSIVE
    assert "Too many open files" in rig.ear.of(0)[0].verdict.detail
    await until(lambda: rig.ear.said(0) == "fine")
