"""The real servers and the fallback of a virtual service as our tables have them, each with its check."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from healthd.config.ldirectord.names import Machine, host_of
from healthd.config.ldirectord.planting import Table, bounded, table
from healthd.config.ldirectord.services import Asked, check_of
from healthd.config.ldirectord.setup import asked_port
from healthd.config.ldirectord.values import Fallback, Globals, Real, Virtual
from healthd.config.problems import Span
from healthd.model import MAX_WEIGHT, Family

_BY_CHECKTIMEOUT = ("connect", "ping", "external", "external-perl")
_ALARM_OF_CHECK = ("ldap", "ldaps", "radius")
_BY_URL = ("http", "https", "http_proxy")
_NEEDS_NO_PORT = ("on", "off", "ping", "script", "perl")
_ARGS = ["{virtual}", "{virtual_port}", "{address}"]

Options = dict[str, Any]


def row_port(virtual: Virtual, port: str, forward: str) -> int:
    """The port that the kernel sends packets to: only masquerading may change it; 0 for that of the packet."""
    own = int(virtual.port) if virtual.fwm is None else 0
    return int(port) if forward == "masq" and int(port) else own


def put_fallback(at: Table, virtual: Virtual, common: Globals) -> None:
    """The server that steps in: the virtual's own, or that of its family."""
    span = virtual.where.get("fallback")
    found = virtual.fallback
    if found is None:
        name = "fallback6" if virtual.family is Family.IPV6 else "fallback"
        both, span = getattr(common, name), common.where.get(name)
        found = both[1 if virtual.protocol == "udp" else 0] if both else None
    if found is None:
        return
    given = found.port or "0"
    port = row_port(virtual, given, found.forward)
    if any((real.server, row_port(virtual, real.port, real.forward)) == (found.server, port) for real in virtual.real):
        at.note(f"fallback: {found.server} is one of the real servers, so it cannot step in for them", span)
        return
    if int(given) not in (0, port) and not (virtual.fwm is not None and virtual.fallback is None):
        loud = virtual.fallback is not None and virtual.fwm is None
        at.note(f"fallback: {found.forward} cannot change the port to {int(given)}", span, loud=loud)
    at.put("fallback", _fallback(virtual, found, port), span)


def _fallback(virtual: Virtual, found: Fallback, port: int) -> Options:
    own = int(virtual.port) if virtual.fwm is None else 0
    address = {"address": found.server.strip("[]")}
    return {**address, **({"port": port} if port != own else {}), "forward": found.forward}


def put_reals(at: Table, virtual: Virtual, machine: Machine, common: Globals, *, strict: bool) -> None:
    """The check of a service, and its servers with what they say themselves."""
    reals = _distinct(at, virtual)
    checks = [_check(at, virtual, real, machine, strict=strict) for real in reals]
    own = _check(at, virtual, None, machine, strict=strict)
    shared = _shared(own, checks)
    if shared is not None:
        values = {**shared, **_rhythm(at, virtual, common, shared)}
        at.put("check", values, _span_of_check(virtual))
        _place_check(at, virtual, values, (*at.path, "check"))
    ways = Counter(real.forward for real in reals)
    if len(ways) == 1:
        at.put("forward", next(iter(ways)), reals[0].where)
    rows: list[Options] = []
    for number, (real, check) in enumerate(zip(reals, checks, strict=True)):
        rows.append({})
        row = table(at.tree, (*at.path, "real", number), real.where, rows[-1])
        _put_real(row, virtual, real, alone=len(ways) == 1)
        more = {name: value for name, value in check.items() if shared is None or shared.get(name) != value}
        if more:
            more = {**more, **_rhythm(at, virtual, common, check)} if shared is None else more
            row.put("check", more, real.where)
    at.put("real", rows, at.span)


def _distinct(at: Table, virtual: Virtual) -> list[Real]:
    """The servers, each once: twice the same is one row of the kernel's."""
    found: dict[tuple[str, int], Real] = {}
    for real in virtual.real:
        key = (real.server, row_port(virtual, real.port, real.forward))
        if (first := found.setdefault(key, real)) is not real:
            text = (
                f"{real.server} is a real server of this virtual already, at line {first.where.line}; that one counts"
            )
            at.note(text, real.where)
    return list(found.values())


def _put_real(row: Table, virtual: Virtual, real: Real, *, alone: bool) -> None:
    port, own = row_port(virtual, real.port, real.forward), int(virtual.port) if virtual.fwm is None else 0
    row.put("address", real.server.strip("[]"))
    if port != own:
        row.put("port", port)
    if int(real.port) not in (0, port):
        row.note(f"{real.forward} cannot change the port: only probes go to port {int(real.port)}")
    if real.weight > MAX_WEIGHT:
        row.note(f"weight {real.weight} is more than the kernel takes, it becomes {MAX_WEIGHT}")
    if real.weight != 1:
        row.put("weight", min(real.weight, MAX_WEIGHT))
    if not alone:
        row.put("forward", real.forward)
    if (real.lower or 0) > (real.upper or 0):
        row.note("the kernel takes no lower threshold above the upper one, so there is none")
    elif real.lower:
        row.put("lower", real.lower)
    if real.upper:
        row.put("upper", real.upper)


def _shared(own: Options, checks: list[Options]) -> Options | None:
    """The check of the service, if each server's can be laid over it: it may add and change, but not take away."""
    ports = {check.get("port") for check in checks}
    if len(ports) == 1 and None not in ports:
        own = {**own, "port": ports.pop()}
    kinds = {check["type"] for check in checks} | {own["type"]}
    return own if len(kinds) == 1 and all(own.keys() <= check.keys() for check in checks) else None


def _check(at: Table, virtual: Virtual, real: Real | None, machine: Machine, *, strict: bool) -> Options:
    """What is asked of one server; None stands for what the virtual itself says."""
    url = real.url if real is not None and real.own and _is_url(virtual, real) else None
    request, receive = (virtual.request, virtual.receive) if real is None else (real.request, real.receive)
    if real is not None and not real.own and virtual.service in _BY_URL:
        request = virtual.request
    asked = Asked(virtual, request, receive, machine, strict, url)
    options = check_of(asked)
    here = Span() if real is None or not real.own else real.where
    for name, text in asked.notes.items():
        at.note(text, here if here.line else virtual.where.get(name))
    for name, text in asked.refusals.items():
        at.tree.refuse(here if here.line else virtual.where.get(name, at.span), text)
    if real is None:
        port = {"port": int(virtual.checkport)} if virtual.checkport and options["type"] not in _NEEDS_NO_PORT else {}
        return {**options, **port}
    return _targeted(at, virtual, real, machine, options, url)


def _is_url(virtual: Virtual, real: Real) -> bool:
    return virtual.service in ("http", "https") and "://" in real.url and f"{virtual.service}://" in real.request


def _targeted(at: Table, virtual: Virtual, real: Real, machine: Machine, options: Options, url: str | None) -> Options:
    """The check with the port to ask, where that is not the port of the row, and the address of a URL of its own."""
    row = row_port(virtual, real.port, real.forward)
    if options["type"] in ("script", "perl"):
        args = options.get("args", [*_ARGS, "{port}"])
        return {**options, "args": [*args[:-1], str(int(real.port))]} if int(real.port) != row else options
    if options["type"] in _NEEDS_NO_PORT:
        return options
    if url is not None:
        there = _elsewhere(at, virtual, real, machine, url)
        return there if "type" in there else {**options, **there}
    asked = asked_port(virtual.checkport, real.port, virtual.service)
    if asked is None and not row:
        at.note("there is no port to ask, so the server is down, as with stock ldirectord", real.where)
        return {"type": "off"}
    if virtual.checkport or (asked is not None and int(asked) != row):
        return {**options, "port": int(asked or row)}
    return options


def _elsewhere(at: Table, virtual: Virtual, real: Real, machine: Machine, url: str) -> Options:
    """Address and port of a URL that a server has of its own."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or (443 if virtual.service == "https" else 80)
    except ValueError as error:
        at.note(f"{url}: {error}, so the server is down", real.where)
        return {"type": "off"}
    found = host_of(host, virtual.family, machine)
    if found is None:
        at.note(f"the host {host} of this URL could not be resolved, so the server is down", real.where)
        return {"type": "off"}
    return {"address": found.strip("[]"), "port": port}


def _rhythm(at: Table, virtual: Virtual, common: Globals, check: Mapping[str, Any]) -> Options:
    """When a check is made, and how many verdicts decide."""
    where, negotiates = virtual.where, virtual.checktype in ("negotiate", "combined")
    by_check = virtual.checktype in _BY_CHECKTIMEOUT or (negotiates and virtual.service in _ALARM_OF_CHECK)
    name = "checktimeout" if by_check else "negotiatetimeout"
    interval, timeout = virtual.checkinterval or common.checkinterval, getattr(virtual, name)
    pace = bounded(at, "checkinterval", interval, where.get("checkinterval"))
    if check["type"] in ("on", "off"):
        return {"interval": pace, "rise": 1, "fall": 1}
    late = {"overrun": True} if min(int(timeout), 86400) >= min(int(interval), 86400) else {}
    return {
        "interval": pace,
        "timeout": bounded(at, name, timeout, where.get(name)),
        **late,
        "rise": 1,
        "fall": min(int(virtual.failurecount), 1000),
        **({"fast_interval": pace} if int(virtual.failurecount) > 1 else {}),
    }


_ORIGIN = {
    "expect": "receive", "expect_line": "receive", "expect_dn": "receive", "path": "request", "name": "request",
    "url": "request", "base": "request", "query": "request", "file": "request", "send": "request",
    "payload": "request", "user": "login", "password": "passwd", "secret": "secret", "database": "database",
    "sid": "database", "host": "virtualhost", "method": "httpmethod", "command": "checkcommand",
    "args": "checkcommand", "connects": "checktype", "port": "checkport", "fall": "failurecount",
    "interval": "checkinterval", "type": "service",
}  # fmt: skip


def _span_of_check(virtual: Virtual) -> Span:
    where = virtual.where
    return where.get("checktype") or where.get("service") or where["virtual"]


def _place_check(at: Table, virtual: Virtual, values: Options, path: tuple[str | int, ...]) -> None:
    """Where each option of a check comes from."""
    for name in values:
        span = virtual.where.get(_ORIGIN.get(name, ""))
        if name == "timeout":
            span = virtual.where.get("negotiatetimeout") or virtual.where.get("checktimeout")
        at.tree.spans[(*path, name)] = span or _span_of_check(virtual)
