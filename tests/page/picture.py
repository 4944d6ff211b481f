"""The picture of the page in the README: `python -m tests.page.picture docs/pictures/page.png` makes it anew.

A real daemon keeps a table in memory. Its servers have the addresses of an example; their checks ask this machine.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from playwright.async_api import Page, async_playwright

from healthd.control import ask
from tests.daemon.conftest import HEAD, RunningDaemon
from tests.page.conftest import CHROMIUM, TOKEN, opened

SERVICES = {"www": ("192.0.2.80:80", 11, 3), "api": ("192.0.2.81:443", 31, 2), "mail": ("192.0.2.25:25", 51, 2)}
SERVICE = """
[[service]]
name = "{name}"
virtual = "{virtual}"
scheduler = "wlc"
forward = "masq"
fallback = "10.0.9.9:80"
[service.check]
type = "http"
path = "/healthz"
interval = "2s"
timeout = "1500ms"
rise = 2
fall = 2
"""
REAL = """
[[service.real]]
address = "{address}"
name = "{name}"
weight = 10
check = {{ address = "127.0.0.1", port = {port} }}
"""


class Answering(BaseHTTPRequestHandler):
    """A web server that takes a few milliseconds, unless it is ill."""

    def do_GET(self) -> None:
        """Answer as the server is."""
        time.sleep(random.uniform(0.001, 0.009))
        with suppress(ConnectionError):  # whoever asked was tired of waiting
            self.send_response(503 if self.server.ill else 200)  # type: ignore[attr-defined]
            self.send_header("Content-Length", "0")
            self.end_headers()

    def log_message(self, *args: object) -> None:
        """Say nothing."""


def web_server(stack: ExitStack) -> ThreadingHTTPServer:
    """One on a free port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    server.ill = False  # type: ignore[attr-defined]
    thread = Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    stack.callback(thread.join)
    stack.callback(server.server_close)
    stack.callback(server.shutdown)
    return server


def configured(folder: Path, stack: ExitStack) -> dict[str, ThreadingHTTPServer]:
    """Write the configuration; the servers by their names."""
    servers = {f"{kind}{n + 1}": web_server(stack) for kind, (_, _, many) in SERVICES.items() for n in range(many)}
    tokens = folder / "tokens"
    tokens.write_text(f"alice {TOKEN['alice']} write\n")
    tokens.chmod(0o600)
    text = HEAD.format(folder=folder, on_stop="leave")
    text += f'[http]\nlisten = "127.0.0.1:0"\ntokens = "{tokens}"\nwrite = true\n[state]\nfile = "{folder}/state.db"\n'
    for kind, (virtual, first, many) in SERVICES.items():
        text += SERVICE.format(name=kind, virtual=virtual)
        for n in range(many):
            name, port = f"{kind}{n + 1}", virtual.rpartition(":")[2]
            where = f"10.0.0.{first + n}:{port}"
            text += REAL.format(address=where, name=name, port=servers[name].server_port)
    (folder / "healthd.toml").write_text(text)
    return servers


async def happen(page: Page, daemon: RunningDaemon, servers: dict[str, ThreadingHTTPServer], seconds: float) -> None:
    """What the picture shows, after so many seconds in which nothing does."""
    await asyncio.sleep(seconds)
    order = {
        "names": ["mail", "10.0.0.52:25"],
        "kind": "drain",
        "who": "alice",
        "why": "kernel update",
        "lasting": 3600,
    }
    await asyncio.to_thread(ask, daemon.socket, "POST", "/v1/overrides", body=order)
    servers["www3"].ill = True  # type: ignore[attr-defined]
    await page.locator("#group-down", has_text="Down 1").wait_for()
    await asyncio.sleep(seconds / 4)


async def take(target: Path, folder: Path, seconds: float) -> None:
    """Write the picture."""
    with ExitStack() as stack:
        servers = configured(folder, stack)
        daemon = RunningDaemon(folder, "--in-process")
        stack.callback(daemon.close)
        await asyncio.to_thread(daemon.told, "READY=1")
        async with async_playwright() as playwright:
            alone = ["--no-sandbox"] if os.geteuid() == 0 else []
            browser = await playwright.chromium.launch(executable_path=shutil.which(CHROMIUM), args=alone)
            page = await browser.new_page(viewport={"width": 1200, "height": 556}, color_scheme="light")
            await opened(page, daemon)
            await page.evaluate("document.getElementById('place').textContent = 'director1.example.net'")
            await happen(page, daemon, servers, seconds)
            await page.screenshot(path=target)
            await browser.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        asyncio.run(take(Path(sys.argv[1]), Path(made), 80.0))
