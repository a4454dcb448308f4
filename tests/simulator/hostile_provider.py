"""An OpenID provider on a real socket that works, and lies in any way a test asks for.

Everything it says can be changed by a test: the discovery document, keys, each claim and header of its tokens, its
speed. It keeps the rules that catch a wrong client: a code once and with its PKCE verifier, a refresh token once, and a
refresh token used twice ends the grant.
"""

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from haetae_crypto.jwk import public_jwk_of

from tests.oidc.forge import b64, sign

CLIENT_ID = "haetae-internal"
CLIENT_SECRET = "a-secret-of-the-client-0123456789"
EVENT = "http://schemas.openid.net/event/backchannel-logout"
Changes = dict[str, Any]


def changed(good: Changes, changes: Changes) -> Changes:
    """`good` with `changes`; a change to `...` removes the member."""
    return {name: value for name, value in (good | changes).items() if value is not ...}


def half_hash(value: str) -> str:
    return b64(hashlib.sha256(value.encode()).digest()[:16])


@dataclass
class HostileProvider:
    """What it says and what it saw. Changes take effect with the next answer."""

    clock: Callable[[], float] = time.time
    port: int = 0
    subject: str = "u-1"
    keys: dict[str, EllipticCurvePrivateKey] = field(default_factory=lambda: {"k1": generate_private_key(SECP256R1())})
    signing: str = "k1"
    signed_by: EllipticCurvePrivateKey | None = None
    discovery: Changes = field(default_factory=dict)
    discovery_body: bytes | None = None
    claims: Changes = field(default_factory=dict)
    head: Changes = field(default_factory=dict)
    answer: Changes = field(default_factory=dict)
    raw_id_token: Callable[[Changes, Changes], str] | None = None
    refreshed_claims: Changes = field(default_factory=dict)
    userinfo: Changes = field(default_factory=dict)
    token_body: bytes | None = None
    token_status: int = 200
    refresh_error: tuple[int, str] | None = None
    expires_in: int = 300
    token_delay: float = 0.0
    logins: dict[str, dict[str, str]] = field(default_factory=dict)
    refresh_tokens: dict[str, str] = field(default_factory=dict)
    ended_grants: set[str] = field(default_factory=set)
    redemptions: list[str] = field(default_factory=list)
    refreshes: list[str] = field(default_factory=list)
    revoked: list[str] = field(default_factory=list)
    forms: list[dict[str, str]] = field(default_factory=list)
    refresh_seen: asyncio.Event = field(default_factory=asyncio.Event)
    _count: int = 0

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    # -- the browser's part --------------------------------------------------------------------------------------------

    def authorize(self, location: str, **login: str) -> dict[str, list[str]]:
        """What the browser brings back from the authorization URL, as parsed query parameters."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}
        self._count += 1
        code = f"code-{self._count}"
        self.logins[code] = asked | {"subject": self.subject} | login
        return {"code": [code], "state": [asked["state"]], "iss": [self.issuer]}

    # -- tokens --------------------------------------------------------------------------------------------------------

    def compact(self, head: Changes, claims: Changes) -> str:
        """A token signed with the present key, whatever it says."""
        signing_input = f"{b64(json.dumps(head).encode())}.{b64(json.dumps(claims).encode())}"
        key = self.signed_by or self.keys[self.signing]
        return f"{signing_input}.{b64(sign('ES256', signing_input.encode(), key))}"

    def unsigned(self, head: Changes, claims: Changes) -> str:
        return f"{b64(json.dumps(head | {'alg': 'none'}).encode())}.{b64(json.dumps(claims).encode())}."

    def with_the_client_secret(self, head: Changes, claims: Changes) -> str:
        text = f"{b64(json.dumps(head | {'alg': 'HS256'}).encode())}.{b64(json.dumps(claims).encode())}"
        return f"{text}.{b64(hmac.digest(CLIENT_SECRET.encode(), text.encode(), 'sha256'))}"

    def id_token(self, login: dict[str, str], access_token: str, changes: Changes) -> str:
        now = int(self.clock())
        good = {
            "iss": self.issuer,
            "sub": login["subject"],
            "aud": CLIENT_ID,
            "iat": now,
            "exp": now + 300,
            "auth_time": int(login.get("auth_time", now)),
            "nonce": login["nonce"],
            "at_hash": half_hash(access_token),
            "sid": login.get("sid", f"sid-{login['state'][:8]}"),
            "name": "김하늘",
            "email": "sky@bank.example",
            "preferred_username": "sky",
            "groups": ["analysts", "ops"],
            "amr": ["pwd", "otp"],
        }
        head = changed({"alg": "ES256", "typ": "JWT", "kid": self.signing}, self.head)
        make = self.raw_id_token or self.compact
        return make(head, changed(good, changes))

    def logout_token(self, head: Changes | None = None, **changes: Any) -> str:
        """A good logout token with `changes`."""
        now = int(self.clock())
        self._count += 1
        good = {
            "iss": self.issuer,
            "aud": CLIENT_ID,
            "sub": self.subject,
            "iat": now,
            "exp": now + 120,
            "jti": f"logout-{self._count}",
            "events": {EVENT: {}},
        }
        return self.compact(
            changed({"alg": "ES256", "typ": "logout+jwt", "kid": self.signing}, head or {}), changed(good, changes)
        )

    # -- endpoints -----------------------------------------------------------------------------------------------------

    async def _discovery(self, _: web.Request) -> web.Response:
        if self.discovery_body is not None:
            return web.Response(body=self.discovery_body, content_type="application/json")
        good = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "end_session_endpoint": f"{self.issuer}/logout",
            "revocation_endpoint": f"{self.issuer}/revoke",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
            "authorization_response_iss_parameter_supported": True,
        }
        return web.json_response(changed(good, self.discovery))

    async def _jwks(self, _: web.Request) -> web.Response:
        keys = [public_jwk_of(key.public_key(), kid=kid, alg="ES256").to_dict() for kid, key in self.keys.items()]
        return web.json_response({"keys": keys})

    async def _authorize(self, request: web.Request) -> web.Response:
        """Signs everybody in at once, as a browser sees it."""
        back = {name: values[0] for name, values in self.authorize(str(request.url)).items()}
        raise web.HTTPFound(f"{request.query['redirect_uri']}?{urlencode(back)}")

    async def _token(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.forms.append(form | {"authorization": request.headers.get("Authorization", "")})
        refreshing = form["grant_type"] == "refresh_token"
        if refreshing:
            self.refreshes.append(form["refresh_token"])
            self.refresh_seen.set()
        await asyncio.sleep(self.token_delay)
        if self.token_body is not None or self.token_status != 200:
            return web.Response(body=self.token_body, status=self.token_status, content_type="application/json")
        return self._refresh(form) if refreshing else self._redeem(form)

    def _redeem(self, form: dict[str, str]) -> web.Response:
        login = self.logins.pop(form["code"], None)
        challenge = b64(hashlib.sha256(form["code_verifier"].encode()).digest())
        if (
            login is None
            or login["code_challenge"] != challenge
            or login["code_challenge_method"] != "S256"
            or login["redirect_uri"] != form["redirect_uri"]
        ):
            return web.json_response({"error": "invalid_grant"}, status=400)
        self.redemptions.append(form["code"])
        return self._tokens(login, grant=form["code"], changes=self.claims)

    def _refresh(self, form: dict[str, str]) -> web.Response:
        if self.refresh_error is not None:
            status, error = self.refresh_error
            return web.json_response({"error": error}, status=status)
        grant = self.refresh_tokens.get(form["refresh_token"])
        if grant is None or grant in self.ended_grants:
            return web.json_response({"error": "invalid_grant"}, status=400)
        if not form["refresh_token"].endswith(f".{self._generation(grant)}"):
            self.ended_grants.add(grant)  # used twice: RFC 9700 section 4.14.2
            return web.json_response({"error": "invalid_grant"}, status=400)
        login = {"subject": self.subject, "nonce": "", "state": "refreshed"}
        return self._tokens(login, grant=grant, changes={"nonce": ..., "auth_time": ...} | self.refreshed_claims)

    def _generation(self, grant: str) -> int:
        return sum(known == grant for known in self.refresh_tokens.values())

    def _tokens(self, login: dict[str, str], *, grant: str, changes: Changes) -> web.Response:
        self._count += 1
        access = f"access-{self._count}"
        refresh = f"{grant}.{self._generation(grant) + 1}"
        self.refresh_tokens[refresh] = grant
        good = {
            "access_token": access,
            "token_type": "Bearer",
            "expires_in": self.expires_in,
            "refresh_token": refresh,
            "id_token": self.id_token(login, access, changes),
        }
        return web.json_response(changed(good, self.answer))

    async def _userinfo(self, _: web.Request) -> web.Response:
        return web.json_response(changed({"sub": self.subject, "department": "fraud"}, self.userinfo))

    async def _revoke(self, request: web.Request) -> web.Response:
        self.revoked.append(str((await request.post())["token"]))
        return web.Response()

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/.well-known/openid-configuration", self._discovery)
        app.router.add_get("/jwks", self._jwks)
        app.router.add_get("/authorize", self._authorize)
        app.router.add_post("/token", self._token)
        app.router.add_get("/userinfo", self._userinfo)
        app.router.add_post("/revoke", self._revoke)
        return app


@asynccontextmanager
async def hostile_provider(*, clock: Callable[[], float] = time.time) -> AsyncIterator[HostileProvider]:
    """A running provider that behaves until told otherwise."""
    provider = HostileProvider(clock=clock)
    runner = web.AppRunner(provider.app())
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    provider.port = runner.addresses[0][1]
    try:
        yield provider
    finally:
        await runner.cleanup()
