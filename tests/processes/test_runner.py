"""A real runner process runs real scripts: what it reports, what it never leaves behind, what it survives."""

from __future__ import annotations

import asyncio
import os
import re
import resource
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from healthd.check import Inconclusive, Ran, Run
from healthd.config.schema import RunnerSettings
from healthd.runner.process import RunnerProcesses, start_runner
from tests.processes.waiting import BOUND, alive, children_of, is_root, status_of, until

root_only = pytest.mark.skipif(not is_root(), reason="only root may become somebody else")


class Scripts:
    """Runs scripts with a runner and waits for how they end: `run` a program, a `shell` text, a file it can `write`."""

    def __init__(self, runner: RunnerProcesses, lines: list[str], folder: Path) -> None:
        self.runner = runner
        self.lines = lines
        self._folder = folder

    async def run(self, *argv: str, deadline: float = BOUND, **options: object) -> Ran | Inconclusive:
        """How a program ended."""
        ended = asyncio.get_running_loop().create_future()
        self.runner.run(Run(argv, **options), deadline, ended.set_result)
        return await asyncio.wait_for(ended, deadline + BOUND)

    async def shell(self, text: str, deadline: float = BOUND, **options: object) -> Ran | Inconclusive:
        """How a text of the shell's ended."""
        return await self.run("/bin/sh", "-c", text, deadline=deadline, **options)

    def write(self, text: str, mode: int = 0o755) -> str:
        """Path of a new file."""
        path = self._folder / f"script{len(list(self._folder.iterdir()))}"
        path.write_text(text)
        path.chmod(mode)
        return str(path)

    def pid(self, user: str | None = None) -> int:
        """Process id of the user's runner."""
        return self.runner.pids()[(user, None)]


@pytest.fixture
async def scripts(tmp_path: Path) -> AsyncIterator[Scripts]:
    lines: list[str] = []
    runner = start_runner(RunnerSettings(parallel=8), log=lines.append)
    yield Scripts(runner, lines, tmp_path)
    await runner.close()


def why(ended: Ran | Inconclusive) -> str:
    assert isinstance(ended, Inconclusive), ended
    return ended.detail


async def test_a_script_is_reported_with_its_exit_code_and_both_of_its_outputs(scripts: Scripts) -> None:
    path = scripts.write('#!/bin/sh\necho "$1 $2 $3 $4"\necho oops >&2\nexit 7\n')
    ended = await scripts.run(path, "192.0.2.80", "80", "[2001:db8::1]", "8080")
    assert ended == Ran(7, b"192.0.2.80 80 [2001:db8::1] 8080\noops\n")


async def test_the_environment_is_minimal_and_what_the_request_adds(scripts: Scripts) -> None:
    os.environ["HEALTHD_TEST_SECRET"] = "of the director"
    try:
        ended = await scripts.run("/usr/bin/env", env=(("VIP", "192.0.2.80"), ("ODD", "a=b c"), ("LANG", "fr_FR")))
    finally:
        del os.environ["HEALTHD_TEST_SECRET"]
    assert isinstance(ended, Ran)
    settings = dict(line.split(b"=", 1) for line in ended.output.splitlines())
    assert set(settings) == {b"PATH", b"HOME", b"LANG", b"VIP", b"ODD"}
    assert settings[b"ODD"] == b"a=b c"
    assert settings[b"LANG"] == b"fr_FR"
    assert b"/usr/bin" in settings[b"PATH"].split(b":")


async def test_a_script_has_three_descriptors_no_input_the_root_folder_and_a_session_of_its_own(
    scripts: Scripts,
) -> None:
    ended = await scripts.shell("ls /proc/$$/fd; readlink /proc/$$/fd/0 /proc/$$/cwd; cut -d' ' -f5,6 /proc/$$/stat")
    assert isinstance(ended, Ran)
    *fds, stdin, folder, group = ended.output.decode().splitlines()
    assert fds == ["0", "1", "2"]
    assert stdin == "/dev/null"
    assert folder == "/"
    assert len(set(group.split())) == 1


async def test_a_script_has_default_signals_and_no_capability(scripts: Scripts) -> None:
    ended = await scripts.run("/bin/cat", "/proc/self/status")
    assert isinstance(ended, Ran)
    status = dict(line.split(":\t", 1) for line in ended.output.decode().splitlines() if ":\t" in line)
    assert int(status["SigBlk"], 16) == 0
    ignored = int(status["SigIgn"], 16)
    assert not any(ignored >> (number - 1) & 1 for number in range(1, 32))
    assert {status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {"0000000000000000"}
    assert status["NoNewPrivs"] == "1"


async def test_a_broken_pipe_ends_a_script_as_in_any_shell(scripts: Scripts) -> None:
    ended = await scripts.shell("yes | head -n 1", deadline=BOUND)
    assert ended == Ran(0, b"y\n")


async def test_death_by_a_signal_is_never_a_success(scripts: Scripts) -> None:
    assert await scripts.shell("kill -SEGV $$") == Ran(-signal.SIGSEGV, b"")
    assert await scripts.shell("kill -TERM $$") == Ran(-signal.SIGTERM, b"")


async def test_a_hung_script_is_killed_at_its_deadline_with_all_its_descendants(
    scripts: Scripts, tmp_path: Path
) -> None:
    pids = tmp_path / "pids"
    text = f"""
        echo $$ >> {pids}
        (trap '' TERM INT HUP; echo $(sh -c 'echo $PPID') >> {pids}; sleep 300; sleep 300) &
        timeout 300 sh -c 'echo $$ >> {pids}; sleep 300; sleep 300' &
        while [ $(wc -l < {pids}) -lt 3 ]; do sleep 0.05; done
        echo ready
        sleep 300
    """
    assert await scripts.shell(text, deadline=3.0) == Ran(-signal.SIGKILL, b"ready\n")
    started = [int(line) for line in pids.read_text().split()]
    assert len(started) == 3
    await until(lambda: not any(map(alive, started)), "for the descendants to be gone")
    await until(lambda: not children_of(scripts.pid()), "for the runner to have reaped them")


async def test_what_a_script_left_running_in_its_session_ends_with_it_and_delays_nothing(
    scripts: Scripts, tmp_path: Path
) -> None:
    pids = tmp_path / "pids"
    text = f"sleep 300 & echo $! > {pids}; timeout 300 sleep 300 & echo $! >> {pids}; echo done"
    assert await scripts.shell(text) == Ran(0, b"done\n")
    started = [int(line) for line in pids.read_text().split()]
    await until(lambda: not any(map(alive, started)), "for the descendants to be gone")
    await until(lambda: not children_of(scripts.pid()), "for the runner to have reaped them")


async def test_a_daemon_that_made_its_own_session_stays_but_delays_nothing(scripts: Scripts, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    ended = await scripts.shell(f"setsid sh -c 'echo $$ > {pids}; exec sleep 300' & while [ ! -s {pids} ]; do :; done")
    daemon = int(pids.read_text())
    try:
        assert ended == Ran(0, b"")
        assert alive(daemon)
    finally:
        os.kill(daemon, signal.SIGKILL)
    await until(lambda: not alive(daemon))


async def test_endless_output_is_cut_to_its_end_and_costs_no_memory(scripts: Scripts) -> None:
    await scripts.shell("true")
    before = int(status_of(scripts.pid())["VmRSS"].split()[0])
    endless = "while :; do echo 0123456789012345678901234567890123456789; done"
    hung, other = await asyncio.gather(
        scripts.shell(endless, deadline=2.0, output_limit=100), scripts.shell("echo still served")
    )
    assert isinstance(hung, Ran)
    assert hung.status == -signal.SIGKILL
    assert len(hung.output) == 100
    assert other == Ran(0, b"still served\n")
    assert int(status_of(scripts.pid())["VmRSS"].split()[0]) < before + 4096


async def test_the_end_of_long_output_is_kept(scripts: Scripts) -> None:
    ended = await scripts.shell("i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done", output_limit=11)
    assert ended == Ran(0, b"line 19999\n")


async def test_a_megabyte_of_output_arrives_whole_if_it_is_wanted(scripts: Scripts) -> None:
    text = "head -c 3000000 /dev/zero | tr '\\0' x; printf end"
    ended = await scripts.shell(text, output_limit=1 << 20)
    assert isinstance(ended, Ran)
    assert ended.output == b"x" * ((1 << 20) - 3) + b"end"


@pytest.mark.parametrize(
    ("text", "mode", "words"),
    [
        ("#!/bin/sh\n", 0o644, "not executable"),
        ("#!/no/such/interpreter -x\n", 0o755, "its interpreter '/no/such/interpreter' does not exist"),
        ("#!/bin/sh\r\nexit 0\r\n", 0o755, "its interpreter '/bin/sh\\r' does not exist"),
        ("", 0o755, "empty"),
        ("\x7fELF\0\0\0\0 of another machine", 0o755, "not a program for this machine"),
    ],
)
async def test_a_file_that_cannot_be_run_is_our_fault(scripts: Scripts, text: str, mode: int, words: str) -> None:
    path = scripts.write(text, mode)
    detail = why(await scripts.run(path))
    assert words in detail
    assert path in detail


async def test_a_missing_script_a_folder_and_an_impossible_command_are_our_fault(scripts: Scripts) -> None:
    assert why(await scripts.run("/no/such/script")) == "/no/such/script: no such file"
    assert why(await scripts.run("/")) == "/: is a directory"
    assert "NUL byte" in why(await scripts.run("/bin/true", "a\0b"))
    assert "too long" in why(await scripts.run("/bin/echo", "x" * 1_000_000))


async def test_a_script_without_interpreter_line_is_for_the_shell(scripts: Scripts) -> None:
    assert await scripts.run(scripts.write("echo $1; exit 4\n"), "argument") == Ran(4, b"argument\n")


async def test_no_descriptor_left_is_our_fault(scripts: Scripts) -> None:
    """The limit is lowered below what the runner has open."""
    await scripts.shell("true")
    old = resource.prlimit(scripts.pid(), resource.RLIMIT_NOFILE)
    resource.prlimit(scripts.pid(), resource.RLIMIT_NOFILE, (8, old[1]))
    assert "no pipe for its output" in why(await scripts.shell("true"))
    resource.prlimit(scripts.pid(), resource.RLIMIT_NOFILE, old)
    assert await scripts.shell("true") == Ran(0, b"")


@root_only
async def test_no_process_left_for_the_user_is_our_fault(scripts: Scripts) -> None:
    old = resource.getrlimit(resource.RLIMIT_NPROC)
    resource.setrlimit(resource.RLIMIT_NPROC, (0, old[1]))
    try:
        (await scripts.runner.attach("nobody", None)).close()
    finally:
        resource.setrlimit(resource.RLIMIT_NPROC, old)
    assert "EAGAIN" in why(await scripts.run("/bin/true", user="nobody"))


@root_only
async def test_each_user_has_a_runner_that_is_that_user_and_nobody_else_again(scripts: Scripts) -> None:
    nobody, own = await asyncio.gather(
        scripts.run("/usr/bin/id", "-un", user="nobody"), scripts.run("/usr/bin/id", "-un")
    )
    assert nobody == Ran(0, b"nobody\n")
    assert own == Ran(0, b"root\n")
    status = status_of(scripts.pid("nobody"))
    assert len(set(status["Uid"].split())) == len(set(status["Gid"].split())) == 1
    assert {status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0000000000000000"}
    code = "import os, sys\ntry: os.setuid(0)\nexcept PermissionError: print('never')"
    assert await scripts.run("/usr/bin/python3", "-c", code, user="nobody") == Ran(0, b"never\n")


async def test_an_unknown_user_or_namespace_is_our_fault(scripts: Scripts) -> None:
    assert "there is no user 'nosuchuser'" in why(await scripts.run("/bin/true", user="nosuchuser"))
    assert "no-such-netns" in why(await scripts.run("/bin/true", netns="no-such-netns"))
    assert "no-such-netns" in why(await scripts.run("/bin/true", netns="no-such-netns"))


async def test_only_so_many_run_at_once_and_all_of_two_hundred_do(scripts: Scripts, tmp_path: Path) -> None:
    running = tmp_path / "running"
    running.mkdir()
    text = f"touch {running}/$$; ls {running} | wc -l; sleep 0.02; rm {running}/$$"
    ended = await asyncio.gather(*(scripts.shell(text) for _ in range(200)))
    assert all(isinstance(one, Ran) and one.status == 0 for one in ended)
    assert max(int(one.output) for one in ended if isinstance(one, Ran)) <= 8


async def test_a_script_that_never_had_its_turn_is_our_fault_not_the_servers(scripts: Scripts) -> None:
    hung = [asyncio.ensure_future(scripts.shell("sleep 300", deadline=4.0)) for _ in range(8)]
    await asyncio.sleep(0.2)
    queued = await scripts.shell("true", deadline=0.5)
    assert "was never started" in why(queued)
    assert await asyncio.gather(*hung) == [Ran(-signal.SIGKILL, b"")] * 8
    assert await scripts.shell("echo next") == Ran(0, b"next\n")


async def test_a_script_that_got_only_the_rest_of_its_time_is_not_blamed_for_being_late(scripts: Scripts) -> None:
    hung = [asyncio.ensure_future(scripts.shell("sleep 300", deadline=1.0)) for _ in range(8)]
    await asyncio.sleep(0.2)
    detail = why(await scripts.shell("sleep 300", deadline=4.0))
    assert re.search(r"had \d\.\d s of [34]\.\d s: 8 scripts at once are allowed", detail)
    await asyncio.gather(*hung)


async def test_a_run_that_is_killed_is_gone_and_nobody_is_told(scripts: Scripts, tmp_path: Path) -> None:
    told: list[object] = []
    pids = tmp_path / "pids"
    kill = scripts.runner.run(Run(("/bin/sh", "-c", f"echo $$ > {pids}; exec sleep 300")), BOUND, told.append)
    await until(lambda: pids.exists() and pids.read_text())
    kill()
    await until(lambda: not alive(int(pids.read_text())))
    kill()
    assert await scripts.shell("true") == Ran(0, b"")
    assert not told


async def test_a_killed_runner_is_our_fault_and_is_started_again(scripts: Scripts) -> None:
    await scripts.shell("true")
    first = scripts.pid()
    pending = asyncio.ensure_future(scripts.shell("sleep 20"))
    await until(lambda: children_of(first))
    (orphan,) = children_of(first)
    os.kill(first, signal.SIGKILL)
    assert "ended while the script was under way" in why(await pending)
    os.kill(orphan, signal.SIGKILL)
    answers = [why(await scripts.shell("true"))]
    while isinstance(again := await scripts.shell("true"), Inconclusive):
        answers.append(again.detail)
        await asyncio.sleep(0.05)
    assert again == Ran(0, b"")
    assert scripts.pid() != first
    assert "runner was killed by SIGKILL" in scripts.lines
    assert all("SIGKILL; it is started again in" in answer for answer in answers)


async def test_a_stopped_runner_delivers_late_what_ended_in_time(scripts: Scripts) -> None:
    await scripts.shell("true")
    pending = asyncio.ensure_future(scripts.shell("sleep 0.3; echo in time", deadline=1.0))
    await until(lambda: children_of(scripts.pid()))
    os.kill(scripts.pid(), signal.SIGSTOP)
    await asyncio.sleep(1.5)
    os.kill(scripts.pid(), signal.SIGCONT)
    assert await pending == Ran(0, b"in time\n")


async def test_a_runner_that_hangs_is_killed_and_started_again() -> None:
    lines: list[str] = []
    runner = RunnerProcesses(RunnerSettings(), log=lines.append, ping=0.2)
    (await runner.attach(None, None)).close()
    (stopped,) = runner.pids().values()
    os.kill(stopped, signal.SIGSTOP)
    try:
        await until(lambda: "runner did not answer for 1 s" in lines)
        assert not alive(stopped)
        await asyncio.sleep(0.5)
        (await runner.attach(None, None)).close()
        assert stopped not in runner.pids().values()
    finally:
        await runner.close()


async def test_nothing_outlives_the_end_of_the_runner(scripts: Scripts, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    told: list[object] = []
    text = f"echo $$ >> {pids}; timeout 300 sleep 300 & echo $! >> {pids}; sleep 300"
    scripts.runner.run(Run(("/bin/sh", "-c", text)), BOUND, told.append)
    await until(lambda: pids.exists() and len(pids.read_text().split()) == 2)
    runner = scripts.pid()
    await scripts.runner.close()
    assert not told
    await until(lambda: not any(map(alive, [runner, *map(int, pids.read_text().split())])))


async def test_nothing_outlives_the_process_that_started_the_runner(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    code = f"""
import asyncio
from healthd.check import Run
from healthd.config.schema import RunnerSettings
from healthd.runner.process import start_runner
async def main():
    runner = start_runner(RunnerSettings())
    runner.run(Run(("/bin/sh", "-c", "echo $PPID $$ > {pids}; sleep 300")), 300, print)
    await asyncio.sleep(300)
asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, cwd=Path(__file__).parents[2])
    try:
        await until(lambda: pids.exists() and len(pids.read_text().split()) == 2)
    finally:
        process.kill()
        await process.wait()
    await until(lambda: not any(map(alive, map(int, pids.read_text().split()))))


async def test_a_junk_request_costs_the_client_its_socket_and_nobody_else(scripts: Scripts) -> None:
    sock = await scripts.runner.attach(None, None)
    with sock:
        for junk in (b"?", b"R", b"R" + b"\xff" * 18, b"K\0"):
            other = await scripts.runner.attach(None, None)
            with other:
                other.send(junk)
                other.setblocking(False)
                assert await asyncio.get_running_loop().sock_recv(other, 100) == b""
        assert await scripts.shell("true") == Ran(0, b"")


async def test_an_unread_answer_blocks_nobody(scripts: Scripts) -> None:
    from healthd.runner import wire

    with await scripts.runner.attach(None, None) as sock:
        for number in range(300):
            argv = ("/bin/sh", "-c", "head -c 60000 /dev/zero")
            sock.send(wire.pack_run(number, BOUND, 60000, argv, ()))
        start = time.monotonic()
        assert await scripts.shell("true") == Ran(0, b"")
        assert time.monotonic() - start < BOUND
