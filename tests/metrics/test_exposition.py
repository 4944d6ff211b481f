"""The text of a scrape: both formats, complete, bounded, and made without keeping anybody waiting."""

from __future__ import annotations

import asyncio
import os
import resource
import time

import pytest

from healthd.events import Kind
from healthd.hooks import HookStats
from healthd.metrics import families
from healthd.metrics.processes import usage
from healthd.metrics.slices import in_slices
from healthd.overrides import Override, OverrideKind, Scope
from tests.director.scenario import serving, started
from tests.support.builders import FAIL, FAST, A, B, check, config, dest, real, service, vip

from .scraping import OPENMETRICS, Scraped, Told

PARTS_OF_HISTOGRAMS = ("_bucket", "_count", "_sum")


async def everything() -> Scraped:
    """A daemon that has something of each metric."""
    scenario = await serving(service(real(A), real(B), fallback=True))
    await scenario.hears({B: FAIL})
    roster = scenario.director.roster
    scenario.prober.timed = {probe.id: (scenario.now, 0.25) for probe in roster.assignment.probes}
    scraped = Scraped(scenario, [Told(HookStats("exec /bin/true"))])
    await scraped.operators.put(Override(Scope("www"), OverrideKind.DRAIN, "ada", "", 4e8, 5e8))
    scraped.happened(Kind.STARTED)
    return scraped


@pytest.mark.parametrize("accept", ["", OPENMETRICS, "*/*", "application/json", "text/html;q=0.3, bogus;;=,"])
async def test_every_metric_that_is_documented_is_there_with_its_type_and_help_and_no_other(accept):
    scraped = await everything()
    scrape = await scraped.scrape(accept)

    told = {metric.name: (metric.type, metric.documentation) for metric in scrape.metrics}
    openmetrics = accept == OPENMETRICS
    assert scrape.content_type.startswith("application/openmetrics-text" if openmetrics else "text/plain")
    assert scrape.text.endswith("# EOF\n") == openmetrics
    for family in families.ALL:
        stem = family.name.removesuffix("_total")
        stem = stem.removesuffix("_info") if openmetrics else stem
        kind = family.type.value if openmetrics or family.type is not families.Type.INFO else "gauge"
        assert told.pop(stem) == (kind, family.help)
    assert told == {}
    there = {name.removesuffix(end) for name in scrape.names() for end in ("", *PARTS_OF_HISTOGRAMS)}
    assert {family.name for family in families.ALL} <= there


async def test_both_formats_say_the_same():
    scraped = await everything()

    assert (await scraped.scrape()).samples == (await scraped.scrape(OPENMETRICS)).samples


async def test_a_scrape_without_any_service_is_one_all_the_same():
    scrape = await Scraped(await started()).scrape()

    assert scrape.value("probes") == 0
    assert scrape.labels("server_up") == []


@pytest.mark.parametrize("name", ['quo"ted', "back\\slash", "caf\u00e9 \u2603", "end\\"])
async def test_whatever_a_service_is_called_its_name_comes_back_as_it_is(name):
    scrape = await Scraped(await started(service(real(A), name=name))).scrape()

    assert scrape.labels("server_up") == [{"service": name, "real": str(A)}]
    assert scrape.labels("service_present") == [{"service": name}]


def many(count: int) -> list:
    """So many services with two servers, one of which has two checks."""
    made = []
    for number in range(count):
        one, two = dest(f"10.1.{number}.1"), dest(f"10.1.{number}.2")
        reals = (real(one, 10, check(one, FAST), check(one, FAST, word="deep")), real(two))
        made.append(service(*reals, key=vip(f"192.0.2.{number + 1}:80"), name=f"service {number}"))
    return made


async def series(count: int) -> int:
    """Series of a daemon with so many services, all servers of which are up and have been timed."""
    scenario = await serving(*many(count))
    scenario.prober.timed = {probe.id: (1.0, 0.1) for probe in scenario.director.roster.assignment.probes}
    return len((await Scraped(scenario).scrape()).samples)


async def test_there_are_as_many_series_as_servers_checks_and_services_and_no_more():
    at_1, at_5, at_50 = await series(1), await series(5), await series(50)
    of_server, of_check = len(families.SERVER) + len(families.IPVS), len(families.CHECK)
    of_service = len(families.SERVICES) - 1 + 2  # no fallback here; servers by three phases

    assert at_5 - at_1 == 4 * (2 * of_server + 3 * of_check + of_service)
    assert at_50 - at_5 == 45 * (2 * of_server + 3 * of_check + of_service)


async def test_what_servers_answer_is_in_no_label():
    scenario = await serving(service(real(A), real(B)))
    for number in range(30):
        await scenario.hears({A: type(FAIL)(FAIL.outcome, FAIL.reason, f"a new word each time: {number}")})
    first = await Scraped(scenario).scrape()

    assert "a new word" not in first.text


async def test_a_server_that_goes_while_it_is_being_scraped_is_left_out():
    scenario = await serving(service(real(A), real(B)))
    scraped = Scraped(scenario)
    timings = scenario.prober.timings

    async def reloaded():
        await scenario.configure(config(service(real(B))))
        return await timings()

    scenario.prober.timings = reloaded
    scrape = await scraped.scrape()

    assert {labels["real"] for labels in scrape.labels("server_up")} == {str(B)}


async def test_a_reload_in_the_middle_of_the_servers_leaves_a_scrape_whole():
    services = many(40)
    scenario = await serving(*services)
    scraped = Scraped(scenario)
    gathering = asyncio.ensure_future(scraped.scrape())
    others = service(real(A), name="another")
    while not gathering.done():
        await scenario.configure(config(others, *services[::2]))
        await scenario.configure(config(*services))
    scrape = await gathering

    assert scrape.value("service_present", service="service 0") == 1


async def test_long_work_gives_others_their_turns():
    seen, done = [], []

    async def other() -> None:
        while not done:
            seen.append(1)
            await asyncio.sleep(0)

    def work():
        for _ in range(20):
            until = time.perf_counter() + 0.002
            while time.perf_counter() < until:
                pass
            yield
        done.append(1)

    task = asyncio.ensure_future(other())
    await in_slices(work())
    await task

    assert len(seen) >= 19


def test_a_process_is_read_whatever_its_program_is_called():
    fields = ["S", *map(str, range(4, 53))]  # fields 3 and on of proc_pid_stat(5), each its own number
    used = usage("prober 0", f"4711 (a ) (b) {' '.join(fields)}".encode())

    assert used.cpu == (14 + 15) / os.sysconf("SC_CLK_TCK")
    assert used.memory == 24 * resource.getpagesize()
