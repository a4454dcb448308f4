"""Through the internal gateway, with real browsers: a second person agrees to a wide block, and people judge what the
fraud detection did about real attacks at the sign-in gateway. What they say is felt at that gateway.
"""

import asyncio
import random
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
from haetae_cli.demo_attack_kinds import Attempt, find
from haetae_cli.fds_store import FdsStore, open_fds
from haetae_cli.stack import StackOptions, run_stack
from haetae_cli.staff import tool_origin
from haetae_cli.state import RunningStack, StateDirectory
from haetae_cli.tour.staff import demo_password
from playwright.async_api import Browser, Page, expect

from tests.e2e.test_console_browser import CHROMIUM, LOOKS, ROOT, WIDE, chromium

WORKERS = 2
GATEWAYS = ("internal", "sign-in")
BLOCKED = 403

pytestmark = [
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine (apt-get install chromium)"),
    pytest.mark.timeout(240),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    """A stack with both gateways, a browser, and its store."""

    running: RunningStack
    browser: Browser
    store: FdsStore
    session: aiohttp.ClientSession
    complaints: list[str] = field(default_factory=list)

    @property
    def console(self) -> str:
        return tool_origin("console", urlsplit(self.running.gateways["internal"]).port or 0)

    @asynccontextmanager
    async def person(
        self, who: str, *, dark: bool = False, size: tuple[int, int] = WIDE, locale: str = "en-US"
    ) -> AsyncIterator[Page]:
        """Somebody at a browser of their own, signed in at the console."""
        context = await self.browser.new_context(
            color_scheme="dark" if dark else "light",
            viewport={"width": size[0], "height": size[1]},
            locale=locale,
            timezone_id="Asia/Seoul",
        )
        context.set_default_timeout(20_000)
        try:
            page = await context.new_page()
            page.on("pageerror", lambda error: self.complaints.append(str(error)))
            page.on("console", lambda said: self.complaints.append(said.text) if "Security" in said.text else None)
            await page.goto(self.console)
            await page.locator("#username").fill(who)
            await page.locator("#password").fill(demo_password(who))
            await page.locator("button[type=submit]").click()
            here = page.locator(".top .who")
            await expect(page.locator("#code").or_(here)).to_be_visible()
            if await page.locator("#code").count():
                await page.locator("#code").fill(await page.locator("output").inner_text())
                await page.locator("button[type=submit]").click()
            await expect(here).to_be_visible()
            yield page
        finally:
            await context.close()

    async def log_in(self, attempt: Attempt) -> int:
        """The answer at the sign-in gateway to somebody who tries a password."""
        url = f"{self.running.gateways['sign-in']}/api/v1/login"
        headers = {"x-forwarded-for": attempt.address, "user-agent": attempt.agent}
        body = {"name": attempt.name, "password": attempt.password}
        async with self.session.post(url, json=body, headers=headers) as answer:
            return answer.status

    async def attack(self, name: str) -> Iterator[Attempt]:
        """Attack from one machine until it is refused; the attempts that would follow.

        Slowly, so that a busy machine refuses it before other detectors have something to say about it, too.
        """
        attempts = one_machine(name)
        async with asyncio.timeout(60):
            while await self.log_in(next(attempts)) != BLOCKED:  # noqa: ASYNC110 - the answer tells
                await asyncio.sleep(0.25)
        return attempts


def one_machine(name: str) -> Iterator[Attempt]:
    kind = find(name)
    assert kind is not None
    address = ""
    for attempt in kind.attempts(random.Random(2)):
        address = address or attempt.address
        if attempt.address == address:
            yield attempt


@asynccontextmanager
async def office(folder: Path) -> AsyncIterator[Office]:
    config = folder / "config"
    for name in GATEWAYS:
        shutil.copytree(ROOT / "config" / name, config / name)
    options = StackOptions(state=StateDirectory(folder / "state"), config=config, port_base=0, workers=WORKERS)
    async with (
        run_stack(options) as started,
        open_fds(started.running.redis_url, None) as store,
        aiohttp.ClientSession() as session,
        chromium() as browser,
    ):
        yield Office(running=started.running, browser=browser, store=store, session=session)


async def test_block_of_everybody_waits_until_another_person_agrees_and_then_holds_everywhere(tmp_path: Path) -> None:
    person = Attempt(name="mina", password="wrong", address="198.51.100.77", agent="Mozilla/5.0", right=False)
    async with (
        office(tmp_path) as site,
        site.person("mina", locale="ko-KR") as analyst,
        site.person("sora") as approver,
    ):
        await analyst.goto(site.console + "/new?gateway=sign-in&route=log-in")
        await expect(analyst.locator("#preview")).to_contain_text("다른 사람의 승인을 기다립니다")
        await analyst.locator("#reason").fill("사고 4711: 로그인을 멈춥니다")
        await analyst.locator("#new button.main").click()
        await analyst.wait_for_url("**/policies/pol_*")
        await expect(analyst.locator(".heading .badge").last).to_have_text("승인 대기")
        assert await site.log_in(person) != BLOCKED
        await analyst.goto(site.console + "/pending")
        await expect(analyst.locator("article")).to_contain_text("사고 4711")
        await expect(analyst.locator("summary")).to_have_count(0)
        await approver.goto(site.console + "/")
        await expect(approver.locator(".alerts")).to_contain_text("1 policy waits for a second person.")
        await approver.locator(".alerts a").click()
        await approver.locator("summary", has_text="Approve").click()
        await expect(approver.locator("details[open]")).to_contain_text("It takes effect at once")
        await approver.locator("details[open] button").click()
        await approver.wait_for_url("**/policies/pol_*")
        await expect(approver.locator(".lead")).to_contain_text(f"In force on all {WORKERS * len(GATEWAYS)} workers.")
        await expect(approver.locator(".workers .has")).to_have_count(WORKERS * len(GATEWAYS))
        assert await site.log_in(person) == BLOCKED
        await expect(approver.locator("dl.pairs")).to_contain_text("op-mina")
        await expect(approver.locator("dl.pairs")).to_contain_text("op-sora")
        # Whoever asked cannot agree, whatever their role.
        await approver.goto(site.console + "/new?gateway=sign-in&route=other")
        await approver.locator("#reason").fill("of my own")
        await approver.locator("#new button.main").click()
        await approver.wait_for_url("**/policies/pol_*")
        await approver.goto(site.console + "/pending")
        await expect(approver.locator("article")).to_contain_text("another person has to approve")
        await expect(approver.locator("summary", has_text="Approve")).to_have_count(0)
        assert site.complaints == []


async def test_case_of_the_fraud_detection_is_read_confirmed_or_rejected_and_the_gateway_follows(
    tmp_path: Path,
) -> None:
    async with office(tmp_path) as site, site.person("mina") as analyst:
        stuffing, enumeration = await site.attack("stuffing"), await site.attack("enumeration")
        await analyst.goto(site.console + "/cases")
        await expect(analyst.locator("article.case")).to_have_count(2)
        alarm, right = (
            analyst.locator("article.case", has_text=name) for name in ("user_enumeration", "stuffing_from_address")
        )
        await expect(right.locator(".measures")).to_contain_text("accounts")
        await expect(right.locator(".measures .over").first).to_be_visible()
        await right.locator("summary", has_text="Confirm").click()
        await expect(right.locator("details[open]")).to_contain_text("The policy stays until its end")
        await right.locator("details[open] button").click()
        await expect(analyst.locator("dl.pairs")).to_contain_text("confirmed")
        await expect(analyst.locator("dl.pairs")).to_contain_text("op-mina")
        assert await site.log_in(next(stuffing)) == BLOCKED
        await analyst.goto(site.console + "/cases")
        await alarm.locator("summary", has_text="False alarm").click()
        await expect(alarm.locator("details[open]")).to_contain_text("ends at once on every worker")
        await alarm.locator("details[open] button").click()
        await expect(analyst.locator("main")).to_contain_text("taken back")
        async with asyncio.timeout(5):
            while await site.log_in(next(enumeration)) == BLOCKED:  # noqa: ASYNC110 - the answer tells
                await asyncio.sleep(0.02)
        assert await site.log_in(next(stuffing)) == BLOCKED, "the other case stands"
        for _ in range(30):
            await site.log_in(next(enumeration))
        standing = (await site.store.policies.list(limit=100)).policies
        again = [policy for policy in standing if policy.source.name == "user_enumeration" and policy.mode == "enforce"]
        assert again == [], "it leaves this address alone"
        await analyst.goto(site.console + "/cases")
        await analyst.locator(".tabs a", has_text="Ended").click()
        await expect(analyst.locator("article.case .judged")).to_contain_text("false alarm")
        said = {label.word.value: label.by for _, label in await site.store.labels.after("0") if label is not None}
        assert said == {"confirm": "op-mina", "false-alarm": "op-mina"}
        assert site.complaints == []


async def test_every_page_with_what_really_happened_fits_every_window(tmp_path: Path) -> None:
    async with office(tmp_path) as site:
        await site.attack("stuffing")
        for dark, size, locale in LOOKS:
            async with site.person("sora", dark=dark, size=size, locale=locale) as page:
                await page.goto(site.console + "/new?gateway=sign-in&route=log-in")
                await page.locator("#reason").fill("x")
                await page.locator("#new button.main").click()
                await page.wait_for_url("**/policies/pol_*")
                await page.goto(site.console + "/cases")
                case = await page.locator("article.case h2 a").first.get_attribute("href")
                for name, path in {
                    "overview": "/",
                    "cases": "/cases",
                    "case": case or "",
                    "pending": "/pending",
                    "policies": "/policies",
                    "search": "/search?q=2001:db8::",
                    "audit": "/audit",
                }.items():
                    await page.goto(site.console + path)
                    await expect(page.locator("html")).to_have_attribute("lang", locale[:2])
                    for summary in await page.locator("main summary").all():
                        await summary.click()
                    picture = tmp_path / f"{name}-{'dark' if dark else 'light'}-{size[0]}.png"
                    await page.screenshot(path=picture, full_page=True)
                    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), picture.name
        assert site.complaints == []
