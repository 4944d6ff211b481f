"""Defects of ldirectord that lie in deciding and writing, a test for each, numbered as in docs/from-ldirectord.md."""

from __future__ import annotations

from dataclasses import replace

from healthd.check import Outcome, Reason, Target
from healthd.events import Kind
from healthd.health import Thresholds
from healthd.model import Family, FwmarkKey
from healthd.ops import AddDest, SetDest
from tests.director.scenario import Scenario, serving
from tests.prober.stage import stage
from tests.prober.talk import Steps
from tests.support.builders import FAIL, MAIL, PASS, SORRY, WWW, A, B, config, real, row, service


def gave_traffic(scenario: Scenario) -> set[object]:
    """Servers that any write since the last time gave weight."""
    return {op.dest for op in scenario.writes() if isinstance(op, AddDest | SetDest) and op.spec.weight}


async def test_b1_no_unchecked_or_dead_server_gets_traffic_at_a_cold_start():
    scenario = Scenario()
    await scenario.configure(config(service(real(A), real(B), fallback=True)))
    assert gave_traffic(scenario) == set()
    await scenario.hears({A: FAIL})
    assert gave_traffic(scenario) == set()
    await scenario.hears({B: PASS})
    assert gave_traffic(scenario) == {B}
    assert Kind.FALLBACK_ON not in scenario.kinds()


async def test_b1_no_dead_server_gets_traffic_at_a_reload_and_the_fallback_stays():
    scenario = await serving(service(real(A), real(B), fallback=True))
    await scenario.hears({A: FAIL, B: FAIL})
    scenario.writes(), scenario.told()
    await scenario.configure(config(service(real(A, weight=7), real(B), fallback=True)))
    assert gave_traffic(scenario) == set()
    assert (await scenario.rows())[SORRY] == 1
    assert scenario.told() == []


async def test_b3_one_failed_probe_of_a_server_in_three_services_is_one_failure():
    thrice = Thresholds(rise=1, fall=3)
    keys = [WWW, MAIL, replace(WWW, port=443)]
    services = [service(real(A, limits=thrice), key=key, name=f"s{n}") for n, key in enumerate(keys)]
    scenario = await serving(*services)
    assert len(scenario.prober.probes) == 1
    for _ in range(2):
        await scenario.hears({A: FAIL})
        assert [await scenario.rows(key) for key in keys] == [{A: 10}] * 3
    await scenario.hears({A: FAIL})
    assert [await scenario.rows(key) for key in keys] == [{A: 0}] * 3


async def test_b4_a_fallback_works_for_a_firewall_mark_as_well():
    marked = FwmarkKey(Family.IPV4, 7)
    scenario = await serving(service(real(A), key=marked, fallback=True))
    await scenario.hears({A: FAIL}, marked)
    assert (await scenario.rows(marked))[SORRY] == 1


async def test_b14_thresholds_survive_a_server_that_fails_and_returns():
    limited = replace(real(A), spec=replace(row(10), upper=100, lower=50))
    scenario = await serving(service(limited, real(B)))
    for verdict, weight in ((FAIL, 0), (PASS, 10)):
        await scenario.hears({A: verdict})
        table = (await scenario.table.snapshot()).services[WWW]
        assert table.dests[A] == replace(row(weight), upper=100, lower=50)


async def test_b16_a_server_of_two_services_has_its_own_row_and_weight_in_each():
    scenario = await serving(service(real(A, weight=5)), service(real(A, weight=6), key=MAIL, name="mail"))
    assert (await scenario.rows(WWW), await scenario.rows(MAIL)) == ({A: 5}, {A: 6})
    await scenario.hears({A: FAIL})
    assert (await scenario.rows(WWW), await scenario.rows(MAIL)) == ({A: 0}, {A: 0})


async def test_b19_a_check_that_breaks_is_told_and_takes_nobody_down():
    def broken(target):
        raise ZeroDivisionError("a mistake in the check")

    async with stage() as on:
        verdict = await on.once(Steps(broken), Target(A.address, 80), 1)
    assert (verdict.outcome, verdict.reason) == (Outcome.INCONCLUSIVE, Reason.LOCAL)
