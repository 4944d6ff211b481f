"""The status document, from a director that lives through what is worth seeing; and how it looks to people."""

from __future__ import annotations

import errno
import json
from dataclasses import replace
from typing import Any

import pytest

from healthd.check import Outcome, Reason, Verdict
from healthd.config.schema import Admin, Drift, OnFailure
from healthd.ipvs.memory import MemoryTable
from healthd.ops import AddDest, AddService, SetDest
from healthd.prober.base import Summary
from healthd.show import status_text
from healthd.view import Scene, describe_all, refused_rows
from tests.director.scenario import Scenario
from tests.support.builders import FAIL, PASS, SORRY, STRANGER, UNSURE, WWW, A, B, config, real, row, service


def document(scenario: Scenario, summary: Summary | None = None) -> dict[str, Any]:
    """What the control socket would say, as a client gets it."""
    director = scenario.director
    states = {
        (one.key, server.key): director.state(one, server)
        for one in director.roster.services.values()
        for server in one.reals
    }
    scene = Scene(director.roster, director.ledger, states, scenario.now, {}, {}, refused_rows(director.ledger))
    told: dict[str, Any] = json.loads(json.dumps(describe_all(scene, director.table_error, summary), allow_nan=False))
    return told


def server(told: dict[str, Any], number: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = told["services"][0]["reals"][number]
    return found


async def test_a_server_nothing_is_known_of_waits_and_says_so():
    scenario = Scenario()
    await scenario.configure(config(service(real(A))))
    told = document(scenario)
    assert (server(told)["phase"], server(told)["weight"], server(told)["reasons"]) == ("unknown", None, ["unknown"])
    assert "none yet" in status_text(told)


async def test_a_server_without_checks_is_up_and_has_no_age():
    scenario = Scenario()
    await scenario.configure(config(service(real(A, unchecked=True))))
    told = document(scenario)
    assert (server(told)["phase"], server(told)["weight"], server(told)["for"]) == ("up", 10, None)
    assert "not checked" in status_text(told)


async def test_a_failed_server_says_why_and_since_when():
    scenario = Scenario()
    await scenario.configure(config(service(real(A), real(B))))
    await scenario.hears({A: PASS, B: FAIL})
    scenario.now += 90
    told = document(scenario)
    assert (server(told, 1)["reasons"], server(told, 1)["weight"], server(told, 1)["for"]) == (["failed"], 0, 90.0)
    assert server(told, 1)["checks"][0]["last"]["reason"] == "refused"
    line = next(line for line in status_text(told).splitlines() if str(B) in line)
    assert "connection refused" in line
    assert "1m" in line


async def test_the_operators_wishes_are_shown():
    scenario = Scenario()
    await scenario.configure(config(service(real(A, admin=Admin.DRAINED), real(B, admin=Admin.MAINTENANCE))))
    await scenario.hears({A: PASS, B: PASS})
    told = document(scenario)
    assert [server(told, number)["reasons"] for number in (0, 1)] == [["drained"], ["maintenance"]]
    assert "up, drained" in status_text(told)
    assert "up, maintenance" in status_text(told)


async def test_a_row_that_the_table_refuses_is_told_with_its_reason():
    table = MemoryTable(refuse=lambda op: errno.EINVAL if isinstance(op, AddDest) and op.dest == B else 0)
    scenario = Scenario(table)
    await scenario.configure(config(service(real(A), real(B))))
    await scenario.hears({A: PASS, B: PASS})
    told = document(scenario)
    assert server(told, 1)["reasons"] == ["refused"]
    assert str(B) in server(told, 1)["refused"]
    assert server(told, 0)["refused"] is None
    assert f"! the table refused to {server(told, 1)['refused']}" in status_text(told)


async def test_a_service_that_the_table_refuses_is_told():
    scenario = Scenario(MemoryTable(refuse=lambda op: errno.ENOENT if isinstance(op, AddService) else 0))
    await scenario.configure(config(service(real(A))))
    await scenario.hears({A: PASS})
    told = document(scenario)
    assert told["services"][0]["present"] is False
    assert told["services"][0]["refused"]
    assert "NOT IN THE TABLE" in status_text(told)


@pytest.mark.parametrize("mode", [Drift.REPORT, Drift.ADOPT])
async def test_an_edit_of_somebody_else_that_is_left_is_marked(mode):
    scenario = Scenario()
    await scenario.configure(config(service(real(A), real(B)), drift=mode))
    await scenario.hears({A: PASS, B: PASS})
    scenario.table.edit(SetDest(WWW, A, row(3)), AddDest(WWW, STRANGER, row(5)))
    await scenario.turn(later=20)
    told = document(scenario)
    assert (server(told)["weight"], server(told)["reasons"]) == (3, ["edited"])
    assert server(told, 1)["reasons"] == []
    assert told["services"][0]["others"] == [{"address": str(STRANGER), "weight": 5}]
    assert f"{STRANGER} (not configured)" in status_text(told)
    assert "up, edited" in status_text(told)


async def test_a_server_that_cannot_be_asked_says_how_often():
    scenario = Scenario()
    await scenario.configure(config(service(real(A))))
    await scenario.hears({A: PASS})
    await scenario.hears({A: UNSURE}, times=4)
    told = document(scenario)
    assert (server(told)["phase"], server(told)["checks"][0]["inconclusive"]) == ("up", 4)
    assert "up, not asked 4x" in status_text(told)
    assert "no file descriptor left" in status_text(told)


async def test_how_often_the_table_was_read_and_written_is_told():
    scenario = Scenario()
    await scenario.configure(config(service(real(A))))
    before = document(scenario)["table"]
    await scenario.hears({A: PASS})
    await scenario.turn(later=20)
    table = document(scenario)["table"]
    assert table["writes"] == len(scenario.table.writes)
    assert (table["writes"] > before["writes"], table["reads"] > before["reads"]) == (True, True)


async def test_while_the_table_is_away_weights_are_marked_as_old():
    scenario = Scenario()
    await scenario.configure(config(service(real(A))))
    await scenario.hears({A: PASS})
    scenario.table.unavailable = "no permission"
    await scenario.hears({A: FAIL})
    told = document(scenario)
    assert (told["table"]["ok"], told["table"]["error"]) == (False, "no permission")
    assert server(told)["weight"] == 10
    assert status_text(told).splitlines()[:2] == [
        "THE TABLE CANNOT BE KEPT: no permission",
        "weights are those it had when it could last be asked",
    ]


async def test_the_fallback_is_shown_in_use_and_not_needed():
    scenario = Scenario()
    await scenario.configure(config(service(real(A), fallback=True, on_failure=OnFailure.REMOVE)))
    await scenario.hears({A: FAIL})
    assert document(scenario)["services"][0]["fallback"] == {"address": str(SORRY), "active": True, "weight": 1}
    assert "in use" in status_text(document(scenario))
    await scenario.hears({A: PASS})
    assert document(scenario)["services"][0]["fallback"]["active"] is False
    assert "not needed" in status_text(document(scenario))


async def test_a_prober_that_says_nothing_is_marked():
    scenario = Scenario()
    await scenario.configure(config(service(real(A))))
    fresh = document(scenario, Summary(scenario.now - 1, passed=5))
    silent = document(scenario, Summary(scenario.now - 125, passed=5))
    assert "NOTHING" not in status_text(fresh)
    assert status_text(silent).startswith("THE PROBER HAS SAID NOTHING FOR 2m")


HOSTILE = "\x1b]0;owned\x07\x1b[2J\r\nfake line\u202e\x9b31m\x00"


async def test_what_a_server_says_cannot_reach_the_terminal_as_anything_but_letters():
    scenario = Scenario()
    await scenario.configure(config(service(replace(real(A), name=HOSTILE))))
    await scenario.hears({A: Verdict(Outcome.FAIL, Reason.UNEXPECTED, f"got {HOSTILE} and more " + "x" * 5000)})
    told = document(scenario)
    text = status_text(told)
    assert all(line.isprintable() for line in text.split("\n"))
    assert len([line for line in text.split("\n") if "fake line" in line]) == 1
    assert max(map(len, text.split("\n"))) < 600
    assert json.dumps(told).isascii()
