"""Addresses of the configuration: with and without ports, ranges, netmasks. Host names are not resolved."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass

from healthd.config import shape
from healthd.config.decode import Unfit, plain
from healthd.model import Address, Family, family_of

MAX_RANGE = 4096

_HOST = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?")
_BRACKETS = re.compile(r"\[([^\[\]]*)\](?::(.*))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address with a port. port: None if it was not given."""

    address: Address
    port: int | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """Addresses from first to last, all with one port. port: None if it was not given."""

    first: Address
    last: Address
    port: int | None = None

    def __iter__(self) -> Iterator[Address]:
        """Each address in turn."""
        kind = type(self.first)
        return (kind(number) for number in range(int(self.first), int(self.last) + 1))

    def __len__(self) -> int:
        """How many addresses these are."""
        return int(self.last) - int(self.first) + 1


def parse_address(text: object) -> Address:
    """An address that a packet can be sent to. Raises Unfit."""
    if not isinstance(text, str):
        raise Unfit
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise Unfit("host names are not resolved, give the address" if _HOST.fullmatch(text) else "") from None
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id:
        raise Unfit("IPVS knows no zones (%)")
    if address.is_unspecified or address.is_multicast or int(address) == 0xFFFFFFFF:
        raise Unfit("it is not the address of one machine")
    return address


def parse_group(text: object) -> Address:
    """A multicast address. Raises Unfit."""
    if not isinstance(text, str):
        raise Unfit
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        raise Unfit from None
    if not found.is_multicast:
        raise Unfit("it is not a multicast address")
    return found


def split(text: object) -> tuple[str, int | None]:
    """Address part and port of 192.0.2.1:80, [2001:db8::1]:80 or an address alone. Raises Unfit."""
    if not isinstance(text, str):
        raise Unfit
    found = _BRACKETS.fullmatch(text)
    if found:
        return found[1], None if found[2] is None else _port(found[2])
    if text.count(":") == 1:
        address, _, port = text.partition(":")
        return address, _port(port)
    return text, None


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or len(text) > 5 or int(text) > 65535:
        raise Unfit("the port must be a number from 0 to 65535")
    return int(text)


def parse_endpoint(text: object) -> Endpoint:
    """An address, with or without a port. Raises Unfit."""
    address, port = split(text)
    return Endpoint(parse_address(address), port)


def parse_virtual(text: object) -> Endpoint:
    """An address with a port. Raises Unfit."""
    found = parse_endpoint(text)
    if found.port is None:
        raise Unfit("the port is missing")
    return found


def parse_span(text: object) -> Span:
    """An address or a range of addresses, with or without a port. Raises Unfit."""
    inner, port = split(text)
    low, dash, high = inner.partition("-")
    if dash and _HOST.fullmatch(inner) and not _looks_numeric(low):
        raise Unfit("host names are not resolved, give the address")
    first = parse_address(low.strip())
    last = parse_address(high.strip()) if dash else first
    if family_of(first) is not family_of(last):
        raise Unfit("the range begins in one address family and ends in the other")
    if int(last) < int(first):
        raise Unfit("the range ends before it begins")
    span = Span(first, last, port)
    if int(last) - int(first) >= MAX_RANGE:
        raise Unfit(f"the range has more than {MAX_RANGE} addresses")
    return span


def _looks_numeric(text: str) -> bool:
    return bool(re.fullmatch(r"\s*[0-9.]+\s*", text))


def parse_prefix(value: object) -> tuple[Family | None, int]:
    """Length of a client network, from 24 or "255.255.255.0" (which also tells the family). Raises Unfit."""
    if type(value) is int and 1 <= value <= 128:
        return None, value
    if not isinstance(value, str) or not re.fullmatch(r"\d{1,3}(\.\d{1,3}){3}", value):
        raise Unfit
    try:
        bits = int(ipaddress.IPv4Address(value))
    except ValueError:
        raise Unfit from None
    ones = bits.bit_count()
    if bits != (0xFFFFFFFF << (32 - ones)) & 0xFFFFFFFF or not ones:
        raise Unfit("its bits are not in a row")
    return Family.IPV4, ones


address = plain('an IP address such as "10.0.0.11" or "2001:db8::11"', parse_address, schema=shape.text())
group = plain('a multicast address such as "224.0.0.81"', parse_group, schema=shape.text())
virtual = plain(
    'an IP address and port such as "192.0.2.80:80" or "[2001:db8::80]:80"', parse_virtual, schema=shape.text(r".+:\d+")
)
reals = plain(
    'an IP address such as "10.0.0.11", "10.0.0.11:8080" or "10.0.0.11-10.0.0.20"', parse_span, schema=shape.text()
)
somewhere = plain(
    'an IP address with or without a port such as "10.0.0.99" or "10.0.0.99:8080"', parse_endpoint, schema=shape.text()
)
prefix = plain(
    'a netmask such as "255.255.255.0" or the length of a prefix such as 24 or 64',
    parse_prefix,
    schema=shape.one_of(shape.text(), shape.whole(1, 128)),
)
