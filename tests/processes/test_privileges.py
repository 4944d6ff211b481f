"""What is left of our rights after `confine`, read from the kernel in real processes that try to get them back."""

from __future__ import annotations

import json
import os
import pwd
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from healthd.privileges import (
    DIRECTOR,
    PROBER,
    RUNNER,
    Capability,
    PrivilegeError,
    enter_namespace,
    is_us,
    marks_need_admin,
    needed,
    permitted,
)
from tests.processes.waiting import is_root

HERE = str(Path(__file__).parents[2])
NET_ADMIN, NET_RAW = 1 << 12, 1 << 13

root_only = pytest.mark.skipif(not is_root(), reason="needs root to have something to lose")

PRELUDE = f"""
import json, os, socket, subprocess, sys
sys.path.insert(0, {HERE!r})
from healthd.privileges import *
def sets(text):
    lines = dict(line.split(":", 1) for line in text.splitlines())
    found = {{name[3:]: int(lines[name], 16) for name in ("CapPrm", "CapEff", "CapInh", "CapAmb", "CapBnd")}}
    return found | {{"nnp": int(lines["NoNewPrivs"]), "uids": lines["Uid"].split(), "groups": lines["Groups"].split()}}
def own():
    return sets(open("/proc/self/status").read())
def of_child():
    return sets(subprocess.run(["/bin/cat", "/proc/self/status"], capture_output=True, text=True).stdout)
def allowed(action):
    try:
        action()
    except OSError as error:
        return type(error).__name__
    return True
def raw():
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close()
def mark():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 1)
"""


def in_child(code: str, *, user: str | None = None, others: bool = False) -> dict[str, object]:
    """What a new interpreter tells in the variable `told`.

    user: whom it starts as. others: it becomes somebody who may not be able to read what ours is made of.
    """
    text = PRELUDE + code + "\nprint(json.dumps(told))"
    command = [interpreter_of_others() if user or others else sys.executable, "-I", "-S", "-c", text]
    group = pwd.getpwnam(user).pw_gid if user else None
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, user=user, group=group)
    assert ended.returncode == 0, ended.stderr
    told: dict[str, object] = json.loads(ended.stdout)
    return told


def interpreter_of_others() -> str:
    """An interpreter that is not root's alone: ours, or the system's if it is new enough."""
    own = Path(sys.executable).resolve()
    if all(folder.stat().st_mode & 0o001 for folder in own.parents):
        return sys.executable
    asked = subprocess.run(["/usr/bin/python3", "-c", "import sys; print(sys.version_info >= (3, 11))"], **QUIETLY)
    if asked.stdout.strip() != "True":
        pytest.skip("no interpreter that a plain user may start")
    return "/usr/bin/python3"


QUIETLY = {"capture_output": True, "text": True, "check": False}


@root_only
def test_a_prober_has_raw_sockets_and_marks_and_nothing_else() -> None:
    told = in_child("""
kept = confine(keep=PROBER)
told = {"kept": sorted(kept), "own": own(), "child": of_child(), "raw": allowed(raw), "mark": allowed(mark),
        "read": allowed(lambda: os.open("/proc/1/environ", os.O_RDONLY)), "setuid": allowed(lambda: os.setuid(1))}
""")
    assert told["kept"] == [Capability.NET_RAW]
    for which in ("own", "child"):
        assert told[which] == {
            **dict.fromkeys(("Prm", "Eff", "Inh", "Amb", "Bnd"), NET_RAW),
            "nnp": 1,
            "uids": ["0"] * 4,
            "groups": told[which]["groups"],
        }
    assert told["raw"] is True
    assert told["mark"] is True or marks_need_admin(os.uname().release)
    assert told["setuid"] == "PermissionError"


@root_only
def test_a_runner_has_nothing_is_somebody_else_and_stays_so() -> None:
    told = in_child("""
confine(user="nobody", keep=RUNNER)
told = {"own": own(), "child": of_child(), "raw": allowed(raw), "back": allowed(lambda: os.setuid(0)),
        "group": allowed(lambda: os.setgroups([0])), "su": allowed(lambda: os.setresuid(-1, 0, -1))}
""")
    uid = told["own"]["uids"][0]
    assert uid != "0"
    for which in ("own", "child"):
        assert told[which]["uids"] == [uid] * 4
        assert [told[which][name] for name in ("Prm", "Eff", "Inh", "Amb", "Bnd", "nnp")] == [0, 0, 0, 0, 0, 1]
        assert "0" not in told[which]["groups"]
    assert [told[name] for name in ("raw", "back", "group", "su")] == ["PermissionError"] * 4


@root_only
def test_a_prober_of_another_user_keeps_its_raw_sockets() -> None:
    told = in_child("""
confine(user="nobody", keep=PROBER)
told = {"own": own(), "child": of_child(), "raw": allowed(raw), "back": allowed(lambda: os.setuid(0))}
""")
    assert told["own"]["uids"][0] != "0"
    assert [told["own"][name] for name in ("Prm", "Eff", "Inh", "Amb", "Bnd")] == [NET_RAW] * 5
    assert told["child"]["Eff"] == NET_RAW
    assert told["raw"] is True
    assert told["back"] == "PermissionError"


@root_only
def test_a_set_user_id_program_gives_nothing_back(tmp_path: Path) -> None:
    copy = tmp_path / "id"
    copy.write_bytes(Path("/usr/bin/id").read_bytes())
    copy.chmod(0o4755)
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(folder.stat().st_mode | 0o055)
    code = f"told = {{'id': subprocess.run([{str(copy)!r}, '-u'], capture_output=True, text=True).stdout.strip()}}"
    if in_child("os.setgid(65534); os.setuid(65534)\n" + code) != {"id": "0"}:
        pytest.skip("set-user-id programs do not work here at all")
    assert in_child("confine(user='nobody')\n" + code)["id"] != "0"


@root_only
def test_a_director_lends_for_the_moment_of_starting_a_child_what_it_does_not_use_itself() -> None:
    told = in_child("""
confine(user="nobody", keep=DIRECTOR, reserve=PROBER | {Capability.SETUID, Capability.SETGID})
before = own()
plain = of_child()
with lending(PROBER):
    lent = of_child()
told = {"before": before, "plain": plain, "lent": lent, "after": own(), "raw": allowed(raw)}
""")
    assert told["before"]["Eff"] == NET_ADMIN
    assert told["before"]["Prm"] == NET_ADMIN | NET_RAW | 1 << 6 | 1 << 7
    assert told["plain"]["Eff"] == NET_ADMIN
    assert told["lent"]["Eff"] == NET_ADMIN | NET_RAW
    assert told["after"] == told["before"]
    assert told["raw"] == "PermissionError"


@root_only
def test_a_lowered_director_uses_little_passes_on_nothing_and_can_still_lend() -> None:
    told = in_child("""
confine(user="nobody", keep=LENT)
kept = lower(keep=DIRECTOR, reserve=LENT)
plain = of_child()
with lending(PROBER):
    lent = of_child()
told = {"kept": sorted(kept), "own": own(), "plain": plain, "lent": lent, "raw": allowed(raw)}
""")
    assert told["kept"] == [Capability.NET_ADMIN]
    assert [told["own"][name] for name in ("Eff", "Inh", "Amb")] == [NET_ADMIN, 0, 0]
    assert told["raw"] == "PermissionError"
    assert [told["plain"][name] for name in ("Prm", "Eff", "Amb")] == [0, 0, 0]
    assert told["lent"]["Eff"] == NET_RAW


@root_only
@pytest.mark.parametrize(
    ("reserve", "how"), [("LENT", "was killed by SIGKILL"), ("LENT - {Capability.KILL}", "CAP_KILL")]
)
def test_a_lowered_director_can_end_a_hung_runner_of_another_user_if_it_may(reserve: str, how: str) -> None:
    told = in_child(f"""
import asyncio
from healthd.children import start
lower(keep=DIRECTOR, reserve={reserve})
async def main():
    lend = needed(user="nobody", netns=None, keep=RUNNER)
    child = start("healthd.runner.child", ["1", "nobody", ""], name="runner", lend=lend, small=True, log=print)
    await asyncio.get_running_loop().sock_recv(child.control, 10)
    subprocess.run(["/bin/kill", "-STOP", str(child.pid)], check=True)
    ended = child.end()
    subprocess.run(["/bin/kill", "-KILL", str(child.pid)])
    return {{"ended": ended, "own": own()}}
told = asyncio.run(main())
""")
    assert how in str(told["ended"])
    assert told["own"]["Eff"] == NET_ADMIN


@root_only
def test_a_lowered_director_that_is_root_starts_hooks_that_are_root() -> None:
    told = in_child("""
lower(keep=DIRECTOR, reserve=LENT)
told = {"own": own(), "hook": of_child()}
""")
    assert told["own"]["Eff"] == NET_ADMIN
    assert told["hook"]["nnp"] == 0
    assert told["hook"]["Eff"] == told["hook"]["Bnd"] != 0


@root_only
def test_under_a_service_manager_that_gives_two_capabilities_each_process_has_its_own() -> None:
    """As with User=, AmbientCapabilities= and NoNewPrivileges= in the unit."""
    told = in_child(
        """
confine(user="nobody", keep=PROBER | DIRECTOR)
lower(keep=DIRECTOR, reserve=LENT)
import asyncio
from ipaddress import ip_address
from healthd.check import Target
from healthd.config.schema import ProberSettings, RunnerSettings
from healthd.health import Health, Thresholds
from healthd.prober.base import Cadence, Probe, Watch
from healthd.prober.remote import RemoteProber
from tests.processes.sample_checks import ProgramCheck
class Ear:
    said = None
    def observed(self, batch): self.said = batch[-1].verdict.detail
    def summarised(self, summary): pass
    def lost(self, why): self.said = why
async def main():
    ear = Ear()
    prober = RemoteProber(ear, ProberSettings(), RunnerSettings())
    check = ProgramCheck(("/bin/cat", "/proc/self/status"))
    target = Target(ip_address("127.0.0.1"), 1)
    await prober.assign([Probe(1, check, target, Cadence(30, 20), (Watch(1, Thresholds(), Health()),))])
    await prober.hurry([1])
    while ear.said is None:
        await asyncio.sleep(0.05)
    running = {name: sets(open(f"/proc/{pid}/status").read()) for name, pid in prober.pids().items()}
    await prober.close()
    return {"said": ear.said, "running": running, "own": own()}
told = asyncio.run(main())
""",
        user=None,
        others=True,
    )
    assert "CapEff:" in str(told["said"]), told["said"]
    assert told["own"]["Eff"] == NET_ADMIN
    rights = {name: (sets["Prm"], sets["Eff"], sets["Amb"]) for name, sets in told["running"].items()}
    assert rights == {"prober 0": (NET_RAW,) * 3, "runner of None in None": (0, 0, 0)}


@root_only
def test_a_plain_user_goes_on_with_what_there_is_and_is_told_what_is_not() -> None:
    told = in_child(
        """
kept = confine(keep=PROBER)
def words(**wanted):
    try:
        confine(**wanted)
    except PrivilegeError as error:
        return str(error)
name = __import__("pwd").getpwuid(os.getuid()).pw_name
told = {"kept": sorted(kept), "own": own(), "raw": allowed(raw), "self": words(user=name),
        "root": words(user="root"), "netns": words(netns="/proc/self/ns/net")}
""",
        user="nobody",
    )
    assert told["kept"] == []
    assert [told["own"][name] for name in ("Prm", "Eff", "Inh", "Amb", "nnp")] == [0, 0, 0, 0, 1]
    assert told["raw"] == "PermissionError"
    assert told["self"] is None
    assert told["root"] == "no right to switch to user 'root' (needs CAP_SETUID and CAP_SETGID)"
    assert told["netns"] == "network namespace '/proc/self/ns/net': no right to enter it (needs CAP_SYS_ADMIN)"


@root_only
def test_a_plain_user_runs_scripts_and_probes_all_the_same() -> None:
    """The whole of it under a user without any right, as far as the system's own interpreter can import it."""
    told = in_child(
        """
import asyncio
from healthd.check import Run, Inconclusive
from healthd.config.schema import RunnerSettings
from healthd.runner.process import start_runner
async def main():
    runner = start_runner(RunnerSettings(), log=lambda line: None)
    async def run(*argv, **options):
        ended = asyncio.get_running_loop().create_future()
        runner.run(Run(argv, **options), 30, ended.set_result)
        return await ended
    try:
        return {"own": repr(await run("/usr/bin/id", "-un")), "other": repr(await run("/bin/true", user="root"))}
    finally:
        await runner.close()
told = asyncio.run(main())
""",
        user="nobody",
    )
    assert told["own"] == "Ran(status=0, output=b'nobody\\n')"
    assert "no right to switch to user 'root'" in str(told["other"])


@pytest.fixture
def namespace() -> Iterator[str]:
    name = f"hd-test-{secrets.token_hex(3)}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("no right to make a network namespace")
    yield name
    subprocess.run(["ip", "netns", "del", name], check=True)


@pytest.mark.parametrize("form", ["{}", "/run/netns/{}"])
def test_a_namespace_is_entered_before_the_right_to_is_dropped(namespace: str, form: str) -> None:
    told = in_child(f"""
confine(user="nobody", keep=PROBER, netns={form.format(namespace)!r})
told = {{"inode": os.stat("/proc/self/ns/net").st_ino, "links": [name for _, name in socket.if_nameindex()]}}
""")
    assert told["inode"] == Path(f"/run/netns/{namespace}").stat().st_ino
    assert "eth0" not in told["links"]


def test_what_is_no_namespace_is_refused_in_plain_words(tmp_path: Path) -> None:
    with pytest.raises(PrivilegeError, match=r"cannot open /run/netns/no-such-netns: No such file"):
        enter_namespace("no-such-netns")
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(PrivilegeError, match="not a network namespace"):
        enter_namespace(str(file))


def test_an_unknown_user_is_refused_before_anything_is_given_away() -> None:
    told = in_child("""
before = own()
try:
    confine(user="nosuchuser")
except PrivilegeError as error:
    why = str(error)
told = {"why": why, "same": own() == before}
""")
    assert told == {"why": "there is no user 'nosuchuser'", "same": True}


def test_a_child_is_lent_only_what_it_needs_to_confine_itself() -> None:
    own = str(os.getuid())
    assert is_us(own)
    assert needed(user=own, netns=None, keep=RUNNER) == {Capability.SETPCAP}
    assert needed(user=None, netns="blue", keep=PROBER) == {
        Capability.SETPCAP,
        Capability.SYS_ADMIN,
        Capability.NET_RAW,
    }
    other = "nobody" if is_root() else "root"
    assert needed(user=other, netns=None, keep=DIRECTOR) >= {Capability.SETUID, Capability.SETGID}


@pytest.mark.parametrize(
    ("release", "old"),
    [
        ("5.16.20", True),
        ("5.17.0", False),
        ("5.17.0-rc1", False),
        ("6.1.0-18-amd64", False),
        ("6.18.44+", False),
        ("4.19", True),
        ("10.0", False),
        ("unknown", True),
        ("5", True),
    ],
)
def test_marks_need_more_on_old_kernels(release: str, old: bool) -> None:
    assert marks_need_admin(release) is old


@root_only
def test_marks_need_what_we_think_on_this_kernel() -> None:
    told = in_child('confine(keep=PROBER)\ntold = {"mark": allowed(mark)}')
    assert (told["mark"] is True) is not marks_need_admin(os.uname().release)


def test_a_raw_socket_needs_a_right_at_all() -> None:
    """So that the tests above say something."""
    try:
        socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close()
        possible = True
    except PermissionError:
        possible = False
    assert possible is (Capability.NET_RAW in permitted())
