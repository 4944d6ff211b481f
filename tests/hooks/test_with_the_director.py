"""A director with hooks: nobody is told before the table says so, and no hook delays a weight change."""

from __future__ import annotations

import logging
from dataclasses import replace

from healthd.config.schema import Config, ExecHook, Settings
from healthd.director import Director
from healthd.events import Event, Kind
from healthd.hooks import Announcer, HookStats, LogHook
from healthd.ops import describe
from tests.director.scenario import Scenario
from tests.support.builders import FAIL, PASS, SORRY, A, B, config, dest, real, service

from .samples import until


class Witness:
    """A hook that looks at the table at the moment it is told."""

    name = "witness"

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.seen: list[tuple[Event, set[str]]] = []

    def event(self, event):
        """Note the event, and which operations the table has done by now."""
        self.seen.append((event, {describe(op) for op in self.scenario.table.writes}))

    def stats(self):
        """How many it was told."""
        return HookStats(self.name, delivered=len(self.seen))

    async def close(self, grace):
        """Nothing to end."""


def telling(scenario: Scenario, announcer: Announcer) -> Scenario:
    """The scenario with a director that tells the announcer."""
    scenario.director = Director(scenario.table, announcer.event, lambda: scenario.now, lambda: scenario.now)
    scenario.director.attach(scenario.prober)
    return scenario


async def test_an_event_is_told_when_the_table_has_acknowledged_what_it_tells():
    scenario = Scenario()
    witness = Witness(scenario)
    telling(scenario, Announcer([witness]))
    await scenario.configure(config(service(real(A), real(B), fallback=True)))
    await scenario.hears({A: PASS, B: PASS})
    await scenario.hears({A: FAIL, B: FAIL})
    await scenario.hears({A: PASS})

    effects = [(event.effect, done) for event, done in witness.seen if event.effect]
    kinds = [event.kind for event, _ in witness.seen]
    assert kinds.count(Kind.SERVER_DOWN) == 2
    assert {Kind.FALLBACK_ON, Kind.FALLBACK_OFF, Kind.SERVICE_ADDED} <= set(kinds)
    assert len(effects) >= 7
    assert all(set(effect) <= done for effect, done in effects)


async def test_nobody_is_told_that_a_server_is_down_while_the_table_is_away():
    scenario = Scenario()
    witness = Witness(scenario)
    telling(scenario, Announcer([witness]))
    await scenario.configure(config(service(real(A), real(B))))
    await scenario.hears({A: PASS, B: PASS})
    scenario.table.unavailable = "gone"
    await scenario.hears({A: FAIL})
    during = [event.kind for event, _ in witness.seen]
    scenario.table.unavailable = ""
    await scenario.turn(later=60.0)

    after = [event.kind for event, _ in witness.seen][len(during) :]
    assert Kind.SERVER_DOWN not in during
    assert during[-1] is Kind.TABLE_LOST
    assert sorted(kind.value for kind in after) == ["server-down", "table-back"]


async def test_a_program_that_hangs_delays_no_weight_change_and_no_other_hook(tmp_path, caplog):
    caplog.set_level(logging.INFO, "healthd.events")
    script = tmp_path / "hangs"
    script.write_text(f"#!/bin/sh\necho $HEALTHD_KIND > {tmp_path}/started\nexec sleep 3600\n")
    script.chmod(0o755)
    announcer = Announcer([LogHook()])
    announcer.apply(Config(Settings(hooks=(ExecHook((str(script),), timeout=3600.0),))))
    keys = [dest(f"10.0.1.{number}") for number in range(100)]
    scenario = telling(Scenario(), announcer)
    await scenario.configure(config(service(*(real(key) for key in keys))))
    await scenario.hears(dict.fromkeys(keys, PASS))
    await until((tmp_path / "started").exists)
    for _ in range(25):
        await scenario.hears(dict.fromkeys(keys, FAIL))
        await scenario.hears(dict.fromkeys(keys, PASS))
    await scenario.hears(dict.fromkeys(keys, FAIL))

    log, program = announcer.stats()
    events = [record for record in caplog.records if record.name == "healthd.events"]
    assert await scenario.rows() == dict.fromkeys(keys, 0)
    assert len(events) == log.delivered == 1 + 100 * 52 + 51  # and 26 times the last went, 25 times the first came
    assert program.delivered == program.failed == 0
    assert program.queued == 1000
    assert program.dropped == log.delivered - 1 - 1000
    await announcer.close(0)


async def test_the_fallback_is_told_with_its_own_address(caplog):
    caplog.set_level(logging.INFO, "healthd.events")
    scenario = telling(Scenario(), Announcer([LogHook()]))
    await scenario.configure(config(service(real(A), fallback=True)))
    await scenario.hears({A: FAIL})

    told = [record for record in caplog.records if getattr(record, "kind", "") == "fallback-on"]
    assert [record.real for record in told] == [str(SORRY)]


async def test_a_reload_that_changes_nothing_tells_nothing_of_servers():
    scenario = Scenario()
    witness = Witness(scenario)
    telling(scenario, Announcer([witness]))
    same = config(service(real(A), real(B)))
    await scenario.configure(same)
    await scenario.hears({A: PASS, B: FAIL})
    before = len(witness.seen)
    await scenario.configure(replace(same))
    await scenario.hears({A: PASS, B: FAIL})

    assert witness.seen[before:] == []
    assert await scenario.rows() == {A: 10, B: 0}
