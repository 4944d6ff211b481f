"""Where the values of a destination are in its message, learned from one message.

All destinations of one kernel are reported in one layout: the same attributes in the same order and of the same size.
So the first row is walked attribute by attribute and its layout learned; a whole datagram is then compared with that
layout in one operation on big integers (headers must be equal, values are masked out) and unpacked in one call. What
does not match is parsed the slow way: an unexpected kernel costs time, never truth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from struct import Struct, calcsize
from typing import Any

from healthd.ipvs.uapi import Command, Dst, Top
from healthd.ipvs.wire import HEADER, NLMSG_SIZE, positions

# An attribute and the attribute within it (0 for none), and the offset and length of a value.
Path = tuple[int, int]
Place = tuple[int, int]

KEY = (Dst.ADDR, Dst.PORT, Dst.ADDR_FAMILY)
SPEC = (Dst.FWD_METHOD, Dst.WEIGHT, Dst.U_THRESH, Dst.L_THRESH, Dst.TUN_TYPE, Dst.TUN_PORT, Dst.TUN_FLAGS)
COUNTS = (Dst.ACTIVE_CONNS, Dst.INACT_CONNS, Dst.PERSIST_CONNS)
FORMATS = {
    **dict.fromkeys((*SPEC, *COUNTS), "I"),
    Dst.ADDR: "16s",
    Dst.PORT: "2s",
    Dst.ADDR_FAMILY: "H",
    Dst.TUN_TYPE: "B",
    Dst.TUN_PORT: "2s",
    Dst.TUN_FLAGS: "H",
}
STATS64 = tuple((Dst.STATS64, kind) for kind in range(1, 11))


@dataclass(slots=True)
class Layout:
    """How to take a row of `size` bytes apart.

    unpack: yields its values; key, spec, counts: pick theirs from these. mask and headers: the bytes of a row that
    must be as they are.
    """

    size: int
    unpack: Struct
    key: Callable[[Sequence[Any]], tuple[bytes, bytes, int]]
    spec: Callable[[Sequence[Any]], tuple[int, int, int, int, int, bytes, int]]
    counts: Callable[[Sequence[Any]], tuple[int, ...]]
    mask: bytes
    headers: bytes
    _expected: dict[int, tuple[int, int]] = field(default_factory=dict)

    def rows_in(self, datagram: bytes) -> int:
        """How many rows at the start of a datagram have this layout: all that fit, or none."""
        count = len(datagram) // self.size
        if count not in self._expected:
            self._expected[count] = (
                int.from_bytes(self.mask * count, "little"),
                int.from_bytes(self.headers * count, "little"),
            )
        mask, headers = self._expected[count]
        return count if int.from_bytes(datagram[: count * self.size], "little") & mask == headers else 0


def learn(datagram: bytes, *, counters: bool) -> Layout | None:
    """The layout of the first row of a datagram; None if it lacks something that newer kernels report."""
    size = HEADER.unpack_from(datagram)[0]
    if datagram[NLMSG_SIZE] != Command.NEW_DEST or size % 4:
        return None
    places = dict(_places(datagram, size))
    wanted = {kind: FORMATS[kind] for kind in (*KEY, *SPEC, *(COUNTS if counters else ()))}
    formats = {(kind, 0): form for kind, form in wanted.items()} | dict.fromkeys(STATS64 if counters else (), "Q")
    if any(places.get(each, (0, 0))[1] != calcsize("=" + form) for each, form in formats.items()):
        return None
    return _layout(datagram[:size], places, formats)


def _places(datagram: bytes, size: int) -> Iterator[tuple[Path, Place]]:
    """Where each value is."""
    for kind, start, end in positions(datagram, HEADER.size, size):
        if kind != Top.DEST:
            continue
        for attr, begin, stop in positions(datagram, start, end):
            yield (attr, 0), (begin, stop - begin)
            if attr in (Dst.STATS, Dst.STATS64):
                for inner, low, high in positions(datagram, begin, stop):
                    yield (attr, inner), (low, high - low)


def _layout(row: bytes, places: dict[Path, Place], formats: dict[Path, str]) -> Layout:
    ordered = sorted(formats, key=lambda each: places[each][0])
    index = {each: at for at, each in enumerate(ordered)}
    mask = _header_mask(row, places)
    return Layout(
        size=len(row),
        unpack=_struct(len(row), [(places[each][0], formats[each]) for each in ordered]),
        key=itemgetter(*(index[kind, 0] for kind in KEY)),
        spec=itemgetter(*(index[kind, 0] for kind in SPEC)),
        counts=itemgetter(*(index.get(each, 0) for each in (*((kind, 0) for kind in COUNTS), *STATS64))),
        mask=mask,
        headers=bytes(value & bits for value, bits in zip(row, mask, strict=True)),
    )


def _header_mask(row: bytes, places: dict[Path, Place]) -> bytes:
    """Size, type and flags of the message, its command, the nest, and the header before each value."""
    mask = bytearray(len(row))
    for start, length in ((0, 8), (NLMSG_SIZE, 8), *((offset - 4, 4) for offset, _ in places.values())):
        mask[start : start + length] = b"\xff" * length
    return bytes(mask)


def _struct(size: int, fields: list[tuple[int, str]]) -> Struct:
    parts, at = ["="], 0
    for offset, form in fields:
        parts.append(f"{offset - at}x{form}")
        at = offset + calcsize("=" + form)
    return Struct("".join((*parts, f"{size - at}x")))
