"""Another configuration is loaded: what did not change keeps everything, and nobody is left without a server."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from healthd.config.schema import Fallback, OnFailure
from healthd.events import Kind
from healthd.health import Phase, Thresholds
from healthd.ops import AddDest, AddService, DelDest, DelService, SetDest, SetService
from tests.director.scenario import serving, started
from tests.support.builders import (
    DNS,
    FAIL,
    FAST,
    MAIL,
    PASS,
    SORRY,
    STICKY,
    WLC,
    WWW,
    A,
    B,
    C,
    D,
    asks,
    check,
    config,
    real,
    row,
    service,
)

SLOW = Thresholds(rise=2, fall=3)


async def test_a_reload_of_the_same_changes_nothing():
    www = service(real(A), real(B), fallback=True)
    scenario = await serving(www)
    probes = scenario.prober.probes.keys()
    await scenario.configure(config(www))
    assert scenario.writes() == []
    assert scenario.told() == []
    assert scenario.prober.probes.keys() == probes


async def test_untouched_servers_keep_their_row_of_failures():
    scenario = await serving(service(real(A, limits=SLOW), real(B)))
    await scenario.hears({A: FAIL}, times=2)
    await scenario.configure(config(service(real(A, 20, limits=SLOW), real(B), real(C))))
    assert scenario.writes() == [SetDest(WWW, A, row(20))]
    await scenario.hears({A: FAIL})
    assert await scenario.rows() == {A: 0, B: 10}


async def test_a_weight_changes_at_once_and_that_of_a_server_that_is_down_once_it_is_up():
    scenario = await serving(service(real(A), real(B)))
    await scenario.hears({B: FAIL})
    await scenario.configure(config(service(real(A, 20), real(B, 30))))
    assert await scenario.rows() == {A: 20, B: 0}
    await scenario.hears({B: PASS})
    assert await scenario.rows() == {A: 20, B: 30}


async def test_another_check_keeps_the_phase_and_counts_anew():
    scenario = await serving(service(real(A, limits=SLOW), real(B)))
    await scenario.hears({A: FAIL}, times=2)
    await scenario.configure(config(service(real(A, 10, check(A, SLOW, word="other")), real(B))))
    await scenario.hears({A: FAIL}, times=2)
    assert scenario.writes() == []
    await scenario.hears({A: FAIL})
    assert scenario.writes() == [SetDest(WWW, A, row(0))]


async def test_a_server_that_was_down_stays_down_under_another_check():
    scenario = await serving(service(real(A), real(B)))
    await scenario.hears({A: FAIL})
    scenario.writes()
    await scenario.configure(config(service(real(A, 10, check(A, FAST, word="other")), real(B))))
    assert scenario.writes() == []
    assert scenario.director.roster.phase((WWW, A)) is Phase.DOWN


async def test_an_asked_weight_outlives_another_check_that_asks():
    scenario = await serving(service(real(A, 10, check(A, FAST, asks_weight=True)), real(B)))
    await scenario.hears({A: asks(3)})
    scenario.writes()
    await scenario.configure(config(service(real(A, 10, check(A, FAST, word="other", asks_weight=True)), real(B))))
    assert scenario.writes() == []


async def test_a_verdict_that_came_before_the_reload_is_not_lost_with_its_check():
    scenario = await serving(service(real(A), real(B)))
    scenario.say((WWW, A), FAIL)
    await scenario.configure(config(service(real(A, 10, check(A, FAST, word="other")), real(B))))
    assert await scenario.rows() == {A: 0, B: 10}


async def test_a_verdict_of_a_check_that_is_gone_moves_nobody():
    scenario = await serving(service(real(A), real(B)))
    before = scenario.prober.answer(scenario.director.roster.assignment.probes[0].id, FAIL, scenario.now)
    await scenario.configure(config(service(real(A, 10, check(A, FAST, word="other")), real(B))))
    assert before is not None
    scenario.director.observed([before])
    await scenario.turn()
    assert await scenario.rows() == {A: 10, B: 10}


async def test_a_check_that_goes_takes_its_failure_with_it_and_that_is_told():
    checks = check(A, FAST), check(A, FAST, word="other")
    scenario = await serving(service(real(A, 10, *checks), real(B)))
    scenario.say((WWW, A), FAIL, check=1)
    await scenario.turn()
    scenario.told()
    await scenario.configure(config(service(real(A, 10, checks[0]), real(B))))
    assert await scenario.rows() == {A: 10, B: 10}
    (event,) = scenario.told()
    assert (event.kind, event.message) == (Kind.SERVER_UP, "www: 10.0.0.11:80 is up, weight 10")


async def test_on_failure_changed_while_a_server_is_down_changes_the_table():
    scenario = await serving(service(real(A), real(B)))
    await scenario.hears({A: FAIL})
    scenario.writes()
    await scenario.configure(config(service(real(A), real(B), on_failure=OnFailure.REMOVE)))
    assert scenario.writes() == [DelDest(WWW, A)]
    await scenario.configure(config(service(real(A), real(B))))
    assert scenario.writes() == [AddDest(WWW, A, row(0))]


async def test_a_reload_that_replaces_all_servers_keeps_the_old_ones_until_one_of_the_new_is_up():
    scenario = await serving(service(real(A), real(B)))
    await scenario.configure(config(service(real(C), real(D))))
    assert scenario.writes() == []
    await scenario.hears({C: FAIL})
    assert await scenario.rows() == {A: 10, B: 10, C: 0}
    await scenario.hears({D: PASS})
    assert scenario.writes() == [AddDest(WWW, C, row(0)), AddDest(WWW, D, row(10)), DelDest(WWW, A), DelDest(WWW, B)]


async def test_a_reload_that_replaces_all_servers_by_dead_ones_ends_with_the_fallback():
    scenario = await serving(service(real(A), fallback=True))
    await scenario.configure(config(service(real(C), real(D), fallback=True)))
    await scenario.hears({C: FAIL, D: FAIL})
    assert await scenario.rows() == {C: 0, D: 0, SORRY: 1}


async def test_a_removed_server_loses_its_row_at_once_where_another_serves():
    scenario = await serving(service(real(A), real(B)))
    await scenario.configure(config(service(real(B))))
    assert scenario.writes() == [DelDest(WWW, A)]


async def test_a_server_that_was_removed_and_comes_back_is_checked_before_it_serves():
    scenario = await serving(service(real(A), real(B)))
    await scenario.configure(config(service(real(B))))
    await scenario.configure(config(service(real(A), real(B))))
    assert await scenario.rows() == {B: 10}
    await scenario.hears({A: PASS})
    assert await scenario.rows() == {A: 10, B: 10}


async def test_a_removed_service_is_deleted_last():
    www, mail = service(real(A), real(B)), service(real(A), key=MAIL, name="mail")
    scenario = await serving(www, mail)
    dns = service(real(C, unchecked=True), key=DNS, name="dns")
    await scenario.configure(config(service(real(B, 20)), dns))
    assert scenario.writes() == [
        AddService(DNS, WLC),
        AddDest(DNS, C, row(10)),
        SetDest(WWW, B, row(20)),
        DelDest(WWW, A),
        DelService(MAIL),
    ]
    assert [(event.kind, event.service) for event in scenario.told()] == [
        (Kind.SERVICE_ADDED, "dns"),
        (Kind.SERVER_WEIGHT, "dns"),
        (Kind.SERVER_WEIGHT, "www"),
        (Kind.SERVER_REMOVED, "www"),
        (Kind.SERVICE_REMOVED, "mail"),
    ]


async def test_a_service_that_was_removed_is_a_strangers_from_then_on():
    scenario = await serving(service(real(A)), service(real(A), key=MAIL, name="mail"))
    await scenario.configure(config(service(real(A))))
    scenario.writes()
    scenario.table.edit(AddService(MAIL, WLC))
    await scenario.turn(later=20)
    assert scenario.writes() == []
    assert await scenario.rows(MAIL) == {}


async def test_a_service_that_changes_is_set_and_keeps_its_rows():
    scenario = await serving(service(real(A)))
    await scenario.configure(config(service(real(A), spec=STICKY)))
    assert scenario.writes() == [SetService(WWW, STICKY)]


async def test_another_fallback_takes_the_place_of_the_first_without_a_gap():
    scenario = await serving(service(real(A), fallback=True))
    await scenario.hears({A: FAIL})
    scenario.writes()
    await scenario.configure(config(replace(service(real(A)), fallback=Fallback(D, row(2)))))
    assert scenario.writes() == [AddDest(WWW, D, row(2)), DelDest(WWW, SORRY)]
    told = [(event.kind, event.real) for event in scenario.told() if event.kind.name.startswith("FALLBACK")]
    assert told == [(Kind.FALLBACK_ON, str(SORRY)), (Kind.FALLBACK_ON, str(D)), (Kind.FALLBACK_OFF, str(SORRY))]


async def test_a_fallback_that_is_no_longer_configured_is_told_out_when_its_row_goes():
    scenario = await serving(service(real(A), fallback=True))
    await scenario.hears({A: FAIL})
    scenario.told()
    await scenario.configure(config(service(real(A), real(B))))
    assert await scenario.rows() == {A: 0, SORRY: 1}
    assert scenario.told() == []
    await scenario.hears({B: FAIL})
    assert await scenario.rows() == {A: 0, B: 0}
    assert Kind.FALLBACK_OFF in scenario.kinds()


async def test_a_service_that_went_with_its_fallback_in_begins_anew_when_it_is_declared_again():
    www = service(real(A), fallback=True)
    scenario = await serving(www)
    await scenario.hears({A: FAIL})
    await scenario.configure(config())
    scenario.told()
    await scenario.configure(config(www))
    await scenario.hears({A: PASS})
    assert scenario.kinds() == [Kind.SERVICE_ADDED, Kind.SERVER_UP]


async def test_a_configuration_is_in_force_once_its_call_returns_and_not_before():
    scenario = await started()
    waiting = asyncio.create_task(scenario.director.configure(config(service(real(A, unchecked=True)))))
    await asyncio.sleep(0)
    assert not waiting.done()
    assert await scenario.rows() is None
    await scenario.turn()
    await waiting
    assert await scenario.rows() == {A: 10}


async def test_of_several_configurations_that_wait_the_last_is_taken_and_all_are_answered():
    scenario = await started(service(real(A)))
    waiting = [
        asyncio.create_task(scenario.director.configure(config(service(real(A, weight, unchecked=True)))))
        for weight in (1, 2, 3)
    ]
    await asyncio.sleep(0)
    await scenario.turn()
    await asyncio.gather(*waiting)
    assert await scenario.rows() == {A: 3}


async def test_a_reload_to_nothing_deletes_all_that_is_ours_and_forgets_it():
    scenario = await serving(service(real(A)), service(real(B), key=MAIL, name="mail"))
    await scenario.configure(config())
    assert scenario.writes() == [DelService(MAIL), DelService(WWW)]
    assert scenario.director.wanted == {}
    assert scenario.prober.probes == {}
