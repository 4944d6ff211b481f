"""One virtual service while it is read: its header, its directives in their order, and what is looked up at its end."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from healthd.config.ldirectord.names import Machine, host_of, port_of
from healthd.config.ldirectord.reals import Server, parse_real, resolve_fallback
from healthd.config.ldirectord.setup import service_of
from healthd.config.ldirectord.values import UNSET, Virtual, identity
from healthd.config.ldirectord.words import Around, Wrong
from healthd.config.problems import Span
from healthd.model import Family

_PORT = r":([0-9A-Za-z\-_]+)"
_IPV4 = re.compile(r"(\d+\.\d+\.\d+\.\d+)" + _PORT, re.ASCII)
_HOST = re.compile(r"([0-9A-Za-z._+-]+)" + _PORT)
_MARK = re.compile(r"\d+", re.ASCII)
_IPV6 = re.compile(r"\[([0-9A-Fa-f:]+)\]" + _PORT)

_NUMBERS = ("checktimeout", "negotiatetimeout", "checkcount", "failurecount")
_DEFAULTS = {
    "scheduler": "wrr",
    "checktype": "negotiate",
    "checkcommand": "/bin/true",
    "request": "/",
    "num_connects": "0",
    "httpmethod": "GET",
    "ops": "no",
    **dict.fromkeys(("receive", "login", "passwd", "database", "secret"), ""),
    **dict.fromkeys(_NUMBERS, UNSET),
}
_COMPUTED = ("family", "fwm", "server", "port", "protocol", "service", "flags", "real", "where")


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that shows at the end of a block."""

    span: Span
    message: str


@dataclass(slots=True)
class Block:
    """A virtual service that is being read. lines: those with servers, as meant and as ldirectord cuts them."""

    family: Family
    span: Span
    address: str | None
    mark: str | None
    port: str
    values: dict[str, Any] = field(default_factory=dict)
    where: dict[str, Span] = field(default_factory=dict)
    lines: list[tuple[str, str, Span]] = field(default_factory=list)
    servers: list[tuple[Server, Span]] = field(default_factory=list)
    failed: bool = False

    def around(self, machine: Machine) -> Around:
        """What its directives may look at."""
        login, passwd = self.values["login"], self.values["passwd"]
        return Around(machine, self.family, self.mark is not None, self.port, login, passwd)

    def set(self, values: Any, span: Span, name: str) -> None:
        """Take what a directive says; the last one of a name counts."""
        self.values.update(values)
        self.where[name.removesuffix("6")] = span

    def finish(self, machine: Machine, *, strict: bool) -> Iterator[Trouble]:
        """Look up names, in ldirectord's order. Gives what is wrong."""
        yield from self._resolve_fallback(machine)
        yield from self._resolve_address(machine)
        for text, stock, span in self.lines:
            try:
                self.servers.append((parse_real(text, self.family, machine, strict=strict), span))
            except Wrong as error:
                found = None if strict else self._as_stock(stock, machine)
                if found is None:
                    yield Trouble(span, str(error))
                else:
                    note = f"{error}; stock ldirectord takes the line without that, and so does healthd"
                    self.servers.append((replace(found, notes=(*found.notes, note)), span))

    def _as_stock(self, text: str, machine: Machine) -> Server | None:
        """What ldirectord takes a line for that makes no sense as it is meant."""
        try:
            return parse_real(text, self.family, machine, strict=True)
        except Wrong:
            return None

    def _resolve_fallback(self, machine: Machine) -> Iterator[Trouble]:
        if self.values["fallback"] is not None:
            try:
                found = resolve_fallback(self.values["fallback"], self.values["protocol"], self.family, machine)
                self.values["fallback"] = found
            except Wrong as error:
                yield Trouble(self.where["fallback"], str(error))

    def _resolve_address(self, machine: Machine) -> Iterator[Trouble]:
        if self.address is None:
            return
        host = host_of(self.address, self.family, machine)
        port = port_of(self.port, self.values["protocol"], machine)
        if host is None or port is None:
            yield Trouble(self.span, "invalid address for virtual service")
            return
        self.values["server"], self.values["port"] = host, port
        if self.values["service"] is None:
            self.values["service"] = service_of(port)

    @property
    def id(self) -> str:
        """By which duplicates are found."""
        given = self.values
        return identity(given["protocol"], self.family, self.mark, given["server"], given["port"])


def open_block(text: str, family: Family, span: Span) -> Block:
    """A virtual service of its header. Raises Wrong."""
    address, port, mark = _header(text, family)
    block = Block(family, span, address, mark, port)
    optional = [name for name in Virtual.__dataclass_fields__ if name not in _DEFAULTS and name not in _COMPUTED]
    block.values = {**dict.fromkeys(optional), **_DEFAULTS, "family": family, "fwm": mark, "server": None, "port": port}
    block.values["protocol"] = "fwm" if mark is not None else "udp" if port in ("53", "domain") else "tcp"
    block.values["service"] = None if mark is None else "none"
    return block


def _header(text: str, family: Family) -> tuple[str | None, str, str | None]:
    """Address, port and firewall mark."""
    found = (_IPV4.match(text) if family is Family.IPV4 else None) or _HOST.match(text)
    if found:
        return found[1], found[2], None
    if mark := _MARK.match(text):
        return None, "0", mark[0]
    found = _IPV6.match(text)
    if found and family is Family.IPV4:
        raise Wrong('cannot specify an IPv6 address here. please use "virtual6" instead.')
    if found is None:
        raise Wrong("invalid address for virtual server")
    if not _is_ipv6(found[1]):
        raise Wrong("invalid ipv6 address for virtual server")
    return f"[{found[1]}]", found[2], None


def _is_ipv6(text: str) -> bool:
    try:
        socket.inet_pton(socket.AF_INET6, text)
    except OSError:
        return False
    return True
