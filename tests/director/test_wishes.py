"""What operators and the system ask of the director: drain, maintenance, hurry, readiness, stop."""

from __future__ import annotations

import pytest

from healthd.config.schema import Admin, OnFailure, OnStop
from healthd.events import Kind
from healthd.ipvs.base import TableUnavailable
from healthd.ipvs.memory import MemoryTable
from healthd.ops import AddDest, DelDest, DelService, SetDest
from healthd.prober.base import Summary
from tests.director.scenario import Scenario, serving
from tests.support.builders import (
    DNS,
    FAIL,
    MAIL,
    PASS,
    STRANGER,
    WWW,
    A,
    B,
    config,
    listed,
    real,
    row,
    service,
)

REMOVE = OnFailure.REMOVE


# --- wishes of the operator -------------------------------------------------------------------------------------


async def test_a_drained_server_has_weight_0_whatever_its_checks_say():
    scenario = await serving(service(real(A), real(B)))
    await scenario.configure(config(service(real(A, admin=Admin.DRAINED), real(B))))
    assert scenario.writes() == [SetDest(WWW, A, row(0))]
    (event,) = scenario.told()
    assert event.message == "www: 10.0.0.11:80 is now drained, weight 0"
    assert event.effect == ("set 10.0.0.11:80 of 192.0.2.80:80/tcp forward=masq weight=0",)
    await scenario.hears({A: FAIL})
    await scenario.hears({A: PASS})
    assert scenario.writes() == []
    scenario.told()
    await scenario.configure(config(service(real(A), real(B))))
    assert scenario.writes() == [SetDest(WWW, A, row(10))]
    (event,) = scenario.told()
    assert event.message == "www: 10.0.0.11:80 is now enabled, weight 10"


async def test_maintenance_is_as_if_the_server_had_failed():
    scenario = await serving(service(real(A), real(B), on_failure=REMOVE))
    await scenario.configure(config(service(real(A, admin=Admin.MAINTENANCE), real(B), on_failure=REMOVE)))
    assert scenario.writes() == [DelDest(WWW, A)]
    assert scenario.kinds() == [Kind.SERVER_ADMIN]


async def test_a_whole_service_is_drained_and_everybody_hears_of_it():
    scenario = await serving(service(real(A), real(B)))
    await scenario.configure(config(service(real(A), real(B), admin=Admin.DRAINED)))
    assert await scenario.rows() == {A: 0, B: 0}
    assert [(event.kind, event.real) for event in scenario.told()] == [
        (Kind.SERVER_ADMIN, "10.0.0.11:80"),
        (Kind.SERVER_ADMIN, "10.0.0.12:80"),
        (Kind.SERVICE_DOWN, ""),
    ]


# --- other duties -----------------------------------------------------------------------------------------------


async def test_something_on_the_way_to_a_server_makes_its_probes_hurry():
    scenario = await serving(service(real(A), real(B)))
    await scenario.director.suspect([A.address])
    probes = {number: probe.target.address for number, probe in scenario.prober.probes.items()}
    assert [probes[number] for number in scenario.prober.hurried] == [A.address]


async def test_the_first_round_is_over_once_every_probe_has_a_verdict_and_the_table_has_what_came_of_it():
    scenario = Scenario()
    scenario.director.summarised(Summary(scenario.now, unasked=0))
    assert not scenario.director.first_round.is_set()
    await scenario.configure(config(service(real(A))))
    scenario.director.summarised(Summary(scenario.now - 1, unasked=0))
    scenario.director.summarised(Summary(scenario.now + 1, unasked=1))
    assert not scenario.director.first_round.is_set()
    await scenario.turn()
    assert not scenario.director.first_round.is_set()
    scenario.say((WWW, A), PASS)
    scenario.director.summarised(Summary(scenario.now + 2, unasked=0))
    assert not scenario.director.first_round.is_set()
    assert await scenario.rows() == {}
    await scenario.turn()
    assert scenario.director.first_round.is_set()
    assert await scenario.rows() == {A: 10}


async def test_a_prober_that_is_lost_moves_nobody_and_is_told():
    scenario = await serving(service(real(A)))
    scenario.director.lost("the prober died of signal 9")
    await scenario.turn()
    assert scenario.writes() == []
    (event,) = scenario.told()
    assert event.message == "the prober died of signal 9; servers keep their state until it is back"


# --- stop -------------------------------------------------------------------------------------------------------


async def test_a_stop_leaves_the_table():
    scenario = await serving(service(real(A)))
    scenario.table.unavailable = "not even there"
    await scenario.director.stop(OnStop.LEAVE)
    assert scenario.writes() == []


async def test_a_stop_quiesces_every_row_also_one_that_nobody_had_read_yet():
    scenario = await serving(service(real(A), real(B)), service(real(A), key=MAIL, name="mail"))
    scenario.table.edit(AddDest(WWW, STRANGER, row(1)))
    await scenario.director.stop(OnStop.QUIESCE)
    assert await scenario.rows(WWW) == {A: 0, B: 0, STRANGER: 0}
    assert await scenario.rows(MAIL) == {A: 0}
    told = [(event.kind, event.service, event.real, event.weight) for event in scenario.told() if event.effect]
    assert sorted(told, key=str) == sorted(
        [(Kind.SERVER_WEIGHT, "www", str(key), 0) for key in (A, B, STRANGER)]
        + [(Kind.SERVER_WEIGHT, "mail", str(A), 0)],
        key=str,
    )


async def test_a_stop_removes_our_services_and_no_other():
    scenario = await serving(service(real(A)), table=MemoryTable({DNS: listed({A: 1})}))
    await scenario.director.stop(OnStop.REMOVE)
    assert scenario.writes() == [DelService(WWW)]
    assert await scenario.rows(DNS) == {A: 1}
    assert [(event.kind, event.service) for event in scenario.told()] == [(Kind.SERVICE_REMOVED, "www")]


async def test_a_stop_without_a_table_says_so():
    scenario = await serving(service(real(A)))
    scenario.table.unavailable = "no table"
    with pytest.raises(TableUnavailable):
        await scenario.director.stop(OnStop.REMOVE)
