"""The table's own settings: timeouts and synchronisation daemons are kept as configured, refusals told once."""

from __future__ import annotations

import errno
from dataclasses import replace

from healthd.config.schema import Config, Settings, TableSettings
from healthd.events import Kind
from healthd.ipvs.memory import MemoryTable
from healthd.model import SyncDaemon, SyncState, Timeouts
from healthd.ops import Op, SetTimeouts, StartSync
from tests.director.scenario import Scenario
from tests.support.builders import A, real, service

MASTER = SyncDaemon(SyncState.MASTER, "eth0", sync_id=7)
WITH_GLOBALS = Config(Settings(table=TableSettings(timeouts=Timeouts(tcp=600), sync=(MASTER,))), (service(real(A)),))


async def test_timeouts_and_daemons_are_set_at_the_start_and_then_left_alone():
    """What is as it should be is not written again; what is not configured is not touched."""
    scene = Scenario()
    await scene.configure(WITH_GLOBALS)
    first = [op for op in scene.writes() if isinstance(op, SetTimeouts | StartSync)]
    await scene.turn(later=60)
    found = await scene.table.snapshot([])

    assert first == [SetTimeouts(Timeouts(tcp=600)), StartSync(MASTER)]
    assert not [op for op in scene.writes() if isinstance(op, SetTimeouts | StartSync)]
    assert found.timeouts.tcp == 600


async def test_what_somebody_changed_is_set_again_with_the_next_comparison():
    """A stranger's `ipvsadm --set` does not last."""
    scene = Scenario()
    await scene.configure(WITH_GLOBALS)
    await scene.table.apply([SetTimeouts(Timeouts(tcp=5))])
    await scene.turn(later=60)

    assert (await scene.table.snapshot([])).timeouts.tcp == 600


async def test_a_refusal_is_told_once_and_services_are_kept_all_the_same():
    """An interface that does not exist is one line of log, not one every comparison."""

    def refuse(op: Op) -> int:
        return errno.ENODEV if isinstance(op, StartSync) else 0

    scene = Scenario(MemoryTable(refuse=refuse))
    await scene.configure(WITH_GLOBALS)
    first = scene.kinds()
    await scene.turn(later=60)
    again = scene.kinds()
    await scene.configure(replace(WITH_GLOBALS, settings=Settings()))
    await scene.turn(later=60)
    await scene.configure(WITH_GLOBALS)

    assert Kind.ROW_REFUSED in first
    assert Kind.SERVICE_ADDED in first
    assert Kind.ROW_REFUSED not in again
    assert Kind.ROW_REFUSED in scene.kinds()
