"""Real programs are given events: what they are told, how they end, and that nothing of them stays behind."""

from __future__ import annotations

import asyncio
import json
import stat
import sys
from pathlib import Path

import pytest

from healthd.config.schema import ExecHook
from healthd.events import Kind
from healthd.hooks.base import DeliveryFailed
from healthd.hooks.exec import ending, exec_hook, run

from .samples import sample, until


def script(folder: Path, text: str, name: str = "hook") -> str:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def alive(pid: int) -> bool:
    """True if a process runs; a zombie does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def pid_in(path: Path) -> int:
    return int(path.read_text()) if path.exists() and path.read_text().strip() else 0


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def test_the_program_gets_the_event_on_stdin_and_in_its_environment_and_nothing_in_argv(tmp_path):
    command = script(tmp_path, f'cat > {tmp_path}/stdin; env > {tmp_path}/env; echo $# "$1" > {tmp_path}/argv')
    event = sample(Kind.SERVER_DOWN, detail="two\nlines; $(touch /nowhere)")
    hook = exec_hook(ExecHook((command, "one argument")))
    hook.event(event)
    await hook.close(30)

    assert hook.stats().delivered == 1
    document = json.loads((tmp_path / "stdin").read_text())
    environment = dict(line.split("=", 1) for line in (tmp_path / "env").read_text().splitlines())
    assert document["detail"] == event.detail
    assert document["effect"] == list(event.effect)
    assert environment["HEALTHD_KIND"] == "server-down"
    assert environment["HEALTHD_DETAIL"] == "two\\nlines; $(touch /nowhere)"
    assert (tmp_path / "argv").read_text() == "1 one argument\n"


async def test_the_environment_is_small(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET", "of the daemon")
    await run((script(tmp_path, f"env > {tmp_path}/env"),), {"HEALTHD_KIND": "started"}, b"", 30)

    names = {line.partition("=")[0] for line in (tmp_path / "env").read_text().splitlines()}
    assert "SECRET" not in names
    assert names <= {"PATH", "HOME", "LANG", "TZ", "HEALTHD_KIND", "PWD", "OLDPWD", "SHLVL", "_"}


async def test_a_program_that_does_not_read_its_input_does_no_harm(tmp_path):
    await run((script(tmp_path, "exec 0<&-; exit 0"),), {}, b"x" * 1_000_000, 30)


async def test_a_failure_says_the_status_and_the_last_line(tmp_path):
    with pytest.raises(DeliveryFailed, match=r"^exit status 3: cannot reach mail\.example$") as failed:
        await run((script(tmp_path, "echo starting; echo 'cannot reach mail.example' >&2; exit 3"),), {}, b"", 30)

    assert failed.value.output == "starting\ncannot reach mail.example\n"


async def test_output_is_capped_to_its_end(tmp_path):
    command = (sys.executable, "-c", "import sys; sys.stdout.write('x' * 5_000_000 + 'the end'); sys.exit(1)")
    with pytest.raises(DeliveryFailed) as failed:
        await run(command, {}, b"", 30)

    assert len(failed.value.output) == 4096
    assert failed.value.output.endswith("xthe end")


async def test_output_of_strangers_is_shown_safely(tmp_path):
    with pytest.raises(DeliveryFailed) as failed:
        await run((script(tmp_path, r"printf 'a\033[2Jb\377'; exit 1"),), {}, b"", 30)

    assert str(failed.value) == r"exit status 1: a\x1b[2Jb\xff"


async def test_a_program_killed_by_a_signal_is_named_by_it(tmp_path):
    with pytest.raises(DeliveryFailed, match=r"^killed by SIGTERM$"):
        await run((script(tmp_path, "kill -TERM $$"),), {}, b"", 30)


@pytest.mark.parametrize(
    ("code", "words"), [(2, "exit status 2"), (-9, "killed by SIGKILL"), (-63, "killed by signal 63")]
)
def test_every_ending_has_words(code, words):
    assert ending(code) == words


@pytest.mark.parametrize("command", [("/nowhere/at/all",), ("/etc/hostname",), ("/",), ("a\0b",)])
async def test_a_program_that_cannot_be_started_is_a_failed_delivery(command):
    before = open_descriptors()
    with pytest.raises(DeliveryFailed, match="cannot start"):
        await run(command, {}, b"", 30)

    assert open_descriptors() == before


async def test_a_program_that_hangs_is_killed_with_all_of_its_process_group(tmp_path):
    command = script(
        tmp_path,
        f"sleep 3600 & echo $! > {tmp_path}/child; echo $$ > {tmp_path}/leader; trap '' TERM; echo so far; wait",
    )
    before = open_descriptors()
    with pytest.raises(DeliveryFailed, match=r"^not done within 3 s, killed: so far$"):
        await run((command,), {}, b"", 3)

    leader, child = pid_in(tmp_path / "leader"), pid_in(tmp_path / "child")
    assert leader > 0
    assert child > 0
    await until(lambda: not alive(leader) and not alive(child))
    assert open_descriptors() == before


async def test_what_a_program_leaves_behind_neither_delays_it_nor_outlives_it(tmp_path):
    await run((script(tmp_path, f"sleep 3600 & echo $! > {tmp_path}/child"),), {}, b"", 600)

    await until(lambda: not alive(pid_in(tmp_path / "child")))


async def test_cancelling_kills_the_group_and_leaves_no_zombie(tmp_path):
    command = script(tmp_path, f"echo $$ > {tmp_path}/leader; sleep 3600 & wait")
    task = asyncio.create_task(run((command,), {}, b"", 3600))
    await until(lambda: pid_in(tmp_path / "leader"))
    task.cancel()
    await asyncio.wait({task})

    assert task.cancelled()
    await until(lambda: not Path(f"/proc/{pid_in(tmp_path / 'leader')}").exists())


async def test_programs_run_one_at_a_time_in_the_order_of_the_events(tmp_path):
    command = script(
        tmp_path,
        f"mkdir {tmp_path}/lock || echo overlap >> {tmp_path}/seen; echo $HEALTHD_REAL >> {tmp_path}/seen; "
        f"rmdir {tmp_path}/lock",
    )
    hook = exec_hook(ExecHook((command,)))
    reals = [f"10.0.0.{number}:80" for number in range(1, 21)]
    for real in reals:
        hook.event(sample(Kind.SERVER_UP, real=real))
    await hook.close(60)

    assert (tmp_path / "seen").read_text().splitlines() == reals


async def test_a_failed_program_is_run_again(tmp_path):
    command = script(tmp_path, f"echo x >> {tmp_path}/runs; [ $(wc -l < {tmp_path}/runs) -ge 2 ]")
    hook = exec_hook(ExecHook((command,), retries=3))
    hook.event(sample(Kind.SERVER_DOWN))
    await until(lambda: hook.stats().delivered == 1)
    await hook.close(30)

    assert hook.stats().retries == 1
    assert hook.stats().last_error == "exit status 1"


async def test_five_thousand_events_on_a_program_that_hangs_are_taken_while_it_still_hangs(tmp_path):
    command = script(tmp_path, f"echo $$ > {tmp_path}/leader; sleep 3600")
    hook = exec_hook(ExecHook((command,), timeout=3600))
    hook.event(sample(Kind.STARTED))
    await until(lambda: pid_in(tmp_path / "leader"))
    for number in range(5000):
        hook.event(sample(Kind.SERVER_DOWN, real=f"10.0.0.{number % 100}:80"))
    stats = hook.stats()

    assert alive(pid_in(tmp_path / "leader"))
    assert (stats.queued, stats.dropped, stats.delivered) == (1000, 4000, 0)
    await hook.close(0)
    assert not alive(pid_in(tmp_path / "leader"))


async def test_the_loop_goes_on_while_a_program_floods_its_output(tmp_path):
    turns = 0
    task = asyncio.create_task(run(("/bin/sh", "-c", "while :; do echo yes; done"), {}, b"", 2))
    while not task.done():
        turns += 1
        await asyncio.sleep(0)

    assert turns > 10
    with pytest.raises(DeliveryFailed, match="not done within 2 s, killed: yes"):
        await task


async def test_what_changes_nothing_is_told_only_to_a_program_that_names_it(tmp_path):
    for on, kinds in (((), ["server-up"]), (("server-failing",), ["server-failing"])):
        log = tmp_path / f"log{len(on)}"
        script = tmp_path / f"hook{len(on)}"
        script.write_text(f"#!/bin/sh\necho $HEALTHD_KIND >>{log}\n")
        script.chmod(0o755)
        hook = exec_hook(ExecHook((str(script),), frozenset(on)))
        for kind in (Kind.SERVER_FAILING, Kind.SERVER_STEADY, Kind.SERVER_UP):
            hook.event(sample(kind))
        await hook.close(30)
        assert log.read_text().split() == kinds
