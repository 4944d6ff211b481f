"""What ldirectord works out once a file is read: timeouts that stand in for each other, ports and URLs of probes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from healthd.config.ldirectord.directives import with_slash
from healthd.config.ldirectord.reals import Server
from healthd.config.ldirectord.values import UNSET, Globals, Real, Virtual
from healthd.config.problems import Span
from healthd.model import Family

SERVICE_OF_PORT: Mapping[str, str] = {
    "21": "ftp", "25": "smtp", "53": "dns", "80": "http", "110": "pop", "119": "nntp", "143": "imap", "389": "ldap",
    "443": "https", "587": "submission", "636": "ldaps", "995": "pops", "993": "imaps", "1521": "oracle",
    "1812": "radius", "3128": "http_proxy", "3306": "mysql", "5060": "sip", "5432": "pgsql",
}  # fmt: skip
PORT_OF_SERVICE: Mapping[str, str] = {name: port for port, name in SERVICE_OF_PORT.items() if name != "nntp"}
"""ldirectord forgot nntp here."""

DEFAULT_CHECK, DEFAULT_NEGOTIATE = "5", "30"
ALWAYS = 999_999
_OPTIONS = {"tcp": "-t", "udp": "-u", "fwm": "-f"}


def complete(
    values: Mapping[str, Any], servers: list[tuple[Server, Span]], where: Mapping[str, Span], common: Globals
) -> Virtual:
    """A virtual service of what its directives said."""
    given = dict(values)
    check, negotiate = _timeouts(given, common)
    given["real"] = tuple(_reals(given, servers))
    given["checktimeout"], given["negotiatetimeout"] = check, negotiate
    for name in ("checkcount", "failurecount"):
        if given[name] == UNSET:
            given[name] = getattr(common, name)
    given["flags"] = _flags(given)
    return Virtual(**given, where=where)


def _timeouts(given: Mapping[str, Any], common: Globals) -> tuple[str, str]:
    """The values of checktimeout and negotiatetimeout: each is the default of the other."""
    check, negotiate = given["checktimeout"], given["negotiatetimeout"]
    first = (check, negotiate, common.checktimeout, common.negotiatetimeout, DEFAULT_CHECK)
    second = (negotiate, check, common.negotiatetimeout, common.checktimeout, DEFAULT_NEGOTIATE)
    return next(value for value in first if value != UNSET), next(value for value in second if value != UNSET)


def _flags(given: Mapping[str, Any]) -> str:
    """The options of ipvsadm that the service is made with."""
    mark, family = given["fwm"], given["family"]
    address = f"{given['server']}:{given['port']}" if mark is None else mark + (" -6" if family is Family.IPV6 else "")
    parts = [_OPTIONS[given["protocol"]], address]
    if given["protocol"] == "udp" and given["ops"] == "yes":
        parts.append("-o")
    parts += ["-s", given["scheduler"]]
    if given["persistent"] is not None:
        parts += ["-p", given["persistent"]]
        parts += ["-M", given["netmask"]] if given["netmask"] is not None else []
    if given["schedflags"] is not None:
        parts += ["-b", given["schedflags"]]
    return " ".join(parts) + " "


def _reals(given: Mapping[str, Any], servers: list[tuple[Server, Span]]) -> list[Real]:
    return [_real(given, server, address, where) for server, where in servers for address in server.addresses]


def _real(given: Mapping[str, Any], server: Server, address: str, where: Span) -> Real:
    own = server.request is not None and server.receive is not None
    request = with_slash(server.request) if server.request is not None else given["request"]
    receive = given["receive"] if server.receive is None else server.receive
    asked = asked_port(given["checkport"], server.port, given["service"])
    return Real(
        server=address,
        port=server.port,
        forward=server.forward,
        weight=int(server.weight or 1),
        request=request,
        receive=receive,
        lower=None if server.lower is None else int(server.lower),
        upper=None if server.upper is None else int(server.upper),
        num_connects=ALWAYS if given["checktype"] == "combined" else -1,
        url=_url(given["service"], request if own else given["request"], address, asked, own=own),
        own=own,
        asked=asked,
        where=where,
    )


def asked_port(checkport: str | None, port: str, service: str) -> str | None:
    """The port that probes of a server go to; None if there is none to tell."""
    if checkport is not None:
        return checkport
    return port if int(port) > 0 else PORT_OF_SERVICE.get(service)


def _url(service: str, request: str, address: str, port: str | None, *, own: bool) -> str:
    scheme = "http" if service == "http_proxy" else service
    path = request.removeprefix("/")
    if (own and f"{scheme}://" in request) or (not own and service == "http_proxy"):
        return path
    return f"{scheme}://{address}:{port or ''}/{path}"


def service_of(port: str) -> str:
    """The service of a virtual port."""
    return SERVICE_OF_PORT.get(port, "none")
