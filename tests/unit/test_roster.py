"""The servers as they are known, and what is still to be told of them."""

from __future__ import annotations

from healthd.check import Verdict
from healthd.config.schema import Admin
from healthd.health import Health, Phase, adopt, observe
from healthd.model import DestKey
from healthd.narrate import Transition
from healthd.prober.base import Observation
from healthd.roster import Roster
from tests.support.builders import FAIL, FAST, MAIL, PASS, UNSURE, WWW, A, B, asks, check, real, service

UNKNOWN, UP, DOWN = Phase.UNKNOWN, Phase.UP, Phase.DOWN
REF = (WWW, A)


def roster_of(*services, weight: int | None = None) -> Roster:
    """A roster that began with these services, all servers with a row of this weight."""
    roster = Roster()
    roster.replace(services, lambda ref, plan: adopt(weight, 1.0))
    return roster


def reload(roster: Roster, *services, weight: int | None = None) -> None:
    roster.replace(services, lambda ref, plan: adopt(weight, 1.0))


def seen(roster: Roster, verdict: Verdict, key: DestKey = A, check: int = 0, now: float = 2.0) -> Observation:
    """What a prober would say of a verdict on one of a server's checks."""
    number = roster.assignment.watches[WWW, key][check]
    probe = next(p for p in roster.assignment.probes if number in {watch.id for watch in p.watches})
    healths = tuple(
        (
            watch.id,
            observe(roster.healths[watch.id], verdict.outcome, watch.thresholds, now, verdict.weight),
        )
        for watch in probe.watches
    )
    return Observation(probe.id, verdict, now, 0.001, healths)


def hear(roster: Roster, *verdicts: Verdict, key: DestKey = A, check: int = 0):
    """Fold verdicts one after the other; what the last one changed."""
    folded = None
    for verdict in verdicts:
        folded = roster.fold([seen(roster, verdict, key, check)])
    return folded


# --- folding ----------------------------------------------------------------------------------------------------


def test_a_change_of_phase_is_to_be_decided_and_told():
    roster = roster_of(service(real(A), real(B)))
    assert hear(roster, FAIL).dirty == {WWW}
    assert roster.transitions == {REF: Transition(UNKNOWN, DOWN, FAIL)}
    assert roster.phase(REF) is DOWN
    assert roster.phase((WWW, B)) is UNKNOWN


def test_a_verdict_that_changes_no_phase_is_neither():
    roster = roster_of(service(real(A)), weight=10)
    assert hear(roster, PASS).dirty == frozenset()
    assert roster.transitions == {}


def test_one_probe_moves_every_server_that_watches_it():
    roster = roster_of(service(real(A)), service(real(A), key=MAIL, name="mail"))
    assert hear(roster, FAIL).dirty == {WWW, MAIL}


def test_all_checks_of_a_server_must_pass_and_the_last_one_is_the_evidence():
    roster = roster_of(service(real(A, 10, check(A, FAST), check(A, FAST, word="other"))))
    assert hear(roster, PASS).dirty == frozenset()
    other = asks(None)
    assert hear(roster, other, check=1).dirty == {WWW}
    assert roster.transitions == {REF: Transition(UNKNOWN, UP, other)}


def test_a_flap_that_nobody_was_told_of_is_not_told():
    roster = roster_of(service(real(A)), weight=10)
    hear(roster, FAIL)
    assert hear(roster, PASS).dirty == {WWW}
    assert roster.transitions == {}


def test_what_is_told_begins_with_what_was_last_told():
    roster = roster_of(service(real(A)))
    hear(roster, PASS, FAIL)
    assert roster.transitions == {REF: Transition(UNKNOWN, DOWN, FAIL)}


def test_an_asked_weight_is_a_change_while_the_server_is_up():
    roster = roster_of(service(real(A, 10, check(A, FAST, asks_weight=True))), weight=10)
    assert hear(roster, asks(3)).dirty == {WWW}
    assert roster.asked(REF) == 3
    assert roster.transitions == {REF: Transition(UP, UP, asks(3), None)}
    hear(roster, asks(None))
    assert roster.transitions == {}


def test_a_server_that_went_and_came_back_with_another_weight_changed_its_weight():
    roster = roster_of(service(real(A, 10, check(A, FAST, asks_weight=True))), weight=10)
    hear(roster, asks(3))
    roster.transitions.clear()
    hear(roster, FAIL, asks(5))
    assert roster.transitions == {REF: Transition(UP, UP, asks(5), 3)}
    hear(roster, FAIL, asks(3))
    assert roster.transitions == {}


def test_the_least_of_the_asked_weights_counts():
    checks = [check(A, FAST, asks_weight=True), check(A, FAST, word="other", asks_weight=True)]
    roster = roster_of(service(real(A, 10, *checks)), weight=10)
    hear(roster, asks(7))
    hear(roster, asks(4), check=1)
    assert roster.asked(REF) == 4
    hear(roster, asks(None), check=1)
    assert roster.asked(REF) == 7


def test_observations_of_what_is_no_longer_asked_are_dropped():
    roster = roster_of(service(real(A)))
    late = seen(roster, FAIL)
    reload(roster, service(real(B)))
    assert roster.fold([late]).dirty == frozenset()
    assert roster.transitions == {}


def test_the_addresses_of_servers_that_are_down_are_missing():
    roster = roster_of(service(real(A), real(B)), weight=10)
    assert roster.missing() == set()
    hear(roster, FAIL)
    assert roster.missing() == {A.address}


# --- certainty --------------------------------------------------------------------------------------------------


def test_people_hear_of_the_third_inconclusive_verdict_in_a_row_and_then_of_the_first_answer():
    roster = roster_of(service(real(A)), weight=10)
    told = [len(hear(roster, verdict).certainty) for verdict in (UNSURE, UNSURE, UNSURE, UNSURE, UNSURE, PASS, PASS)]
    assert told == [0, 0, 1, 0, 0, 1, 0]
    assert roster.phase(REF) is UP


def test_three_are_enough_for_people_to_hear_of_the_answer_too():
    roster = roster_of(service(real(A)), weight=10)
    told = [len(hear(roster, verdict).certainty) for verdict in (UNSURE, UNSURE, UNSURE, FAIL)]
    assert told == [0, 0, 1, 1]


def test_an_answer_breaks_the_row_of_inconclusive_ones():
    roster = roster_of(service(real(A)), weight=10)
    verdicts = (UNSURE, UNSURE, PASS, UNSURE, UNSURE, FAIL, UNSURE, UNSURE)
    assert [len(hear(roster, verdict).certainty) for verdict in verdicts] == [0] * 8


# --- reload -----------------------------------------------------------------------------------------------------


def test_untouched_servers_keep_everything():
    roster = roster_of(service(real(A), real(B)), weight=10)
    hear(roster, FAIL)
    before = (roster.healths.copy(), roster.evidence.copy(), roster.transitions.copy(), roster.assignment.watches)
    reload(roster, service(real(A, 99), real(B)))
    assert (roster.healths, roster.evidence, roster.transitions, roster.assignment.watches) == before


def test_a_changed_check_keeps_the_phase_and_begins_its_row_anew():
    roster = roster_of(service(real(A)), weight=10)
    roster.healths = {watch: Health(UP, streak=2, since=7.0) for watch in roster.healths}
    reload(roster, service(real(A, 10, check(A, FAST, word="other"))))
    assert list(roster.healths.values()) == [Health(UP, since=7.0)]
    assert roster.transitions == {}


def test_a_changed_check_that_asks_for_weights_keeps_the_one_that_was_asked():
    roster = roster_of(service(real(A, 10, check(A, FAST, asks_weight=True))), weight=10)
    hear(roster, asks(3))
    reload(roster, service(real(A, 10, check(A, FAST, word="other", asks_weight=True))))
    assert roster.asked(REF) == 3
    reload(roster, service(real(A)))
    assert roster.asked(REF) is None


def test_a_server_that_is_up_again_because_a_check_went_is_told_without_evidence():
    one, other = check(A, FAST), check(A, FAST, word="other")
    roster = roster_of(service(real(A, 10, one, other)), weight=10)
    hear(roster, FAIL, check=1)
    roster.transitions.clear()
    reload(roster, service(real(A, 10, one)))
    assert roster.transitions == {REF: Transition(DOWN, UP, None)}


def test_a_server_that_gets_its_first_check_stays_up():
    roster = roster_of(service(real(A, unchecked=True)))
    assert roster.phase(REF) is UP
    reload(roster, service(real(A)))
    assert roster.phase(REF) is UP


def test_a_new_server_begins_by_its_row():
    roster = roster_of(service(real(A)))
    reload(roster, service(real(A), real(B)), weight=10)
    assert (roster.phase(REF), roster.phase((WWW, B))) == (UNKNOWN, UP)


def test_what_went_is_forgotten():
    roster = roster_of(service(real(A)))
    hear(roster, FAIL, UNSURE)
    reload(roster)
    assert (roster.healths, roster.evidence, roster.unsure, roster.transitions, roster.reals) == ({}, {}, {}, {}, {})


def test_the_wish_that_people_were_told_of_is_remembered_until_they_are_told_another():
    roster = roster_of(service(real(A)))
    reload(roster, service(real(A, admin=Admin.DRAINED)))
    assert (roster.admin_told[REF], roster.admin(REF)) == ((Admin.ENABLED, None), Admin.DRAINED)
    reload(roster, service(real(A), admin=Admin.MAINTENANCE))
    assert (roster.admin_told[REF], roster.admin(REF)) == ((Admin.ENABLED, None), Admin.MAINTENANCE)
