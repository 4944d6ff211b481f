"""Policy for every combination of health, wishes and rows; and policy with plan, verdict after verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from healthd.config.schema import Admin, OnFailure, RealServer, ServiceConfig
from healthd.health import Phase
from healthd.model import DestKey, DestSpec, Service
from healthd.plan import after, plan
from healthd.policy import Context, ServerState, wanted_service
from tests.property.tables import DESTS, SERVERS, known, rows, states, usable
from tests.support.builders import STRANGER, WWW, real, row, service

Known = tuple[ServiceConfig, dict[DestKey, ServerState]]
tables_of_one = st.dictionaries(st.sampled_from((*DESTS, STRANGER)), rows, max_size=5)


def want(known: Known, have: dict[DestKey, DestSpec]) -> Service:
    """What is wanted of a service that has these rows."""
    found = wanted_service(*known, Context(have))
    assert found is not None
    return found


def can_serve(config: ServiceConfig, states: dict[DestKey, ServerState]) -> set[DestKey]:
    """The servers that clients should be sent to, said another way than in policy."""
    return {
        server.key
        for server in config.reals
        if (state := states[server.key]).phase is Phase.UP
        and state.admin is Admin.ENABLED
        and next(weight for weight in (state.ordered, state.asked, server.spec.weight) if weight is not None) > 0
    }


def wished(server: RealServer, state: ServerState) -> int:
    """The weight a server is to have unless its checks ask for another: an operator's, or the configured one."""
    return server.spec.weight if state.ordered is None else state.ordered


@given(known(), tables_of_one)
def test_a_server_has_weight_if_and_only_if_it_can_serve_or_nothing_is_known_of_it(known: Known, have):
    config, states = known
    found, serving = want(known, have), can_serve(*known)
    for server in config.reals:
        state, spec = states[server.key], found.dests.get(server.key)
        if state.phase is Phase.UNKNOWN and state.admin is Admin.ENABLED:
            had = have.get(server.key)
            most = had.weight if had and state.ordered is None else state.ordered
            assert spec == (had and replace(had, weight=min(had.weight, most)))
        else:
            assert bool(spec and spec.weight) is (server.key in serving)


@given(known(), tables_of_one)
def test_no_unchecked_server_is_given_weight(known: Known, have):
    found = want(known, have)
    for key, state in known[1].items():
        if state.phase is Phase.UNKNOWN:
            given_ = found.dests[key].weight if key in found.dests else 0
            had = have[key].weight if key in have else 0
            assert given_ <= had


@given(known(), tables_of_one)
def test_a_server_that_is_out_has_weight_0_or_no_row_as_its_service_says(known: Known, have):
    config, states = known
    found = want(known, have)
    for server in config.reals:
        state = states[server.key]
        if state.admin is Admin.REMOVED:
            assert server.key not in found.dests
        elif state.phase is Phase.DOWN or state.admin is Admin.MAINTENANCE:
            expected = None if config.on_failure is OnFailure.REMOVE else replace(server.spec, weight=0)
            assert found.dests.get(server.key) == expected


@given(known(), tables_of_one)
def test_the_fallback_is_derived(known: Known, have):
    config, states = known
    if config.fallback is None:
        return
    taken = {key for key, state in states.items() if not state.refused}
    unknown = {key for key, state in states.items() if state.phase is Phase.UNKNOWN and state.admin is Admin.ENABLED}
    reachable = can_serve(*known) & taken
    kept = {key for key in unknown & taken & have.keys() if have[key].weight and states[key].ordered != 0}
    hopeful = {real.key for real in config.reals if real.key in unknown & taken and wished(real, states[real.key])}
    found = want(known, have)
    if reachable or kept:
        assert config.fallback.key not in found.dests
    elif not hopeful:
        assert found.dests[config.fallback.key] == config.fallback.spec
    elif any(spec.weight for spec in have.values()):
        assert usable(found)
    else:
        assert found.dests.get(config.fallback.key) == have.get(config.fallback.key)


@given(known(), tables_of_one)
def test_what_nobody_declared_stays_only_while_nothing_else_is_there(known: Known, have):
    config, _ = known
    declared = {server.key for server in config.reals} | ({config.fallback.key} if config.fallback else set())
    found = want(known, have)
    for key in found.dests.keys() - declared:
        assert found.dests[key] == have[key]
    if can_serve(*known) & {key for key, state in known[1].items() if not state.refused}:
        assert not found.dests.keys() - declared


@given(known(), tables_of_one)
def test_what_is_wanted_is_still_wanted_once_it_is_there(known: Known, have):
    """But for what the table refuses, which is not there."""
    _, states = known
    found = want(known, _taken(states, have))
    assert want(known, _taken(states, found.dests)) == found


def _taken(states: dict[DestKey, ServerState], rows: Mapping[DestKey, DestSpec]) -> dict[DestKey, DestSpec]:
    refused = {key for key, state in states.items() if state.refused}
    return {key: row for key, row in rows.items() if not row.weight or key not in refused}


# --- verdict after verdict --------------------------------------------------------------------------------------


@st.composite
def stories(draw: st.DrawFn) -> list[Known]:
    """What becomes known of one service, step by step; the declared servers and their policy may change on the way."""
    now = {key: draw(states) for key in SERVERS}
    story = []
    for _ in range(draw(st.integers(1, 6))):
        keys = draw(st.sets(st.sampled_from(SERVERS)))
        config = service(
            *[real(key, draw(st.integers(0, 3))) for key in sorted(keys, key=lambda k: k.rank)],
            on_failure=draw(st.sampled_from(OnFailure)),
            fallback=draw(st.booleans()),
        )
        now |= {key: draw(states) for key in draw(st.sets(st.sampled_from(SERVERS), max_size=2))}
        story.append((config, {key: replace(now[key], refused=False) for key in keys}))
    return story


@given(stories(), tables_of_one)
def test_no_story_ever_empties_a_service_that_has_somebody_before_and_after(story: list[Known], have):
    table = {WWW: Service(service().spec, have)}
    for chapter in story:
        wanted = {WWW: want(chapter, dict(table[WWW].dests))}
        safe = usable(table[WWW]) and usable(wanted[WWW])
        for op in plan(wanted, table).ops:
            table = after(table, [op])
            assert usable(table[WWW]) or not safe, op
        assert table == wanted


@given(st.permutations(SERVERS), st.sets(st.sampled_from(SERVERS)), st.booleans(), st.sampled_from(OnFailure))
def test_a_reload_that_replaces_all_servers_never_empties_the_service(order, healthy, fallback, on_failure):
    """Old rows serve until a new server does, or until none of them can."""
    config = service(*[real(key) for key in SERVERS], fallback=fallback, on_failure=on_failure)
    table = {WWW: Service(config.spec, {STRANGER: row(5)})}
    now = dict.fromkeys(SERVERS, ServerState())
    for key in (None, *order):
        if key is not None:
            now[key] = ServerState(Phase.UP if key in healthy else Phase.DOWN)
        wanted = {WWW: want((config, now), dict(table[WWW].dests))}
        for op in plan(wanted, table).ops:
            table = after(table, [op])
            assert usable(table[WWW]) or (not healthy and not fallback and key == order[-1])
    assert (STRANGER in table[WWW].dests) is False


@given(st.permutations(SERVERS), st.sets(st.sampled_from(SERVERS)))
def test_a_restart_in_remove_mode_with_the_fallback_in_keeps_it_until_somebody_serves(order, healthy):
    config = service(*[real(key) for key in SERVERS], fallback=True, on_failure=OnFailure.REMOVE)
    assert config.fallback is not None
    table = {WWW: Service(config.spec, {config.fallback.key: config.fallback.spec})}
    now = dict.fromkeys(SERVERS, ServerState())
    for key in (None, *order):
        if key is not None:
            now[key] = ServerState(Phase.UP if key in healthy else Phase.DOWN)
        wanted = {WWW: want((config, now), dict(table[WWW].dests))}
        for op in plan(wanted, table).ops:
            table = after(table, [op])
            assert usable(table[WWW])
    assert set(table[WWW].dests) == (healthy or {config.fallback.key})
