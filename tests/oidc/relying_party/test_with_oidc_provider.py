"""Signing in with an OpenID provider that others wrote: npm's `oidc-provider`, its pages driven by a plain client.

It is installed once for a machine, from `tests/peers/oidc_provider/package.json`; without Node.js, or without a
registry to install from, these tests are skipped and say why.
"""

import asyncio
import fcntl
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from urllib.parse import parse_qs, urljoin, urlsplit

import pytest
from aiohttp import ClientSession, CookieJar, web
from haetae_oidc import Finished, LoginInvalid, LogoutTokenInvalid, ProviderSettings, SessionMissing, SessionSettings
from haetae_oidc.io.staff_sign_in import StaffSignIn

from tests.simulator.valkey import valkey

PEER = Path(__file__).resolve().parents[2] / "peers" / "oidc_provider"
BACK = "https://grafana.bank.example/.haetae/callback"
SECRET = "secret-of-the-client-0123456789-abcdef"


def installed() -> Path:
    """A folder with the server and its packages. Skips the test when there can be none."""
    if shutil.which("node") is None:
        pytest.skip("no Node.js on this machine")
    if (PEER / "node_modules" / "oidc-provider").is_dir():
        return PEER
    if shutil.which("npm") is None:
        pytest.skip("no npm on this machine, and oidc-provider is not installed")
    version = sha256((PEER / "package.json").read_bytes()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"haetae-peer-oidc-provider-{version}"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            shutil.copy(PEER / "package.json", folder)
            command = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"]
            made = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=50, check=False)
            if made.returncode != 0:
                pytest.skip(f"oidc-provider cannot be installed: {made.stderr.strip()[-200:]}")
            (folder / "done").touch()
        shutil.copy(PEER / "server.mjs", folder)
    return folder


@dataclass
class Peer:
    """The running provider and what it told us behind the browser's back."""

    issuer: str = ""
    logout_tokens: asyncio.Queue[str] = field(default_factory=asyncio.Queue)

    async def back_channel(self, request: web.Request) -> web.Response:
        await self.logout_tokens.put(str((await request.post())["logout_token"]))
        return web.Response()


class Browser:
    """Follows redirects by hand and fills in the provider's two development pages."""

    def __init__(self, http: ClientSession) -> None:
        self.http = http

    async def sign_in(self, location: str, *, name: str) -> dict[str, list[str]]:
        """The parameters that come back to our callback."""
        url = location
        for _ in range(12):
            if url.startswith(BACK):
                return parse_qs(urlsplit(url).query, keep_blank_values=True)
            async with self.http.get(url, allow_redirects=False) as answer:
                page = await answer.text()
                if answer.status in (302, 303):
                    url = urljoin(url, answer.headers["Location"])
                    continue
                assert answer.status == 200, page
            prompt = "login" if 'value="login"' in page else "consent"
            form = {"prompt": prompt, "login": name, "password": "any"}
            async with self.http.post(url, data=form, allow_redirects=False) as answer:
                assert answer.status == 303, await answer.text()
                url = urljoin(url, answer.headers["Location"])
        raise AssertionError("the provider never sent the browser back")

    async def sign_out(self, url: str) -> str:
        """Confirms the provider's logout page; where the browser ends."""
        async with self.http.get(url) as answer:
            page = await answer.text()
            assert answer.status == 200, page
            action = page.partition('action="')[2].partition('"')[0]
            xsrf = page.partition('name="xsrf" value="')[2].partition('"')[0]
        async with self.http.post(action, data={"xsrf": xsrf, "logout": "yes"}, allow_redirects=False) as answer:
            assert answer.status in (302, 303), await answer.text()
            return answer.headers["Location"]


@asynccontextmanager
async def running_peer() -> AsyncIterator[Peer]:
    folder = await asyncio.to_thread(installed)
    peer = Peer()
    app = web.Application()
    app.router.add_post("/", peer.back_channel)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    here = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    process = await asyncio.create_subprocess_exec(
        *("node", "server.mjs", "haetae-internal", SECRET, BACK, here),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        assert process.stdout is not None
        peer.issuer = (await process.stdout.readline()).decode().strip()
        assert peer.issuer.startswith("http://127.0.0.1:")
        yield peer
    finally:
        process.kill()
        await process.wait()
        await runner.cleanup()


@asynccontextmanager
async def signing_in() -> AsyncIterator[tuple[Peer, StaffSignIn, Browser]]:
    async with running_peer() as peer, valkey() as store:
        settings = ProviderSettings(
            issuer=peer.issuer,
            client_id="haetae-internal",
            client_secret=SECRET,
            scopes=("openid", "profile", "email", "groups", "offline_access"),
            loopback_http=True,
        )
        worker = StaffSignIn(
            provider=settings, session=SessionSettings(deadline=5.0, recheck=0.0), redis_url=f"unix://{store.socket}"
        )
        jar = CookieJar(unsafe=True)
        async with worker, ClientSession(cookie_jar=jar) as http:
            yield peer, worker, Browser(http)


async def login(worker: StaffSignIn, browser: Browser, *, name: str = "haneul") -> Finished:
    begun = await worker.begin(redirect_uri=BACK, return_to="/d/1", browser=None, now=time.time())
    params = await browser.sign_in(begun.location, name=name)
    assert params["iss"] == [issuer_of(begun.location)]
    return await worker.finish(
        params=params, redirect_uri=BACK, browser=begun.browser, previous_ticket=None, now=time.time()
    )


def issuer_of(location: str) -> str:
    parts = urlsplit(location)
    return f"{parts.scheme}://{parts.netloc}"


async def renewed(worker: StaffSignIn, ticket: str, *, now: float) -> str:
    """The next ticket, which requests get once the refresh behind them is done."""
    async with asyncio.timeout(10):
        while True:
            new = (await worker.load(ticket, activity=True, now=now)).new_ticket
            if new is not None:
                return new
            await asyncio.sleep(0.02)


async def test_person_signs_in_is_refreshed_and_logs_out_at_a_provider_of_others() -> None:
    async with signing_in() as (peer, worker, browser):
        done = await login(worker, browser)
        session = done.session
        assert (session.subject, session.name, session.email) == ("haneul", "haneul Kim", "haneul@bank.example")
        assert session.groups == {"ops"}
        assert session.provider_sid
        # Its access tokens live for 60 s, so one is due for a refresh 55 s later.
        later = time.time() + 55
        new = await renewed(worker, done.ticket, now=later)
        assert (await worker.load(new, activity=True, now=later)).session.subject == "haneul"
        over = await worker.end(new, now=later)
        url = over.logout_url(urljoin(BACK, "/"), "state-1")
        assert url is not None
        assert await browser.sign_out(url) == f"{urljoin(BACK, '/')}?state=state-1"
        # The provider tells us about the session that we ended already, which is a success.
        token = await asyncio.wait_for(peer.logout_tokens.get(), 10)
        assert await worker.back_channel_logout(token, now=time.time()) == 0


async def test_logout_at_the_provider_ends_the_session_by_its_back_channel() -> None:
    async with signing_in() as (peer, worker, browser):
        done = await login(worker, browser)
        await browser.sign_out(f"{peer.issuer}/session/end?client_id=haetae-internal")
        token = await asyncio.wait_for(peer.logout_tokens.get(), 10)
        assert await worker.back_channel_logout(token, now=time.time()) == 1
        with pytest.raises(SessionMissing):
            await worker.load(done.ticket, activity=True, now=time.time())
        with pytest.raises(LogoutTokenInvalid, match="replayed"):
            await worker.back_channel_logout(token, now=time.time())


async def test_provider_of_others_refuses_a_code_with_the_verifier_of_another_login() -> None:
    async with signing_in() as (_, worker, browser):
        first = await worker.begin(redirect_uri=BACK, return_to="/", browser=None, now=time.time())
        stolen = (await browser.sign_in(first.location, name="haneul"))["code"]
        second = await worker.begin(redirect_uri=BACK, return_to="/", browser=None, now=time.time())
        params = await browser.sign_in(second.location, name="haneul")
        with pytest.raises(LoginInvalid, match="code-refused-invalid_grant"):
            await worker.finish(
                params=params | {"code": stolen},
                redirect_uri=BACK,
                browser=second.browser,
                previous_ticket=None,
                now=time.time(),
            )
