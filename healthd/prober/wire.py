"""What crosses the socket between director and prober (AF_UNIX SOCK_SEQPACKET).

A message is one or more packets, each at most FRAGMENT bytes and a first byte that says whether it is the last.

To the prober go pickles: the director is trusted, and a check is any class a package may bring. To the director goes
JSON of the few shapes below and nothing else, for a prober parses what strangers send: whatever has taken it over must
not be able to make the director run, store or print what it likes. A message that is not exactly of one of these shapes
is `Malformed` and ends that prober.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from enum import Enum
from typing import Any, TypeVar

from healthd.check import Outcome, Reason, Verdict
from healthd.health import Health, Phase
from healthd.model import MAX_WEIGHT
from healthd.prober.base import LATENESS_BOUNDS, Answer, Observation, Summary, Timings

FRAGMENT = 60_000
MAX_MESSAGE = 8 << 20
MAX_DETAIL = 1000
MAX_ID = (1 << 63) - 1
BATCH = 100
"""Observations in one message: about a millisecond of work for either side."""
MOST_LINES = 1000
"""Lines in what was said in a probe."""
MOST_TIMED = 500
"""Timings in one message: the same work."""

_MORE, _LAST = b"+", b"."


class Malformed(Exception):
    """What came is no message."""


# --- messages of a prober ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ready:
    """The prober has confined itself. kept: names of the capabilities it has."""

    kept: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """The prober cannot work here, for good, and ends."""

    why: str


@dataclass(frozen=True, slots=True)
class Assigned:
    """The prober has taken assignment `number`: what it sums up from now on is of this one."""

    number: int


@dataclass(frozen=True, slots=True)
class Observed:
    """For `Sink.observed`."""

    batch: tuple[Observation, ...]


@dataclass(frozen=True, slots=True)
class Summarised:
    """For `Sink.summarised`."""

    summary: Summary


@dataclass(frozen=True, slots=True)
class Latest:
    """A part of the answer to question `number`; last: there is no further part."""

    number: int
    last: bool
    batch: tuple[Observation, ...]


@dataclass(frozen=True, slots=True)
class Timed:
    """A part of the timings asked for by question `number`; last: there is no further part."""

    number: int
    last: bool
    part: Timings


@dataclass(frozen=True, slots=True)
class Recalled:
    """What is remembered of a probe, as asked for by question `number`; last: nothing of any probe, and no more."""

    number: int
    last: bool
    probe: int
    past: tuple[Answer, ...]


@dataclass(frozen=True, slots=True)
class RunnerWanted:
    """A script is to be run by that user (None: the default) in that namespace, and there is no runner for it yet."""

    user: str | None
    netns: str | None


Message = Ready | Refused | Assigned | Observed | Summarised | Latest | Timed | Recalled | RunnerWanted


def encode(message: Message) -> bytes:
    """The message as JSON."""
    match message:
        case Ready(kept):
            raw: list[Any] = ["ready", list(kept)]
        case Refused(why):
            raw = ["refused", why[:MAX_DETAIL]]
        case Assigned(number):
            raw = ["assigned", number]
        case Observed(batch):
            raw = ["observed", [_raw_observation(one) for one in batch]]
        case Summarised(summary):
            raw = ["summarised", list(astuple(summary))]
        case Latest(number, last, batch):
            raw = ["latest", number, last, [_raw_observation(one) for one in batch]]
        case Timed(number, last, part):
            raw = [
                "timed",
                number,
                last,
                list(part),
                [at for at, _ in part.values()],
                [took for _, took in part.values()],
            ]
        case Recalled(number, last, probe, past):
            raw = ["recalled", number, last, probe, [_raw_answer(one) for one in past]]
        case RunnerWanted(user, netns):
            raw = ["runner", user, netns]
    return json.dumps(raw, separators=(",", ":")).encode("ascii")


def decode(data: bytes) -> Message:
    """The message of a JSON text. Raises Malformed."""
    try:
        raw = json.loads(data, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"no JSON: {error}") from None
    match raw:
        case ["ready", [*kept]]:
            return Ready(tuple(_text(name, 32) for name in kept))
        case ["refused", why]:
            return Refused(_text(why, MAX_DETAIL))
        case ["assigned", number]:
            return Assigned(_whole(number, MAX_ID))
        case ["observed", [*batch]]:
            return Observed(tuple(map(_observation, batch)))
        case ["summarised", [*values]]:
            return Summarised(_summary(values))
        case ["latest", number, bool(last), [*batch]]:
            return Latest(_whole(number, MAX_ID), last, tuple(map(_observation, batch)))
        case ["timed", number, bool(last), [*probes], [*at], [*took]]:
            return Timed(_whole(number, MAX_ID), last, _timings(probes, at, took))
        case ["recalled", number, bool(last), probe, [*past]]:
            return Recalled(_count(number), last, _count(probe), tuple(map(_answer, past)))
        case ["runner", user, netns]:
            return RunnerWanted(_name(user), _name(netns))
    raise Malformed("no message that a prober sends")


def _raw_observation(one: Observation) -> list[Any]:
    verdict = one.verdict
    healths = [[watch, h.phase.value, h.streak, h.since, h.weight] for watch, h in one.healths]
    said = [verdict.outcome.value, verdict.reason.value, verdict.detail[:MAX_DETAIL], verdict.weight]
    return [one.probe, *said, one.at, one.took, healths]


def _observation(raw: Any) -> Observation:
    match raw:
        case [probe, outcome, reason, detail, weight, at, took, [*healths]]:
            verdict = Verdict(
                _member(Outcome, outcome), _member(Reason, reason), _text(detail, MAX_DETAIL), _weight(weight)
            )
            return Observation(
                _whole(probe, MAX_ID), verdict, _number(at), _number(took), tuple(map(_watched, healths))
            )
    raise Malformed("no observation")


def _watched(raw: Any) -> tuple[int, Health]:
    match raw:
        case [watch, phase, streak, since, weight]:
            health = Health(_member(Phase, phase), _whole(streak, MAX_ID), _number(since), _weight(weight))
            return _whole(watch, MAX_ID), health
    raise Malformed("no health")


def _timings(probes: list[Any], at: list[Any], took: list[Any]) -> Timings:
    if not len(probes) == len(at) == len(took) <= MOST_TIMED:
        raise Malformed("no timings")
    return dict(zip(map(_count, probes), zip(map(_number, at), map(_number, took), strict=True), strict=True))


def _raw_answer(one: Answer) -> list[Any]:
    said = one.verdict
    verdict = [said.outcome.value, said.reason.value, said.detail[:MAX_DETAIL], said.weight]
    return [one.at, one.took, *verdict, one.connected, one.secured, one.first_byte, one.trace.split("\n")]


def _answer(raw: Any) -> Answer:
    match raw:
        case [at, took, outcome, reason, detail, weight, connected, secured, first_byte, [*lines]]:
            verdict = Verdict(
                _member(Outcome, outcome), _member(Reason, reason), _text(detail, MAX_DETAIL), _weight(weight)
            )
            if len(lines) > MOST_LINES:
                raise Malformed("no trace")
            trace = "\n".join(_text(line, MAX_DETAIL) for line in lines)
            phases = _phase(connected), _phase(secured), _phase(first_byte)
            return Answer(_number(at), _number(took), verdict, *phases, trace=trace)
    raise Malformed("no answer")


def _phase(raw: Any) -> float | None:
    return None if raw is None else _number(raw)


def _summary(values: Sequence[Any]) -> Summary:
    shape = fields(Summary)
    if len(values) != len(shape):
        raise Malformed("no summary")
    return Summary(*(_FIELDS[f.type](v) for f, v in zip(shape, values, strict=True)))


def _count(value: Any) -> int:
    return _whole(value, MAX_ID)


def _late(value: Any) -> tuple[int, ...]:
    if type(value) is not list or len(value) not in (0, len(LATENESS_BOUNDS) + 1):
        raise Malformed("no counts as expected")
    return tuple(map(_count, value))


def _whole(value: Any, most: int) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise Malformed("no number as expected")
    return value


def _number(value: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value) or not 0 <= value < 1e12:
        raise Malformed("no number as expected")
    return float(value)


_FIELDS: Mapping[object, Callable[[Any], Any]] = {"int": _count, "float": _number, "tuple[int, ...]": _late}


def _weight(value: Any) -> int | None:
    return None if value is None else _whole(value, MAX_WEIGHT)


def _name(value: Any) -> str | None:
    return None if value is None else _text(value, MAX_DETAIL)


def _text(value: Any, most: int) -> str:
    """A text in which nothing can disturb a log or a terminal."""
    if type(value) is not str or len(value) > most:
        raise Malformed("no text as expected")
    return (
        value if value.isprintable() else "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in value)
    )


_Closed = TypeVar("_Closed", bound=Enum)


def _member(of: type[_Closed], value: Any) -> _Closed:
    if type(value) is not str:
        raise Malformed(f"no {of.__name__}")
    try:
        return of(value)
    except ValueError:
        raise Malformed(f"no {of.__name__}") from None


def _no_constant(name: str) -> Any:
    raise ValueError(name)


# --- packets -----------------------------------------------------------------------------------------------------


def packets(message: bytes) -> list[bytes]:
    """The packets of a message."""
    starts = range(0, max(1, len(message)), FRAGMENT)
    return [
        (_LAST if start + FRAGMENT >= len(message) else _MORE) + message[start : start + FRAGMENT] for start in starts
    ]


class Assembler:
    """Puts packets together again. most: bytes of the largest message to accept."""

    def __init__(self, most: int = MAX_MESSAGE) -> None:
        self._most = most
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, packet: bytes) -> bytes | None:
        """The message that this packet completes, or None. Raises Malformed."""
        self._size += len(packet)
        if packet[:1] not in (_MORE, _LAST) or self._size > self._most:
            raise Malformed("no packet, or too many of them")
        self._parts.append(packet[1:])
        if packet[:1] == _MORE:
            return None
        message = b"".join(self._parts)
        self._parts.clear()
        self._size = 0
        return message


def batches(observations: Iterable[Observation], size: int = BATCH) -> Iterator[tuple[Observation, ...]]:
    """Observations in batches."""
    batch: list[Observation] = []
    for one in observations:
        batch.append(one)
        if len(batch) == size:
            yield tuple(batch)
            batch = []
    if batch:
        yield tuple(batch)
