"""`healthd plan` agrees with what the daemon then does: the same configurations, tables and lives through both."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from healthd.commands.plan import as_document, as_text, known_from, read
from healthd.config.schema import Admin, Config, Drift, OnFailure, ServiceConfig
from healthd.ipvs.memory import MemoryTable
from healthd.model import DestKey, Service, ServiceKey, Timeouts
from healthd.ops import AddDest, DelDest, SetDest
from healthd.policy import Wish
from healthd.preview import Known, preview
from tests.director.scenario import Scenario
from tests.support.builders import (
    FAIL,
    MAIL,
    PASS,
    SORRY,
    STRANGER,
    UNSURE,
    WWW,
    A,
    B,
    config,
    listed,
    real,
    row,
    service,
)
from tests.unit.test_view import document

KEYS = (WWW, MAIL)
SERVERS = (A, B)
ADMINS = st.sampled_from([*[Admin.ENABLED] * 3, Admin.DRAINED, Admin.MAINTENANCE, Admin.REMOVED])
WISHES = st.dictionaries(
    st.tuples(st.sampled_from(KEYS), st.sampled_from(SERVERS)),
    st.builds(Wish, ADMINS, st.just("because"), st.none() | st.integers(0, 3)),
)
MOSTLY = st.sampled_from([True, True, True, False])


@st.composite
def services(draw: st.DrawFn, key: ServiceKey) -> ServiceConfig:
    reals = [
        real(one, draw(st.integers(0, 3)), admin=draw(ADMINS), unchecked=draw(st.integers(0, 5)) == 0)
        for one in SERVERS
        if draw(MOSTLY)
    ]
    policy, fallback = draw(st.sampled_from(OnFailure)), draw(st.booleans())
    return service(*reals, key=key, name=str(key), on_failure=policy, fallback=fallback, admin=draw(ADMINS))


@st.composite
def configs(draw: st.DrawFn) -> Config:
    keys = [key for key in KEYS if draw(MOSTLY)]
    timeouts = draw(st.sampled_from([Timeouts(), Timeouts(tcp=600)]))
    return config(*(draw(services(key)) for key in keys), timeouts=timeouts)


ROWS = st.dictionaries(st.sampled_from([*SERVERS, SORRY, STRANGER]), st.integers(0, 3))
TABLES = st.dictionaries(st.sampled_from(KEYS), ROWS.map(listed))
VERDICTS = st.fixed_dictionaries(
    {(key, server): st.sampled_from([PASS, FAIL, UNSURE]) for key in KEYS for server in SERVERS}
)


async def plan_of(scenario: Scenario, wanted: Config, known: Known, wishes: Mapping | None = None) -> list:
    """What the plan is, with the table as it is."""
    return list(preview(wanted, await read(scenario.table, wanted, known), known, wishes or {}).ops)


def say(scenario: Scenario, verdicts: dict) -> None:
    """Give those verdicts that somebody waits for."""
    for ref, verdict in verdicts.items():
        if scenario.director.roster.assignment.watches.get(ref):
            scenario.say(ref, verdict)


@given(configs(), TABLES)
def test_before_a_start_it_is_what_the_start_will_write(wanted: Config, table: dict[ServiceKey, Service]):
    async def go() -> None:
        scenario = Scenario(MemoryTable(table))
        planned = await plan_of(scenario, wanted, Known())
        await scenario.configure(wanted)
        assert scenario.writes() == planned

    asyncio.run(go())


@given(configs(), configs(), TABLES, VERDICTS, WISHES)
def test_before_a_reload_it_is_what_the_reload_will_write(
    first: Config,
    second: Config,
    table: dict[ServiceKey, Service],
    verdicts: dict[tuple[ServiceKey, DestKey], object],
    wishes: dict[tuple[ServiceKey, DestKey], Wish],
):
    """What the daemon has learnt comes over the control socket, as JSON; what operators want is known to both."""

    async def go() -> None:
        scenario = Scenario(MemoryTable(table))
        scenario.director.wish("operators", wishes)
        await scenario.configure(first)
        say(scenario, verdicts)
        await scenario.turn()
        known = known_from(json.loads(json.dumps(document(scenario))))
        planned = await plan_of(scenario, second, known, wishes)
        scenario.writes()
        await scenario.configure(second)
        assert scenario.writes() == planned

    asyncio.run(go())


async def test_a_service_that_the_daemon_keeps_and_the_files_no_longer_have_is_to_be_deleted():
    scenario = Scenario(MemoryTable({MAIL: listed({A: 1})}))
    await scenario.configure(config(service(real(A))))
    await scenario.hears({A: PASS})
    known = known_from(document(scenario))
    shown = preview(config(), await read(scenario.table, config(), known), known)
    assert "delete" in as_text(shown)
    assert str(WWW) in as_text(shown)
    assert str(MAIL) not in as_text(shown)
    assert preview(config(), await read(scenario.table, config(), Known()), Known()).ops == ()


async def test_what_somebody_else_edited_is_left_and_told():
    wanted = config(service(real(A), real(B)), drift=Drift.REPORT)
    scenario = Scenario()
    await scenario.configure(wanted)
    await scenario.hears({A: PASS, B: PASS})
    scenario.table.edit(SetDest(WWW, A, row(3)), AddDest(WWW, STRANGER, row(5)))
    await scenario.turn(later=20)
    known = known_from(document(scenario))
    shown = preview(wanted, await read(scenario.table, wanted, known), known)
    assert shown.ops == ()
    assert set(map(type, shown.left)) == {SetDest, DelDest}
    assert "the table is as it should be" in as_text(shown)
    assert f"# left as somebody else made it, so not done: delete {STRANGER}" in as_text(shown)


async def test_a_server_that_waits_for_its_first_verdict_is_told():
    wanted = config(service(real(A)))
    shown = preview(wanted, await read(MemoryTable(), wanted, Known()), Known())
    assert f"# {A} of www comes in with its first pass" in as_text(shown)
    assert as_document(shown)["waiting"] == [{"service": "www", "real": str(A)}]
    assert json.dumps(as_document(shown)).isascii()
