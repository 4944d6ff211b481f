"""BER: what is written is what X.690 says, and nothing that is read can hurt."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks import ber
from healthd.check import CheckFailed, Reader


def read(data: bytes, tag: int = ber.SEQUENCE, most: int = 1000, piece: int = 1) -> bytes:
    """What `ber.read` makes of a stream that ends after the data."""
    reading = ber.read(Reader(most + 6), tag, most)
    left = data
    try:
        step = next(reading)
        while True:
            size = min(piece, step.limit)  # type: ignore[union-attr]
            given_, left = left[:size], left[size:]
            step = reading.send(given_)
    except StopIteration as stop:
        return bytes(stop.value)


@pytest.mark.parametrize(
    ("packed", "want"),
    [
        (ber.pack(0x30), "3000"),
        (ber.pack(0x04, b"ab", b"c"), "0403616263"),
        (ber.pack(0x04, b"x" * 127)[:2], "047f"),
        (ber.pack(0x04, b"x" * 128)[:3], "048180"),
        (ber.pack(0x04, b"x" * 65536)[:5], "0483010000"),
        (ber.pack_integer(0), "020100"),
        (ber.pack_integer(127), "02017f"),
        (ber.pack_integer(128), "02020080"),
        (ber.pack_integer(2**31 - 1), "02047fffffff"),
        (ber.pack_integer(-1), "0201ff"),
        (ber.pack_integer(-128), "020180"),
        (ber.pack_integer(-129), "0202ff7f"),
        (ber.pack_integer(2, ber.ENUMERATED), "0a0102"),
        (ber.pack_boolean(True), "0101ff"),
        (ber.pack_boolean(False, 0x84), "840100"),
        (ber.pack_text("ä"), "0402c3a4"),
    ],
)
def test_it_writes_the_shortest_form(packed: bytes, want: str):
    assert packed.hex() == want


def test_it_takes_elements_in_order_and_leaves_what_nobody_asks_for():
    elements = ber.Elements(bytes.fromhex("020103 8001ff 0a0102 04820003616263 a000".replace(" ", "")))
    assert elements.take_integer() == 3
    assert elements.take_if(0x81) is None
    assert elements.take_if(0x80) == b"\xff"
    assert elements.take_integer(ber.ENUMERATED) == 2
    assert elements.take_any() == (ber.OCTETS, b"abc")
    assert elements.next_tag() == 0xA0
    assert elements.take_any() == (0xA0, b"")
    assert not elements
    assert elements.next_tag() is None


@pytest.mark.parametrize(
    ("data", "take", "text"),
    [
        ("", lambda e: e.take(2), "element 0x02 is missing"),
        ("", lambda e: e.take_any(), "an element is missing"),
        ("0401ff", lambda e: e.take(2), "element 0x04 instead of 0x02"),
        ("04", lambda e: e.take(4), "element without a length"),
        ("0402ff", lambda e: e.take(4), "element is longer than what it is in"),
        ("0482ff", lambda e: e.take(4), "element is longer than what it is in"),
        ("0484ffffffff00", lambda e: e.take(4), "element is longer than what it is in"),
        ("04800000", lambda e: e.take(4), "indefinite length"),
        ("0485000000000100", lambda e: e.take(4), "length of 5 bytes"),
        ("04ff", lambda e: e.take(4), "length of 127 bytes"),
        ("0200", lambda e: e.take_integer(), "number of 0 bytes"),
        ("02050000000001", lambda e: e.take_integer(), "number of 5 bytes"),
        ("1f8101", lambda e: e.take_any(), "tag of several bytes"),
        ("ff8101", lambda e: e.take_any(), "tag of several bytes"),
    ],
)
def test_what_is_not_right_is_told(data: str, take: Callable[[ber.Elements], Any], text: str):
    with pytest.raises(ber.BerError, match=text):
        take(ber.Elements(bytes.fromhex(data)))


@pytest.mark.parametrize("piece", [1, 3, 1000])
def test_it_reads_one_element_from_a_stream_in_any_form_of_length(piece: int):
    for header in ("3003", "308103", "30820003", "308400000003"):
        assert read(bytes.fromhex(header) + b"abc", piece=piece) == b"abc"
    assert read(b"\x30\x00", piece=piece) == b""
    assert read(ber.pack(0x30, b"x" * 1000), piece=piece) == b"x" * 1000


def test_too_long_is_known_before_it_is_read():
    with pytest.raises(ber.TooLong, match="1001 bytes"):
        read(ber.pack(0x30, b"x" * 1001))
    with pytest.raises(ber.TooLong, match="4294967295 bytes"):
        read(bytes.fromhex("3084ffffffff"))


def test_what_is_something_else_is_known_by_its_first_byte():
    with pytest.raises(ber.BerError, match="begins with 0x48 instead of 0x30"):
        read(b"H")
    with pytest.raises(ber.BerError, match="indefinite length"):
        read(b"\x30\x80")
    with pytest.raises(CheckFailed, match="connection closed"):
        read(b"\x30\x03ab")


def test_depth_costs_nothing():
    deep = b""
    for _ in range(2000):
        deep = ber.pack(0x30, deep)
    depth, elements = 0, ber.Elements(deep)
    while elements:
        elements, depth = ber.Elements(elements.take(0x30)), depth + 1
    assert depth == 2000


@given(st.binary(max_size=80))
def test_junk_is_taken_apart_or_refused(data: bytes):
    elements = ber.Elements(data)
    taken = 0
    with suppress(ber.BerError):
        while elements:
            taken += len(elements.take_any()[1]) + 2
    assert taken <= len(data)


@given(st.binary(max_size=80), st.integers(1, 90))
def test_junk_on_a_stream_is_read_within_its_bound_or_refused(data: bytes, piece: int):
    with suppress(ber.BerError, CheckFailed):
        assert len(read(b"\x30" + data, most=40, piece=piece)) <= 40


@given(st.integers(-(2**31), 2**31 - 1))
def test_numbers_come_back(number: int):
    assert ber.Elements(ber.pack_integer(number)).take_integer() == number


@given(st.lists(st.tuples(st.sampled_from([0x04, 0x30, 0x80, 0xA3]), st.binary(max_size=300)), max_size=5))
def test_elements_come_back(parts: list[tuple[int, bytes]]):
    elements = ber.Elements(b"".join(ber.pack(tag, value) for tag, value in parts))
    assert [elements.take_any() for _ in parts] == parts
    assert not elements
