"""http: the server answers a request as it should (RFC 9110, RFC 9112).

One request goes out as prepared bytes; the answer goes through httptools' parser. What is read is what the verdict
needs: without `expect`, `reject` and `reuse` nothing after the headers.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, ClassVar, Literal

from checks.http_answer import Answer, NoAnswer, read_answer, read_status
from checks.http_request import (
    REDIRECTS,
    Request,
    authority,
    basic,
    build,
    followed,
    headers_rule,
    host_rule,
    method_rule,
    name_of,
    next_method,
    onward_url,
    path_rule,
    username_rule,
)
from checks.rules import between, number_list, numbers, pattern, regex
from healthd.check import (
    CheckFailed,
    Connect,
    Connected,
    Conversation,
    Keep,
    Reason,
    Send,
    Step,
    Target,
    Tls,
    option,
    shown,
)

_STATUS: Mapping[int, str] = MappingProxyType({s.value: f"{s.value} {s.phrase}" for s in HTTPStatus})
_STALE = frozenset((Reason.RESET, Reason.TLS))


@dataclass(frozen=True, slots=True)
class HttpCheck:
    """An HTTP/1 request whose answer has the right status and, if asked for, the right body.

    Certificates are verified unless `tls.verify` is false. Interim answers (1xx) are skipped. A body that breaks off,
    or an answer that is not HTTP, fails. `expect` and `reject` see the first `max_body` bytes, undone from chunks.
    """

    kind: ClassVar[str] = "http"

    method: str = option("GET", "request method", rule=method_rule)
    path: str = option("/", "path and query to ask for; a whole http:// URL asks a proxy", rule=path_rule)
    host: str | None = option(
        None,
        "Host header, and the name for TLS; default: the target's address, with its port if unusual",
        rule=host_rule,
    )
    headers: tuple[tuple[str, str], ...] = option((), "more header fields", rule=headers_rule)
    username: str | None = option(None, "user for basic authentication", rule=username_rule)
    password: str | None = option(None, "password for basic authentication", secret=True)
    body: bytes | None = option(None, "body to send")
    version: Literal["1.0", "1.1"] = option("1.1", "version of HTTP to speak")
    status: tuple[str, ...] = option(
        ("200-299",),
        'statuses that are right: numbers, ranges ("200-299") or families ("2xx")',
        rule=number_list(100, 999),
    )
    expect: str | None = option(None, "regular expression that must match somewhere in the body", rule=regex)
    reject: str | None = option(None, "regular expression that must not match anywhere in the body", rule=regex)
    max_body: int = option(
        262144, "bytes of the body to look at; what follows is not read", rule=between(1, 64 * 1024 * 1024)
    )
    redirects: int = option(
        0, "redirects to follow as long as they stay with the same scheme and host", rule=between(0, 20)
    )
    redirect_away: Literal["fail", "pass"] = option(
        "fail", "what a redirect to another scheme or host says of this server, which answered it"
    )
    tls: Tls | None = option(None, "speak HTTPS")
    reuse: int = option(
        0,
        "keep the connection for the next probe and open a fresh one for every n-th; 0: always fresh",
        rule=between(0, 10**6),
    )

    _connect: Connect = field(init=False, repr=False, compare=False)
    _request: Request = field(init=False, repr=False, compare=False)
    _host: bytes | None = field(init=False, repr=False, compare=False)
    _statuses: frozenset[int] = field(init=False, repr=False, compare=False)
    _expect: re.Pattern[bytes] | None = field(init=False, repr=False, compare=False)
    _reject: re.Pattern[bytes] | None = field(init=False, repr=False, compare=False)
    _hidden: bytes = field(init=False, repr=False, compare=False)
    _brief: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Prepare what does not depend on the target."""
        self._agree()
        host = self.host or _proxied(self.path)
        prepared = {
            "_connect": Connect(self.tls, name_of(self.host) if self.host else None, self.reuse, speaks=True),
            "_request": self._build(self.method, self.path),
            "_hidden": b"" if self.username is None else basic(self.username, self.password or "").encode(),
            "_host": host.encode() if host else None,
            "_statuses": numbers(self.status, 100, 999),
            "_expect": None if self.expect is None else pattern(self.expect),
            "_reject": None if self.reject is None else pattern(self.reject),
            "_brief": not (self.expect or self.reject or self.reuse or self.redirects),
        }
        for name, value in prepared.items():
            object.__setattr__(self, name, value)

    def _agree(self) -> None:
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password need each other")
        if self.username is not None and "authorization" in {name.lower() for name, _ in self.headers}:
            raise ValueError("username and the header Authorization exclude each other")
        if self.method == "HEAD" and (self.expect or self.reject):
            raise ValueError("the answer to HEAD has no body that expect or reject could match")
        if self.reuse and self.redirects:
            raise ValueError("reuse and redirects exclude each other")
        if self.redirect_away == "pass" and (self.expect or self.reject or not self.redirects):
            raise ValueError('redirect_away = "pass" needs redirects, and excludes expect and reject')
        if self.redirects and not self.path.startswith("/"):
            raise ValueError("redirects can only be followed from a path that begins with '/'")
        if self.path == "*" and self.method != "OPTIONS":
            raise ValueError("path '*' is for the method OPTIONS only")

    def _build(self, method: str, path: str) -> Request:
        fields = {"User-Agent": "healthd", "Accept": "*/*"}
        if not self.reuse:
            fields["Connection"] = "close"
        elif self.version == "1.0":
            fields["Connection"] = "keep-alive"
        if self.username is not None:
            fields["Authorization"] = f"Basic {basic(self.username, self.password or '')}"
        given = {name.lower() for name, _ in self.headers}
        pairs = [*((n, v) for n, v in fields.items() if n.lower() not in given), *self.headers]
        body = None if method == "GET" != self.method else self.body
        return build(method, path, self.version, pairs, body)

    @property
    def usual_port(self) -> int:
        """The port where nobody names one."""
        return 443 if self.tls else 80

    def converse(self, target: Target) -> Conversation:
        """Ask, follow redirects that stay, and judge the answer."""
        host = self._host or authority(target, self.usual_port)
        request = Send(self._request.to(host), self._hidden)
        if self._brief:
            yield self._connect
            yield request
            return self.judge((yield from read_status()))
        return (yield from self._follow(request, host.decode()))

    def _follow(self, request: Send, host: str) -> Conversation:
        path, method = self.path, self.method
        for left in range(self.redirects, -1, -1):
            answer = yield from self._ask(request, method)
            onward = followed(answer.location, path, self.tls is not None, host) if answer.location else None
            if not left or onward is None or answer.status not in REDIRECTS:
                break
            path, method = onward, next_method(method, answer.status)
            request = Send(self._build(method, path).to(host.encode()), self._hidden)
        if self.redirect_away == "pass" and onward is None and self._leads_away(answer, path, host):
            return f"{status_text(answer.status)} to {shown(answer.location.encode())}"
        return self.judge(answer.status, answer)

    def _leads_away(self, answer: Answer, path: str, host: str) -> bool:
        """Whether an answer that cannot be followed here is a redirect to some other page of the web."""
        here = f"{'https' if self.tls else 'http'}://{host}{path}"
        return answer.status in REDIRECTS and bool(answer.location) and onward_url(here, answer.location) is not None

    def _ask(self, request: Send, method: str) -> Generator[Step, Any, Answer]:
        """One exchange; once more on a fresh connection if a kept one turns out to have been closed meanwhile."""
        connected: Connected = yield self._connect
        try:
            answer = yield from self.exchange(request, method)
            if not (connected.reused and answer.status == HTTPStatus.REQUEST_TIMEOUT):
                return answer
        except CheckFailed as failure:
            stale = failure.reason in _STALE or isinstance(failure, NoAnswer)
            if not (connected.reused and stale):
                raise
        yield Connect(self._connect.tls, self._connect.server_name, fresh=True, speaks=True)
        return (yield from self.exchange(request, method))

    def exchange(self, request: Send, method: str) -> Generator[Step, Any, Answer]:
        """Send a request of this method on the open stream, and read of the answer what the verdict needs."""
        yield request
        answer = Answer(self.max_body, method == "HEAD")
        try:
            yield from read_answer(answer, self._needs_body)
        finally:
            answer.parser = None
        if self.reuse and answer.keep and not answer.extra and answer.status in self._statuses:
            yield Keep()
        return answer

    def _needs_body(self, answer: Answer) -> bool:
        """Whether more than the headers is wanted: for the verdict, or to leave the connection clean."""
        return answer.status in self._statuses and bool(self._expect or self._reject or self.reuse)

    def judge(self, status: int, answer: Answer | None = None) -> str:
        """Detail of an answer that is right; CheckFailed(UNEXPECTED) otherwise."""
        text = status_text(status)
        if status not in self._statuses:
            to = f" to {shown(answer.location.encode())}" if answer and answer.location else ""
            raise CheckFailed(Reason.UNEXPECTED, f"got {text}{to}, want {', '.join(self.status)}")
        body = answer.body if answer else b""
        if self._expect and not self._expect.search(body):
            raise CheckFailed(Reason.UNEXPECTED, f"{text}, but expect {self.expect!r} does not match {_size(body)}")
        if self._reject and (match := self._reject.search(body)):
            raise CheckFailed(Reason.UNEXPECTED, f"{text}, but reject matches {shown(match[0])!r}")
        return text


def status_text(status: int) -> str:
    """Number and name of a status."""
    return _STATUS.get(status) or str(status)


def _size(body: bytes | bytearray) -> str:
    return f"a body of {len(body)} bytes" if body else "an empty body"


def _proxied(path: str) -> str | None:
    """The host of a whole URL, which a request to a proxy must name (RFC 9112, 3.2.2)."""
    return None if path.startswith(("/", "*")) else path.split("/", 3)[2]
