"""dns, sip and radius: ldirectord's checks beside ours."""

from __future__ import annotations

import pytest

from tests.checks.beside.cases import (
    SOON,
    Case,
    Nobody,
    compare,
    down,
    needs_ldirectord,
    nobody,
    only_ours,
    unanswered,
    up,
)
from tests.checks.servers import named
from tests.checks.servers_radius import SECRET, freeradius
from tests.checks.servers_sip import kamailio

pytestmark = [pytest.mark.real, needs_ldirectord]


def test_dns(tmp_path):
    with named() as served, nobody() as ports:
        compare(tmp_path, [*dns_cases(served.port, ports, "udp"), *dns_cases(served.port, ports, "tcp")])


def dns_cases(port: int, ports: Nobody, protocol: str) -> list[Case]:
    """What is asked of a server of DNS at a port."""
    dns, anything = ("service = dns", f"protocol = {protocol}"), 'receive = "."'
    www, alias, long, none = (f'request = "{name}.example.test"' for name in ("www", "alias", "long", "none"))
    address = 'request = "192.0.2.1"'
    return [
        up("the address", port, *dns, www, r'receive = "^192\.0\.2\.2$"'),
        down("another address", port, *dns, www, r'receive = "^192\.0\.2\.3$"'),
        down("its other address", port, *dns, www, 'receive = "2001:db8"'),
        up("by another name", port, *dns, alias, r'receive = "^192\.0\.2\.1$"'),
        down("it is another name", port, *dns, alias, 'receive = "www"'),
        down("no address at all", port, *dns, long, anything),
        down("no such name", port, *dns, none, anything),
        down("not its zone", port, *dns, 'request = "www.example.org"', anything),
        up("the name of an address", port, *dns, address, r'receive = "^www\.example\.test$"'),
        down("another name", port, *dns, address, 'receive = "ftp"'),
        down("an address without a name", port, *dns, 'request = "192.0.2.9"', anything),
        down("an address that is not its own", port, *dns, 'request = "2001:db8::1"', anything),
        only_ours("B23", "nothing to receive", port, *dns, www, warning="receive: any answer passes without it"),
        *unanswered(ports, *dns, www, 'receive = "192"'),
    ]


def test_sip(tmp_path):
    with kamailio() as served, nobody() as ports:
        port = served.plain
        cases: list[Case] = [up("by the port alone", port, "protocol = udp", virtual="192.0.2.1:5060")]
        for protocol in ("protocol = udp", "protocol = tcp"):
            sip = ("service = sip", protocol)
            cases += [
                up("it answers", port, *sip, 'login = "joe@sip.example.test"'),
                up("nobody in particular", port, *sip),
                up("a name alone", port, *sip, 'login = "sip.example.test"'),
                down("busy", port, *sip, 'login = "busy@sip.example.test"'),
                down("private", port, *sip, 'login = "private@sip.example.test"'),
                down("a stranger", port, *sip, 'login = "stranger@sip.example.test"'),
                only_ours("B24", "it takes its time", port, *sip, 'login = "slow@sip.example.test"'),
                *unanswered(ports, *sip, 'login = "joe@sip.example.test"'),
            ]
        compare(tmp_path, cases)


def test_radius(tmp_path):
    radius = ("service = radius", "protocol = udp")
    secret, joe, right = f'secret = "{SECRET}"', 'login = "joe"', 'passwd = "secret"'
    with freeradius() as served, nobody() as ports:
        port = served.signed
        cases = [
            up("joe may enter", port, *radius, secret, joe, right),
            up("answers as of old", served.old, *radius, secret, joe, right),
            down("a wrong password", port, *radius, secret, joe, 'passwd = "wrong"'),
            down("an unknown user", port, *radius, secret, 'login = "bob"', right),
            down("it wants to know more", port, *radius, secret, 'login = "ann"', right),
            down("another secret", port, *radius, 'secret = "other"', joe, right, timeout=SOON),
            down("no secret", port, *radius, joe, right, timeout=SOON),
            *unanswered(ports, *radius, secret, joe, right),
        ]
        compare(tmp_path, cases)
