"""The analyst's console with a real browser: alone with minted Passports, and through the real internal gateway.

Needs Chromium on the machine. Accessibility is checked by axe-core where it is installed
(`npm install --prefix tests/peers/axe`); pictures of every page are kept in the test's temporary folder.
"""

import shutil
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import pytest
from haetae_cli.stack import StackOptions, run_stack
from haetae_cli.staff import tool_origin
from haetae_cli.state import StateDirectory
from haetae_cli.tour.staff import demo_password
from haetae_policy.io.connect import connect
from playwright.async_api import Browser, Page, async_playwright, expect

from tests.policy.conftest import Server, run_server, valkey_binary
from tests.policy_api.console.desk import Console, console, decision, evidence, furnish, passport, requests, serving

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), ""
)
ROOT = Path(__file__).resolve().parents[2]
AXE = ROOT / "tests" / "peers" / "axe" / "node_modules" / "axe-core" / "axe.min.js"
WIDE, NARROW = (1280, 860), (390, 844)
LOOKS = ((False, WIDE, "en-US"), (True, WIDE, "ko-KR"), (False, NARROW, "ko-KR"), (True, NARROW, "en-US"))
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
HOSTILE = """<script>window.hit=1</script>"'><img src=x onerror="window.hit=1">"""

pytestmark = [
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine (apt-get install chromium)"),
    pytest.mark.timeout(180),
]


@dataclass(kw_only=True)
class Desk:
    """A served console and a browser; `complaints` is what pages wrote to their consoles."""

    browser: Browser
    url: str
    console: Console
    complaints: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def person(
        self, who: str, *, dark: bool = False, size: tuple[int, int] = WIDE, locale: str = "en-US", script: bool = True
    ) -> AsyncIterator[Page]:
        context = await self.browser.new_context(
            color_scheme="dark" if dark else "light",
            viewport={"width": size[0], "height": size[1]},
            locale=locale,
            java_script_enabled=script,
            timezone_id="Asia/Seoul",
            extra_http_headers={"x-passport": passport(who)},
        )
        context.set_default_timeout(15_000)
        try:
            page = await context.new_page()
            page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)
            page.on("pageerror", lambda error: self.complaints.append(str(error)))
            yield page
        finally:
            await context.close()


@asynccontextmanager
async def desk() -> AsyncIterator[Desk]:
    servers = cast(Generator[Server], run_server(valkey_binary()))
    client = connect(next(servers).settings)
    try:
        async with console(client) as made, serving(made) as url, chromium() as browser:
            yield Desk(browser=browser, url=url, console=made)
    finally:
        await client.aclose()
        servers.close()


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        try:
            yield browser
        finally:
            await browser.close()


def pages(ids: dict[str, Any]) -> dict[str, str]:
    return {
        "overview": "/",
        "search": "/search?q=u-1029&kind=user",
        "policies": "/policies",
        "cases": "/cases",
        "policy": f"/policies/{ids['block']}?seq={ids['seq']}&since=1",
        "case": f"/policies/{ids['case']}",
        "new": "/new?ip=203.0.113.7",
        "end": f"/policies/end?id={ids['block']}&id={ids['case']}",
        "pending": "/pending",
        "audit": "/audit",
        "verified": "/audit/verify",
    }


async def test_every_page_fits_every_window_in_both_languages_and_schemes_without_a_complaint(tmp_path: Path) -> None:
    async with desk() as site:
        ids = await furnish(site.console)
        for dark, size, locale in LOOKS:
            async with site.person("app", dark=dark, size=size, locale=locale) as page:
                for name, path in pages(ids).items():
                    answer = await page.goto(site.url + path)
                    assert answer is not None
                    assert answer.status == 200, path
                    await expect(page.locator("html")).to_have_attribute("lang", locale[:2])
                    await expect(page.locator("time").first).not_to_contain_text("UTC") if await page.locator(
                        "time"
                    ).count() else None
                    picture = tmp_path / f"{name}-{'dark' if dark else 'light'}-{size[0]}.png"
                    await page.screenshot(path=picture, full_page=True)
                    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), picture.name
        assert site.complaints == []


@pytest.mark.skipif(not AXE.exists(), reason="axe-core is not installed (npm install --prefix tests/peers/axe)")
async def test_no_page_has_an_accessibility_fault_that_a_program_can_see() -> None:
    async with desk() as site:
        ids = await furnish(site.console)
        for dark, size, locale in (LOOKS[0], LOOKS[3]):
            async with site.person("app", dark=dark, size=size, locale=locale) as page:
                for path in (*pages(ids).values(), "/search", "/policies/nonsense"):
                    await page.goto(site.url + path)
                    await page.locator("summary").evaluate_all("all => all.forEach(one => one.click())")
                    await page.evaluate(AXE.read_text())
                    found = await page.evaluate(
                        "async rules => (await axe.run(document, {runOnly: rules})).violations"
                        ".map(fault => `${fault.id}: ${fault.nodes[0].html}`)",
                        RULES,
                    )
                    assert found == [], path


async def test_analyst_blocks_someone_sees_it_take_hold_and_takes_it_back_by_keyboard() -> None:
    async with desk() as site:
        site.console.ring.add(requests(3, user="u-7", user_v=True))
        site.console.ring.add(requests(300, user="u-8", user_v=True))
        await site.console.worker("edge-1", 0)
        async with site.person("ana") as page:
            await page.goto(site.url)
            await page.keyboard.press("b")
            await page.wait_for_url("**/new")
            await expect(page.locator("#preview")).to_contain_text("Refuses everyone")
            await expect(page.locator("#preview")).to_contain_text("Will wait for a second person.")
            await page.locator("#user").press_sequentially("u-7")
            await expect(page.locator("#preview")).to_contain_text("Refuses user u-7")
            await expect(page.locator("#preview .big strong")).to_have_text("3")
            await expect(page.locator("#preview")).not_to_contain_text("Will wait")
            await page.locator("#reason").fill("customer called")
            await page.keyboard.press("Enter")
            await page.wait_for_url("**/policies/pol_*")
            await expect(page.locator("#holding")).to_contain_text("In force on 0 of 1 workers")
            seq = int(page.url.partition("seq=")[2].partition("&")[0])
            await site.console.worker("edge-1", seq)
            await expect(page.locator("#holding")).to_contain_text("In force on the one worker.")
            await page.goto(site.url + "/policies")
            await expect(page.locator("button.danger")).to_be_disabled()
            await page.keyboard.press("j")
            await expect(page.get_by_role("link", name="customer called")).to_be_focused()
            await page.keyboard.press("x")
            await expect(page.locator("#chosen")).to_have_text("1 chosen")
            await page.locator("button.danger").press("Enter")
            await expect(page.locator("main")).to_contain_text("ends at once on every worker")
            await page.locator("#reason").fill("was a mistake")
            await page.keyboard.press("Enter")
            await expect(page.locator("main")).to_contain_text("taken back")
            await page.goto(site.url + "/policies")
            await expect(page.locator("main")).to_contain_text("No policy fits.")
        assert site.complaints == []


async def test_filter_narrows_while_typing_and_keys_can_be_switched_off() -> None:
    async with desk() as site:
        await furnish(site.console)
        async with site.person("ana") as page:
            await page.goto(site.url + "/policies")
            await expect(page.locator("tbody tr")).to_have_count(5)
            await page.locator("#f-user").press_sequentially("u-9")
            await expect(page.locator("tbody tr")).to_have_count(1)
            assert "user=u-9" in page.url
            await page.locator("h1").click()
            await page.keyboard.press("/")
            await expect(page.locator("#find")).to_be_focused()
            await page.locator("h1").click()
            await page.keyboard.press("?")
            await expect(page.locator("#help")).to_be_visible()
            await page.locator("#keys-on").uncheck()
            await page.keyboard.press("Escape")
            await expect(page.locator("#help")).to_be_hidden()
            await page.locator("h1").click()
            await page.keyboard.press("b")
            await page.keyboard.press("?")
            await expect(page.locator("#help")).to_be_hidden()
            assert "/policies" in page.url
        assert site.complaints == []


async def test_overview_is_live_and_can_be_held_still() -> None:
    async with desk() as site:
        ids = await furnish(site.console)
        async with site.person("vic") as page:
            await page.goto(site.url)
            await expect(page.locator(".tiles strong").first).to_have_text("60")
            await expect(page.locator("#chart canvas")).to_be_visible()
            await site.console.refusal(ids["block"], 500, user="u-1")
            await site.console.refusal(ids["block"], 0, user="u-first")
            await expect(page.locator("#live")).to_contain_text("u-first", timeout=8_000)
            await expect(page.locator("#chart canvas")).to_be_visible()
            await page.locator("#pause").click()
            await expect(page.locator("#pause")).to_have_text("Resume updates")
            other = await page.context.new_page()
            await other.goto(site.url)
            await site.console.refusal(ids["block"], 1, user="u-second")
            await expect(other.locator("#live")).to_contain_text("u-second", timeout=8_000)
            await expect(page.locator("#live")).not_to_contain_text("u-second")
        assert site.complaints == []


async def test_second_person_approves_and_analyst_rejects_a_case_after_reading_what_will_happen() -> None:
    async with desk() as site:
        await furnish(site.console)
        async with site.person("app", locale="ko-KR") as page:
            await page.goto(site.url + "/pending")
            await page.locator("summary", has_text="승인").click()
            await expect(page.locator("details[open]")).to_contain_text("즉시 시행됩니다")
            await page.locator("details[open] button").click()
            await expect(page.locator("dl.pairs")).to_contain_text("app")
        async with site.person("ana") as page:
            await page.goto(site.url + "/cases")
            await page.locator("summary", has_text="False alarm").click()
            await expect(page.locator("details[open]")).to_contain_text("ends at once on every worker")
            await page.locator("details[open] button").click()
            await expect(page.locator("main")).to_contain_text("false alarm")
            await expect(page.locator("main")).to_contain_text("taken back")
        assert site.complaints == []


async def test_everything_can_be_read_without_javascript() -> None:
    async with desk() as site:
        ids = await furnish(site.console)
        async with site.person("app", script=False) as page:
            await page.goto(site.url)
            await expect(page.locator("#chart svg")).to_be_visible()
            await expect(page.locator("tbody time").first).to_contain_text("UTC")
            await page.locator("#find").fill("u-1029")
            await page.keyboard.press("Enter")
            await expect(page.locator("main")).to_contain_text("Credential stuffing")
            for path in pages(ids).values():
                answer = await page.goto(site.url + path)
                assert answer is not None
                assert answer.status == 200


async def test_no_text_of_others_runs_in_any_page_and_no_site_can_frame_one() -> None:
    async with desk() as site:
        made = site.console
        held = await made.policy(subject={"user": HOSTILE}, reason=HOSTILE, ticket="T-1")
        case = await made.policy(
            machine=True, subject={"account": "a"}, reason=HOSTILE, evidence=evidence(numbers={HOSTILE: [3, 2]})
        )
        wide = await made.policy(subject={}, api={"route": "transfer"}, reason=HOSTILE)
        reference = await made.refusal(held["policy"]["id"], user=HOSTILE, path=HOSTILE, method=HOSTILE, why=HOSTILE)
        await made.worker(HOSTILE, 1)
        await made.client.xadd("t:fds:{0}:decisions", {"n": "1", "d": decision(why=HOSTILE, detector=HOSTILE)})
        made.ring.add(requests(9, user=HOSTILE, user_v=True, api=f"GET {HOSTILE}", trace=HOSTILE))
        async with site.person("adm") as page:
            ids = [made["policy"]["id"] for made in (held, case, wide)]
            paths = ["/", "/policies", "/cases", "/pending", "/audit", f"/search?q={reference}", "/new"]
            for path in [*paths, *(f"/policies/{policy_id}" for policy_id in ids), f"/policies/end?id={ids[0]}"]:
                await page.goto(site.url + path)
                await expect(page.locator("main")).to_be_visible()
                assert await page.evaluate("window.hit") is None, path
                assert await page.locator("img[src=x]").count() == 0, path
            await page.goto(site.url + "/new")
            await page.locator("#user").fill(HOSTILE)
            await expect(page.locator("#preview .sentence")).to_contain_text("<script>")
            assert await page.evaluate("window.hit") is None
            assert site.complaints == []
            await page.goto("about:blank")
            await page.set_content(f'<iframe src="{site.url}/" title="framed"></iframe>')
            await expect(page.locator("iframe")).to_be_visible()
            framed = page.frames[1]
            await framed.wait_for_load_state()
            assert await framed.locator("main").count() == 0


async def test_very_long_names_neither_push_the_page_apart_nor_others_off_it() -> None:
    async with desk() as site:
        path = "/api/" + "a-longer-segment/" * 25 + "**"
        subject, reason = {"user": "W" * 256, "device": "긴이름" * 60}, "긴 사유 " * 80 + "끝"
        held = await site.console.policy(subject=subject, api={"path": path}, reason=reason, ticket="T" * 64)
        short = await site.console.policy(subject={"user": "u-1"})
        for size in (WIDE, NARROW):
            async with site.person("ana", size=size) as page:
                await page.goto(site.url + "/policies")
                heights = await page.locator("tbody tr").evaluate_all("rows => rows.map(row => row.clientHeight)")
                assert max(heights) < 520, (size, heights)
                ids = "&".join(f"id={one['policy']['id']}" for one in (held, short))
                for where in ("/policies", f"/policies/{held['policy']['id']}", f"/policies/end?{ids}"):
                    await page.goto(site.url + where)
                    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (size, where)
                await page.goto(f"{site.url}/policies/{held['policy']['id']}")
                await expect(page.locator("dl.pairs")).to_contain_text("끝")
                assert await page.locator("h1").evaluate("h1 => h1.clientHeight") < 140
        assert site.complaints == []


async def test_staff_reach_the_console_through_the_gateway_with_the_role_of_their_groups(tmp_path: Path) -> None:
    config = tmp_path / "config"
    shutil.copytree(ROOT / "config" / "internal", config / "internal")
    options = StackOptions(state=StateDirectory(tmp_path / "state"), config=config, port_base=0)
    async with run_stack(options) as started, chromium() as browser:
        home = tool_origin("console", urlsplit(started.running.gateways["internal"]).port or 0)
        context = await browser.new_context(locale="en-US", viewport={"width": WIDE[0], "height": WIDE[1]})
        context.set_default_timeout(20_000)
        page = await context.new_page()
        complaints: list[str] = []
        page.on("console", lambda said: complaints.append(said.text) if "Content Security" in said.text else None)
        await page.goto(home + "/policies")
        await page.locator("#username").fill("sora")
        await page.locator("#password").fill(demo_password("sora"))
        await page.locator("button[type=submit]").click()
        code = page.locator("#code")
        await expect(code.or_(page.locator(".top .who"))).to_be_visible()
        if await code.count():
            await code.fill(await page.locator("output").inner_text())
            await page.locator("button[type=submit]").click()
        await expect(page.locator(".top .who")).to_be_visible()
        assert page.url == home + "/policies"
        await page.goto(home + "/new?user=u-browser")
        await page.locator("#reason").fill("seen through the gateway")
        await expect(page.locator("#preview")).to_contain_text("Refuses user u-browser")
        await page.locator("#new button.main").click()
        await page.wait_for_url("**/policies/pol_*")
        await expect(page.locator("h1")).to_have_text("seen through the gateway")
        await expect(page.locator(".workers .has")).not_to_have_count(0)
        await page.goto(home)
        await expect(page.locator("#live")).to_be_visible()
        assert complaints == []
        await context.close()
