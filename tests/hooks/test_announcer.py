"""The announcer gives every event to every hook, whatever the others do, and follows a reload."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from healthd.config.schema import Config, ExecHook, Place, Settings
from healthd.events import Kind
from healthd.hooks import Announcer
from healthd.hooks.base import HookStats
from healthd.hooks.courier import Courier

from .samples import sample, until


def having(*hooks):
    """A configuration with these hooks."""
    return Config(Settings(hooks=hooks))


class Recorder:
    """A hook that remembers."""

    def __init__(self, name: str = "recorder", *, broken: bool = False) -> None:
        self.name = name
        self.got = []
        self.closed = 0
        self.broken = broken

    def event(self, event):
        """Remember it."""
        if self.broken:
            raise RuntimeError("broken")
        self.got.append(event)

    def stats(self):
        """How many it remembers."""
        return HookStats(self.name, delivered=len(self.got))

    async def close(self, grace):
        """Count it."""
        self.closed += 1
        if self.broken:
            raise RuntimeError("broken")


class Made(dict):
    """Makes a recorder for each configured hook and keeps it by its command."""

    def __call__(self, settings):
        """Make one; the command `broken` makes one that raises."""
        self[settings.command] = Recorder(settings.command[0], broken=settings.command == ("broken",))
        return self[settings.command]


async def test_every_hook_gets_every_event_in_order():
    made, log = Made(), Recorder("log")
    announcer = Announcer([log], made)
    announcer.apply(having(ExecHook(("a",)), ExecHook(("b",))))
    events = [sample(kind) for kind in Kind]
    for event in events:
        announcer.event(event)
    await announcer.close(30)

    assert log.got == made["a",].got == made["b",].got == events
    assert [stats.name for stats in announcer.stats()] == ["log", "a", "b"]
    assert (log.closed, made["a",].closed) == (1, 1)


async def test_a_hook_that_breaks_its_promise_disturbs_no_other(caplog):
    made, log = Made(), Recorder("log")
    announcer = Announcer([log], made)
    announcer.apply(having(ExecHook(("broken",)), ExecHook(("b",))))
    announcer.event(sample(Kind.STARTED))
    await announcer.close(30)

    assert len(log.got) == len(made["b",].got) == log.closed == made["b",].closed == 1
    assert "hook broken broke its promise not to raise" in caplog.messages
    assert "hook broken did not close" in caplog.messages


async def test_a_reload_keeps_the_hooks_that_stay_and_ends_the_ones_that_go():
    made = Made()
    announcer = Announcer(make=made)
    announcer.apply(having(ExecHook(("stays",), place=Place("healthd.toml", 3)), ExecHook(("goes",))))
    stays, goes = made["stays",], made["goes",]
    announcer.apply(having(ExecHook(("comes",)), ExecHook(("stays",), place=Place("healthd.toml", 9))))
    announcer.event(sample(Kind.RELOADED))
    await until(lambda: goes.closed)

    assert made["stays",] is stays
    assert len(stays.got) == len(made["comes",].got) == 1
    assert goes.got == []
    assert stays.closed == 0
    await announcer.close(30)


async def test_a_changed_hook_is_a_new_hook():
    made = Made()
    announcer = Announcer(make=made)
    first = ExecHook(("a",))
    announcer.apply(having(first))
    old = made["a",]
    announcer.apply(having(replace(first, timeout=1.0)))
    await until(lambda: old.closed)

    assert made["a",] is not old
    await announcer.close(30)


async def test_hooks_close_side_by_side_and_the_log_last():
    """What hangs in one of them costs the others nothing, and all of them together no more than one."""
    meeting = asyncio.Barrier(3)
    log = Recorder("log")

    class Waiting(Recorder):
        async def close(self, grace):
            async with asyncio.timeout(20):
                await meeting.wait()
            assert log.closed == 0
            await super().close(grace)

    hooks = [Waiting(name) for name in ("commands", "mail", "program")]
    announcer = Announcer([log, *hooks[:2]], lambda settings: hooks[2])
    announcer.apply(having(ExecHook(("program",))))
    await announcer.close(30)

    assert [hook.closed for hook in (log, *hooks)] == [1, 1, 1, 1]


async def test_close_does_not_wait_for_hooks_that_a_reload_took_away():
    reached = asyncio.Event()

    async def hang(event):
        reached.set()
        await asyncio.Event().wait()

    announcer = Announcer(make=lambda settings: Courier("hanging", hang))
    announcer.apply(having(ExecHook(("a",))))
    announcer.event(sample(Kind.STARTED))
    await reached.wait()
    announcer.apply(having())
    await asyncio.sleep(0)
    await announcer.close(0)

    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []
