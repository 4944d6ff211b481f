"""Verdicts in, writes and events out: cold start, failures, fallback, weights, restart."""

from __future__ import annotations

from healthd.config.schema import Admin, OnFailure
from healthd.events import Kind
from healthd.health import Thresholds
from healthd.ipvs.memory import MemoryTable
from healthd.model import Timeouts
from healthd.ops import AddDest, AddService, DelDest, SetDest, SetTimeouts
from tests.director.scenario import serving, started
from tests.support.builders import (
    DNS,
    FAIL,
    FAST,
    MAIL,
    PASS,
    SORRY,
    STRANGER,
    UNSURE,
    WLC,
    WWW,
    A,
    B,
    C,
    asks,
    check,
    config,
    dest,
    listed,
    real,
    row,
    service,
)

REMOVE = OnFailure.REMOVE


# --- cold start -------------------------------------------------------------------------------------------------


async def test_a_cold_start_creates_the_service_and_then_writes_each_server_once_with_its_first_verdict():
    scenario = await started(service(real(A), real(B), real(C)))
    assert scenario.writes() == [AddService(WWW, WLC)]
    await scenario.hears({A: PASS})
    assert scenario.writes() == [AddDest(WWW, A, row(10))]
    await scenario.hears({B: FAIL})
    assert scenario.writes() == [AddDest(WWW, B, row(0))]
    await scenario.hears({A: PASS, B: FAIL, C: UNSURE})
    assert scenario.writes() == []
    assert scenario.kinds() == [Kind.SERVICE_ADDED, Kind.SERVER_UP, Kind.SERVER_DOWN]


async def test_a_cold_start_in_remove_mode_writes_nothing_for_a_server_that_is_down():
    scenario = await started(service(real(A), real(B), on_failure=REMOVE))
    await scenario.hears({A: FAIL, B: PASS})
    assert scenario.writes() == [AddService(WWW, WLC), AddDest(WWW, B, row(10))]


async def test_servers_without_checks_are_in_from_the_start():
    scenario = await started(service(real(A, unchecked=True)))
    assert await scenario.rows() == {A: 10}


async def test_a_start_waits_for_all_servers_before_the_fallback_steps_in():
    scenario = await started(service(real(A), real(B), fallback=True))
    await scenario.hears({A: FAIL})
    assert await scenario.rows() == {A: 0}
    await scenario.hears({B: FAIL})
    assert await scenario.rows() == {A: 0, B: 0, SORRY: 1}


async def test_the_last_server_to_go_brings_the_fallback_also_while_a_new_server_is_unknown():
    scenario = await serving(service(real(A), fallback=True))
    await scenario.configure(config(service(real(A), real(B), fallback=True)))
    await scenario.hears({A: FAIL, B: UNSURE})
    assert scenario.writes() == [AddDest(WWW, SORRY, row(1)), SetDest(WWW, A, row(0))]
    await scenario.hears({B: PASS})
    assert await scenario.rows() == {A: 0, B: 10}


async def test_all_first_verdicts_of_one_moment_are_one_plan():
    scenario = await started(service(real(A), real(B)), service(real(C), key=MAIL, name="mail"))
    scenario.writes()
    for ref in ((WWW, A), (WWW, B), (MAIL, C)):
        scenario.say(ref, PASS)
    await scenario.turn()
    assert scenario.writes() == [AddDest(MAIL, C, row(10)), AddDest(WWW, A, row(10)), AddDest(WWW, B, row(10))]


# --- failures ---------------------------------------------------------------------------------------------------


async def test_a_rack_that_dies_is_one_plan():
    rack = [dest(f"10.0.1.{last}") for last in range(1, 41)]
    scenario = await serving(service(*[real(key) for key in rack], fallback=True))
    for key in rack:
        scenario.say((WWW, key), FAIL)
    await scenario.turn()
    writes = scenario.writes()
    assert writes[0] == AddDest(WWW, SORRY, row(1))
    assert writes[1:] == [SetDest(WWW, key, row(0)) for key in rack]
    assert scenario.kinds() == [Kind.FALLBACK_ON] + [Kind.SERVER_DOWN] * 40


async def test_two_of_three_servers_fail_three_probes_in_a_row_and_the_third_goes_on():
    servers = [real(key, limits=Thresholds(rise=2, fall=3)) for key in (A, B, C)]
    scenario = await serving(service(*servers, fallback=True))
    await scenario.hears({A: FAIL, B: FAIL, C: PASS}, times=2)
    assert scenario.writes() == []
    await scenario.hears({A: FAIL, B: FAIL, C: PASS})
    assert await scenario.rows() == {A: 0, B: 0, C: 10}
    await scenario.hears({A: PASS, B: PASS})
    assert await scenario.rows() == {A: 0, B: 0, C: 10}
    await scenario.hears({A: PASS, B: PASS})
    assert await scenario.rows() == {A: 10, B: 10, C: 10}


async def test_in_remove_mode_a_failed_server_loses_its_row_and_gets_it_back():
    scenario = await serving(service(real(A), real(B), on_failure=REMOVE))
    await scenario.hears({A: FAIL})
    assert scenario.writes() == [DelDest(WWW, A)]
    await scenario.hears({A: PASS})
    assert scenario.writes() == [AddDest(WWW, A, row(10))]


async def test_the_fallback_is_in_before_the_last_server_is_out_and_out_after_the_first_is_in():
    scenario = await serving(service(real(A), fallback=True, on_failure=REMOVE))
    await scenario.hears({A: FAIL})
    assert scenario.writes() == [AddDest(WWW, SORRY, row(1)), DelDest(WWW, A)]
    await scenario.hears({A: PASS})
    assert scenario.writes() == [AddDest(WWW, A, row(10)), DelDest(WWW, SORRY)]
    assert scenario.kinds() == [Kind.FALLBACK_ON, Kind.SERVER_DOWN, Kind.SERVER_UP, Kind.FALLBACK_OFF]


async def test_a_server_with_two_checks_needs_both():
    scenario = await serving(service(real(A, 10, check(A, FAST), check(A, FAST, word="other")), real(B)))
    scenario.say((WWW, A), FAIL, check=1)
    await scenario.turn()
    assert await scenario.rows() == {A: 0, B: 10}
    scenario.say((WWW, A), PASS, check=0)
    await scenario.turn()
    assert await scenario.rows() == {A: 0, B: 10}
    scenario.say((WWW, A), PASS, check=1)
    await scenario.turn()
    assert await scenario.rows() == {A: 10, B: 10}


async def test_a_server_with_one_check_failed_and_one_not_yet_asked_is_not_told_down_twice():
    scenario = await started(service(real(A, 10, check(A, FAST), check(A, FAST, word="other")), real(B)))
    scenario.say((WWW, A), FAIL, check=0)
    await scenario.turn()
    scenario.say((WWW, A), PASS, check=0)
    await scenario.turn()
    assert scenario.kinds() == [Kind.SERVICE_ADDED, Kind.SERVER_DOWN]
    scenario.say((WWW, A), PASS, check=1)
    await scenario.turn()
    (event,) = scenario.told()
    assert (event.kind, event.previous, event.phase) == (Kind.SERVER_UP, "down", "up")


async def test_one_verdict_moves_a_server_in_every_service_that_shares_its_check():
    www, mail = service(real(A), real(B)), service(real(A), real(B), key=MAIL, name="mail")
    scenario = await serving(www, mail)
    await scenario.hears({A: FAIL})
    assert await scenario.rows(WWW) == await scenario.rows(MAIL) == {A: 0, B: 10}


# --- what is told -----------------------------------------------------------------------------------------------


async def test_an_event_says_who_why_from_what_to_what_and_what_was_done():
    scenario = await serving(service(real(A, name="web1"), real(B)))
    await scenario.hears({A: FAIL})
    (event,) = scenario.told()
    assert event.message == "www: 10.0.0.11:80 (web1) is down (refused: connection refused), weight 0"
    assert (event.previous, event.phase, event.weight) == ("up", "down", 0)
    assert (event.reason, event.detail) == ("refused", "connection refused")
    assert event.effect == ("set 10.0.0.11:80 of 192.0.2.80:80/tcp forward=masq weight=0",)
    assert event.at == scenario.now + 1e9


async def test_a_flap_within_one_turn_is_neither_written_nor_told():
    scenario = await serving(service(real(A), real(B)))
    scenario.say((WWW, A), FAIL)
    scenario.say((WWW, A), PASS)
    await scenario.turn()
    assert scenario.writes() == []
    assert scenario.told() == []


async def test_the_evidence_is_the_verdict_that_decided_not_one_that_came_after_it():
    scenario = await serving(service(real(A, limits=Thresholds(rise=2, fall=1)), real(B)))
    for verdict in (FAIL, UNSURE, PASS):
        scenario.say((WWW, A), verdict)
    await scenario.turn()
    (event,) = scenario.told()
    assert (event.kind, event.reason) == (Kind.SERVER_DOWN, "refused")


async def test_steady_verdicts_are_no_news():
    scenario = await serving(service(real(A), real(B)))
    await scenario.hears({A: FAIL})
    scenario.told()
    await scenario.hears({A: FAIL, B: PASS}, times=5)
    assert scenario.told() == []


async def test_inconclusive_verdicts_hold_the_state_and_are_told_after_three_and_again_when_sure():
    scenario = await serving(service(real(A), real(B)))
    await scenario.hears({A: UNSURE}, times=2)
    assert scenario.told() == []
    await scenario.hears({A: UNSURE}, times=7)
    (unsure,) = scenario.told()
    assert unsure.message == "www: 10.0.0.11:80 cannot be probed (no file descriptor left), it stays up"
    await scenario.hears({A: PASS})
    (sure,) = scenario.told()
    assert sure.kind is Kind.SERVER_SURE
    assert scenario.writes() == []


async def test_inconclusive_verdicts_are_counted_also_while_the_director_is_busy():
    scenario = await serving(service(real(A), real(B)))
    for _ in range(50):
        scenario.say((WWW, A), UNSURE)
    await scenario.turn()
    assert scenario.kinds() == [Kind.SERVER_UNSURE]


async def test_inconclusive_verdicts_do_not_break_a_row_of_failures():
    scenario = await serving(service(real(A, limits=Thresholds(rise=1, fall=2)), real(B)))
    await scenario.hears({A: FAIL})
    await scenario.hears({A: UNSURE}, times=2)
    await scenario.hears({A: FAIL})
    assert await scenario.rows() == {A: 0, B: 10}


# --- weights ----------------------------------------------------------------------------------------------------


async def test_a_check_may_ask_for_a_weight():
    scenario = await serving(service(real(A, 10, check(A, FAST, asks_weight=True)), real(B)))
    await scenario.hears({A: asks(3)})
    assert scenario.writes() == [SetDest(WWW, A, row(3))]
    (event,) = scenario.told()
    assert (event.kind, event.weight) == (Kind.SERVER_WEIGHT, 3)
    await scenario.hears({A: asks(None)})
    assert scenario.writes() == [SetDest(WWW, A, row(10))]


async def test_a_fallback_steps_in_where_every_server_asks_for_no_more_clients():
    scenario = await serving(service(real(A, 10, check(A, FAST, asks_weight=True)), fallback=True))
    await scenario.hears({A: asks(0)})
    assert await scenario.rows() == {A: 0, SORRY: 1}


# --- restart ----------------------------------------------------------------------------------------------------


async def test_a_restart_adopts_the_rows_and_writes_nothing():
    first = await serving(service(real(A), real(B), fallback=True))
    await first.hears({A: FAIL})
    second = await started(service(real(A), real(B), fallback=True), table=first.table)
    await second.hears({A: FAIL, B: PASS}, times=3)
    assert second.writes() == []
    assert second.told() == []


async def test_a_restart_keeps_the_thresholds():
    servers = [real(key, limits=Thresholds(rise=2, fall=3)) for key in (A, B)]
    first = await serving(service(*servers))
    second = await started(service(*servers), table=first.table)
    await second.hears({A: FAIL}, times=2)
    assert second.writes() == []
    await second.hears({A: FAIL})
    assert second.writes() == [SetDest(WWW, A, row(0))]


async def test_a_restart_with_the_fallback_in_keeps_it_until_a_server_is_up():
    for on_failure in OnFailure:
        first = await serving(service(real(A), real(B), fallback=True, on_failure=on_failure))
        await first.hears({A: FAIL, B: FAIL})
        second = await started(service(real(A), real(B), fallback=True, on_failure=on_failure), table=first.table)
        assert second.writes() == []
        await second.hears({A: FAIL})
        assert second.writes() == []
        await second.hears({B: PASS})
        assert second.writes()[-1] == DelDest(WWW, SORRY)
        assert Kind.FALLBACK_OFF in second.kinds()


async def test_weight_0_found_at_the_start_is_restored_once_the_server_is_healthy():
    for on_failure in OnFailure:
        table = MemoryTable({WWW: listed({A: 0, B: 10})})
        servers = [real(key, limits=Thresholds(rise=1, fall=1)) for key in (A, B)]
        scenario = await started(service(*servers, on_failure=on_failure), table=table)
        assert scenario.writes() == []
        await scenario.hears({A: PASS})
        assert scenario.writes() == [SetDest(WWW, A, row(10))]


async def test_a_restart_keeps_a_drained_servers_row_in_either_mode():
    for on_failure in OnFailure:
        drained = service(real(A, admin=Admin.DRAINED), real(B), on_failure=on_failure)
        first = await serving(drained)
        second = await started(drained, table=first.table)
        await second.hears({A: PASS}, times=2)
        assert second.writes() == []


async def test_a_restart_keeps_the_weight_that_a_check_asked_for():
    for on_failure in OnFailure:
        asking = service(real(A, 10, check(A, FAST, asks_weight=True)), real(B), on_failure=on_failure)
        for weight in (3, 0):
            first = await serving(asking)
            await first.hears({A: asks(weight)})
            second = await started(asking, table=first.table)
            await second.hears({A: asks(weight)})
            assert second.writes() == []


async def test_a_start_corrects_rows_that_are_not_as_configured_and_removes_what_nobody_declared():
    table = MemoryTable({WWW: listed({A: 3, STRANGER: 1}), DNS: listed({STRANGER: 1})})
    scenario = await started(service(real(A)), table=table)
    assert scenario.writes() == [SetDest(WWW, A, row(10)), DelDest(WWW, STRANGER)]
    assert await scenario.rows(DNS) == {STRANGER: 1}
    assert [(event.kind, event.message) for event in scenario.told()] == [
        (Kind.SERVER_WEIGHT, "www: 10.0.0.11:80 weight 3 -> 10"),
        (Kind.SERVER_REMOVED, "www: 10.9.9.9:80 is not declared, it is out of the table"),
    ]


async def test_the_tables_timeouts_are_set_once():
    scenario = await started(service(real(A)), timeouts=Timeouts(tcp=600))
    await scenario.turn(later=20)
    assert [op for op in scenario.writes() if isinstance(op, SetTimeouts)] == [SetTimeouts(Timeouts(tcp=600))]
