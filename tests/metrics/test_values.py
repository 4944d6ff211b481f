"""What a scrape says of a scripted director: every value is what the director believes at that moment."""

from __future__ import annotations

from healthd.config.schema import Admin, Drift
from healthd.events import Kind
from healthd.hooks import HookStats
from healthd.ipvs.base import ServiceCounters
from healthd.ipvs.memory import MemoryTable
from healthd.metrics import families
from healthd.model import Connections, Counters
from healthd.ops import AddDest, SetDest
from healthd.overrides import Override, OverrideKind, Scope
from healthd.policy import Wish
from healthd.prober.base import LATENESS_BOUNDS, Summary
from tests.director.scenario import serving, started
from tests.support.builders import (
    FAIL,
    FAST,
    MAIL,
    PASS,
    SORRY,
    STRANGER,
    UNSURE,
    WWW,
    A,
    B,
    C,
    asks,
    check,
    config,
    real,
    row,
    service,
)

from .scraping import EPOCH, OPENMETRICS, Scraped, Told

ON_A, ON_B = {"service": "www", "real": str(A)}, {"service": "www", "real": str(B)}


async def test_a_server_that_is_up_and_one_that_is_down():
    scenario = await serving(service(real(A, 7), real(B, 5)))
    scenario.now += 100
    await scenario.hears({B: FAIL})
    scrape = await Scraped(scenario).scrape()

    names = ("up", "configured_weight", "full_weight", "wanted_weight", "weight", "phase_timestamp_seconds")
    assert [scrape.value(f"server_{name}", **ON_A) for name in names] == [1, 7, 7, 7, 7, EPOCH + 1000]
    assert [scrape.value(f"server_{name}", **ON_B) for name in names] == [0, 5, 5, 0, 0, EPOCH + 1100]
    assert scrape.labels("server_reason") == [{**ON_B, "reason": "failed"}]
    assert scrape.value("service_usable_servers", service="www") == 1
    phases = {phase: scrape.value("service_servers", service="www", phase=phase) for phase in ("up", "down", "unknown")}
    assert phases == {"up": 1, "down": 1, "unknown": 0}


async def test_a_server_that_was_not_asked_yet_is_unknown():
    scrape = await Scraped(await started(service(real(A)))).scrape()

    assert scrape.value("server_up", **ON_A) == 0
    assert scrape.value("server_reason", **ON_A, reason="unknown") == 1
    assert scrape.value("service_servers", service="www", phase="unknown") == 1
    assert scrape.value("check_duration_seconds", **ON_A, check="ask") is None


async def test_a_server_that_is_not_checked_has_no_time_of_its_phase():
    scrape = await Scraped(await serving(service(real(A, unchecked=True)))).scrape()

    assert scrape.value("server_up", **ON_A) == 1
    assert scrape.value("server_phase_timestamp_seconds", **ON_A) is None
    assert scrape.labels("check_up") == []


async def test_the_weight_that_a_check_asks_for_and_the_one_that_an_operator_orders():
    plan = check(A, FAST, asks_weight=True)
    scenario = await started(service(real(A, 10, plan), real(B, 10)))
    await scenario.hears({A: asks(3), B: PASS})
    scenario.director.wish("operators", {(WWW, B): Wish(Admin.ENABLED, "ada", 4)})
    await scenario.turn()
    scrape = await Scraped(scenario).scrape()

    for on, weight in ((ON_A, 3), (ON_B, 4)):
        assert scrape.value("server_configured_weight", **on) == 10
        assert scrape.value("server_full_weight", **on) == scrape.value("server_weight", **on) == weight
    assert scrape.labels("server_reason") == [{**ON_B, "reason": "reweighted"}]


async def test_what_is_wanted_and_what_the_table_has_differ_while_it_refuses():
    table = MemoryTable(refuse=lambda op: 22 if isinstance(op, SetDest) else 0)
    scenario = await serving(service(real(A), real(B)), table=table)
    await scenario.hears({A: FAIL})
    scrape = await Scraped(scenario).scrape()

    assert scrape.value("server_wanted_weight", **ON_A) == 0
    assert scrape.value("server_weight", **ON_A) == 10
    assert scrape.value("service_refused_rows", service="www") == 1
    assert scrape.value("table_rejections_total") == 1


async def test_each_check_has_its_own_series_also_of_one_kind():
    checks = [check(A, FAST), check(A, FAST, word="deep")]
    scenario = await started(service(real(A, 10, *checks)))
    scraped = Scraped(scenario)
    scenario.say((WWW, A), PASS, check=0)
    scenario.say((WWW, A), FAIL, check=1)
    await scenario.turn()
    first, second = scenario.director.roster.assignment.watches[WWW, A]
    probes = scenario.director.roster.assignment.probe_of
    scenario.prober.timed = {probes[first]: (1000.25, 0.0015), probes[second]: (1000.5, 2.0)}
    scrape = await scraped.scrape()

    assert scrape.value("check_up", **ON_A, check="ask") == 1
    assert scrape.value("check_up", **ON_A, check="ask 2") == 0
    assert scrape.value("server_up", **ON_A) == 0
    assert scrape.value("check_duration_seconds", **ON_A, check="ask") == 0.0015
    assert scrape.value("check_duration_seconds", **ON_A, check="ask 2") == 2
    assert scrape.value("check_timestamp_seconds", **ON_A, check="ask") == EPOCH + 1000.25


async def test_failures_between_two_scrapes_are_counted_and_forgotten_with_their_check():
    scenario = await serving(service(real(A), real(B)))
    scraped = Scraped(scenario)
    roster = scenario.director.roster
    number = roster.assignment.probe_of[roster.assignment.watches[WWW, A][0]]
    for verdict in (FAIL, PASS, FAIL, UNSURE, PASS):
        seen = scenario.prober.answer(number, verdict, scenario.now)
        scraped.failures.observed(roster.assignment, [seen])
    scrape = await scraped.scrape()

    assert scrape.value("check_failures_total", **ON_A, check="ask") == 2
    assert scrape.value("check_inconclusive_total", **ON_A, check="ask") == 1
    assert scrape.value("check_failures_total", **ON_B, check="ask") == 0

    await scenario.configure(config(service(real(B))))
    scraped.failures.observed(scenario.director.roster.assignment, [])
    assert not scraped.failures.failed
    assert not scraped.failures.unsure


async def test_services_with_their_fallback_and_the_rows_that_somebody_else_made():
    scenario = await started(
        service(real(A), real(B), fallback=True), service(real(C), key=MAIL, name="mail"), drift=Drift.REPORT
    )
    await scenario.hears({A: FAIL, B: FAIL})
    await scenario.hears({C: PASS}, MAIL)
    scenario.table.edit(AddDest(WWW, STRANGER, row(1)), SetDest(MAIL, C, row(99)))
    await scenario.turn(later=20)
    scrape = await Scraped(scenario).scrape()

    assert scrape.value("service_info", service="www", virtual=str(WWW), scheduler="wlc") == 1
    assert scrape.value("service_present", service="www") == 1
    assert scrape.value("service_fallback_active", service="www") == 1
    assert scrape.labels("service_fallback_active") == [{"service": "www"}]  # mail has none
    assert scrape.value("service_keep_usable_servers", service="www") == 1
    assert scrape.value("service_edited_rows", service="www") == 1
    assert scrape.value("service_edited_rows", service="mail") == 1
    assert scrape.value("server_reason", service="mail", real=str(C), reason="edited") == 1
    assert not [labels for labels in scrape.labels("server_weight") if labels["real"] == str(STRANGER)]


class Counting(MemoryTable):
    """A table over which connections have gone."""

    reads = 0

    async def snapshot(self, only=None, *, counters=False):
        """With counters of connections."""
        found = await super().snapshot(only, counters=counters)
        self.reads += counters
        row = Connections(3, 4, 5, Counters(10, 20, 30, 40, 50))
        for key, listed in found.services.items() if counters else ():
            found.counters[key] = ServiceCounters(Counters(), dict.fromkeys(listed.dests, row))
        return found


async def test_the_kernel_s_counters_of_servers_and_the_fallback_and_of_nobody_else():
    scenario = await serving(service(real(A), fallback=True), table=Counting())
    await scenario.hears({A: FAIL})
    scenario.table.edit(AddDest(WWW, STRANGER, row(1)))
    scrape = await Scraped(scenario).scrape()

    values = [scrape.value(family.name.removeprefix("healthd_"), **ON_A) for family in families.IPVS]
    assert values == [10, 20, 30, 40, 50, 3, 4, 5]
    assert {labels["real"] for labels in scrape.labels("ipvs_connections_total")} == {str(A), str(SORRY)}


async def test_whoever_asks_within_a_second_the_kernel_s_counters_are_read_once():
    scenario = await serving(service(real(A)), table=Counting())
    scraped = Scraped(scenario)
    first, second = await scraped.scrape(), await scraped.scrape(OPENMETRICS)

    assert first.samples == second.samples
    assert scenario.table.reads == 1


async def test_while_the_table_is_lost_everything_else_is_told():
    scenario = await serving(service(real(A), real(B)))
    scenario.table.unavailable = "gone"
    await scenario.hears({A: FAIL})
    await scenario.turn(later=60)
    scrape = await Scraped(scenario).scrape()

    assert scrape.value("table_up") == 0
    assert scrape.value("server_up", **ON_A) == 0
    assert scrape.value("server_weight", **ON_A) == 10  # what it had last
    assert scrape.value("server_wanted_weight", **ON_A) == 0  # what it will have as soon as it is back
    assert not [name for name in scrape.names() if name.startswith("healthd_ipvs_")]


async def test_a_table_that_goes_away_in_a_scrape_is_no_fault_of_the_scrape():
    scenario = await serving(service(real(A)))
    scenario.table.unavailable = "gone"
    scrape = await Scraped(scenario).scrape()

    assert scrape.value("server_up", **ON_A) == 1
    assert not [name for name in scrape.names() if name.startswith("healthd_ipvs_")]


async def test_what_probers_summed_up_is_added_up():
    scenario = await started(service(real(A)))
    late = (5, *[0] * (len(LATENESS_BOUNDS) - 1), 2)
    for second in (1, 2):
        scenario.director.summarised(
            Summary(scenario.now + second, 6, 2, 1, 3, second, stalls=1, unasked=1, late=late, lateness_sum=7.5)
        )
    scrape = await Scraped(scenario).scrape()

    outcomes = ("pass", "fail", "inconclusive")
    assert [scrape.value("probe_results_total", outcome=outcome) for outcome in outcomes] == [12, 4, 2]
    assert scrape.value("probes") == 1
    assert scrape.value("probes_missed_total") == 6
    assert scrape.value("probes_in_flight") == 2
    assert scrape.value("probes_unasked") == 1
    assert scrape.value("prober_stalls_total") == 2
    assert scrape.value("probe_lateness_seconds_bucket", le="0.001") == 10
    assert scrape.value("probe_lateness_seconds_bucket", le="1.0") == 10
    assert scrape.value("probe_lateness_seconds_count") == 14
    assert scrape.value("probe_lateness_seconds_sum") == 15


async def test_events_and_what_became_of_reloads():
    scraped = Scraped(await started(service(real(A))))
    scraped.happened(Kind.STARTED, 5e8)
    assert (await scraped.scrape()).value("config_load_timestamp_seconds") == 5e8

    for kind, successful, loaded in (
        (Kind.RELOAD_FAILED, 0, 5e8),
        (Kind.RELOADED, 1, 6e8),
        (Kind.RELOAD_FAILED, 0, 6e8),
    ):
        scraped.happened(kind, 6e8)
        scraped.exposition.forget()
        scrape = await scraped.scrape()
        assert scrape.value("config_last_reload_successful") == successful
        assert scrape.value("config_load_timestamp_seconds") == loaded
    assert scrape.value("start_timestamp_seconds") == 5e8
    assert scrape.value("events_total", kind="reload-failed") == 2
    assert {labels["kind"] for labels in scrape.labels("events_total")} == {kind.value for kind in Kind}


async def test_hooks_of_one_name_are_one_series_and_the_log_has_its_own():
    twice = [Told(HookStats("exec /bin/page", 3, 1, 2, 4, 5)), Told(HookStats("exec /bin/page", 10))]
    scrape = await Scraped(await started(service(real(A))), twice).scrape()

    counted = ("delivered_total", "failed_total", "dropped_total", "queued", "retries_total")
    assert [scrape.value(f"hook_{name}", hook="exec /bin/page") for name in counted] == [13, 1, 2, 4, 5]
    counted = ("lines_total", "spilled_lines_total", "dropped_lines_total", "queued_lines", "away")
    assert [scrape.value(f"log_{name}") for name in counted] == [7, 1, 2, 3, 0]


async def test_overrides_with_the_times_they_began_and_will_end():
    scraped = Scraped(await serving(service(real(A), real(B))))
    await scraped.operators.put(Override(Scope("www", str(A)), OverrideKind.DRAIN, "ada", "disk", 4e8, 5e8))
    await scraped.operators.put(Override(Scope("", "10.0.0.12"), OverrideKind.MAINTENANCE, "ada", "", 4.5e8))
    scrape = await scraped.scrape()

    assert scrape.value("override_set_timestamp_seconds", **ON_A, kind="drain") == 4e8
    assert scrape.value("override_end_timestamp_seconds", **ON_A, kind="drain") == 5e8
    assert scrape.value("override_set_timestamp_seconds", service="", real="10.0.0.12", kind="maintenance") == 4.5e8
    assert len(scrape.labels("override_end_timestamp_seconds")) == 1
    assert scrape.value("overrides_unsaved") == 0


async def test_the_director_s_own_process_has_used_time_and_memory():
    scrape = await Scraped(await started(service(real(A)))).scrape()

    assert scrape.value("process_cpu_seconds_total", process="director") > 0
    assert scrape.value("process_resident_memory_bytes", process="director") > 1e6
