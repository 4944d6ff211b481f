"""Rows that become others though nobody came up or went down: told once, with old and new value, when it is so."""

from __future__ import annotations

from dataclasses import replace

import pytest

from healthd.config.schema import Admin, Drift, Fallback, OnFailure
from healthd.events import Kind
from healthd.ipvs.base import TableUnavailable
from healthd.ipvs.memory import MemoryTable
from healthd.model import DestSpec, Forwarding
from healthd.ops import AddDest, AddService, DelDest, DelService, SetDest, SetService, describe
from tests.director.scenario import Scenario, serving, started
from tests.director.watched import WatchedTable
from tests.support.builders import (
    FAIL,
    FAST,
    MAIL,
    PASS,
    SORRY,
    STICKY,
    STRANGER,
    WWW,
    A,
    B,
    C,
    asks,
    check,
    config,
    listed,
    real,
    row,
    service,
)

RESYNC = 15.0
REMOVE, REPORT = OnFailure.REMOVE, Drift.REPORT


def sentences(scenario: Scenario) -> list[str]:
    """The messages since the last time."""
    return [event.message for event in scenario.told()]


def told(scenario: Scenario) -> list[tuple[Kind, str]]:
    """The same with their kinds."""
    return [(event.kind, event.message) for event in scenario.told()]


# --- reloads ----------------------------------------------------------------------------------------------------


async def test_another_weight_is_told_once_with_old_and_new_value_and_what_was_done():
    scenario = await serving(service(real(A, 5), real(B)))
    wanted = config(service(real(A, 10), real(B)))
    await scenario.configure(wanted)
    (event,) = scenario.told()
    assert (event.kind, event.message) == (Kind.SERVER_WEIGHT, "www: 10.0.0.11:80 weight 5 -> 10")
    assert (event.previous, event.phase, event.weight, event.detail) == ("up", "up", 10, "weight 5 -> 10")
    assert event.effect == (describe(SetDest(WWW, A, row(10))),)
    await scenario.hears({A: PASS, B: PASS})
    await scenario.configure(wanted)
    await scenario.turn(later=RESYNC)
    assert scenario.told() == []


async def test_other_forwarding_and_thresholds_are_no_other_weight():
    scenario = await serving(service(real(A), real(B)))
    changed = replace(real(A), spec=DestSpec(Forwarding.GATE, 10, upper=9, lower=5))
    await scenario.configure(config(service(changed, real(B))))
    assert told(scenario) == [
        (Kind.SERVER_CHANGED, "www: 10.0.0.11:80 forward masq -> gate, thresholds none -> 5..9"),
    ]


async def test_another_weight_of_a_server_that_is_down_is_no_news_until_it_is_up():
    scenario = await serving(service(real(A, 5), real(B)))
    await scenario.hears({A: FAIL})
    scenario.told()
    await scenario.configure(config(service(real(A, 10), real(B))))
    assert scenario.told() == []
    await scenario.hears({A: PASS})
    assert sentences(scenario) == ["www: 10.0.0.11:80 is up (ok: connected), weight 10"]


async def test_other_forwarding_of_a_server_that_is_down_says_that_it_is_down():
    scenario = await serving(service(real(A), real(B)))
    await scenario.hears({A: FAIL})
    scenario.told()
    await scenario.configure(config(service(replace(real(A), spec=DestSpec(Forwarding.GATE, 10)), real(B))))
    (event,) = scenario.told()
    assert (event.kind, event.phase, event.weight) == (Kind.SERVER_CHANGED, "down", 0)


async def test_what_becomes_of_failed_servers_is_told_when_it_is_done_to_one():
    scenario = await serving(service(real(A), real(B)))
    await scenario.hears({A: FAIL})
    scenario.told()
    await scenario.configure(config(service(real(A), real(B), on_failure=REMOVE)))
    await scenario.configure(config(service(real(A), real(B))))
    assert told(scenario) == [
        (Kind.SERVER_WEIGHT, "www: 10.0.0.11:80 weight 0 -> no row"),
        (Kind.SERVER_WEIGHT, "www: 10.0.0.11:80 no row -> weight 0"),
    ]


async def test_a_service_that_changes_is_told_with_old_and_new_value():
    scenario = await serving(service(real(A)))
    await scenario.configure(config(service(real(A), spec=STICKY)))
    (event,) = scenario.told()
    assert (event.kind, event.real) == (Kind.SERVICE_CHANGED, "")
    assert event.message == "www: 192.0.2.80:80/tcp scheduler wlc -> wrr, persistent none -> 300s/32"
    assert event.effect == (describe(SetService(WWW, STICKY)),)
    await scenario.configure(config(service(real(A), spec=STICKY)))
    assert scenario.told() == []


async def test_another_weight_of_a_fallback_that_is_in_is_told_and_of_one_that_is_not_is_no_news():
    heavier = replace(service(real(A)), fallback=Fallback(SORRY, row(2)))
    scenario = await serving(service(real(A), fallback=True))
    await scenario.configure(config(heavier))
    assert scenario.told() == []
    await scenario.configure(config(service(real(A), fallback=True)))
    await scenario.hears({A: FAIL})
    scenario.told()
    await scenario.configure(config(heavier))
    assert told(scenario) == [(Kind.FALLBACK_CHANGED, "www: fallback 10.0.0.99:8080 weight 1 -> 2")]


async def test_a_fallback_that_becomes_a_server_is_told_as_both():
    scenario = await serving(service(real(A), fallback=True))
    await scenario.hears({A: FAIL})
    scenario.told()
    await scenario.configure(config(service(real(A), real(SORRY, 4))))
    assert await scenario.rows() == {A: 0, SORRY: 4}
    assert [(event.kind, event.real, event.detail) for event in scenario.told()] == [
        (Kind.FALLBACK_OFF, str(SORRY), ""),
        (Kind.SERVER_WEIGHT, str(SORRY), "weight 1 -> 4"),
        (Kind.SERVICE_UP, "", ""),
    ]


async def test_a_server_without_checks_is_told_with_its_row():
    scenario = await serving(service(real(A)))
    await scenario.configure(config(service(real(A), real(B, unchecked=True))))
    assert told(scenario) == [(Kind.SERVER_WEIGHT, "www: 10.0.0.12:80 no row -> weight 10")]


async def test_what_is_told_of_one_reload_comes_in_the_order_of_the_tables_operations():
    mail = service(real(A, 1), real(C, 1), key=MAIL, name="mail")
    scenario = await serving(mail, service(real(A, 5), real(B, 5), real(C, 5)))
    other = service(real(A, 1), real(C, 2), key=MAIL, name="mail", spec=STICKY)
    await scenario.configure(config(other, service(real(A, 4), real(B, 6), spec=STICKY)))
    events = scenario.told()
    assert [effect for event in events for effect in event.effect] == [describe(op) for op in scenario.writes()]
    assert [(event.kind, event.service) for event in events] == [
        (Kind.SERVICE_CHANGED, "mail"),
        (Kind.SERVER_WEIGHT, "mail"),
        (Kind.SERVICE_CHANGED, "www"),
        (Kind.SERVER_WEIGHT, "www"),
        (Kind.SERVER_WEIGHT, "www"),
        (Kind.SERVER_REMOVED, "www"),
    ]


async def test_a_wish_and_a_weight_of_one_reload_are_one_event():
    scenario = await serving(service(real(A, 5), real(B)))
    await scenario.configure(config(service(real(A, 10, admin=Admin.DRAINED), real(B))))
    assert sentences(scenario) == ["www: 10.0.0.11:80 is now drained, weight 0"]
    await scenario.configure(config(service(real(A, 10), real(B))))
    assert sentences(scenario) == ["www: 10.0.0.11:80 is now enabled, weight 10"]


# --- checks that ask for a weight -------------------------------------------------------------------------------


def asking(**admin: Admin):
    return service(real(A, 10, check(A, FAST, asks_weight=True), **admin), real(B))


async def test_a_weight_that_a_check_asks_for_is_told_only_if_the_table_has_another_then():
    scenario = await serving(asking())
    await scenario.hears({A: asks(3)})
    assert told(scenario) == [(Kind.SERVER_WEIGHT, "www: 10.0.0.11:80 weight 10 -> 3 (ok: asks for 3)")]
    await scenario.hears({A: asks(10)})
    await scenario.configure(config(asking(admin=Admin.DRAINED)))
    scenario.told()
    await scenario.hears({A: asks(5)})
    assert scenario.told() == []
    await scenario.configure(config(asking()))
    assert sentences(scenario) == ["www: 10.0.0.11:80 is now enabled, weight 5"]


async def test_a_check_that_asks_for_the_weight_that_is_there_is_no_news():
    scenario = await serving(asking())
    await scenario.hears({A: asks(10)})
    assert scenario.told() == []


# --- starts, and a table with a life of its own -----------------------------------------------------------------


async def test_rows_found_at_the_start_that_are_not_as_configured_are_told():
    table = MemoryTable({WWW: listed({A: 3, B: 10}, STICKY)})
    scenario = await started(service(real(A), real(B)), table=table)
    assert told(scenario) == [
        (Kind.SERVICE_CHANGED, "www: 192.0.2.80:80/tcp scheduler wrr -> wlc, persistent 300s/32 -> none"),
        (Kind.SERVER_WEIGHT, "www: 10.0.0.11:80 weight 3 -> 10"),
    ]


async def test_nothing_is_told_of_a_row_that_the_table_refuses_until_it_takes_it():
    table = WatchedTable()
    scenario = await serving(service(real(A, 5), real(B)), table=table)
    table.refusing = {(WWW, A)}
    await scenario.configure(config(service(real(A, 10), real(B))))
    assert scenario.kinds() == [Kind.ROW_REFUSED]
    table.refusing = set()
    await scenario.turn(later=RESYNC)
    assert sentences(scenario) == ["www: 10.0.0.11:80 weight 5 -> 10"]


@pytest.mark.parametrize("cut_after", [0, 1, 2, 3])
async def test_what_a_table_did_before_it_went_away_is_told_once_when_it_is_back(cut_after):
    table = WatchedTable()
    scenario = await serving(service(real(A, 5), real(B, 5)), table=table)
    table.cut, table.cut_after = TableUnavailable("gone"), cut_after
    await scenario.configure(config(service(real(A, 10), real(B, 4), spec=STICKY)))
    early = sentences(scenario)
    await scenario.turn(later=60)
    assert sorted(early + sentences(scenario)) == sorted(
        [
            *(["the table cannot be kept: gone", "the table can be kept again"] if cut_after < 3 else []),
            "www: 10.0.0.11:80 weight 5 -> 10",
            "www: 10.0.0.12:80 weight 5 -> 4",
            "www: 192.0.2.80:80/tcp scheduler wlc -> wrr, persistent none -> 300s/32",
        ]
    )
    assert len(early) == (1 if cut_after < 3 else 3)


@pytest.mark.parametrize("ops", [[SetDest(WWW, A, row(3))], [DelDest(WWW, A)], [SetService(WWW, STICKY)]])
async def test_a_row_that_is_repaired_is_as_it_was_told_before(ops):
    scenario = await serving(service(real(A), real(B)))
    scenario.table.edit(*ops)
    await scenario.turn(later=RESYNC)
    assert scenario.kinds() == [Kind.DRIFT]


async def test_a_strangers_edit_that_was_left_is_what_the_next_reload_changes():
    scenario = await serving(service(real(A), real(B)), drift=REPORT)
    scenario.table.edit(SetDest(WWW, A, row(3)), AddDest(WWW, STRANGER, row(1)))
    await scenario.turn(later=RESYNC)
    assert scenario.kinds() == [Kind.DRIFT, Kind.DRIFT]
    await scenario.configure(config(service(real(A, 20), real(B)), drift=REPORT))
    assert told(scenario) == [
        (Kind.SERVER_WEIGHT, "www: 10.0.0.11:80 weight 3 -> 20"),
        (Kind.SERVER_REMOVED, "www: 10.9.9.9:80 is not declared, it is out of the table"),
    ]


async def test_a_service_that_a_stranger_deleted_and_the_table_refuses_is_gone_and_comes_back_with_its_rows():
    refused: set[type] = set()
    table = MemoryTable(refuse=lambda op: 22 if type(op) in refused else 0)
    scenario = await serving(service(real(A), real(B)), table=table)
    refused.add(AddService)
    table.edit(DelService(WWW))
    await scenario.turn(later=RESYNC)
    assert scenario.kinds() == [Kind.DRIFT, Kind.ROW_REFUSED, Kind.SERVICE_REMOVED]
    refused.clear()
    await scenario.turn(later=RESYNC)
    assert sentences(scenario) == [
        "www: 192.0.2.80:80/tcp added to the table",
        "www: 10.0.0.11:80 no row -> weight 10",
        "www: 10.0.0.12:80 no row -> weight 10",
        "www: 192.0.2.80:80/tcp has a usable server again",
    ]
