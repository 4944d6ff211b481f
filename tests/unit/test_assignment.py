"""What is asked: equal questions once, and the same ids for whatever did not change."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from healthd.assignment import Assignment, assign
from healthd.config.schema import ServiceConfig
from healthd.health import Health, Phase, Thresholds
from tests.support.builders import FAST, MAIL, WWW, A, B, check, real, service

NEW = Health(Phase.UNKNOWN, since=1.0)
SLOW = Thresholds(5, 5)


def assigned(*services: ServiceConfig, before: Assignment | None = None, healths=None) -> Assignment:
    """The assignment for these services, new watches beginning with NEW."""
    return assign(services, before or Assignment(), healths or {}, lambda ref, plan: NEW)


def test_servers_without_checks_are_not_asked():
    assert assigned(service(real(A, unchecked=True))).probes == ()


def test_equal_questions_are_one_probe_that_each_service_watches_with_its_own_thresholds():
    www = service(real(A, limits=FAST))
    mail = service(real(A, limits=SLOW), key=MAIL, name="mail")
    result = assigned(www, mail)
    (probe,) = result.probes
    assert [watch.thresholds for watch in probe.watches] == [FAST, SLOW]
    assert [result.servers[watch.id] for watch in probe.watches] == [(WWW, A), (MAIL, A)]


def test_another_check_target_or_cadence_is_another_question():
    checks = [check(A, FAST), check(A, FAST, word="other"), check(A, FAST, interval=1.0), check(B, FAST)]
    result = assigned(service(real(A, 10, *checks)))
    assert len(result.probes) == 4
    assert len(result.watches[WWW, A]) == 4


def test_the_same_check_twice_on_a_server_is_asked_and_watched_once():
    result = assigned(service(real(A, 10, check(A, FAST), check(A, FAST))))
    assert len(result.probes) == len(result.watches[WWW, A]) == 1


def test_ids_live_on_for_what_did_not_change():
    before = assigned(service(real(A), real(B)))
    after = assigned(service(real(B), real(A, 99)), before=before)
    assert after.watches == before.watches
    assert {probe.id: probe.target for probe in after.probes} == {probe.id: probe.target for probe in before.probes}


def test_a_probe_is_told_where_a_service_that_watches_it_has_a_monitor_file():
    www = service(real(A), real(B))
    mail = replace(service(real(A), key=MAIL), monitor_file=Path("/var/log/mail"))
    before = assigned(www)
    assert [probe.told for probe in before.probes] == [False, False]
    after = assigned(www, mail, before=before)
    assert [(probe.id, probe.told) for probe in after.probes] == [
        (probe.id, probe.target.address == A.address) for probe in before.probes
    ]


def test_new_thresholds_keep_probe_and_watch():
    before = assigned(service(real(A, limits=FAST)))
    (probe,) = assigned(service(real(A, limits=SLOW)), before=before).probes
    assert (probe.id, probe.watches[0].id) == (before.probes[0].id, before.probes[0].watches[0].id)
    assert probe.watches[0].thresholds == SLOW


def test_an_id_is_never_given_twice():
    first = assigned(service(real(A), real(B)))
    second = assigned(service(real(A, 10, check(A, FAST, word="other"))), before=first)
    third = assigned(service(real(A), real(B)), before=second)
    numbers = [number for each in (first, second, third) for number in each.servers]
    probes = [probe.id for each in (first, second, third) for probe in each.probes]
    assert len({*numbers, *probes}) == len(numbers) + len(probes)


def test_a_watch_goes_on_with_its_health_and_a_new_one_begins():
    before = assigned(service(real(A)))
    (number,) = before.servers
    health = Health(Phase.UP, streak=1, since=3.0)
    after = assigned(service(real(A), real(B)), before=before, healths={number: health})
    assert {watch.id: watch.health for probe in after.probes for watch in probe.watches} == {
        number: health,
        after.watches[WWW, B][0]: NEW,
    }


def test_what_is_no_longer_asked_is_forgotten():
    after = assigned(before=assigned(service(real(A))))
    assert (after.probes, after.servers, after.watches, after.probe_ids, after.watch_ids) == ((), {}, {}, {}, {})
