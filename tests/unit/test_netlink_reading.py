"""Reading so that nothing is missed: a list that changes while it is read, as the kernel lists it.

`ScriptedKernel` lists destinations exactly as Linux does: by an index into a list that anybody may change between two
datagrams. The properties hold whatever a stranger does in between.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from healthd.ipvs.netlink import Listing
from healthd.ipvs.reading import READINGS, SLACK, NeverStill, contained, mapping, read_dests
from healthd.ipvs.rows import DestRows, Interned
from healthd.ipvs.uapi import Command
from healthd.model import (
    AddressKey,
    Checksum,
    Connections,
    Counters,
    DestKey,
    DestSpec,
    Encapsulation,
    Family,
    Forwarding,
    Protocol,
    Tunnel,
)
from tests.support.ipvs_records import dest_message
from tests.support.ipvs_values import DEST_KEYS, DEST_SPECS

NOOP = 1
WEB = AddressKey(Protocol.TCP, ip_address("10.0.0.1"), 80)
SPEC = DestSpec(Forwarding.GATE, 1)
RECORD = len(dest_message(DestKey(ip_address("10.1.0.1"), 80), SPEC))


def _key(number):
    return DestKey(ip_address("10.1.0.0") + number, 80)


def _nothing(size):
    """A message that says nothing, of some size."""
    return struct.pack("=IHHII", size, NOOP, 0, 0, 0) + bytes(size - 16) if size >= 16 else b""


@dataclass
class ScriptedKernel:
    """Lists `rows` (newest first), `capacity` a datagram. edits: what a stranger does before each datagram.

    size: what datagrams are filled up to. busy: there is traffic, so no two readings are the same byte by byte.

    An edit is a number: a destination that is deleted if it is there; one that is not was never there and is added.
    gone: all that were missing at some moment since the first datagram.
    """

    rows: list[int]
    capacity: int
    edits: list[list[int]]
    size: int = 0
    busy: bool = False
    dumps: int = 0
    gone: set[int] = field(default_factory=set)
    spent: set[int] = field(default_factory=set)

    async def dump(self, command, body, again=None):
        """Read the list as `Channel.dump` does. The first bytes of a row differ each time if the list is busy."""
        assert command == Command.GET_DEST
        self.dumps += 1
        start, datagrams = 0, []
        while True:
            self._edit()
            listed = self.rows[start : start + self.capacity]
            if not listed:
                return Listing(again.sequence if again else self.dumps, tuple(datagrams))
            totals = (self.dumps if self.busy else 0,) * 10
            rows = b"".join(dest_message(_key(number), SPEC, totals=totals) for number in listed)
            datagrams.append(rows + _nothing(self.size - len(rows)))
            start += len(listed)

    async def breathe(self):
        """Nobody else waits for the loop."""

    def _edit(self):
        for number in self.edits.pop(0) if self.edits else ():
            if number in self.rows:
                self.rows.remove(number)
                self.gone.add(number)
                self.spent.add(number)
            elif number not in self.spent:
                self.rows.insert(0, number)
                self.gone.add(number)


async def _read(kernel):
    rows = await read_dests(kernel, WEB, Interned(), counters=False)
    return await mapping(kernel, rows.keys, rows.specs)


NUMBERS = st.integers(0, 12)


@settings(max_examples=300)
@given(
    rows=st.lists(NUMBERS, unique=True),
    capacity=st.integers(1, 4),
    edits=st.lists(st.lists(NUMBERS, max_size=3), max_size=40),
    busy=st.booleans(),
)
async def test_what_is_not_in_the_answer_was_missing_at_some_moment(rows, capacity, edits, busy):
    kernel = ScriptedKernel(list(rows), capacity, [list(each) for each in edits], size=4000, busy=busy)
    absent = set(range(13)) - set(rows)
    try:
        answer = await _read(kernel)
    except NeverStill:
        return
    missing = {number for number in range(13) if _key(number) not in answer}
    assert missing <= absent | kernel.gone


async def test_one_deletion_between_two_datagrams_does_not_hide_another_row():
    kernel = ScriptedKernel(list(range(10)), 5, [[], [0]], size=4000)
    assert set(await _read(kernel)) == {_key(number) for number in range(1, 10)}
    assert kernel.dumps == 3  # the second shows that the first had lost something, the third that the second had not


@pytest.mark.parametrize("busy", [False, True])
async def test_a_long_list_that_stands_still_is_read_twice(busy):
    kernel = ScriptedKernel(list(range(10)), 5, [], busy=busy)
    assert len(await _read(kernel)) == 10
    assert kernel.dumps == 2


async def test_additions_do_not_make_it_read_again():
    kernel = ScriptedKernel(list(range(10)), 20, [[], [], [20], [], []], size=4000)
    await _read(kernel)
    assert kernel.dumps == 2


async def test_a_short_list_is_read_once():
    kernel = ScriptedKernel([1, 2, 3], 5, [])
    assert len(await _read(kernel)) == 3
    assert kernel.dumps == 1


async def test_an_empty_list_is_read_once():
    kernel = ScriptedKernel([], 5, [])
    assert await _read(kernel) == {}
    assert kernel.dumps == 1


@pytest.mark.parametrize("buffer", [4096, 8192, 16384, 32768])
async def test_a_datagram_that_may_have_been_cut_off_by_its_buffer_is_read_again(buffer):
    for size, readings in ((buffer, 2), (buffer - 320 - RECORD + 1, 2), (buffer - SLACK, 1)):
        kernel = ScriptedKernel([1, 2, 3], 5, [], size=size)
        await _read(kernel)
        assert kernel.dumps == readings, size


async def test_a_list_that_never_stands_still_is_given_up():
    edits = [[] if at % 3 else [at // 3] for at in range(1, 3 * 60)]
    kernel = ScriptedKernel(list(range(60)), 30, edits, size=4000)
    with pytest.raises(NeverStill, match=r"destinations of 10\.0\.0\.1:80/tcp changed"):
        await _read(kernel)
    assert kernel.dumps == READINGS


def test_contained_asks_for_all_in_the_same_order():
    assert contained([], [])
    assert contained([1, 3], [0, 1, 2, 3])
    assert not contained([3, 1], [0, 1, 2, 3])
    assert not contained([1], [])
    assert not contained([1, 1], [1])


# --- the fast way and the slow way -------------------------------------------------------------------------------


def _reordered(record):
    """The same row with weight and forwarding method exchanged: same size, other layout."""
    at = record.index(b"\x08\x00\x03\x00", 48)
    return record[:at] + record[at + 8 : at + 16] + record[at : at + 8] + record[at + 16 :]


@given(st.lists(st.tuples(DEST_KEYS, DEST_SPECS), min_size=1, max_size=20, unique_by=lambda each: each[0]))
def test_rows_taken_at_once_are_those_taken_one_by_one(dests):
    datagram = b"".join(
        dest_message(key, spec, connections=(at, 1, 2), totals=tuple(range(at, at + 10)))
        for at, (key, spec) in enumerate(dests)
    )
    fast = DestRows(Family.IPV4, Interned(), counters=True)
    fast.take(datagram)
    slow = DestRows(Family.IPV4, Interned(), counters=True)
    for key, spec, at in ((*dest, at) for at, dest in enumerate(dests)):
        record = dest_message(key, spec, connections=(at, 1, 2), totals=tuple(range(at, at + 10)))
        slow.take(_reordered(record))
    assert list(zip(fast.keys, fast.specs, strict=True)) == dests
    assert (fast.keys, fast.specs, fast.connections) == (slow.keys, slow.specs, slow.connections)
    assert fast.connections[0] == Connections(0, 1, 2, Counters(*range(10)))


def test_a_row_of_another_layout_is_taken_the_slow_way():
    interned = Interned()
    rows = DestRows(Family.IPV4, interned, counters=False)
    rows.take(dest_message(_key(1), SPEC))
    rows.take(_reordered(dest_message(_key(2), SPEC)))
    rows.take(dest_message(_key(3), SPEC) + _reordered(dest_message(_key(4), SPEC)))
    assert (rows.keys, rows.specs) == ([_key(at) for at in range(1, 5)], [SPEC] * 4)


def test_a_repeated_row_is_noticed():
    for times, repeated in ((1, False), (2, True)):
        rows = DestRows(Family.IPV4, Interned(), counters=False)
        rows.take(dest_message(_key(1), SPEC) * times + dest_message(_key(2), SPEC))
        assert rows.repeated is repeated


def test_values_of_another_reading_are_the_same_objects():
    interned = Interned()
    spec = DestSpec(Forwarding.IPIP, 1, tunnel=Tunnel(Encapsulation.GUE, 6080, Checksum.CSUM))
    first, second = (DestRows(Family.IPV4, interned, counters=False) for _ in range(2))
    for rows in (first, second):
        rows.take(dest_message(_key(1), spec))
    assert first.keys[0] is second.keys[0]
    assert first.specs[0] is second.specs[0]
