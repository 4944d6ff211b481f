"""tcp and http against a real nginx: plain and TLS, both families, redirects, chunks, bounds, certificates."""

from __future__ import annotations

from dataclasses import replace

import pytest

from checks.http import HttpCheck
from checks.tcp import TcpCheck
from healthd.check import Check, Outcome, Reason, Tls, Verdict
from healthd.prober.ask import ask
from tests.checks.servers import Nginx, both
from tests.checks.steady import asked_steadily

pytestmark = pytest.mark.real
PATIENCE = 20.0


async def asked(check: Check, port: int, family: int = 0) -> Verdict:
    verdict, _ = await ask(check, both(port)[family], PATIENCE)
    return verdict


@pytest.mark.parametrize("family", [0, 1])
async def test_it_answers_on_both_families_with_and_without_tls(nginx: Nginx, family: int):
    check = HttpCheck(path="/healthz", expect="^alive$")
    assert (await asked(check, nginx.http, family)).detail == "200 OK"
    assert (await asked(replace(check, tls=nginx.certified.tls), nginx.https, family)).detail == "200 OK"
    assert (await asked(TcpCheck(), nginx.http, family)).detail == "connected"
    assert "TLSv1." in (await asked(TcpCheck(tls=nginx.certified.tls), nginx.https, family)).detail


async def test_a_wrong_status_is_told(nginx: Nginx):
    verdict = await asked(HttpCheck(path="/busy"), nginx.http)
    assert verdict == Verdict(Outcome.FAIL, Reason.UNEXPECTED, "got 503 Service Unavailable, want 200-299")


async def test_the_request_arrives_as_it_was_meant(nginx: Nginx):
    check = HttpCheck(path="/agent", host="localhost.test", headers=(("X-Probe", "yes"),))
    check = replace(check, expect=r"^healthd\|yes\|localhost\.test\|GET\|HTTP/1\.1$")
    assert (await asked(check, nginx.http)).outcome is Outcome.PASS
    old = replace(check, version="1.0", expect=r"\|GET\|HTTP/1\.0$")
    assert (await asked(old, nginx.http)).outcome is Outcome.PASS


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_chunks_and_bodies_without_length_are_put_together(nginx: Nginx, version: str):
    check = HttpCheck(path="/chunked.html", version=version, expect="^<html>chunks</html>$")  # type: ignore[arg-type]
    assert (await asked(check, nginx.http)).outcome is Outcome.PASS


async def test_a_big_body_is_read_to_its_bound_only(nginx: Nginx):
    check = HttpCheck(path="/big", expect="(?s)^0123456789abcdef.*0123$", max_body=1_048_564)
    assert (await asked(check, nginx.http)).outcome is Outcome.PASS
    short = replace(check, max_body=1000)
    assert (await asked(short, nginx.http)).reason is Reason.UNEXPECTED


async def test_head_and_options_have_answers_too(nginx: Nginx):
    assert (await asked(HttpCheck(method="HEAD", path="/page.html"), nginx.http)).detail == "200 OK"
    assert (await asked(HttpCheck(method="OPTIONS", status=("405",)), nginx.http)).outcome is Outcome.PASS


async def test_credentials_open_what_is_private(nginx: Nginx):
    check = HttpCheck(path="/private", expect="welcome")
    assert (await asked(check, nginx.http)).detail == "got 401 Unauthorized, want 200-299"
    known = replace(check, username="joe", password="secret")
    assert (await asked(known, nginx.http)).outcome is Outcome.PASS
    wrong = replace(known, password="guess")
    assert (await asked(wrong, nginx.http)).outcome is Outcome.FAIL


async def test_redirects_are_followed_as_far_as_asked(nginx: Nginx):
    check = HttpCheck(path="/old", redirects=1, expect="alive")
    assert (await asked(check, nginx.http)).outcome is Outcome.PASS
    assert (await asked(replace(check, redirects=0), nginx.http)).outcome is Outcome.FAIL
    assert "302" in (await asked(HttpCheck(path="/round", redirects=3), nginx.http)).detail
    away = await asked(HttpCheck(path="/away", redirects=3), nginx.http)
    assert away.detail == "got 302 Found to https://elsewhere.test/, want 200-299"
    leaves = HttpCheck(path="/away", redirects=7, redirect_away="pass")
    assert (await asked(leaves, nginx.http)).detail == "302 Found to https://elsewhere.test/"
    assert (await asked(replace(leaves, path="/round"), nginx.http)).outcome is Outcome.FAIL
    assert (await asked(replace(leaves, path="/old"), nginx.http)).detail == "200 OK"


@pytest.mark.parametrize("family", [0, 1])
async def test_https_of_ldirectord_is_the_chain_without_the_name(nginx: Nginx, family: int):
    chain = Tls(ca_file=nginx.certified.tls.ca_file, verify_name=False)
    check = HttpCheck(path="/healthz", host="virtual.test", expect="alive", redirects=7, tls=chain)
    assert (await asked(check, nginx.https, family)).outcome is Outcome.PASS
    assert (await asked(replace(check, tls=replace(chain, verify_name=True)), nginx.https, family)).reason is Reason.TLS
    unknown = await asked(replace(check, tls=Tls(verify_name=False)), nginx.https, family)
    assert (unknown.outcome, unknown.reason) == (Outcome.FAIL, Reason.TLS)
    assert (await asked(replace(check, method="HEAD", expect=None), nginx.https, family)).outcome is Outcome.PASS
    named = replace(check, path="/agent", expect=r"\|virtual\.test\|GET\|")
    assert (await asked(named, nginx.https, family)).outcome is Outcome.PASS


async def test_certificates_are_verified_unless_told_otherwise(nginx: Nginx):
    unknown = await asked(HttpCheck(tls=Tls(server_name="localhost.test")), nginx.https)
    assert unknown.reason is Reason.TLS
    other = await asked(HttpCheck(tls=replace(nginx.certified.tls, server_name="other.test")), nginx.https)
    assert other.reason is Reason.TLS
    blind = HttpCheck(path="/healthz", tls=Tls(verify=False))
    assert (await asked(blind, nginx.https)).outcome is Outcome.PASS


async def test_a_certificate_must_last_as_long_as_asked(nginx: Nginx):
    brief = HttpCheck(path="/healthz", tls=replace(nginx.certified.tls, min_days=1))
    assert (await asked(brief, nginx.https)).outcome is Outcome.PASS
    verdict = await asked(replace(brief, tls=replace(nginx.certified.tls, min_days=1_000_000)), nginx.https)
    assert (verdict.outcome, verdict.reason) == (Outcome.FAIL, Reason.TLS)


async def test_the_name_for_tls_is_the_host_if_it_has_none_of_its_own(nginx: Nginx):
    trusted = replace(nginx.certified.tls, server_name=None)
    check = HttpCheck(path="/healthz", host="localhost.test", tls=trusted)
    assert (await asked(check, nginx.https)).outcome is Outcome.PASS
    assert (await asked(replace(check, host="other.test"), nginx.https)).reason is Reason.TLS
    assert (await asked(replace(check, host=None), nginx.https)).outcome is Outcome.PASS  # it is valid for the address


async def test_a_client_certificate_is_shown(nginx: Nginx):
    check = HttpCheck(tls=nginx.certified.client, expect="hello SUCCESS")
    assert (await asked(check, nginx.mutual)).outcome is Outcome.PASS
    without = await asked(replace(check, tls=nginx.certified.tls), nginx.mutual)
    assert without.outcome is Outcome.FAIL


async def test_plain_http_to_a_tls_port_and_the_reverse_fail_truthfully(nginx: Nginx):
    assert (await asked(HttpCheck(path="/healthz"), nginx.https)).detail == "got 400 Bad Request, want 200-299"
    assert (await asked(HttpCheck(tls=Tls(verify=False)), nginx.http)).reason is Reason.TLS


@pytest.mark.parametrize("secured", [False, True])
async def test_kept_connections_serve_until_nginx_has_enough_of_them(nginx: Nginx, secured: bool):
    port = nginx.https if secured else nginx.http
    check = HttpCheck(path="/served", reuse=100, tls=nginx.certified.tls if secured else None)
    assert await asked_steadily(check, both(port)[0], 15) == []
    served = (nginx.certified.folder / f"served.{port}").read_text().split()
    assert {"1", "2", "3"} == set(served)


@pytest.mark.parametrize("family", [0, 1])
async def test_simpletcp_of_ldirectord_is_a_message_a_half_close_and_a_line(nginx: Nginx, family: int):
    check = TcpCheck(send=b"GET /healthz HTTP/1.0\n\n", half_close=True, expect_line="^alive$", max_bytes=1024 * 1024)
    assert (await asked(check, nginx.http, family)).detail == "a line of the answer matches"
    assert (await asked(replace(check, expect_line="^HTTP/1.1 200 OK\r$"), nginx.http, family)).outcome is Outcome.PASS
    verdict = await asked(replace(check, expect_line="^dead$"), nginx.http, family)
    assert verdict.detail.startswith("expect_line '^dead$' does not match: got 'HTTP/1.1 200 OK")
    # without a message nginx closes at the half-close, so even an expression that matches anything fails
    nothing = await asked(TcpCheck(half_close=True, expect_line=""), nginx.http, family)
    assert nothing.detail == "expect_line '' does not match: got nothing"


async def test_a_question_to_the_wrong_kind_of_server_is_answered_as_http(nginx: Nginx):
    check = TcpCheck(send=b"GET /healthz HTTP/1.0\r\n\r\n", expect="alive")
    assert (await asked(check, nginx.http)).outcome is Outcome.PASS
    verdict = await asked(TcpCheck(send=b"EHLO x\r\n", expect="^220 "), nginx.http)
    assert verdict.reason is Reason.UNEXPECTED
