"""What crosses between director and prober: it comes back as it was, and junk is junk whatever it looks like."""

from __future__ import annotations

import json
import math
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.check import Outcome, Reason, Target, Verdict
from healthd.health import Health, Phase, Thresholds
from healthd.prober import orders, wire
from healthd.prober.base import LATENESS_BOUNDS, Answer, Cadence, Observation, Probe, Summary, Watch
from tests.processes.sample_checks import SaysCheck

ids = st.integers(0, wire.MAX_ID)
times = st.floats(0, 1e9)
weights = st.none() | st.integers(0, 65535)
printable = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), max_size=50)
healths = st.builds(Health, st.sampled_from(Phase), st.integers(0, 1000), times, weights)
verdicts = st.builds(Verdict, st.sampled_from(Outcome), st.sampled_from(Reason), printable, weights)
observations = st.builds(
    Observation, ids, verdicts, times, times, st.lists(st.tuples(ids, healths), max_size=3).map(tuple)
)
summaries = st.builds(
    Summary,
    *(times, ids, ids, ids, ids, ids, st.floats(0, 1e6), st.floats(0, 1e6), st.integers(0, 100), ids),
    st.just(()) | st.tuples(*[ids] * (len(LATENESS_BOUNDS) + 1)),
    times,
)
batches = st.lists(observations, max_size=3).map(tuple)
phases = st.none() | times
traces = st.lists(printable, min_size=1, max_size=3).map("\n".join)
answers = st.builds(Answer, times, times, verdicts, phases, phases, phases, traces)
messages = st.one_of(
    st.builds(wire.Ready, st.lists(st.sampled_from(["NET_RAW", "NET_ADMIN"])).map(tuple)),
    st.builds(wire.Refused, printable),
    st.builds(wire.Assigned, ids),
    st.builds(wire.Observed, batches),
    st.builds(wire.Summarised, summaries),
    st.builds(wire.Latest, ids, st.booleans(), batches),
    st.builds(wire.Timed, ids, st.booleans(), st.dictionaries(ids, st.tuples(times, times), max_size=5)),
    st.builds(wire.Recalled, ids, st.booleans(), ids, st.lists(answers, max_size=3).map(tuple)),
    st.builds(wire.RunnerWanted, st.none() | printable, st.none() | printable),
)


@given(messages)
def test_a_message_comes_back_as_it_was(message: wire.Message) -> None:
    assert wire.decode(wire.encode(message)) == message


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=20,
)
tagged = st.tuples(
    st.sampled_from(["ready", "refused", "observed", "summarised", "latest", "runner"]),
    st.lists(json_values, max_size=4),
).map(lambda pair: [pair[0], *pair[1]])


@given(st.binary(max_size=200) | (json_values | tagged).map(lambda value: json.dumps(value).encode()))
def test_whatever_comes_is_a_message_or_malformed(data: bytes) -> None:
    try:
        message = wire.decode(data)
    except wire.Malformed:
        return
    assert wire.decode(wire.encode(message)) == message


def observed(**changed: object) -> bytes:
    """An observation with some fields changed, as a forger would."""
    fields = {
        "probe": 1,
        "outcome": "pass",
        "reason": "ok",
        "detail": "",
        "weight": None,
        "at": 1.5,
        "took": 0,
        "healths": [[1, "up", 0, 0, None]],
    }
    return json.dumps(["observed", [list((fields | changed).values())]]).encode()


def test_the_observation_that_is_forged_below_is_fine_without_the_forgery() -> None:
    assert isinstance(wire.decode(observed()), wire.Observed)


@pytest.mark.parametrize(
    "forged",
    [
        observed(probe=-1),
        observed(probe=True),
        observed(probe=1.0),
        observed(probe=1 << 63),
        observed(probe=[]),
        observed(outcome="maybe"),
        observed(outcome=None),
        observed(outcome={}),
        observed(reason="because"),
        observed(detail="x" * 1001),
        observed(detail=7),
        observed(weight=65536),
        observed(weight="1"),
        observed(at=math.nan),
        observed(at=math.inf),
        observed(at=-1),
        observed(took="0"),
        observed(healths={}),
        observed(healths=[[1, "up", 0, 0]]),
        observed(healths=[[1, "sideways", 0, 0, None]]),
        observed(healths=[[1, "up", -1, 0, None]]),
        observed(extra=1),
        b"[" * 100_000,
        b'["observed",[' + b"9" * 10_000 + b"]]",
        b'["summarised",[1]]',
        b'["summarised",[1,0,0,0,0,0,0,0,0,0,[1,2],0]]',
        b'["summarised",[1,0,0,0,0,0,0,0,0,0,[-1,0,0,0,0,0,0,0,0,0,0,0],0]]',
        b'["latest",1,1,[]]',
        b'["timed",1,false,[1],[1.5],[]]',
        b'["timed",1,false,[1.5],[1.5],[0]]',
        b'["timed",1,false,[1],[NaN],[0]]',
        json.dumps(["timed", 1, False, *[[1] * (wire.MOST_TIMED + 1)] * 3]).encode(),
        b'["ready","NET_RAW"]',
        b"\x80\x04N.",
        b"",
    ],
)
def test_a_forged_message_is_malformed(forged: bytes) -> None:
    with pytest.raises(wire.Malformed):
        wire.decode(forged)


def test_nothing_in_a_detail_can_disturb_a_log_or_a_terminal() -> None:
    message = wire.decode(observed(detail="ok\nfake line\x1b[2J\ud800"))
    assert isinstance(message, wire.Observed)
    detail = message.batch[0].verdict.detail
    assert detail.isprintable()
    assert detail.startswith("ok")
    assert "fake line" in detail
    detail.encode("utf-8")


@given(st.binary(max_size=300))
def test_packets_come_together_again(message: bytes) -> None:
    message *= 1000
    assembler = wire.Assembler()
    *most, last = wire.packets(message)
    assert all(assembler.feed(packet) is None for packet in most)
    assert assembler.feed(last) == message


@pytest.mark.parametrize("packets", [[b""], [b"?x"], [b"+" + b"x" * 60] * 20])
def test_a_stream_of_packets_that_never_ends_or_is_none_is_malformed(packets: list[bytes]) -> None:
    assembler = wire.Assembler(most=1000)
    with pytest.raises(wire.Malformed):
        [assembler.feed(packet) for packet in packets]


def probe(number: int) -> Probe:
    """A probe that shares its values with others, but not the objects."""
    target = Target(ip_address(f"10.0.{number % 7}.1"), 80, netns="blue" if number % 2 else None)
    watches = tuple(Watch(number * 10 + i, Thresholds(2, 3 + i), Health()) for i in range(number % 3))
    return Probe(number, SaysCheck(f"{number % 5}"), target, Cadence(2.0, 1.0), watches, number % 3 == 0)


def carried(probes: list[Probe], healths: dict[int, Health]) -> list[Probe]:
    """The assignment as the prober gets it."""
    assignment = orders.Assignment()
    given = None
    for part in orders.assignment(1, probes, healths):
        assert given is None
        order = orders.load(orders.dump(part))
        assert isinstance(order, orders.Assign)
        given = assignment.add(order)
    assert given is not None
    return given


@pytest.mark.parametrize("count", [0, 1, 250, 251, 1000])
def test_an_assignment_comes_back_as_it_was_and_equal_values_are_one_object(count: int) -> None:
    given = carried([probe(number) for number in range(count)], {})
    assert given == [probe(number) for number in range(count)]
    assert len({id(one.check) for one in given}) == min(count, 5)
    assert len({id(one.cadence) for one in given}) == min(count, 1)


def test_the_better_known_health_goes_along() -> None:
    up = Health(Phase.UP, 1, 5.0, 7)
    (given,) = carried([probe(1)], {10: up})
    assert given.watches[0].health == up


def test_a_newer_assignment_takes_the_place_of_one_that_was_half_told() -> None:
    assignment = orders.Assignment()
    half = next(orders.assignment(1, [probe(number) for number in range(600)], {}))
    assert assignment.add(half) is None
    (whole,) = orders.assignment(2, [probe(3)], {})
    assert assignment.add(whole) == [probe(3)]
