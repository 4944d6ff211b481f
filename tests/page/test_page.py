"""What people see on the status page, and what they can do there."""

from __future__ import annotations

import asyncio
import re
import signal

from playwright.async_api import expect

from tests.daemon.conftest import service_text
from tests.page.conftest import TOKEN, address, opened


def row(page, listener):
    return page.locator(".row.server", has_text=f"{listener.address}:{listener.port}")


async def test_a_server_that_dies_is_shown_without_a_reload_and_so_is_its_return(page, serve, listeners):
    await opened(page, serve(service_text("www", listeners)))
    await expect(row(page, listeners[0])).to_contain_text("7 / 7")
    await expect(page.locator("#link")).to_have_text("live")
    listeners[0].close()
    await expect(row(page, listeners[0]).locator(".label")).to_have_text("down")
    await expect(row(page, listeners[0])).to_contain_text("0 / 7")
    await expect(row(page, listeners[0]).locator(".why")).to_contain_text("connection refused")
    await expect(page.locator(".row.service")).to_contain_text("1 of 2 serving")
    await expect(page.locator("#group-down")).to_have_text("Down 1")
    await expect(page.locator("#events li", has_text="server-down")).to_be_visible()
    await expect(page).to_have_title("(1 down) healthd " + page.url.split("/")[2])
    listeners[0].reopen()
    await expect(row(page, listeners[0]).locator(".label")).to_have_text("up")
    await expect(page.locator("#events li", has_text="server-up").first).to_be_visible()


async def test_a_line_of_latencies_grows_with_every_answer(page, serve, listeners):
    await opened(page, serve(service_text("www", listeners)))
    points = row(page, listeners[0]).locator(".spark polyline")
    await expect(points).to_have_attribute("points", _several(3))
    listeners[0].close()
    await expect(row(page, listeners[0]).locator(".spark rect").first).to_be_attached()


def _several(points: int) -> re.Pattern[str]:
    return re.compile(rf"^(\S+ ){{{points - 1},}}\S+$")


async def test_search_and_filter_leave_what_was_asked_for(page, serve, listeners):
    www, api = service_text("www", listeners[:1]), service_text("api", listeners[1:], virtual="192.0.2.81:80")
    await opened(page, serve(www, api))
    listeners[1].close()
    await expect(page.locator("#group-down")).to_have_text("Down 1")
    await page.locator("#group-down").click()
    await expect(page.locator(".row.server")).to_have_count(1)
    await expect(page.locator(".row.service")).to_contain_text("api")
    await page.locator("#group-all").click()
    await page.keyboard.press("/")
    await page.keyboard.type("WWW 127.0.0.1")
    await expect(page.locator(".row.server")).to_have_count(1)
    await expect(page.locator(".row.service")).to_contain_text("www")
    await page.keyboard.type(" nothing")
    await expect(page.locator("#nothing")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.locator(".row.server")).to_have_count(2)


async def test_explain_is_one_click_or_one_key_away(page, serve, listeners):
    listeners[1].close()
    await opened(page, serve(service_text("www", listeners)), "bob")
    await row(page, listeners[1]).click()
    sheet = page.locator("#sheet")
    await expect(sheet.locator("pre")).to_contain_text(f"{listeners[1].address}:{listeners[1].port} of www")
    await expect(sheet).to_contain_text("failed \u2014 tcp of")
    await expect(sheet).to_contain_text("To come back")
    await expect(sheet).to_contain_text("rise 1, fall 2")
    await page.keyboard.press("Escape")
    await expect(sheet).not_to_be_visible()
    await page.keyboard.press("k")
    await page.keyboard.press("k")
    await page.keyboard.press("k")
    await page.keyboard.press("Enter")
    await expect(sheet.locator("h2")).to_have_text("www")
    await expect(sheet.locator("pre")).to_contain_text("serves with 1 of 2 servers")


async def test_an_explanation_that_is_open_follows_what_happens(page, serve, listeners):
    await opened(page, serve(service_text("www", listeners)))
    await row(page, listeners[0]).click()
    await expect(page.locator("#sheet")).to_contain_text("Nothing ails it")
    listeners[0].close()
    await expect(page.locator("#sheet .standing")).to_contain_text("down")


async def test_a_drain_asks_for_a_reason_is_refused_for_the_last_server_can_be_forced_and_ended(page, serve, listeners):
    daemon = serve(service_text("www", listeners))
    await opened(page, daemon)
    first, second = (f"{one.address}:{one.port}" for one in listeners)
    await page.keyboard.press("j")
    await page.keyboard.press("j")
    await page.keyboard.press("d")
    await page.get_by_label("Reason").fill("kernel <b>update</b>")
    await page.keyboard.press("Enter")
    await expect(page.locator(".said")).to_contain_text(f"drain of www {first} is in force")
    assert daemon.weights() == {first: 0, second: 7}
    await page.locator("#sheet .close").click()
    await expect(row(page, listeners[0]).locator(".why")).to_have_text("drain by alice: kernel <b>update</b>")
    await page.keyboard.press("j")
    await page.keyboard.press("m")
    await page.get_by_label("Reason").fill("disk")
    await page.locator("[name=lasting]").select_option("1 hour")
    await page.keyboard.press("Tab")
    await page.locator("#sheet button.main").click()
    await expect(page.locator("#sheet .order .alarm")).to_contain_text(
        "Refused: that would leave www with 0 of 1 usable"
    )
    assert daemon.weights() == {first: 0, second: 7}
    await page.get_by_role("button", name="Do it all the same").click()
    await expect(page.locator(".said")).to_contain_text(f"maintenance of www {second} is in force")
    assert [one["until"] is not None for one in daemon.status()["overrides"]] == [False, True]
    await page.get_by_role("button", name="End maintenance").click()
    await expect(page.locator(".said")).to_contain_text("maintenance ended")
    daemon.until(lambda: daemon.weights() == {first: 0, second: 7}, "it has its weight back")


async def test_who_may_only_look_is_offered_nothing_else(page, serve, listeners):
    await opened(page, serve(service_text("www", listeners)), "bob")
    await expect(page.locator("#who")).to_have_text("as bob, to look only")
    await page.keyboard.press("j")
    await page.keyboard.press("d")
    await expect(page.locator("#sheet")).not_to_be_visible()
    await row(page, listeners[0]).click()
    await expect(page.locator("#sheet pre")).to_be_visible()
    await expect(page.locator("#sheet .order")).to_have_count(0)


async def test_a_wrong_token_is_told_and_asked_for_again_and_only_this_tab_keeps_it(page, serve, listeners):
    daemon = serve(service_text("www", listeners))
    await page.goto(address(daemon))
    await page.locator("#token-text").fill("wrong-wrong-wrong-wrong")
    await page.keyboard.press("Enter")
    await expect(page.locator("#token-why")).to_contain_text("nobody here has that token")
    await page.locator("#token-text").fill(TOKEN["bob"])
    await page.keyboard.press("Enter")
    await expect(page.locator(".row.server")).to_have_count(2)
    assert await page.evaluate("[document.cookie, JSON.stringify(localStorage)].join().includes('bob')") is False
    await page.reload()
    await expect(page.locator(".row.server")).to_have_count(2)
    await page.get_by_role("button", name="Forget token").click()
    await expect(page.locator("#token")).to_be_visible()
    assert await page.evaluate("sessionStorage.length") == 0


async def test_a_daemon_that_is_away_is_said_plainly_and_its_return_is_seen(
    page, serve, start, listeners, http, tmp_path
):
    daemon = serve(service_text("www", listeners))
    await opened(page, daemon)
    port = address(daemon).rstrip("/").rpartition(":")[2]
    config = tmp_path / "healthd.toml"
    config.write_text(config.read_text().replace("127.0.0.1:0", f"127.0.0.1:{port}"))
    daemon.stop(signal.SIGKILL)
    daemon.close()
    (tmp_path / "notify").unlink()
    await expect(page.locator("#link")).to_have_text("away")
    await expect(page.locator("#alarms")).to_contain_text("healthd does not answer since")
    await expect(page.locator(".row.server")).to_have_count(2)
    again = await asyncio.to_thread(start)
    await asyncio.to_thread(again.told, "READY=1")
    await expect(page.locator("#link")).to_have_text("live")
    await expect(page.locator("#alarms")).to_be_empty()
    listeners[0].close()
    await expect(page.locator("#events li", has_text="server-down")).to_be_visible()


async def test_what_a_server_says_is_text_whatever_it_is(page, serve, listeners):
    """The banner, and what an operator wrote, would run in a page that takes them for HTML."""
    banner = b"554 <img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>\r\n"
    server = await asyncio.start_server(lambda _, writer: writer.write(banner), "127.0.0.3", 0)
    port = server.sockets[0].getsockname()[1]
    mail = service_text("mail", [], virtual="192.0.2.82:25").replace('type = "tcp"', 'type = "smtp"')
    daemon = await asyncio.to_thread(
        serve, mail + f'[[service.real]]\naddress = "127.0.0.3:{port}"\nname = "<b>mx</b>"\n'
    )
    await opened(page, daemon)
    await expect(page.locator(".row.server .why")).to_contain_text("<img src=x onerror=")
    await expect(page.locator(".row.server .called")).to_have_text("<b>mx</b>")
    await page.locator(".row.server").click()
    await expect(page.locator("#sheet pre")).to_contain_text("<img src=x")
    await expect(page.locator("#events li", has_text="<img src=x").first).to_be_visible()
    assert await page.locator("#rows img, #sheet img, #events img, #rows b, body script:not([src])").count() == 0
    assert "owned" not in await page.title()
    server.close()


async def test_light_and_dark_follow_the_system_and_the_switch(page, serve, listeners):
    await page.emulate_media(color_scheme="dark")
    await opened(page, serve(service_text("www", listeners)))
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = await page.evaluate(ground)
    await page.emulate_media(color_scheme="light")
    light = await page.evaluate(ground)
    assert dark != light
    await page.keyboard.press("t")
    await page.keyboard.press("t")
    await expect(page.locator("#theme")).to_have_text("Dark")
    assert await page.evaluate(ground) == dark
    await page.reload()
    await expect(page.locator(".row.server")).to_have_count(2)
    assert await page.evaluate(ground) == dark


async def test_the_first_view_is_small_and_comes_from_here_only(page, serve, listeners):
    sizes: dict[str, int] = {}

    async def weigh(response):
        if "follow" not in response.url:
            sizes[response.url] = sizes.get(response.url, 0) + len(await response.body())

    page.on("response", weigh)
    daemon = serve(service_text("www", listeners))
    await opened(page, daemon)
    await expect(page.locator("#events li").first).to_be_visible()
    assert {url.startswith(address(daemon)) for url in sizes} == {True}
    assert any("/v1/status" in url for url in sizes)
    assert sum(sizes.values()) < 150_000


async def test_help_says_the_keys_and_every_word_has_enough_contrast(page, serve, listeners):
    listeners[0].close()
    await opened(page, serve(service_text("www", listeners)))
    await page.keyboard.press("?")
    await expect(page.locator("#help")).to_contain_text("explain")
    await page.keyboard.press("Enter")
    await expect(page.locator("#help")).not_to_be_visible()
    for theme in ("light", "dark"):
        await page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        assert await page.evaluate(FAINT) == []


FAINT = """() => {
  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const rgb = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => {
    const part = (one) => (one / 255 <= 0.03928 ? one / 255 / 12.92 : ((one / 255 + 0.055) / 1.055) ** 2.4);
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const ground = (node) => {
    for (; node; node = node.parentElement) {
      const found = rgb(getComputedStyle(node).backgroundColor);
      if (found[3] === 255) return found;
    }
    return [255, 255, 255];
  };
  const faint = [];
  for (const node of document.querySelectorAll("header *, main *")) {
    const text = [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim());
    if (!text || !node.checkVisibility()) continue;
    const [one, other] = [light(rgb(getComputedStyle(node).color)), light(ground(node))].sort((a, b) => b - a);
    const contrast = (one + 0.05) / (other + 0.05);
    if (contrast < 4.5) faint.push(`${node.tagName} .${node.className} ${node.textContent}: ${contrast.toFixed(2)}`);
  }
  return faint;
}"""
"""Every text whose contrast is below what WCAG 2.2 asks for (1.4.3)."""
