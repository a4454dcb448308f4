"""The demo provider on a real socket, a browser of sorts, and a client that hears of sign-outs."""

import base64
import hashlib
import html
import re
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import aiohttp
import jwt
import orjson
import pytest
from aiohttp import web
from haetae_demo.io.localhost import local_session
from haetae_demo.io.serving import bind, serve, url_of
from haetae_demo.provider.clients import parse_clients
from haetae_demo.provider.io.service import ProviderService
from haetae_demo.provider.people import packaged_people
from haetae_demo.provider.terms import Terms

CALLBACK = "http://dashboard.localhost:8082/.haetae/callback"
AFTERWARDS = "http://dashboard.localhost:8082/.haetae/"
SECRET = "a-secret-of-the-staff-gateway"
SERVICE = "service-token-of-the-tests"


class Clock:
    def __init__(self) -> None:
        self.now = 1_763_800_000.0

    def __call__(self) -> float:
        return self.now


@dataclass(kw_only=True)
class Tried:
    """An authorization request and what came of it."""

    status: int
    text: str
    location: str | None
    verifier: str

    @property
    def params(self) -> dict[str, str]:
        assert self.location is not None, self.text
        return {name: values[0] for name, values in parse_qs(urlsplit(self.location).query).items()}


@dataclass(kw_only=True)
class Desk:
    """The provider, and a browser with cookies."""

    url: str
    clock: Clock
    browser: aiohttp.ClientSession
    service: ProviderService
    told: list[dict[str, Any]] = field(default_factory=list)

    async def authorize(self, *, leave_out: str = "", **changes: str) -> Tried:
        verifier = secrets.token_urlsafe(48)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        params = {
            "response_type": "code",
            "client_id": "haetae-internal",
            "redirect_uri": CALLBACK,
            "scope": "openid profile email groups offline_access",
            "state": "a-state",
            "nonce": "a-nonce",
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            **changes,
        }
        params.pop(leave_out, None)
        async with self.browser.get(f"{self.url}/authorize?{urlencode(params)}", allow_redirects=False) as answer:
            return await self.tried(answer, verifier)

    async def fill(self, page: Tried, action: str, **fields: str) -> Tried:
        hidden = dict(re.findall(r'name="(request|csrf)" value="([^"]*)"', page.text))
        form = {name: html.unescape(value) for name, value in hidden.items()} | fields
        async with self.browser.post(f"{self.url}/{action}", data=form, allow_redirects=False) as answer:
            return await self.tried(answer, page.verifier)

    async def sign_in(self, username: str = "mina", **changes: str) -> Tried:
        page = await self.authorize(**changes)
        return await self.fill(page, "sign-in", username=username, password=f"{username}-demo-password")

    async def tried(self, answer: aiohttp.ClientResponse, verifier: str) -> Tried:
        return Tried(
            status=answer.status,
            text=await answer.text(),
            location=answer.headers.get("Location"),
            verifier=verifier,
        )

    async def post(self, path: str, *, client: str = "haetae-internal", secret: str = SECRET, **form: str) -> Any:
        auth = aiohttp.encode_basic_auth(client, secret)
        async with self.browser.post(f"{self.url}/{path}", data=form, headers={"Authorization": auth}) as answer:
            return answer.status, await answer.json(content_type=None)

    async def redeem(self, signed: Tried) -> dict[str, Any]:
        status, tokens = await self.post("token", **self.redemption(signed))
        assert status == 200, tokens
        return dict(tokens)

    def redemption(self, signed: Tried) -> dict[str, str]:
        return {
            "grant_type": "authorization_code",
            "code": signed.params["code"],
            "redirect_uri": CALLBACK,
            "code_verifier": signed.verifier,
        }

    async def read(self, token: str, *, audience: str = "haetae-internal") -> dict[str, Any]:
        async with self.browser.get(f"{self.url}/jwks.json") as answer:
            keys = {key["kid"]: jwt.PyJWK(key) for key in (await answer.json())["keys"]}
        key = keys[jwt.get_unverified_header(token)["kid"]]
        options: Any = {"verify_exp": False, "verify_iat": False}
        claims: dict[str, Any] = jwt.decode(
            token, key, algorithms=["RS256"], audience=audience, issuer=self.url, options=options
        )
        return claims


def clients(back_channel: str) -> bytes:
    staff = {
        "client_id": "haetae-internal",
        "client_secret": SECRET,
        "grants": ["authorization_code", "refresh_token"],
        "scopes": ["openid", "profile", "email", "groups", "offline_access"],
        "redirect_uris": [CALLBACK],
        "post_logout_redirect_uris": [AFTERWARDS],
        "back_channel_logout_uri": back_channel,
    }
    partner = {
        "client_id": "partner-a",
        "client_secret": "a-secret-of-partner-a",
        "grants": ["client_credentials"],
        "scopes": ["orders:read", "orders:write"],
        "audience": "haetae-partner-api",
        "access_token": "jwt",
    }
    gateway = {"client_id": "gateway", "client_secret": "a-secret-of-a-gateway", "introspects": "yes"}
    opaque = partner | {"client_id": "partner-b", "access_token": "opaque"}
    return orjson.dumps({"clients": [staff, partner, opaque, gateway]})


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    told: list[dict[str, Any]] = []

    async def hear(request: web.Request) -> web.Response:
        told.append({"type": request.content_type, **(await request.post())})
        return web.Response()

    hearing = web.Application()
    hearing.router.add_post("/heard", hear)
    clock, listener = Clock(), bind()
    url = url_of(listener)
    async with serve(hearing) as heard, local_session(cookies=True) as browser, local_session() as session:
        service = ProviderService(
            clients=parse_clients(clients(f"{heard}/heard")),
            people=packaged_people(),
            terms=Terms(issuer=url),
            service_token=SERVICE,
            session=session,
            clock=clock,
        )
        async with serve(service.application(), listener=listener):
            yield Desk(url=url, clock=clock, browser=browser, service=service, told=told)
