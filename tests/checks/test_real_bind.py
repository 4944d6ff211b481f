"""dns against a real BIND: UDP, TCP and TLS on both families, truncation, flags, errors."""

from __future__ import annotations

from dataclasses import replace

import pytest

from checks.dns import DnsCheck
from healthd.check import Outcome, Reason, Verdict
from healthd.prober.ask import ask
from tests.checks.servers import Named, both

pytestmark = pytest.mark.real
PATIENCE = 20.0
WWW = DnsCheck("www.example.test", answers=("192.0.2.2", "192.0.2.1"), authoritative=True)


async def asked(check: DnsCheck, port: int, family: int = 0) -> Verdict:
    verdict, _ = await ask(check, both(port)[family], PATIENCE)
    return verdict


@pytest.mark.parametrize("family", [0, 1])
async def test_it_answers_over_udp_tcp_and_tls(named: Named, family: int):
    for check, port in (
        (WWW, named.port),
        (replace(WWW, tcp=True), named.port),
        (replace(WWW, tls=named.certified.tls), named.secure),
        (replace(WWW, edns=True), named.port),
        (DnsCheck("www.example.test"), named.port),
    ):
        assert (await asked(check, port, family)).detail == "NOERROR, 2 records"


async def test_the_truth_about_errors(named: Named):
    gone = DnsCheck("gone.example.test")
    assert (await asked(gone, named.port)).detail == "got NXDOMAIN, want NOERROR"
    assert (await asked(replace(gone, rcode=("NXDOMAIN",)), named.port)).outcome is Outcome.PASS
    assert (await asked(DnsCheck("example.org"), named.port)).detail == "got REFUSED, want NOERROR"
    assert (await asked(DnsCheck("ns.example.test", record="TXT"), named.port)).reason is Reason.UNEXPECTED


async def test_records_are_compared_as_dns_compares_them(named: Named):
    mail = DnsCheck("EXAMPLE.test", record="MX", answers=("10 mail.example.test.",))
    assert (await asked(mail, named.port)).outcome is Outcome.PASS
    alias = DnsCheck("alias.example.test", record="AAAA", expect="^2001:db8::1$")
    assert (await asked(alias, named.port)).outcome is Outcome.PASS
    any_of = DnsCheck("www.example.test", record="ANY", expect="^192")
    assert (await asked(any_of, named.port)).outcome is Outcome.PASS


async def test_a_long_answer_is_fetched_over_tcp(named: Named):
    verdict, transcript = await ask(
        DnsCheck("long.example.test", record="TXT", expect="xxx"), both(named.port)[0], PATIENCE
    )
    assert verdict.outcome is Outcome.PASS
    assert [line.text for line in transcript.lines if line.text in ("datagram", "connect")] == ["datagram", "connect"]


async def test_other_classes_and_types_by_number(named: Named):
    version = DnsCheck("version.bind", record="TXT", record_class="CH", expect='"healthd test"')
    assert (await asked(version, named.port)).outcome is Outcome.PASS
    assert (await asked(DnsCheck("www.example.test", record="TYPE1"), named.port)).outcome is Outcome.PASS


async def test_authenticated_data_is_not_claimed_by_a_server_that_does_not_validate(named: Named):
    verdict = await asked(DnsCheck("www.example.test", authenticated=True), named.port)
    assert verdict.detail == "answer is not validated (no AD flag)"
