"""The rows of a list: services one by one, destinations by the hundred (`healthd.ipvs.layout`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address

from healthd.ipvs.codec import (
    UnknownToModel,
    dest_spec,
    pack_address,
    parse_address,
    parse_connections,
    parse_counters,
    parse_dest,
    parse_service,
)
from healthd.ipvs.layout import Layout, learn
from healthd.ipvs.uapi import AF_INET, AF_INET6, Top
from healthd.ipvs.wire import attributes, messages
from healthd.model import Connections, Counters, DestKey, DestSpec, Family, ServiceKey, ServiceSpec

MAX_INTERNED = 200_000


@dataclass(slots=True)
class ServiceRows:
    """Collects services. `repeated` tells that one came twice, so the list changed while it was read."""

    counters: bool
    specs: dict[ServiceKey, ServiceSpec] = field(default_factory=dict)
    totals: dict[ServiceKey, Counters] = field(default_factory=dict)
    repeated: bool = False

    @property
    def keys(self) -> list[ServiceKey]:
        """Keys in the kernel's order."""
        return list(self.specs)

    def take(self, datagram: bytes) -> None:
        """Take all rows of a datagram."""
        for each in messages(datagram):
            self.row(each.payload)

    def row(self, payload: bytes) -> None:
        """Take one service; one of a protocol that the model does not have cannot be ours and is left out."""
        try:
            key, spec, attrs = parse_service(payload)
        except UnknownToModel:
            return
        self.repeated |= key in self.specs
        self.specs[key] = spec
        if self.counters:
            self.totals[key] = parse_counters(attrs)


@dataclass(slots=True)
class Interned:
    """What readings of one table have in common: the layout of rows, and values already made.

    A destination keeps its address and nearly always its spec, so most rows of a dump are two look-ups.
    """

    layouts: dict[bool, Layout] = field(default_factory=dict)
    keys: dict[tuple[bytes, bytes, int], DestKey] = field(default_factory=dict)
    specs: dict[tuple[int, int, int, int, int, bytes, int], DestSpec] = field(default_factory=dict)

    def trim(self) -> None:
        """Forget all values if there are too many, before a new reading."""
        if len(self.keys) > MAX_INTERNED or len(self.specs) > MAX_INTERNED:
            self.keys.clear()
            self.specs.clear()

    def same(self, key: DestKey) -> DestKey:
        """The one object that stands for this key."""
        af = AF_INET if isinstance(key.address, IPv4Address) else AF_INET6
        return self.keys.setdefault((pack_address(key.address), key.port.to_bytes(2, "big"), af), key)

    def key(self, raw: tuple[bytes, bytes, int]) -> DestKey:
        """The key made of address, port and family as the kernel says them."""
        address, port, af = raw
        return self.keys.setdefault(raw, DestKey(parse_address(af, address), int.from_bytes(port, "big")))

    def spec(self, raw: tuple[int, int, int, int, int, bytes, int]) -> DestSpec:
        """The spec made of the kernel's numbers."""
        forwarding, weight, upper, lower, kind, port, flags = raw
        tunnel = (kind, int.from_bytes(port, "big"), flags)
        return self.specs.setdefault(raw, dest_spec(forwarding, weight, upper, lower, tunnel))


class DestRows:
    """Collects the destinations of one service, in the kernel's order.

    family: the service's. counters: also collect connections. `repeated` tells that a row came twice, so the list
    changed while it was read.
    """

    def __init__(self, family: Family, interned: Interned, *, counters: bool) -> None:
        self.keys: list[DestKey] = []
        self.specs: list[DestSpec] = []
        self.connections: list[Connections] = []
        self._family = family
        self._interned = interned
        self._counters = counters

    @property
    def repeated(self) -> bool:
        """True if a destination came more than once."""
        return len({id(key) for key in self.keys}) != len(self.keys)

    def take(self, datagram: bytes) -> None:
        """Take all rows of a datagram: at once if they have the known layout; the first row ever teaches it."""
        layouts = self._interned.layouts
        layout = layouts.get(self._counters) or learn(datagram, counters=self._counters)
        start = 0
        if layout is not None:
            layouts[self._counters] = layout
            start = self._unpack(layout, datagram)
        for each in messages(datagram, start):
            self._row(each.payload)

    def _unpack(self, layout: Layout, datagram: bytes) -> int:
        count = layout.rows_in(datagram)
        known, specs = self._interned.keys, self._interned.specs
        for row in layout.unpack.iter_unpack(datagram[: count * layout.size]):
            raw_key, raw_spec = layout.key(row), layout.spec(row)
            self.keys.append(known.get(raw_key) or self._interned.key(raw_key))
            self.specs.append(specs.get(raw_spec) or self._interned.spec(raw_spec))
            if self._counters:
                counts = layout.counts(row)
                self.connections.append(Connections(counts[0], counts[1], counts[2], Counters(*counts[3:])))
        return count * layout.size

    def _row(self, payload: bytes) -> None:
        attrs = attributes(attributes(payload)[Top.DEST])
        key, spec = parse_dest(attrs, self._family)
        self.keys.append(self._interned.same(key))
        self.specs.append(spec)
        if self._counters:
            self.connections.append(parse_connections(attrs))
