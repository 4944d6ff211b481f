"""The status page in a real browser, before the real daemon."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from tests.daemon.conftest import RunningDaemon, listeners, start, write

__all__ = ["listeners", "start", "write"]

PATIENCE = 20_000
TOKEN = {"alice": "alice-writes-0123456789", "bob": "bob-reads-0123456789"}
CHROMIUM = "chromium"

expect.set_options(timeout=PATIENCE)


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """Debian's Chromium, without a window."""
    path = shutil.which(CHROMIUM)
    if path is None:
        pytest.skip("the page needs a browser: apt install chromium")
    alone = ["--no-sandbox"] if os.geteuid() == 0 else []  # it refuses to run as root otherwise
    async with async_playwright() as playwright:
        found = await playwright.chromium.launch(executable_path=path, args=alone)
        yield found
        await found.close()


@pytest.fixture
async def page(browser: Browser) -> AsyncIterator[Page]:
    """An empty page. Whatever goes wrong in it fails the test."""
    faults: list[str] = []
    found = await browser.new_page(viewport={"width": 1440, "height": 900})
    found.set_default_timeout(PATIENCE)
    found.on("pageerror", lambda error: faults.append(str(error)))
    found.on("console", lambda line: faults.append(line.text) if "Content Security Policy" in line.text else None)
    yield found
    assert faults == []


@pytest.fixture
def http(tmp_path: Path) -> str:
    """Settings of a listener on a free port, with a token for alice, who may write, and one for bob."""
    file = tmp_path / "tokens"
    file.write_text(f"alice {TOKEN['alice']} write\nbob {TOKEN['bob']}\n")
    file.chmod(0o600)
    return f'[http]\nlisten = "127.0.0.1:0"\ntokens = "{file}"\nwrite = true\n'


@pytest.fixture
def serve(write: Callable[..., Path], start: Callable[..., RunningDaemon], http: str) -> Callable[..., RunningDaemon]:
    """Starts a daemon with these services and [http]; it is ready when this returns."""

    def serve(*services: str) -> RunningDaemon:
        write(*services, more=http)
        daemon = start()
        daemon.told("READY=1")
        return daemon

    return serve


def address(daemon: RunningDaemon) -> str:
    """Where the page is."""
    told = [line["message"] for line in daemon.events() if "the status page is at" in line["message"]]
    return told[-1].rpartition(" ")[2]


async def opened(page: Page, daemon: RunningDaemon, name: str = "alice") -> None:
    """Open the page with somebody's token, as they would."""
    await page.goto(address(daemon))
    await page.locator("#token-text").fill(TOKEN[name])
    await page.keyboard.press("Enter")
    await expect(page.locator(".row.server").first).to_be_visible()
