"""What the doctor says of virtual addresses, marks and ports."""

from __future__ import annotations

import pytest

from healthd.doctor import virtual
from healthd.doctor.facts import Firewall, Held, Listener, Network, Program
from healthd.doctor.findings import Level
from healthd.model import Family, FwmarkKey, Protocol
from tests.doctor.judging import LINK, LOCAL, NOWHERE, facts, only, server, with_network, with_routes, wrong
from tests.support.builders import MAIL, WWW, A, B, service, vip

MARKED = service(server(), key=FwmarkKey(Family.IPV4, 7), name="marked")


def test_addresses_that_are_here_are_in_order():
    assert wrong(virtual, facts()) == []


def test_a_virtual_address_that_is_nowhere_is_an_error_with_the_command():
    found = only(virtual, with_routes(facts(), {WWW.address: LINK}))
    assert found.level is Level.ERROR
    assert "ip address add 192.0.2.80/32 dev DEVICE" in found.do


def test_beside_keepalived_it_may_be_meant_so():
    seen = with_routes(facts(programs=(Program("keepalived", 7),)), {WWW.address: NOWHERE})
    found = only(virtual, seen)
    assert found.level is Level.WARNING
    assert "standby" in found.why


def test_an_ipv6_address_that_somebody_else_has_is_not_used():
    key = vip("[2001:db8::80]:80")
    seen = facts(service(server(), key=key))
    held = (Held(key.address, "eth0", duplicate=True),)
    assert "somebody else" in only(virtual, with_network(seen, held=held)).seen


@pytest.mark.parametrize(
    ("firewall", "level"),
    [
        (Firewall(frozenset({7})), None),
        (Firewall(vague=True), Level.HINT),
        (None, Level.HINT),
        (Firewall(), Level.WARNING),
    ],
)
def test_a_mark_that_nobody_sets(firewall, level):
    found = wrong(virtual, with_network(facts(MARKED), firewall=firewall))
    assert [one.level for one in found] == ([] if level is None else [level])


@pytest.mark.parametrize("address", [WWW.address, None])
def test_a_process_on_a_virtual_port_gets_nothing(address):
    listening = frozenset({Listener(Protocol.TCP, address, 80)})
    assert only(virtual, with_network(facts(), listening=listening)).level is Level.HINT
    itself = with_routes(with_network(facts(), listening=listening), {A.address: LOCAL})
    assert wrong(virtual, itself) == []


def test_processes_on_other_ports_protocols_and_addresses_are_nobody_s_business():
    others = {
        Listener(Protocol.UDP, None, 80),
        Listener(Protocol.TCP, None, 22),
        Listener(Protocol.TCP, A.address, 80),
    }
    assert wrong(virtual, with_network(facts(), listening=frozenset(others))) == []


def test_many_addresses_are_one_finding():
    mail = service(server(B), key=MAIL, name="mail")
    seen = with_routes(facts(service(server()), mail), {WWW.address: NOWHERE, MAIL.address: LINK})
    found = only(virtual, seen)
    assert found.seen == "not on this machine: virtual address 192.0.2.80 (www), 192.0.2.25 (mail)"
    assert found.do.count("ip address add") == 2


def test_of_a_namespace_that_was_not_entered_nothing_is_said():
    assert wrong(virtual, facts(namespace_error="no", network=Network())) == []
