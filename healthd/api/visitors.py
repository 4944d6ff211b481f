"""Who asks over TCP, and what they may do: a token says who; a browser is kept from being used by other sites.

A page of a stranger can make a browser ask for a name of the stranger's that leads to our address (DNS rebinding):
only names that are known to be ours are answered. It can make it send us orders (CSRF): a token is never sent by
itself, nobody changes anything without one, and what another site sends is refused.
"""

from __future__ import annotations

import hmac
import os
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import ip_address
from urllib.parse import urlsplit

from aiohttp import web

from healthd.api.routes import Right
from healthd.config.schema import HttpSettings

ANONYMOUS = "anonymous"
OWN_SITE = ("same-origin", "none")
HARMLESS = ("GET", "HEAD")


class HTTPNotOurName(web.HTTPClientError):
    """421: the request is for a host that we are not (RFC 9110, 15.5.20)."""

    status_code = 421


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody who asks over TCP."""

    name: str
    rights: frozenset[Right]

    def may(self, right: Right) -> bool:
        """Whether they are allowed this."""
        return right in self.rights


def admit(settings: HttpSettings, request: web.Request) -> None:
    """Refuse what a browser was made to send by another site. Raises HTTPException."""
    host = request.headers.get("Host", "")
    if not is_ours(settings, host):
        raise HTTPNotOurName(reason=f"{host[:100]!a} is no name of this daemon; `names` of [http] has those that are")
    if request.method in HARMLESS:
        return
    origin = request.headers.get("Origin")
    foreign = origin is not None and _place(origin) != host.lower()
    if foreign or request.headers.get("Sec-Fetch-Site", "none") not in OWN_SITE:
        raise web.HTTPForbidden(reason="another site may not change anything here")


def is_ours(settings: HttpSettings, host: str) -> bool:
    """Whether a Host header (RFC 9110, 7.2) names us: any address does, since rebinding needs a name."""
    try:
        name = (urlsplit(f"//{host}").hostname or "").removesuffix(".")
    except ValueError:
        return False
    try:
        ip_address(name)
    except ValueError:
        return name in settings.names | {"localhost", os.uname().nodename.lower()}
    return True


def visitor(settings: HttpSettings, request: web.Request) -> Visitor:
    """Who asks. Raises HTTPException if they are not let in."""
    admit(settings, request)
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if not scheme and settings.anonymous:
        return Visitor(ANONYMOUS, frozenset({Right.READ}))
    if scheme.lower() != "bearer":
        raise _unknown("a token is needed, as in `Authorization: Bearer TOKEN`")
    digest = sha256(token.strip().encode(errors="surrogateescape")).digest()
    known = [one for one in settings.tokens if hmac.compare_digest(one.digest, digest)]
    if not known:
        raise _unknown("nobody here has that token")
    writes = settings.write and known[0].writes
    return Visitor(known[0].name, frozenset(Right) if writes else frozenset({Right.READ}))


def _unknown(reason: str) -> web.HTTPUnauthorized:
    return web.HTTPUnauthorized(reason=reason, headers={"WWW-Authenticate": 'Bearer realm="healthd"'})


def _place(origin: str) -> str:
    """Host and port of an Origin (RFC 6454, 6.1); a proxy may speak TLS where we do not, so the scheme is not ours."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
