"""http_proxy: a proxy of HTTP fetches a page for us, or opens a tunnel (RFC 9110, 7.3.2 and 9.3.6; RFC 9112, 3.2).

A page of http:// is asked for by its whole URL. A page of https:// is fetched through a tunnel, with TLS between us and
its server, as browsers do.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any, ClassVar

from checks.http import HttpCheck, status_text
from checks.http_answer import Answer, read_answer
from checks.http_request import (
    REDIRECTS,
    basic,
    build,
    headers_rule,
    host_rule,
    method_rule,
    name_of,
    next_method,
    onward_url,
    url_parts,
    url_rule,
    username_rule,
)
from checks.rules import between, number_list, regex
from healthd.check import CheckFailed, Connect, Conversation, Reason, Send, StartTls, Step, Target, Tls, option

_LOGIN = "proxy-authorization"
_FOR_THE_FIRST = frozenset(("authorization", "cookie"))
"""Headers for the server of `url`, which no other one sees that a redirect leads to."""

_VERIFIED = Tls()


def _url(text: str | None) -> str | None:
    return None if text is None else url_rule(text)


def _place(text: str | None) -> str | None:
    if text is not None and not 0 < int(_port_of(host_rule(text) or "") or 0) < 65536:
        raise ValueError(f"must be host:port, got {text!r}")
    return text


def _port_of(authority: str) -> str:
    return authority.removeprefix(f"[{name_of(authority)}]").removeprefix(name_of(authority)).removeprefix(":")


@dataclass(frozen=True, slots=True)
class HttpProxyCheck:
    """A proxy that fetches the page at `url`, which must have the right status and, if asked for, the right body.

    With `tunnel` instead it must open a tunnel (CONNECT), and that is all. What the proxy says of a page that it cannot
    get (502, 504) fails; take a page that is there as long as the proxy works. Redirects are followed to wherever they
    lead, as the proxy is the one who goes there; Authorization and Cookie among `headers` go to the first server only.
    """

    kind: ClassVar[str] = "http_proxy"
    usual_port: ClassVar[int] = 3128

    url: str | None = option(None, "page to fetch, http://... or https://..., which goes through a tunnel", rule=_url)
    tunnel: str | None = option(None, "host:port to open a tunnel to, and no more", rule=_place)
    method: str = option("GET", "request method", rule=method_rule)
    headers: tuple[tuple[str, str], ...] = option((), "more header fields of the request", rule=headers_rule)
    username: str | None = option(None, "user for basic authentication with the proxy", rule=username_rule)
    password: str | None = option(None, "password for basic authentication with the proxy", secret=True)
    status: tuple[str, ...] = option(
        ("200-299",),
        'statuses of the page that are right: numbers, ranges ("200-299") or families ("2xx")',
        rule=number_list(100, 999),
    )
    expect: str | None = option(None, "regular expression that must match somewhere in the body", rule=regex)
    reject: str | None = option(None, "regular expression that must not match anywhere in the body", rule=regex)
    max_body: int = option(
        262144, "bytes of the body to look at; what follows is not read", rule=between(1, 64 * 1024 * 1024)
    )
    redirects: int = option(0, "redirects to follow, wherever they lead", rule=between(0, 20))
    tls: Tls | None = option(None, "TLS with the server of an https:// page; default: verified, as `tls = true` is")
    proxy_tls: Tls | None = option(None, "speak TLS with the proxy itself")

    _page: HttpCheck = field(init=False, repr=False, compare=False)
    _secret: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Prepare what judges the page."""
        self._agree()
        page = HttpCheck(
            method=self.method,
            headers=self.headers,
            status=self.status,
            expect=self.expect,
            reject=self.reject,
            max_body=self.max_body,
        )
        object.__setattr__(self, "_page", page)
        secret = "" if self.username is None else basic(self.username, self.password or "")
        object.__setattr__(self, "_secret", secret)

    def _agree(self) -> None:
        if (self.url is None) == (self.tunnel is None):
            raise ValueError("either url or tunnel is needed")
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password need each other")
        if self.username is not None and _LOGIN in {name.lower() for name, _ in self.headers}:
            raise ValueError("username and the header Proxy-Authorization exclude each other")
        if self.proxy_tls is not None and self.url is not None and url_parts(self.url)[0]:
            raise ValueError("proxy_tls and an https:// URL exclude each other: TLS within TLS is not spoken")

    def converse(self, target: Target) -> Conversation:
        """Have the page fetched, follow redirects, and judge the answer; or have a tunnel opened."""
        if self.url is None:
            yield Connect(self.proxy_tls, speaks=True)
            yield from self._open_tunnel(self.tunnel or "")
            return f"tunnel to {self.tunnel}"
        url, method = self.url, self.method
        for left in range(self.redirects, -1, -1):
            answer = yield from self._fetch(url, method)
            onward = self._onward(url, answer)
            if not left or onward is None:
                break
            url, method = onward, next_method(method, answer.status)
        return self._page.judge(answer.status, answer)

    def _onward(self, url: str, answer: Answer) -> str | None:
        """Where an answer sends us, if it does and we can go there."""
        if answer.status not in REDIRECTS or not answer.location:
            return None
        onward = onward_url(url, answer.location)
        return None if onward and self.proxy_tls is not None and url_parts(onward)[0] else onward

    def _fetch(self, url: str, method: str) -> Generator[Step, Any, Answer]:
        secure, authority, path = url_parts(url)
        yield Connect(self.proxy_tls, speaks=True)
        if secure:
            opened = yield from self._open_tunnel(authority if _port_of(authority) else f"{authority}:443")
            if opened.extra:
                raise CheckFailed(Reason.PROTOCOL, "more came than the answer to CONNECT")
            yield StartTls(self.tls or _VERIFIED, name_of(authority))
        away = url_parts(self.url or "")[:2] != (secure, authority)
        request = self._ask(method, path if secure else url, authority, to_proxy=not secure, away=away)
        return (yield from self._page.exchange(request, method))

    def _ask(self, method: str, asked: str, authority: str, *, to_proxy: bool, away: bool = False) -> Send:
        """A request. to_proxy: the proxy reads it, and is shown who we are; the page's own server never is.

        away: it is for another server than the first one.
        """
        own = {"User-Agent": "healthd"} | ({} if method == "CONNECT" else {"Accept": "*/*", "Connection": "close"})
        more = [(n, v) for n, v in self.headers if (to_proxy if n.lower() == _LOGIN else method != "CONNECT")]
        more = [(n, v) for n, v in more if not (away and n.lower() in _FOR_THE_FIRST)]
        given = {name.lower() for name, _ in more}
        pairs = [*((n, v) for n, v in own.items() if n.lower() not in given), *more]
        secret = self._secret if to_proxy else ""
        if secret:
            pairs.append(("Proxy-Authorization", f"Basic {secret}"))
        return Send(build(method, asked, "1.1", pairs, None).to(authority.encode()), secret.encode())

    def _open_tunnel(self, place: str) -> Generator[Step, Any, Answer]:
        """Ask for a tunnel. CheckFailed(UNEXPECTED) if the proxy will not open it."""
        yield self._ask("CONNECT", place, place, to_proxy=True)
        answer = Answer(1, bodiless=True)
        try:
            yield from read_answer(answer, lambda _: False)
        finally:
            answer.parser = None
        if not 200 <= answer.status < 300:
            raise CheckFailed(Reason.UNEXPECTED, f"CONNECT {place}: got {status_text(answer.status)}, want 200-299")
        return answer
