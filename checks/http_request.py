"""HTTP requests as bytes: rules for what goes into one, and its two halves around the Host of the target."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from ipaddress import IPv6Address
from urllib.parse import urljoin, urlsplit

from checks.rules import one_line
from healthd.check import Target, tls_name

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HOST_PORT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[!-9;-~]+)(:\d{1,5})?")
_PATH = re.compile(r"/[!-\"$-~]*")
_PROXY_URL = re.compile(r"https?://[!-\"$-.0-~]+(/[!-\"$-~]*)?")
REDIRECTS = frozenset((301, 302, 303, 307, 308))
_OURS = {"host": "the option `host`", "content-length": "the option `body`", "transfer-encoding": "nothing"}


def method_rule(text: str) -> str:
    """A method (RFC 9110, 9.1) whose answer is an ordinary one, in the upper case that all standard methods have."""
    if not _TOKEN.fullmatch(text) or text != text.upper():
        raise ValueError(f"must be a method such as GET or HEAD, got {text!r}")
    if text == "CONNECT":
        raise ValueError("CONNECT opens a tunnel, which is no question a check could ask")
    return text


def path_rule(text: str) -> str:
    """A request target (RFC 9112, 3.2): a path, `*`, or a whole URL for a proxy."""
    if text != "*" and not _PATH.fullmatch(text) and not _PROXY_URL.fullmatch(text):
        raise ValueError(
            "must begin with '/' (or be a whole http:// URL, for a proxy) and hold only visible ASCII characters, "
            f"others written as %XX, got {text!r}"
        )
    return text


def url_rule(text: str) -> str:
    """A whole URL of HTTP (RFC 9110, 4.2) without a fragment or a user, as a request to a proxy has it."""
    if not _PROXY_URL.fullmatch(text):
        raise ValueError(
            "must be a whole URL (http://... or https://...) of visible ASCII characters, others written as %XX, "
            f"got {text!r}"
        )
    host_rule(url_parts(text)[1])
    return text


def host_rule(text: str | None) -> str | None:
    """A Host header's value (RFC 9110, 7.2): a name or address, and perhaps a port."""
    if text is None:
        return None
    name, port = name_of(text), _HOST_PORT.fullmatch(text)
    if port is None or any(c in name for c in "/?#@\\"):
        raise ValueError(f"must be a name or address, perhaps with :port, in ASCII (xn--... for others), got {text!r}")
    tls_name(name)
    return text


def headers_rule(table: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """Header fields (RFC 9110, 5) that do not break the request's framing."""
    for name, value in table:
        if not _TOKEN.fullmatch(name):
            raise ValueError(f"{name!r} is not the name of a header")
        if instead := _OURS.get(name.lower()):
            raise ValueError(f"{name} cannot be set here; use {instead}")
        if any((ord(c) < 32 and c != "\t") or ord(c) == 127 for c in value):
            raise ValueError(f"{name} must not contain control characters, got {value!r}")
    return table


def username_rule(text: str | None) -> str | None:
    """A user name for basic authentication (RFC 7617): no colon, no control characters."""
    if text is not None and ":" in text:
        raise ValueError(f"must not contain ':', got {text!r}")
    return one_line(text)


def basic(username: str, password: str) -> str:
    """What follows `Basic ` in the credentials of basic authentication, in UTF-8 (RFC 7617, 2.1)."""
    return b64encode(f"{username}:{password}".encode()).decode()


def authority(target: Target, default_port: int) -> bytes:
    """The Host of a request to somebody who has no name: the address, and the port if it is not the usual one.

    Formats the packed address, which costs a third of what its `str` costs and, unlike a cache, no memory.
    """
    address, port = target.address, target.port
    packed = address.packed
    host = b"%d.%d.%d.%d" % tuple(packed) if len(packed) == 4 else _bracketed(packed)
    return host if port == default_port else b"%b:%d" % (host, port)


@lru_cache(maxsize=4096)
def _bracketed(packed: bytes) -> bytes:
    return f"[{IPv6Address(packed)}]".encode()


@dataclass(frozen=True, slots=True)
class Request:
    """A request without its Host's value: `head + host + tail` is what is sent."""

    head: bytes
    tail: bytes

    def to(self, host: bytes) -> bytes:
        """The request's bytes."""
        return self.head + host + self.tail


def build(method: str, path: str, version: str, fields: Iterable[tuple[str, str]], body: bytes | None) -> Request:
    """A request of one method and path. fields: header fields in order; the length of the body is added."""
    lines = [f"{name}: {value}" for name, value in fields]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    tail = "".join(f"\r\n{line}" for line in lines) + "\r\n\r\n"
    return Request(f"{method} {path} HTTP/{version}\r\nHost: ".encode(), tail.encode() + (body or b""))


def followed(location: str, path: str, secure: bool, host: str) -> str | None:
    """The path a redirect leads to if it stays with the same scheme and host, None if it leads away.

    path: the one that was asked for; host: the Host that was asked for.
    """
    base = f"{'https' if secure else 'http'}://{host}"
    try:
        here, there = urlsplit(base), urlsplit(urljoin(base + path, location))
        stays = here.scheme == there.scheme and _place(here.netloc, secure) == _place(there.netloc, secure)
        onward = (there.path or "/") + (f"?{there.query}" if there.query else "")
    except ValueError:
        return None
    return onward if stays and _PATH.fullmatch(onward) else None


def onward_url(url: str, location: str) -> str | None:
    """The whole URL that a redirect leads to, None if it is none of HTTP's or could not be asked for."""
    try:
        joined = urljoin(url, location).partition("#")[0]
        return url_rule(joined)
    except ValueError:
        return None


def url_parts(url: str) -> tuple[bool, str, str]:
    """Whether a URL that `url_rule` lets through is https, its authority, and its path and query."""
    scheme, _, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    return scheme == "https", authority, slash + path if slash else "/"


def next_method(method: str, status: int) -> str:
    """Method after a redirect (RFC 9110, 15.4): GET after 303, and after 301 and 302 to a POST."""
    if status == HTTPStatus.SEE_OTHER and method != "HEAD":
        return "GET"
    return "GET" if method == "POST" and status in (HTTPStatus.MOVED_PERMANENTLY, HTTPStatus.FOUND) else method


def _place(netloc: str, secure: bool) -> str:
    return netloc.lower().removesuffix(":443" if secure else ":80")


def name_of(host: str) -> str:
    """A Host without its port and brackets, as TLS wants it."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
