"""A service without any usable server is told of once, and again when it has one: what a fallback command hangs on."""

from __future__ import annotations

from healthd.check import Outcome, Verdict
from healthd.config.schema import Admin
from healthd.events import Kind
from tests.director.scenario import Scenario
from tests.support.builders import FAIL, PASS, WWW, A, B, config, real, service

DOWN, UP = Kind.SERVICE_DOWN, Kind.SERVICE_UP
UNASKED = Verdict(Outcome.INCONCLUSIVE)


def of_services(scenario):
    """Kinds of the events about whole services since the last time."""
    return [event.kind for event in scenario.told() if event.kind in (DOWN, UP)]


async def serving(*services):
    scenario = Scenario()
    await scenario.configure(config(*services))
    return scenario


async def test_it_goes_with_the_last_server_and_comes_with_the_first():
    scenario = await serving(service(real(A), real(B)))
    await scenario.hears({A: PASS, B: PASS})
    await scenario.hears({A: FAIL})
    assert of_services(scenario) == []
    await scenario.hears({B: FAIL})
    assert of_services(scenario) == [DOWN]
    await scenario.hears({A: FAIL, B: FAIL})
    assert of_services(scenario) == []
    await scenario.hears({B: PASS})
    await scenario.hears({A: PASS})
    assert of_services(scenario) == [UP]


async def test_at_the_start_nothing_has_gone_before_every_server_is_known():
    """The command of ldirectord flaps once per server at a cold start (its defect B1)."""
    scenario = await serving(service(real(A), real(B)))
    assert of_services(scenario) == []
    await scenario.hears({A: FAIL})
    assert of_services(scenario) == []
    await scenario.hears({B: UNASKED})
    assert of_services(scenario) == []
    await scenario.hears({B: FAIL})
    assert of_services(scenario) == [DOWN]


async def test_weight_zero_by_the_operators_wish_counts_as_gone():
    scenario = await serving(service(real(A)))
    await scenario.hears({A: PASS})
    await scenario.configure(config(service(real(A, admin=Admin.DRAINED))))
    assert of_services(scenario) == [DOWN]
    await scenario.configure(config(service(real(A))))
    assert of_services(scenario) == [UP]


async def test_it_is_told_once_the_table_has_taken_it():
    scenario = await serving(service(real(A)))
    await scenario.hears({A: PASS})
    scenario.table.unavailable = "no table"
    await scenario.hears({A: FAIL})
    assert of_services(scenario) == []
    scenario.table.unavailable = ""
    await scenario.turn(later=60)
    assert of_services(scenario) == [DOWN]
    assert await scenario.rows(WWW) == {A: 0}


async def test_a_service_that_is_gone_is_forgotten():
    scenario = await serving(service(real(A)))
    await scenario.hears({A: FAIL})
    await scenario.configure(config())
    await scenario.configure(config(service(real(A))))
    scenario.told()
    await scenario.hears({A: FAIL})
    assert of_services(scenario) == [DOWN]
