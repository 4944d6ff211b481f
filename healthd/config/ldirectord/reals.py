"""The grammar of real= and fallback=."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass

from healthd.config.ldirectord.names import Machine, host_of, port_of
from healthd.config.ldirectord.values import Fallback
from healthd.config.ldirectord.words import Wrong
from healthd.model import Family

FORWARDS = ("gate", "masq", "ipip")
BAD_FORWARD = "forward method must be gate, masq or ipip"
MOST_SERVERS = 65_536
"""healthd's own bound of a range: a network of 16 bits."""

_FORGOTTEN = (
    "stock ldirectord forgets what stands behind a request that begins with a slash, and asks what the virtual says"
)
_HOST = r"\d+\.\d+\.\d+\.\d+|[A-Za-z0-9.-]+|\[[0-9A-fa-f:]+\]"
_REAL = re.compile(rf"({_HOST})(->({_HOST}))?(:(\d+|[A-Za-z0-9\-_]+))?\s+(.*)", re.ASCII)
_TWO_COLONS = re.compile(r"^(\d+\.\d+\.\d+\.\d+)::(?=\w+\s)", re.ASCII)
_TWO_ADDRESSES = re.compile(r"(\d+\.\d+\.\d+\.\d+)-(\d+\.\d+\.\d+\.\d+)", re.ASCII)
_PORT = re.compile(r"(:(\d+|[A-Za-z0-9\-_]+))?$", re.ASCII)
_LAST_WORDS = re.compile(r"(\S+)(\s+(\S+))?\s*$", re.ASCII)


@dataclass(frozen=True, slots=True)
class Server:
    """A real= line, resolved. addresses: more than one for a range. request: None if the line has none of its own.

    notes: what is odd about the line, in words for people.
    """

    addresses: tuple[str, ...]
    port: str
    forward: str
    weight: str | None
    request: str | None
    receive: str | None
    lower: str | None
    upper: str | None
    notes: tuple[str, ...] = ()


def parse_real(text: str, family: Family, machine: Machine, *, strict: bool) -> Server:
    """A real server, or several. Raises Wrong. strict: ranges and thresholds as ldirectord gets them wrong."""
    meant = text if strict else _TWO_COLONS.sub(r"\1:", text)
    found = _REAL.search(meant)
    if found is None:
        raise Wrong("invalid address for real server (wrong format)")
    before = meant[: found.start()]
    notes = [_skipped(before, found[0].split()[0])] if before.strip() else []
    notes += ["two colons are taken for one; stock ldirectord takes the port for the address"] if meant != text else []
    first = host_of(found[1], family, machine)
    if first is None:
        raise Wrong(f"invalid address ({found[1]}) for real server (could not resolve host{_ends_of(found[1])})")
    port = port_of(found[5] or "0", "", machine)
    if port is None:
        raise Wrong(f"invalid port ({found[5]}) for real server (could not resolve port)")
    addresses: tuple[str, ...] = (first,)
    if found[3] is not None:
        last = host_of(found[3], family, machine)
        if last is None:
            raise Wrong(f"invalid address ({found[3]}) for real server (could not resolve end host)")
        addresses = _range(first, last, family, strict=strict)
        if not strict and addresses != _range(first, last, family, strict=True):
            notes.append("stock ldirectord compares the ends of this range as texts and finds other servers in it")
        if not addresses:
            return Server((), port, "", None, None, None, None, None)
    return _flags(found[6], addresses, port, notes, strict=strict)


def _skipped(before: str, taken: str) -> str:
    return f'stock ldirectord skips "{before.strip()}" and takes "{taken}" for the server, and so does healthd'


def _range(first: str, last: str, family: Family, *, strict: bool) -> tuple[str, ...]:
    if family is Family.IPV6:
        raise Wrong("Address range for IPv6 is not supported yet")
    low, high = int(ipaddress.IPv4Address(first)), int(ipaddress.IPv4Address(last))
    if low > high:
        raise Wrong(f"Invalid Range: {first}-{last}: First value must be greater than or equal to the second value")
    found: list[str] = []
    for number in _texts(low, high) if strict else range(low, high + 1):
        if len(found) == MOST_SERVERS:
            raise Wrong(f"the range {first}-{last} has more than {MOST_SERVERS} addresses, which healthd does not take")
        found.append(str(ipaddress.IPv4Address(number & 0xFFFFFFFF)))
    return tuple(found)


def _texts(low: int, high: int) -> Iterator[int]:
    """The numbers that ldirectord finds: it compares them as texts."""
    number, end = low, str(high)
    while str(number) <= end:
        yield number
        number += 1


def _ends_of(host: str) -> str:
    """A remedy for a host name that looks like two addresses."""
    found = _TWO_ADDRESSES.fullmatch(host)
    return f"; a range is {found[1]}->{found[2]}" if found else ""


def _flags(flags: str, addresses: tuple[str, ...], port: str, notes: list[str], *, strict: bool) -> Server:
    """Forwarding method, weight, request and receive, thresholds; each is searched for in what the one before left."""
    word = re.search(r"(\w+)(.*)", flags, re.ASCII)
    if word is None or word[1] not in FORWARDS:
        raise Wrong(BAD_FORWARD)
    left = _Left(word[2])
    weight = left.take(r"\s+(\d+)(.*)")
    pair = left.take(r'\s+"(.*)"[, ]\s*"(.*)"(.*)')
    if pair and pair[0].startswith("/"):
        if strict:  # its test for the slash makes it forget what else it has found
            return Server(addresses, port, word[1], _first(weight), pair[0], None, None, None, tuple(notes))
        notes.append(_FORGOTTEN)
    lower = left.take(r"\s+l:(\d+)(.*)")
    upper = left.take(r"\s+u:(\d+)(.*)")
    if upper is None and not strict and lower is not None:
        upper = left.lost(r"\s+u:(\d+)")
    if left.text.strip():
        raise Wrong(f'Invalid real server line, around "{left.text}"')
    request, receive = pair or (None, None)
    remarks = (*notes, *left.remarks())
    return Server(addresses, port, word[1], _first(weight), request, receive, _first(lower), _first(upper), remarks)


def _first(groups: tuple[str, ...] | None) -> str | None:
    return groups[0] if groups else None


class _Left:
    """What is left of a line. Each search drops what stands before its finding, as ldirectord does without a word."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._dropped: list[str] = []
        self._out_of_order = False

    def take(self, form: str) -> tuple[str, ...] | None:
        """The groups of a form but the last, which is what is left afterwards."""
        found = re.search(form, self.text, re.ASCII)
        if found is None:
            return None
        if before := self.text[: found.start()].strip():
            self._dropped.append(before)
        *groups, self.text = found.groups()
        return tuple(groups)

    def lost(self, form: str) -> tuple[str, ...] | None:
        """The groups of a form in what was dropped."""
        for index, text in enumerate(self._dropped):
            if found := re.search(form, f" {text}", re.ASCII):
                rest = f" {text}"[: found.start()] + f" {text}"[found.end() :]
                self._dropped[index] = rest.strip()
                self._out_of_order = True
                return tuple(found.groups())
        return None

    def remarks(self) -> Iterator[str]:
        """What to tell the operator."""
        for text in filter(None, self._dropped):
            yield f'"{text}" says nothing here; stock ldirectord drops it, and so does healthd'
        if self._out_of_order:
            yield 'stock ldirectord loses an upper threshold ("u:") that stands before the lower one ("l:")'


def parse_fallback(text: str, port: str | None) -> Fallback:
    """A fallback server, not resolved yet. port: where it names none. Raises Wrong."""
    words = _LAST_WORDS.search(text)
    host, forward = (words[1], words[3]) if words else (text, None)
    found = _PORT.search(host)
    if found is not None:
        port = port if found[2] is None else found[2]
        host = host[: found.start()]
    if forward and forward != "0" and forward not in FORWARDS:
        raise Wrong(BAD_FORWARD)
    return Fallback(host, port, forward if forward in FORWARDS else "gate")


def resolve_fallback(fallback: Fallback, protocol: str, family: Family, machine: Machine) -> Fallback:
    """A fallback server with its address and port. Raises Wrong."""
    address = host_of(fallback.server, family, machine)
    if address is None:
        kind = "IPv4" if family is Family.IPV4 else "IPv6"
        raise Wrong(f"invalid {kind} address or could not resolve for fallback server: {fallback.server}")
    if fallback.port in (None, "0"):
        return Fallback(address, fallback.port, fallback.forward)
    port = port_of(str(fallback.port), protocol, machine)
    if port in (None, "0"):
        raise Wrong("invalid port for fallback server")
    return Fallback(address, port, fallback.forward)
