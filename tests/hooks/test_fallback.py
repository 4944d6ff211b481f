"""The fallback command: what it is told, its order, and that a reload changes it."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from healthd.config.schema import Config
from healthd.events import Kind
from healthd.hooks.fallback import FallbackCommands, arguments
from healthd.model import AddressKey, Family, FwmarkKey, Protocol

from .samples import WWW, sample, until

DOWN, UP = sample(Kind.SERVICE_DOWN), sample(Kind.SERVICE_UP)


@pytest.mark.parametrize(
    ("key", "told"),
    [
        (AddressKey(Protocol.TCP, ip_address("192.0.2.80"), 80), ("192.0.2.80:80", "tcp")),
        (AddressKey(Protocol.UDP, ip_address("2001:db8::53"), 53), ("[2001:db8::53]:53", "udp")),
        (FwmarkKey(Family.IPV4, 7), ("7:0", "fwm")),
    ],
)
def test_it_is_told_the_service_as_ldirectord_tells_it(key, told):
    assert arguments(key) == told


def having(line, **changes):
    return Config(services=(replace(WWW, fallback_command=line, **changes),))


async def test_it_is_run_with_start_and_stop_in_order(tmp_path):
    """The command may have arguments of its own and be a list of commands; what it is told comes last."""
    log = tmp_path / "log"
    hook = FallbackCommands()
    hook.configure(having(f"true; tell() {{ echo \"$@\" >>{log}; }}; tell 'a b' --page"))
    for event in (DOWN, sample(Kind.SERVER_DOWN), UP):
        hook.event(event)
        hook.event(replace(event, service="another"))
        await until(lambda: hook.stats().queued == 0 and hook.stats().delivered >= 1)
    await hook.close(30)
    assert log.read_text() == "a b --page start 192.0.2.80:80 tcp\na b --page stop 192.0.2.80:80 tcp\n"
    assert (hook.stats().delivered, hook.stats().failed) == (2, 0)


async def test_one_that_fails_is_counted_and_not_repeated(tmp_path):
    hook = FallbackCommands()
    hook.configure(having(f"echo >>{tmp_path}/log; exit 3 #"))
    hook.event(DOWN)
    await until(lambda: hook.stats().failed)
    await hook.close(30)
    assert (tmp_path / "log").read_text() == "\n"
    assert "exit status 3" in hook.stats().last_error


async def test_a_reload_changes_the_command(tmp_path):
    hook = FallbackCommands()
    hook.configure(having(f"echo one >>{tmp_path}/log #"))
    hook.configure(having(f"echo two >>{tmp_path}/log #"))
    hook.event(DOWN)
    await until(lambda: hook.stats().delivered)
    hook.configure(having(None))
    hook.event(UP)
    await hook.close(30)
    assert (tmp_path / "log").read_text() == "two\n"


async def test_quick_flaps_are_run_as_far_as_they_still_matter_and_never_the_same_twice(tmp_path):
    """While the command is busy with one, only where things stand counts; ldirectord never repeats a word either."""
    log, gate = tmp_path / "log", tmp_path / "gate"
    hook = FallbackCommands()
    hook.configure(having(f"f() {{ echo $1 >>{log}; until test -e {gate}; do sleep 0.02; done; }}; f"))
    hook.event(DOWN)
    await until(log.exists)
    for event in (UP, DOWN) * 20:
        hook.event(event)
    gate.touch()
    await until(lambda: hook.stats().queued == 0)
    hook.event(UP)
    await until(lambda: log.read_text().count("\n") == 2)
    for event in (DOWN, UP) * 20:
        hook.event(event)
    await hook.close(30)
    assert log.read_text() == "start\nstop\n"


async def test_a_start_that_failed_is_run_again_when_its_turn_comes(tmp_path):
    log = tmp_path / "log"
    hook = FallbackCommands()
    hook.configure(having(f"f() {{ echo $1 >>{log}; exit 1; }}; f"))
    for number in (1, 2):
        hook.event(DOWN)
        await until(lambda number=number: hook.stats().failed == number)
    await hook.close(30)
    assert log.read_text() == "start\nstart\n"


async def test_a_command_that_comes_while_its_service_is_without_servers_is_started(tmp_path):
    log = tmp_path / "log"
    hook = FallbackCommands()
    hook.configure(having(None))
    hook.event(DOWN)
    hook.configure(having(f"f() {{ echo one $1 >>{log}; }}; f"))
    hook.configure(having(f"f() {{ echo one $1 >>{log}; }}; f", title="another"))
    await until(log.exists)
    hook.configure(Config())
    hook.configure(having(f"f() {{ echo two $1 >>{log}; }}; f"))
    hook.event(UP)
    await hook.close(30)
    assert log.read_text() == "one start\ntwo stop\n"


async def test_at_the_stop_it_is_run_where_that_is_asked_for_and_its_start_was(tmp_path):
    for asked, before, said in (
        (True, [DOWN], "start\nstop\n"),
        (True, [DOWN, UP], "start\nstop\n"),
        (False, [DOWN], "start\n"),
    ):
        log = tmp_path / f"log{asked}{len(before)}"
        hook = FallbackCommands()
        hook.configure(having(f"f() {{ echo $1 >>{log}; }}; f", fallback_command_at_stop=asked))
        for number, event in enumerate(before, 1):
            hook.event(event)
            await until(lambda number=number, hook=hook: hook.stats().delivered == number)
        hook.event(sample(Kind.STOPPING))
        await hook.close(30)
        assert log.read_text() == said
