"""nntp against both halves of a real INN."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from checks.nntp import NntpCheck
from healthd.check import Outcome, Reason, Tls
from tests.checks.servers import both
from tests.checks.servers_nntp import News, innd, news
from tests.checks.silence import silenced
from tests.checks.wayward import verdict_of

SHORT = 0.5
JOE: dict[str, Any] = {"user": "joe", "password": "secret"}
pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def inn() -> Iterator[News]:
    with news() as served:
        yield served


@pytest.mark.parametrize("family", [0, 1])
@pytest.mark.parametrize(
    "check",
    [
        NntpCheck(),
        NntpCheck(mode_reader=True, posting=True, expect="INN"),
        NntpCheck(capabilities=("READER", "LIST ACTIVE", "STARTTLS")),
        NntpCheck(group="local.test"),
        NntpCheck(group="private.test", mode_reader=True, **JOE),
    ],
)
async def test_it_passes_in_the_clear(inn: News, check: NntpCheck, family: int):
    verdict = await verdict_of(check, both(inn.plain)[family])
    assert verdict.outcome is Outcome.PASS, verdict
    assert verdict.detail.startswith("200 news.example.test")


@pytest.mark.parametrize("family", [0, 1])
async def test_it_passes_over_tls_and_starttls(inn: News, family: int):
    for port, way in ((inn.secure, "tls"), (inn.plain, "starttls")):
        check = NntpCheck(group="private.test", **JOE, **{way: inn.certified.tls})
        verdict = await verdict_of(check, both(port)[family])
        assert verdict.outcome is Outcome.PASS, verdict
        assert verdict.detail.endswith(", TLSv1.3, logged in, private.test has 0 articles")


async def test_certificates_are_verified(inn: News):
    for port, way in ((inn.secure, "tls"), (inn.plain, "starttls")):
        unknown = NntpCheck(**{way: Tls(server_name="localhost.test")})
        assert (await verdict_of(unknown, both(port)[0])).reason is Reason.TLS
        other = NntpCheck(**{way: replace(inn.certified.tls, server_name="other.test")})
        assert (await verdict_of(other, both(port)[0])).reason is Reason.TLS


@pytest.mark.parametrize(
    ("options", "detail"),
    [
        ({**JOE, "password": "guess"}, "got '481 "),
        ({**JOE, "user": "nobody"}, "got '481 "),
        ({"group": "private.test"}, "got '480 "),
        ({"group": "no.such"}, "got '411 "),
        ({"group": "local.test", "min_articles": 1}, "local.test has 0 articles, want 1"),
        ({"capabilities": ("IHAVE",)}, "does not offer IHAVE"),
        ({"expect": "^leafnode"}, "expect '^leafnode' does not match"),
    ],
)
async def test_what_the_server_refuses_is_told(inn: News, options: dict[str, Any], detail: str):
    verdict = await verdict_of(NntpCheck(**options), both(inn.plain)[0])
    assert (verdict.outcome, verdict.reason) == (Outcome.FAIL, Reason.UNEXPECTED)
    assert verdict.detail.startswith(detail)


async def test_a_server_that_takes_no_posts_passes_unless_it_must(inn: News):
    target = both(inn.reading)[0]
    verdict = await verdict_of(NntpCheck(), target)
    assert (verdict.outcome, verdict.detail[:3]) == (Outcome.PASS, "200"), verdict
    assert (await verdict_of(NntpCheck(capabilities=("POST",)), target)).reason is Reason.UNEXPECTED


@pytest.fixture(scope="module")
def peers() -> Iterator[int]:
    with innd() as port:
        yield port


async def test_a_server_of_peers_passes_and_hands_readers_on(peers: int):
    four, six = both(peers)
    transit = NntpCheck(expect="transit mode", capabilities=("IHAVE", "MODE-READER"))
    assert (await verdict_of(transit, four)).outcome is Outcome.PASS
    reader = NntpCheck(expect="InterNetNews", capabilities=("READER", "STARTTLS"))
    assert (await verdict_of(reader, four)).detail == "does not offer READER, STARTTLS"
    for check, target in ((replace(reader, mode_reader=True), four), (reader, six)):
        verdict = await verdict_of(replace(check, posting=True, group="local.test"), target)
        assert verdict.outcome is Outcome.PASS, verdict
        assert " NNRP server " in verdict.detail


@pytest.mark.parametrize("family", [0, 1])
async def test_tls_begins_after_the_change_to_the_server_of_readers(peers: int, family: int):
    check = NntpCheck(mode_reader=True, starttls=Tls(verify=False), group="private.test", **JOE)
    verdict = await verdict_of(check, both(peers)[family])
    assert verdict.detail.endswith(", TLSv1.3, logged in, private.test has 0 articles"), verdict


@pytest.mark.parametrize("family", [0, 1])
async def test_a_server_that_hangs_or_is_gone_fails(family: int):
    with news() as served:
        target = both(served.plain)[family]
        with silenced(served.process):
            hangs = await verdict_of(NntpCheck(), target, SHORT)
        assert (hangs.outcome, hangs.reason) == (Outcome.FAIL, Reason.TIMEOUT)
        assert (await verdict_of(NntpCheck(), target)).outcome is Outcome.PASS
    assert (await verdict_of(NntpCheck(), target)).reason is Reason.REFUSED
