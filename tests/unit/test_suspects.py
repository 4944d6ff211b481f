"""Whom a change of links, addresses or neighbours makes us ask at once."""

from __future__ import annotations

import pytest

from healthd.daemon import suspects
from healthd.ipvs.watch import AddressChange, Change, LinkChange, LookAgain, NeighbourFailed
from tests.director.scenario import Scenario
from tests.support.builders import FAIL, PASS, A, B, C, config, real, service


async def roster():
    """A and C are up, B is down."""
    scenario = Scenario()
    await scenario.configure(config(service(real(A), real(B), real(C))))
    await scenario.hears({A: PASS, B: FAIL, C: PASS})
    return scenario.director.roster


@pytest.mark.parametrize("change", [LinkChange("eth0", 2, True), AddressChange(A.address, 2, True), LookAgain()])
async def test_what_may_be_reachable_again_is_asked(change: Change):
    assert suspects(change, await roster()) == {B.address}


@pytest.mark.parametrize("change", [LinkChange("eth0", 2, False), AddressChange(A.address, 2, False)])
async def test_what_went_away_says_nothing_that_a_probe_would_not(change: Change):
    assert suspects(change, await roster()) == set()


async def test_a_neighbour_that_is_gone_is_asked_if_it_is_counted_on():
    """One that is down already is not: each probe of it makes the kernel give it up again, for ever."""
    known = await roster()
    assert suspects(NeighbourFailed(A.address, 2), known) == {A.address}
    assert suspects(NeighbourFailed(B.address, 2), known) == set()
    assert suspects(NeighbourFailed(C.address, 2), known) == {C.address}
