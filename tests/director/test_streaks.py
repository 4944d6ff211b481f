"""Failures that have not taken a server down yet are told, each once, and so is the pass that ends them."""

from __future__ import annotations

from healthd.events import Kind
from healthd.health import Thresholds
from tests.director.scenario import serving
from tests.support.builders import FAIL, PASS, A, B, check, real, service

THRICE = Thresholds(rise=1, fall=3)


def told(scenario):
    """Kind, server and streak of the events since the last time."""
    return [(event.kind, event.real, event.streak) for event in scenario.told() if event.kind is not Kind.SERVICE_DOWN]


async def test_each_failure_says_how_many_there_were_and_the_last_one_is_the_servers_end():
    scenario = await serving(service(real(A, limits=THRICE), real(B)))
    for expected in (
        (Kind.SERVER_FAILING, str(A), "1/3"),
        (Kind.SERVER_FAILING, str(A), "2/3"),
        (Kind.SERVER_DOWN, str(A), ""),
    ):
        await scenario.hears({A: FAIL})
        assert told(scenario) == [expected]
    await scenario.hears({A: FAIL})
    assert told(scenario) == []


async def test_a_pass_ends_them_and_they_count_anew():
    scenario = await serving(service(real(A, limits=THRICE)))
    for verdict, kind, streak in (
        (FAIL, Kind.SERVER_FAILING, "1/3"),
        (FAIL, Kind.SERVER_FAILING, "2/3"),
        (PASS, Kind.SERVER_STEADY, "0/3"),
        (FAIL, Kind.SERVER_FAILING, "1/3"),
    ):
        await scenario.hears({A: verdict})
        assert told(scenario) == [(kind, str(A), streak)]


async def test_they_change_nothing_in_the_table():
    scenario = await serving(service(real(A, limits=THRICE)))
    await scenario.hears({A: FAIL})
    await scenario.hears({A: PASS})
    assert scenario.writes() == []


async def test_each_check_of_a_server_has_its_own_count():
    checks = check(A, THRICE, word="one"), check(A, Thresholds(rise=1, fall=2), word="two")
    scenario = await serving(service(real(A, 10, *checks)))
    await scenario.hears({A: FAIL})
    assert sorted(streak for _, _, streak in told(scenario)) == ["1/2", "1/3"]


async def test_where_one_failure_is_enough_nothing_is_told_before():
    scenario = await serving(service(real(A)))
    await scenario.hears({A: FAIL})
    assert told(scenario) == [(Kind.SERVER_DOWN, str(A), "")]
