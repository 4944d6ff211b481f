"""The page with 2,000 servers: all of them can be found and reached, and only those near the window are elements."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Any

import pytest
from playwright.async_api import Page, expect

from healthd.api import HttpListener
from healthd.config.schema import HttpSettings, Token

SERVICES, EACH = 40, 50
SECRET = "alice-writes-0123456789"
ALICE = Token("alice", sha256(SECRET.encode()).digest(), writes=True)


def server(service: int, number: int, *, up: bool) -> dict[str, Any]:
    address = f"10.{service}.0.{number}:80"
    last = {"outcome": "pass" if up else "fail", "reason": "ok", "detail": "200 OK", "age": 0.1, "took_ms": number / 10}
    check = {"kind": "http", "phase": "up" if up else "down", "streak": 0, "fall": 3, "inconclusive": 0, "last": last}
    return {
        "address": address,
        "name": f"web{service}-{number}",
        "phase": "up" if up else "down",
        "for": 4000.5,
        "admin": "enabled",
        "wishes": [],
        "overrides": [],
        "reasons": [] if up else ["failed"],
        "refused": None,
        "configured_weight": 10,
        "weight": 10 if up else 0,
        "checks": [check],
        "connections": {"active": 12, "inactive": 3, "persistent": 0},
    }


def service(number: int, down: set[str]) -> dict[str, Any]:
    reals = [server(number, one, up=f"{number}.{one}" not in down) for one in range(EACH)]
    about = {"name": f"service{number:02}", "virtual": f"192.0.2.{number}:80/tcp", "scheduler": "wlc"}
    state = {"admin": "enabled", "present": True, "edited": False, "refused": None, "fallback": None, "others": []}
    return {**about, **state, "reals": reals}


class Many:
    """A daemon with many servers. down: numbers of service and server."""

    def __init__(self) -> None:
        self.down = {"7.3", "39.49"}

    async def status(self, counters: bool) -> dict[str, Any]:
        """All of them."""
        services = [service(number, self.down) for number in range(SERVICES)]
        table, prober, log = {"ok": True, "error": None}, {"age": 0.1}, {"away": False}
        return {"services": services, "table": table, "prober": prober, "log": log, "pid": 1}

    async def events(self, *wanted: object) -> dict[str, Any]:
        """None so far."""
        return {"events": []}

    async def follow(self, *wanted: object) -> AsyncIterator[object]:
        """Nothing happens."""
        await asyncio.sleep(3600)
        yield None


@pytest.fixture
async def many(caplog) -> AsyncIterator[tuple[Many, str]]:
    """The daemon, and where its page is."""
    caplog.set_level(logging.INFO, "healthd.api.tcp")
    answers = Many()
    listener = HttpListener(HttpSettings(listen=(("127.0.0.1", 0),), anonymous=True, tokens=(ALICE,), write=True))
    await listener.start(answers)
    yield answers, caplog.messages[-1].rpartition(" ")[2]
    await listener.close()


async def elements(page: Page) -> int:
    return await page.locator(".row").count()


async def test_every_server_is_there_and_few_are_elements(page, many):
    await page.goto(many[1])
    await expect(page.locator("#group-all")).to_have_text(f"All {SERVICES * EACH}")
    await expect(page.locator("#group-down")).to_have_text("Down 2")
    assert await elements(page) < 100
    await page.keyboard.press("End")
    await expect(page.get_by_text("10.39.0.49:80", exact=True)).to_be_in_viewport()
    assert await elements(page) < 100
    assert await page.locator("#grid").get_attribute("aria-rowcount") == str(SERVICES * (EACH + 1) + 1)


async def test_search_finds_one_of_them_and_what_changes_is_shown_where_one_looks(page, many):
    await page.goto(many[1])
    await expect(page.locator(".row.server").first).to_be_visible()
    await page.keyboard.press("/")
    await page.keyboard.type("web23-17")
    await expect(page.locator(".row.server")).to_have_count(1)
    await expect(page.locator(".row.server .label")).to_have_text("up")
    many[0].down.add("23.17")
    await expect(page.locator(".row.server .label")).to_have_text("down")
    await page.keyboard.press("Escape")
    await page.locator("#group-down").click()
    await expect(page.locator(".row.server")).to_have_count(3)


async def test_keys_lead_through_all_of_them(page, many):
    await page.goto(many[1])
    await expect(page.locator(".row.server").first).to_be_visible()
    await page.keyboard.press("k")
    await expect(page.locator('[aria-selected="true"]')).to_contain_text("10.39.0.49:80")
    await expect(page.locator('[aria-selected="true"]')).to_be_in_viewport()
    for _ in range(120):
        await page.keyboard.press("k")
    await expect(page.locator('[aria-selected="true"]')).to_contain_text("10.37.0.31:80")
    await expect(page.locator('[aria-selected="true"]')).to_be_in_viewport()


async def test_nothing_is_cut_off_on_a_phone(page, many):
    await page.set_viewport_size({"width": 360, "height": 740})
    await page.goto(many[1])
    await expect(page.locator(".row.server").first).to_be_visible()
    assert await page.evaluate("document.documentElement.scrollWidth") <= 360
    await expect(page.locator(".row.server .label").first).to_be_in_viewport(ratio=1)
    await expect(page.locator(".row.server .weight").first).to_be_in_viewport(ratio=1)


async def test_where_everybody_may_read_one_may_still_say_who_one_is(page, many):
    await page.goto(many[1])
    await expect(page.locator("#who")).to_have_text("as anonymous, to look only")
    await page.get_by_role("button", name="Use a token").click()
    await page.keyboard.press("Escape")
    await expect(page.locator("#token")).not_to_be_visible()
    await page.get_by_role("button", name="Use a token").click()
    await page.locator("#token-text").fill(SECRET)
    await page.keyboard.press("Enter")
    await expect(page.locator("#who")).to_have_text("as alice")
    await page.get_by_role("button", name="Forget token").click()
    await expect(page.locator("#who")).to_have_text("as anonymous, to look only")
