"""A gateway for tokens at real sockets: an issuer that publishes its keys, a real store, and clients that hold keys.

Tokens and proofs are signed by joserfc, another implementation than the one that judges them.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from haetae_crypto.signing_keys import SigningRing
from haetae_edge.filter import Filter
from haetae_edge.io.prompt_redis import PromptRedis
from haetae_edge.io.token_store import RedisRates, RedisTokenClaims
from haetae_edge.io.tokens import IssuerTokens
from haetae_edge.services import IdentityService, Policies, Services
from haetae_oidc import AccessTokenVerifier, DpopNonces, TokenPolicy
from haetae_oidc.dpop import access_token_hash
from haetae_oidc.io.jwks import IssuerAddress, KeySource
from haetae_passport import PassportMinter
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from tests.simulator.client import Answer
from tests.simulator.valkey import Valkey, valkey
from tests.simulator.world import World, world

NOW = 1_800_000_000
ISSUER = "https://login.example"
AUDIENCE = "haetae-demo-api"


@asynccontextmanager
async def served(handler: Any, path: str) -> AsyncIterator[str]:
    """One handler at a free port of this machine; gives its URL."""
    app = web.Application()
    app.router.add_route("*", path, handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}{path}"
    finally:
        await runner.cleanup()


@dataclass
class Issuer:
    """Signs tokens, and publishes the key for them."""

    key: ECKey = field(default_factory=lambda: ECKey.generate_key("P-256", {"kid": "k1", "alg": "ES256"}))
    made: int = 0

    def token(self, *, key: ECKey | None = None, header: Mapping[str, object] | None = None, **changes: object) -> str:
        """A good token with changes; `...` leaves a claim out. Each has a `jti` of its own."""
        self.made += 1
        good: dict[str, Any] = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "u-1",
            "client_id": "pages",
            "jti": f"t-{self.made}",
            "iat": NOW,
            "exp": NOW + 300,
            "scope": "read",
        }
        claims = {name: value for name, value in (good | changes).items() if value is not ...}
        head = {"typ": "at+jwt", "alg": "ES256", "kid": "k1"} | dict(header or {})
        return jwt.encode(head, claims, key or self.key)

    async def jwks(self, _: web.Request) -> web.Response:
        """The published set."""
        keys = KeySet([self.key]).as_dict(private=False)
        return web.Response(body=json.dumps(keys).encode(), content_type="application/jwk-set+json")


class Holder:
    """Somebody with a key of their own who proves to have it."""

    def __init__(self) -> None:
        self.key = ECKey.generate_key("P-256")
        self.made = 0

    @property
    def cnf(self) -> dict[str, str]:
        """The confirmation claim that binds a token to this key."""
        return {"jkt": self.key.thumbprint()}

    def proof(self, token: str, *, method: str = "GET", uri: str = "http://api.test/orders", **changes: object) -> str:
        """A good proof with changes."""
        self.made += 1
        good: dict[str, Any] = {
            "htm": method,
            "htu": uri,
            "iat": NOW,
            "jti": f"p-{self.made}-{id(self)}",
            "ath": access_token_hash(token),
        }
        claims = {name: value for name, value in (good | changes).items() if value is not ...}
        header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": self.key.as_dict(private=False)}
        return jwt.encode(header, claims, self.key)


@dataclass(slots=True)
class Gate:
    """The gateway as a test may use it; `now` is its clock."""

    edge: World
    issuer: Issuer
    store: Valkey
    services: Services
    clock: list[float]

    async def ask(
        self, *fields: str, target: str = "/orders", method: str = "GET", body: bytes | None = None
    ) -> Answer:
        """One request with these header lines, on a connection of its own."""
        lines = ["Host: api.test", *fields]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        head = f"{method} {target} HTTP/1.1\r\n" + "".join(f"{line}\r\n" for line in lines) + "\r\n"
        async with self.edge.gateway.client() as client:
            await client.send(head.encode() + (body or b""))
            return await client.answer(method)

    async def bearer(self, token: str, *fields: str, **more: Any) -> Answer:
        """The same with a bearer token."""
        return await self.ask(f"Authorization: Bearer {token}", *fields, **more)

    async def proven(self, token: str, proof: str, *fields: str, **more: Any) -> Answer:
        """The same with a token and a proof."""
        return await self.ask(f"Authorization: DPoP {token}", f"DPoP: {proof}", *fields, **more)

    @property
    def reason(self) -> str | None:
        """The log's word for why the last request was refused."""
        exchange = self.edge.gateway.finished.all[-1].exchange
        assert exchange is not None
        return exchange.facts.reason


@asynccontextmanager
async def gate(
    *filters: Filter,
    before: tuple[Filter, ...] = (),
    ring: SigningRing | None = None,
    policies: Policies | None = None,
    identity: IdentityService | None = None,
    trusted: Sequence[str] = (),
) -> AsyncIterator[Gate]:
    """A gateway with these filters, `before` standing first. Its clock stands still."""
    clock = [float(NOW)]
    issuer = Issuer()
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(valkey())
        redis = PromptRedis(f"unix://{server.socket}", deadline=2.0)
        stack.push_async_callback(redis.close)
        await redis.start()
        url = await stack.enter_async_context(served(issuer.jwks, "/jwks"))
        keys = await stack.enter_async_context(
            KeySource([IssuerAddress(issuer=ISSUER, jwks_url=url, loopback_http=True)])
        )
        await keys.ready(ISSUER)
        policy = TokenPolicy(issuer=ISSUER, audience=AUDIENCE, algorithms=frozenset({"ES256"}))
        services = Services(
            clock=lambda: clock[0],
            random_bytes=os.urandom,
            tokens=IssuerTokens([AccessTokenVerifier(policy, keys.keys_of(ISSUER))], keys),
            token_claims=RedisTokenClaims(redis, prefix="t:"),
            rates=RedisRates(redis, prefix="t:"),
            policies=policies,
            dpop_nonces=DpopNonces(bytes(32)),
            identity=identity,
            passports=PassportMinter(issuer="haetae-web", ring=ring, lifetime=60) if ring is not None else None,
        )
        edge = await stack.enter_async_context(world(filters=(*before, *filters), services=services, trusted=trusted))
        yield Gate(edge, issuer, server, services, clock)


async def at_once(count: int, ask: Any) -> list[int]:
    """The statuses of so many calls at the same time, sorted."""
    answers = await asyncio.gather(*(ask() for _ in range(count)))
    return sorted(answer.status for answer in answers)
