"""Staff with a real browser: sign in once, use the tools, be refused one, sign out.

Needs Chromium on the machine; one browser and one stack for the whole file. Pictures of the pages, light and dark,
wide and narrow, are kept in the test's temporary folder for those who want to look.
"""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
from haetae_cli.blocks import open_blocks
from haetae_cli.stack import StackOptions, run_stack
from haetae_cli.staff import tool_origin
from haetae_cli.state import RunningStack, StateDirectory
from haetae_cli.tour.staff import demo_password
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), ""
)
CONFIG = Path(__file__).resolve().parents[2] / "config"
WIDE, NARROW = (1280, 800), (360, 740)
LOOKS = ((False, WIDE, "en-US"), (True, WIDE, "ko-KR"), (False, NARROW, "ko-KR"), (True, NARROW, "en-US"))

pytestmark = [
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine (apt-get install chromium)"),
    pytest.mark.timeout(180),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Staff:
    """A running stack and a browser."""

    browser: Browser
    port: int
    running: RunningStack
    service_token: str

    def at(self, tool: str, path: str = "/") -> str:
        return tool_origin(tool, self.port) + path

    @asynccontextmanager
    async def person(
        self, *, dark: bool = False, size: tuple[int, int] = WIDE, locale: str = "en-US"
    ) -> AsyncIterator[Page]:
        """A fresh browser profile, and what its console complains of."""
        context: BrowserContext = await self.browser.new_context(
            color_scheme="dark" if dark else "light",
            viewport={"width": size[0], "height": size[1]},
            locale=locale,
        )
        context.set_default_timeout(15_000)
        try:
            yield await context.new_page()
        finally:
            await context.close()

    async def sign_in(self, page: Page, who: str) -> None:
        await page.locator("#username").fill(who)
        await page.locator("#password").fill(demo_password(who))
        await page.locator("button[type=submit]").click()


@asynccontextmanager
async def staff(tmp_path: Path) -> AsyncIterator[Staff]:
    config = tmp_path / "config"
    shutil.copytree(CONFIG / "internal", config / "internal")
    options = StackOptions(state=StateDirectory(tmp_path / "state"), config=config, port_base=0)
    async with run_stack(options) as started, async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        try:
            yield Staff(
                browser=browser,
                port=urlsplit(started.running.gateways["internal"]).port or 0,
                running=started.running,
                service_token=options.state.service_token_file.read_text().strip(),
            )
        finally:
            await browser.close()


async def closed_after_sign_out(site: Staff, page: Page) -> float:
    """Signs out in another tab; gives the seconds until this page's socket says it was closed."""
    other = await page.context.new_page()
    await other.goto(site.at("dashboard", "/.haetae/logout"))
    clock = asyncio.get_running_loop().time
    began = clock()
    leaving = asyncio.create_task(other.locator("form button").click())
    await expect(page.locator("#socket-state")).to_have_text("connection closed", timeout=5_000)
    seconds = clock() - began
    await leaving
    await other.wait_for_load_state()
    assert "Signed out" in await other.title() or "signed out" in (await other.content()).lower()
    return seconds


async def test_person_signs_in_once_uses_the_tools_is_refused_one_and_signs_out(tmp_path: Path) -> None:
    async with staff(tmp_path) as site:
        async with site.person() as page:
            complaints: list[str] = []
            page.on("console", lambda said: complaints.append(said.text) if "Content Security" in said.text else None)
            # A deep link: the part after # never reaches a server, and is there after signing in.
            await page.goto(site.at("dashboard", "/?view=orders#/orders/4711"))
            await expect(page).to_have_title("Sign in · Haetae")
            await site.sign_in(page, "mina")
            await expect(page.locator("#viewer-name")).to_have_text("Mina Park")
            assert page.url == site.at("dashboard", "/?view=orders#/orders/4711")
            await expect(page.locator("#fragment-value")).to_have_text("#/orders/4711")
            for name in ("socket", "stream"):
                await expect(page.locator(f"#{name}-state")).to_have_text("connected")
            await expect(page.locator("#socket-value")).not_to_have_text("–")
            await expect(page.locator("#poll-value")).not_to_have_text("–")
            await expect(page.locator("#api-value")).to_have_text("7")
            [cookie] = [each for each in await page.context.cookies() if each.get("name") == "__Host-haetae-session"]
            assert (cookie.get("secure"), cookie.get("httpOnly"), cookie.get("sameSite")) == (True, True, "Lax")
            assert await page.evaluate("document.cookie") == ""
            # Nobody asks for a password again. The landing page lists what Mina may open, and it opens from there.
            home = await page.context.new_page()
            await home.goto(site.at("home"))
            await expect(home.get_by_role("link", name="Dashboard")).to_be_visible()
            await expect(home.get_by_role("link", name="Kibana")).to_be_visible()
            for other in ("Vault", "Grafana", "Pinpoint"):
                await expect(home.get_by_role("link", name=other)).to_have_count(0)
            await home.get_by_role("link", name="Dashboard").click()
            await expect(home.locator("#viewer-name")).to_have_text("Mina Park")
            await home.close()
            # The vault is for others.
            vault = await page.context.new_page()
            answers: list[int] = []
            vault.on("response", lambda seen: answers.append(seen.status) if seen.url == site.at("vault") else None)
            await vault.goto(site.at("vault"))
            refusal = vault.locator("main small code")
            await expect(vault.locator("#code").or_(refusal)).to_be_visible()
            if await vault.locator("#code").count():
                await vault.locator("#code").fill(await vault.locator("output").inner_text())
                await vault.locator("button[type=submit]").click()
            await expect(refusal).to_be_visible()
            assert vault.url == site.at("vault")
            assert answers[-1] == 403
            await vault.close()
            assert await closed_after_sign_out(site, page) < 1.0
            await page.goto(site.at("dashboard"))
            await expect(page.locator("#password")).to_be_visible()
            assert complaints == []
        async with site.person() as page:
            await page.goto(site.at("vault"))
            await site.sign_in(page, "sora")
            await page.locator("#code").fill(await page.locator("output").inner_text())
            await page.locator("button[type=submit]").click()
            await expect(page.locator("h1")).to_have_text("Vault")
            await ended_by_others(site, page)
        await pictures(site, tmp_path)


async def ended_by_others(site: Staff, page: Page) -> None:
    """The provider's administrator, and a block: each closes what this person has open, and a visit asks again."""
    await page.goto(site.at("dashboard"))
    await expect(page.locator("#socket-state")).to_have_text("connected")
    headers = {"Authorization": f"Bearer {site.service_token}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        closed_within_a_second(page),
        session.post(f"{site.running.provider}/dev/end-user", json={"subject": "op-sora"}) as answer,
    ):
        assert answer.status == 200, await answer.text()
    await page.goto(site.at("dashboard"))
    await site.sign_in(page, "sora")
    await expect(page.locator("#socket-state")).to_have_text("connected")
    async with open_blocks(site.running.redis_url) as blocks:
        async with closed_within_a_second(page):
            effect = await blocks.create(
                {"subject": {"user": "op-sora"}, "action": "block", "reason": "a test"}, lasts_s=60, by="test"
            )
        await page.goto(site.at("dashboard"))
        await expect(page.locator("#password").or_(page.locator("main small code"))).to_be_visible()
        await blocks.remove(effect.policy.id)


@asynccontextmanager
async def closed_within_a_second(page: Page) -> AsyncIterator[None]:
    """What is done inside closes the page's socket; the page notices on its own."""
    await page.evaluate(
        """() => {
            const state = document.getElementById("socket-state");
            new MutationObserver(() => {
                if (state.textContent === "connection closed") window.closedAt ??= Date.now();
            }).observe(state, {childList: true, characterData: true, subtree: true});
        }"""
    )
    began = time.time() * 1000
    yield
    await expect(page.locator("#socket-state")).to_have_text("connection closed", timeout=5_000)
    assert await page.evaluate("window.closedAt") - began < 1_000


async def pictures(site: Staff, folder: Path) -> None:
    """Every page fits its window, in both schemes; pictures are for people."""
    for dark, size, locale in (
        (False, WIDE, "en-US"),
        (True, WIDE, "ko-KR"),
        (False, NARROW, "ko-KR"),
        (True, NARROW, "en-US"),
    ):
        name = f"{'dark' if dark else 'light'}-{size[0]}"
        async with site.person(dark=dark, size=size, locale=locale) as page:
            await page.goto(site.at("dashboard"))
            await expect(page.locator("html")).to_have_attribute("lang", locale[:2])
            await fits(page, folder / f"login-{name}.png")
            await site.sign_in(page, "nobody")
            await expect(page.get_by_role("alert")).to_be_visible()
            await fits(page, folder / f"refused-{name}.png")
            await site.sign_in(page, "joon")
            await expect(page.locator("#socket-state")).to_have_text("connected")
            await expect(page.locator("#poll-value")).not_to_have_text("–")
            await fits(page, folder / f"dashboard-{name}.png")
            await page.goto(site.at("home"))
            await expect(page.locator("main")).to_be_visible()
            await fits(page, folder / f"home-{name}.png")
            await page.goto(site.at("vault"))
            await page.wait_for_load_state()
            await fits(page, folder / f"vault-{name}.png")


async def fits(page: Page, picture: Path) -> None:
    await page.screenshot(path=picture, full_page=True)
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), picture.name
