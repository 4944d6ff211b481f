"""The status page: its files, as they lie in the folder `page`, and the rules a browser holds them to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from hashlib import sha256
from pathlib import Path

from aiohttp import web

FOLDER = Path(__file__).with_name("page")
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
RULES: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Server": "healthd",
}
"""Nothing from elsewhere, nothing inline, in no frame; no data is kept by a browser or a proxy."""


def page_files(admit: Callable[[web.Request], None]) -> list[web.RouteDef]:
    """Every file of the page, which has no secrets. admit: raises HTTPException for who is not to see even that."""
    found = [path for path in sorted(FOLDER.iterdir()) if path.suffix in TYPES]
    return [web.get(f"/{'' if path.name == 'index.html' else path.name}", _file(path, admit)) for path in found]


def _file(path: Path, admit: Callable[[web.Request], None]) -> Callable[[web.Request], Awaitable[web.Response]]:
    content = path.read_bytes()
    return partial(_send, content, TYPES[path.suffix], sha256(content).hexdigest()[:32], admit)


async def _send(
    content: bytes, kind: str, tag: str, admit: Callable[[web.Request], None], request: web.Request
) -> web.Response:
    admit(request)
    headers = {"ETag": f'"{tag}"', "Cache-Control": "no-cache"}
    if any(each.value in (tag, "*") for each in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    return web.Response(body=content, content_type=kind, charset="utf-8", headers=headers)


async def add_rules(request: web.Request, response: web.StreamResponse) -> None:
    """Have an answer carry the rules."""
    response.headers.update(RULES)
    response.headers.setdefault("Cache-Control", "no-store")
