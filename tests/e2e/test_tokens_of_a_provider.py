"""Pages, rendering servers and partners with tokens of the running provider, at the sample gateways as shipped."""

import asyncio
import base64
import hashlib
import html
import json
import re
import secrets
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import aiohttp
import pytest
import pytest_asyncio
from haetae_cli.blocks import open_blocks
from haetae_cli.stack import StackOptions, run_stack
from haetae_cli.staff import WEB_ORIGIN, client_secret
from haetae_cli.state import RunningStack, StateDirectory
from haetae_cli.tour.staff import demo_password
from haetae_demo.io.localhost import local_session

CONFIG = Path(__file__).resolve().parents[2] / "config"
CALLBACK = f"{WEB_ORIGIN}/callback"
ECHO, ACCOUNTS, TRANSFERS = "/api/v1/echo", "/api/v1/accounts", "/api/v1/transfers"
#: The sample remembers for 10 s; the test does not want to wait for so long.
REMEMBERED = "remember: 1s"
#: What the bank itself answers to an order of somebody whose risk nobody judged: the gateway let it pass.
ASKED_THE_BANK = (403, "risk-too-high")

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """An answer; `code` of a problem."""

    status: int
    code: str | None
    headers: Mapping[str, str]
    body: bytes

    @property
    def outcome(self) -> tuple[int, str | None]:
        return self.status, self.code

    def passport(self) -> dict[str, Any]:
        claims: dict[str, Any] = json.loads(self.body)["passport"]
        return claims


@dataclass(frozen=True, slots=True, kw_only=True)
class Street:
    """The running stack, and a client that keeps no cookies."""

    running: RunningStack
    secret: str
    session: aiohttp.ClientSession

    async def ask(
        self, gateway: str, path: str, token: str | None = None, *, method: str = "GET", **headers: str
    ) -> Seen:
        """One call; header names are written with `_`."""
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            fields["authorization"] = f"Bearer {token}"
        async with self.session.request(method, self.running.gateways[gateway] + path, headers=fields) as answer:
            body = await answer.read()
            is_problem = answer.content_type == "application/problem+json"
            code = json.loads(body).get("code") if is_problem else None
            return Seen(status=answer.status, code=code, headers=answer.headers.copy(), body=body)

    async def post(self, path: str, client: str, **form: str) -> tuple[int, dict[str, Any]]:
        """To the provider, as this client of it."""
        auth = aiohttp.encode_basic_auth(client, client_secret(self.secret, client))
        url = self.running.provider + path
        async with self.session.post(url, data=form, headers={"Authorization": auth}) as answer:
            return answer.status, await answer.json(content_type=None) if answer.content_length else {}

    async def granted(self, client: str, **form: str) -> str:
        """An access token."""
        status, answer = await self.post("/token", client, **form)
        assert status == 200, answer
        return str(answer["access_token"])

    async def own_token(self, client: str, scope: str) -> str:
        """A token with which a client acts for itself."""
        return await self.granted(client, grant_type="client_credentials", scope=scope)

    async def page_token(self, scope: str, *, who: str = "mina") -> str:
        """A token for pages: this person signs in, and the code is redeemed with its verifier."""
        verifier = secrets.token_urlsafe(48)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        asked = {
            "response_type": "code",
            "client_id": "pages",
            "redirect_uri": CALLBACK,
            "scope": f"openid {scope}",
            "state": "a-state",
            "nonce": "a-nonce",
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        async with local_session(cookies=True) as browser:
            async with browser.get(f"{self.running.provider}/authorize?{urlencode(asked)}") as page:
                hidden = dict(re.findall(r'name="(request|csrf)" value="([^"]*)"', await page.text()))
            form = {name: html.unescape(value) for name, value in hidden.items()}
            form |= {"username": who, "password": demo_password(who)}
            async with browser.post(f"{self.running.provider}/sign-in", data=form, allow_redirects=False) as answer:
                location = answer.headers["Location"]
        assert location.startswith(f"{CALLBACK}?")
        code = parse_qs(urlsplit(location).query)["code"][0]
        return await self.granted(
            "pages", grant_type="authorization_code", code=code, redirect_uri=CALLBACK, code_verifier=verifier
        )


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Street]:
    config = folder / "config"
    for name in ("partner", "ssr", "web"):
        shutil.copytree(CONFIG / name, config / name)
    ssr = config / "ssr" / "gateway.yaml"
    text, changed = re.subn(r"remember: \w+", REMEMBERED, ssr.read_text())
    assert changed == 1
    ssr.write_text(text)
    state = StateDirectory(folder / "state")
    async with AsyncExitStack() as stack:
        started = await stack.enter_async_context(run_stack(StackOptions(state=state, config=config, port_base=0)))
        session = await stack.enter_async_context(local_session())
        yield Street(running=started.running, secret=state.oidc_secret_file.read_text().strip(), session=session)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def street(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Street]:
    async with opened(tmp_path_factory.mktemp("street")) as found:
        yield found


async def test_person_who_signed_in_reads_with_the_token_of_the_pages_and_the_service_learns_who(
    street: Street,
) -> None:
    token = await street.page_token("accounts.read")
    for _ in range(2):
        answer = await street.ask("web", ECHO, token, origin=WEB_ORIGIN)
        assert answer.outcome == (200, None), answer
        assert answer.passport()["sub"] == "op-mina"
        assert answer.headers["Access-Control-Allow-Origin"] == WEB_ORIGIN
        received = {name.lower() for name, _ in json.loads(answer.body)["headers"]}
        assert "x-passport" in received
        assert "authorization" not in received


async def test_preflight_of_the_named_page_is_answered_without_a_token_and_of_no_other(street: Street) -> None:
    asked = {"access_control_request_method": "POST", "access_control_request_headers": "authorization,idempotency-key"}
    good = await street.ask("web", TRANSFERS, method="OPTIONS", origin=WEB_ORIGIN, **asked)
    assert good.status in (200, 204)
    assert good.headers["Access-Control-Allow-Origin"] == WEB_ORIGIN
    assert {"GET", "HEAD", "POST"} == set(re.split(r",\s*", good.headers["Access-Control-Allow-Methods"]))
    foreign = await street.ask("web", TRANSFERS, method="OPTIONS", origin="https://evil.example", **asked)
    assert foreign.outcome == (403, "foreign-origin")
    assert "Access-Control-Allow-Origin" not in foreign.headers


async def test_change_from_another_site_is_refused_with_a_good_token_which_is_not_used_up(street: Street) -> None:
    token = await street.page_token("transfers.write")
    for fields in ({"origin": "https://evil.example"}, {"sec_fetch_site": "cross-site"}, {}):
        answer = await street.ask("web", TRANSFERS, token, method="POST", **fields)
        assert answer.outcome == (403, "foreign-origin"), fields
    assert (await street.ask("web", TRANSFERS, token, method="POST", origin=WEB_ORIGIN)).outcome == ASKED_THE_BANK


async def test_token_that_changes_something_is_taken_once_also_of_twenty_at_once(street: Street) -> None:
    token = await street.page_token("transfers.write")
    answers = await asyncio.gather(
        *(street.ask("web", TRANSFERS, token, method="POST", origin=WEB_ORIGIN) for _ in range(20))
    )
    refused = [answer for answer in answers if answer.outcome == (401, "token-invalid")]
    [passed] = [answer for answer in answers if answer not in refused]
    assert passed.outcome == ASKED_THE_BANK, passed
    assert 'error="invalid_token"' in refused[0].headers["WWW-Authenticate"]


async def test_page_does_only_what_its_token_was_granted(street: Street) -> None:
    reading = await street.page_token("accounts.read")
    answer = await street.ask("web", TRANSFERS, reading, method="POST", origin=WEB_ORIGIN)
    assert answer.outcome == (403, "insufficient-scope")
    assert 'scope="transfers.write"' in answer.headers["WWW-Authenticate"]
    assert (await street.ask("web", ACCOUNTS, origin=WEB_ORIGIN)).outcome == (401, "token-invalid")
    opaque = await street.own_token("ssr-node", "accounts.read")
    assert (await street.ask("web", ACCOUNTS, opaque, origin=WEB_ORIGIN)).outcome == (401, "token-invalid")


async def test_blocked_person_is_refused_with_a_good_token_and_others_are_not(street: Street) -> None:
    mina, joon = await street.page_token("accounts.read"), await street.page_token("accounts.read", who="joon")
    assert (await street.ask("web", ECHO, mina, origin=WEB_ORIGIN)).status == 200
    async with open_blocks(street.running.redis_url) as blocks:
        effect = await blocks.create(
            {"subject": {"user": "op-mina"}, "action": "block", "reason": "a test"}, lasts_s=60, by="test"
        )
        try:
            assert (await street.ask("web", ECHO, mina, origin=WEB_ORIGIN)).outcome == (403, "blocked")
            assert (await street.ask("web", ECHO, joon, origin=WEB_ORIGIN)).outcome == (200, None)
        finally:
            await blocks.remove(effect.policy.id)


async def test_rendering_server_may_do_by_method_what_its_opaque_token_was_granted(street: Street) -> None:
    reading = await street.own_token("ssr-node", "accounts.read")
    writing = await street.own_token("ssr-node", "transfers.write")
    assert "." not in reading
    for token, method, path, code in [
        (reading, "GET", ECHO, None),
        (reading, "HEAD", ECHO, None),
        (reading, "POST", TRANSFERS, "insufficient-scope"),
        (writing, "GET", ECHO, "insufficient-scope"),
        (reading, "POST", ECHO, "insufficient-scope"),
        (writing, "POST", ECHO, "insufficient-scope"),
        (writing, "DELETE", TRANSFERS, "insufficient-scope"),
        (reading + "x", "GET", ECHO, "token-invalid"),
        (None, "GET", ECHO, "token-invalid"),
    ]:
        answer = await street.ask("ssr", path, token, method=method)
        assert answer.code == code, (method, path, answer)
        assert (answer.status == 200) is (code is None)
    assert (await street.ask("ssr", TRANSFERS, writing, method="POST")).outcome == ASKED_THE_BANK
    assert (await street.ask("ssr", ECHO, reading)).passport()["sub"] == "ssr-node"


async def test_token_that_the_provider_revoked_is_refused_once_the_answer_is_forgotten(street: Street) -> None:
    token, other = (
        await street.own_token("ssr-node", "accounts.read"),
        await street.own_token("ssr-node", "accounts.read"),
    )
    assert (await street.ask("ssr", ECHO, token)).status == 200
    assert (await street.post("/revoke", "ssr-node", token=token))[0] == 200
    clock = asyncio.get_running_loop().time
    began = clock()
    async with asyncio.timeout(10):
        while (await street.ask("ssr", ECHO, token)).outcome != (401, "token-invalid"):  # noqa: ASYNC110 - the answers tell
            await asyncio.sleep(0.05)
    assert clock() - began < 3
    assert (await street.ask("ssr", ECHO, other)).status == 200


async def test_partner_reads_with_its_scope_within_its_rate_and_changes_nothing(street: Street) -> None:
    token = await street.own_token("partner-a", "partner.read")
    first = await street.ask("partner", ECHO, token)
    assert first.outcome == (200, None), first
    assert first.headers["X-RateLimit-Burst-Capacity"] == "20"
    assert first.passport()["sub"] == "partner-a"
    assert (await street.ask("partner", ECHO, token, method="POST")).outcome == (404, "route-not-found")
    answers = await asyncio.gather(*(street.ask("partner", ECHO, token) for _ in range(60)))
    limited = [answer for answer in answers if answer.outcome == (429, "rate-limited")]
    assert {answer.outcome for answer in answers} == {(200, None), (429, "rate-limited")}
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in limited)


async def test_token_for_one_way_in_opens_no_other(street: Street) -> None:
    partner = await street.own_token("partner-a", "partner.read")
    pages = await street.page_token("accounts.read transfers.write")
    assert (await street.ask("web", ECHO, partner, origin=WEB_ORIGIN)).outcome == (403, "insufficient-scope")
    assert (await street.ask("ssr", ECHO, partner)).outcome == (403, "insufficient-scope")
    assert (await street.ask("partner", ECHO, pages)).outcome == (403, "insufficient-scope")
