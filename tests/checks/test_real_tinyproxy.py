"""http_proxy against a real Tinyproxy with an nginx behind it: pages, tunnels, logins, every state it can be in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from checks.http_proxy import HttpProxyCheck
from healthd.check import Outcome, Reason, Tls, Verdict
from tests.checks import servers
from tests.checks.servers import both
from tests.checks.servers_tinyproxy import Tinyproxy, tinyproxy
from tests.checks.wayward import PATIENCE, verdict_of
from tests.support.servers import refusing

pytestmark = pytest.mark.real
SHORT = 0.5


@pytest.fixture(scope="module")
def proxy(nginx: servers.Nginx) -> Iterator[Tinyproxy]:
    with tinyproxy(nginx) as served:
        yield served


async def asked(check: HttpProxyCheck, port: int, family: int = 0, within: float = PATIENCE) -> Verdict:
    return await verdict_of(check, both(port)[family], within)


def page(url: str, **options: object) -> HttpProxyCheck:
    """A check that logs in."""
    return HttpProxyCheck(url=url, username="joe", password="secret", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("family", [0, 1])
@pytest.mark.parametrize("place", ["127.0.0.1", "[::1]"])
async def test_pages_are_fetched_on_both_families_with_and_without_tls(proxy: Tinyproxy, family: int, place: str):
    nginx = proxy.nginx
    plain = page(f"http://{place}:{nginx.http}/healthz", expect="^alive$")
    assert (await asked(plain, proxy.port, family)).detail == "200 OK"
    secure = page(f"https://{place}:{nginx.https}/healthz", expect="^alive$", tls=nginx.certified.tls)
    assert (await asked(secure, proxy.port, family)).detail == "200 OK"
    tunnel = HttpProxyCheck(tunnel=f"{place}:{nginx.https}", username="joe", password="secret")
    assert (await asked(tunnel, proxy.port, family)).detail == f"tunnel to {place}:{nginx.https}"


async def test_a_wrong_page_is_told(proxy: Tinyproxy):
    nginx = proxy.nginx
    busy = await asked(page(f"http://127.0.0.1:{nginx.http}/busy"), proxy.port)
    assert busy == Verdict(Outcome.FAIL, Reason.UNEXPECTED, "got 503 Service Unavailable, want 200-299")
    within = page(f"https://127.0.0.1:{nginx.https}/busy", tls=nginx.certified.tls)
    assert (await asked(within, proxy.port)).detail == "got 503 Service Unavailable, want 200-299"
    wrong = page(f"http://127.0.0.1:{nginx.http}/healthz", expect="dead")
    assert (await asked(wrong, proxy.port)).detail == "200 OK, but expect 'dead' does not match a body of 6 bytes"


async def test_a_wrong_password_and_none_are_told(proxy: Tinyproxy):
    url = f"http://127.0.0.1:{proxy.nginx.http}/healthz"
    for check in (HttpProxyCheck(url=url), HttpProxyCheck(url=url, username="joe", password="guess")):
        verdict = await asked(check, proxy.port)
        assert (verdict.outcome, verdict.reason) == (Outcome.FAIL, Reason.UNEXPECTED)
        assert "got 40" in verdict.detail
    tunnel = HttpProxyCheck(tunnel=f"127.0.0.1:{proxy.nginx.https}", username="joe", password="guess")
    assert (await asked(tunnel, proxy.port)).detail.startswith(f"CONNECT 127.0.0.1:{proxy.nginx.https}: got 40")


async def test_what_the_proxy_cannot_get_or_will_not_give_fails(proxy: Tinyproxy):
    nowhere = refusing().port
    for url in (f"http://127.0.0.1:{nowhere}/", f"https://127.0.0.1:{nowhere}/", "http://forbidden.test/"):
        verdict = await asked(page(url), proxy.port)
        assert (verdict.outcome, verdict.reason) == (Outcome.FAIL, Reason.UNEXPECTED), url
    tunnel = HttpProxyCheck(tunnel="forbidden.test:443", username="joe", password="secret")
    assert (await asked(tunnel, proxy.port)).detail == "CONNECT forbidden.test:443: got 403 Forbidden, want 200-299"


async def test_the_certificate_behind_the_tunnel_is_verified(proxy: Tinyproxy):
    nginx = proxy.nginx
    url = f"https://127.0.0.1:{nginx.https}/healthz"
    assert (await asked(page(url), proxy.port)).reason is Reason.TLS
    other = replace(nginx.certified.tls, server_name="other.test")
    assert (await asked(page(url, tls=other), proxy.port)).reason is Reason.TLS
    assert (await asked(page(url, tls=replace(other, verify_name=False)), proxy.port)).outcome is Outcome.PASS
    assert (await asked(page(url, tls=Tls(verify=False)), proxy.port)).outcome is Outcome.PASS


async def test_redirects_are_followed_by_way_of_the_proxy(proxy: Tinyproxy):
    old = page(f"http://127.0.0.1:{proxy.nginx.http}/old", redirects=1, expect="alive")
    assert (await asked(old, proxy.port)).outcome is Outcome.PASS
    assert "301" in (await asked(replace(old, redirects=0, expect=None), proxy.port)).detail


async def test_a_proxy_that_hangs_is_too_late_and_one_that_goes_on_is_not(proxy: Tinyproxy):
    check = page(f"http://127.0.0.1:{proxy.nginx.http}/healthz")
    tunnel = HttpProxyCheck(tunnel=f"127.0.0.1:{proxy.nginx.https}", username="joe", password="secret")
    with proxy.silent():
        for one in (check, tunnel):
            assert (await asked(one, proxy.port, within=SHORT)).reason is Reason.TIMEOUT
    for one in (check, tunnel):
        assert (await asked(one, proxy.port)).outcome is Outcome.PASS


async def test_a_proxy_that_was_stopped_refuses(nginx: servers.Nginx):
    with tinyproxy(nginx) as stopped:
        assert (await asked(page(f"http://127.0.0.1:{nginx.http}/healthz"), stopped.port)).outcome is Outcome.PASS
    for family in (0, 1):
        assert (await asked(HttpProxyCheck(tunnel="a.test:1"), stopped.port, family)).reason is Reason.REFUSED
