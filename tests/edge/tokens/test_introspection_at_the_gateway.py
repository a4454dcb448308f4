"""Tokens that a service has to be asked about: seldom, once at a time, and never believed beyond what it said."""

import asyncio
import json
import logging
import time
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from haetae_edge.filter import Filter
from haetae_edge.filters.introspect import Introspect
from haetae_edge.services import Services
from haetae_oidc import BreakerLimits, IntrospectionPolicy, IntrospectionUnavailable, SettingsInvalid, TokenInvalid
from haetae_oidc.io.introspection import IntrospectionClientSettings, Introspector

from tests.edge.tokens.gate import AUDIENCE, ISSUER, NOW, served
from tests.simulator.client import Answer
from tests.simulator.world import World, world

BREAKER = BreakerLimits(min_calls=3, open_seconds=0.2, max_open_seconds=0.2)


@dataclass
class TokenService:
    """Answers what the test says, and keeps what it was asked."""

    answer: dict[str, object] = field(default_factory=dict)
    status: int = 200
    asked: list[tuple[str, str | None, dict[str, str]]] = field(default_factory=list)
    go: asyncio.Event | None = None

    def grants(self, **changes: object) -> None:
        good: dict[str, object] = {
            "active": True,
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "u-1",
            "client_id": "pages",
            "scope": "read",
            "exp": NOW + 300,
        }
        self.answer = {name: value for name, value in (good | changes).items() if value is not ...}

    async def handle(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.asked.append((str(request.rel_url), request.headers.get("authorization"), form))
        if self.go is not None:
            await self.go.wait()
        if self.status == 302:
            raise web.HTTPFound("/elsewhere")
        return web.Response(status=self.status, body=json.dumps(self.answer).encode(), content_type="application/json")


@dataclass(slots=True)
class Desk:
    """The gateway with the token service behind it; `clock` is its time."""

    edge: World
    service: TokenService
    introspector: Introspector
    clock: list[float]

    async def bearer(self, token: str, target: str = "/orders") -> Answer:
        head = f"GET {target} HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer {token}\r\n\r\n"
        async with self.edge.gateway.client() as client:
            return await client.ask(head.encode())


@asynccontextmanager
async def asking(service: TokenService, clock: list[float], **settings: Any) -> AsyncIterator[Introspector]:
    async with served(service.handle, "/introspect") as url:
        policy = IntrospectionPolicy(endpoint=url, issuer=ISSUER, audience=AUDIENCE)
        given: dict[str, Any] = {"client_id": "gate way", "client_secret": "s:cret", "seconds": 5.0}
        given |= {"breaker": BREAKER} | settings
        client = IntrospectionClientSettings(loopback_http=True, **given)
        async with Introspector(policy, client, clock=lambda: clock[0]) as introspector:
            yield introspector


@asynccontextmanager
async def desk(*filters: Filter, **settings: Any) -> AsyncIterator[Desk]:
    service, clock = TokenService(), [float(NOW)]
    service.grants()
    async with AsyncExitStack() as stack:
        introspector = await stack.enter_async_context(asking(service, clock, **settings))
        services = Services(clock=lambda: clock[0], random_bytes=bytes, introspection={"one": introspector})
        edge = await stack.enter_async_context(world(filters=filters or (Introspect(),), services=services))
        yield Desk(edge, service, introspector, clock)


async def test_active_token_passes_and_travels_in_the_form_of_a_post_with_our_credentials() -> None:
    async with desk() as d:
        assert (await d.bearer("opaque-1")).status == 200
        [(url, authorization, form)] = d.service.asked
        assert url == "/introspect"
        assert form == {"token": "opaque-1", "token_type_hint": "access_token"}
        assert authorization == "Basic " + b64encode(b"gate+way:s%3Acret").decode()
        assert d.edge.upstream.only.values(b"authorization") == []
        exchange = d.edge.gateway.finished.all[0].exchange
        assert exchange is not None
        assert (exchange.caller.user, exchange.caller.client_id) == ("u-1", "pages")


@pytest.mark.parametrize("changes", [{"active": False}, {"aud": "x"}, {"iss": "x"}, {"exp": NOW}, {"nbf": NOW + 31}])
async def test_token_that_is_inactive_or_not_for_us_or_out_of_time_is_refused(changes: dict[str, Any]) -> None:
    async with desk() as d:
        d.service.grants(**changes)
        answer = await d.bearer("opaque-1")
        assert (answer.status, answer.problem()) == (401, "token-invalid")
        assert b'error="invalid_token"' in answer.value(b"www-authenticate")
        assert d.edge.upstream.requests == []


@pytest.mark.parametrize("active", ["true", 1, None])
async def test_active_that_is_not_the_json_value_true_opens_nothing(active: object) -> None:
    async with desk() as d:
        d.service.grants(active=active)
        answer = await d.bearer("opaque-1")
        assert (answer.status, answer.problem()) == (503, "introspection-unavailable")


@pytest.mark.parametrize("status", [302, 400, 401, 500, 503])
async def test_service_that_gives_no_answer_opens_nothing(status: int) -> None:
    async with desk() as d:
        d.service.status = status
        answer = await d.bearer("opaque-1")
        assert (answer.status, answer.problem()) == (503, "introspection-unavailable")
        assert d.edge.upstream.requests == []


async def test_answer_is_asked_once_for_callers_at_one_time_and_for_a_while_after() -> None:
    async with desk() as d:
        d.service.go = asyncio.Event()
        waiting = [asyncio.ensure_future(d.bearer("opaque-1")) for _ in range(20)]
        async with asyncio.timeout(10):
            while not d.service.asked:  # noqa: ASYNC110 - the service tells nobody
                await asyncio.sleep(0.005)
        d.service.go.set()
        assert [answer.status for answer in await asyncio.gather(*waiting)] == [200] * 20
        assert (await d.bearer("opaque-1")).status == 200
        assert len(d.service.asked) == 1
        d.clock[0] += 30
        assert (await d.bearer("opaque-1")).status == 200
        assert len(d.service.asked) == 2


async def test_remembered_token_is_refused_at_the_moment_it_ends() -> None:
    async with desk() as d:
        d.service.grants(exp=NOW + 10)
        assert (await d.bearer("opaque-1")).status == 200
        d.clock[0] += 10
        assert (await d.bearer("opaque-1")).status == 401


async def test_no_is_remembered_for_five_seconds() -> None:
    async with desk() as d:
        d.service.grants(active=False)
        assert [(await d.bearer("opaque-1")).status for _ in range(3)] == [401] * 3
        assert len(d.service.asked) == 1
        d.service.grants()
        d.clock[0] += 5
        assert (await d.bearer("opaque-1")).status == 200


async def test_scopes_are_judged_again_on_a_remembered_answer() -> None:
    async with desk(Introspect(scopes=("write",))) as d:
        assert (await d.introspector.introspect("opaque-1")).scopes == {"read"}
        answer = await d.bearer("opaque-1")
        assert (answer.status, answer.problem()) == (403, "insufficient-scope")
        assert len(d.service.asked) == 1


async def test_bound_token_needs_its_holder_on_a_remembered_answer_too() -> None:
    async with desk() as d:
        d.service.grants(cnf={"x5t#S256": "A" * 43})
        assert [(await d.bearer("opaque-1")).status for _ in range(2)] == [401, 401]


async def test_breaker_answers_at_once_while_the_service_fails_and_lets_it_come_back() -> None:
    async with desk() as d:
        d.service.status = 500
        for number in range(3):
            assert (await d.bearer(f"opaque-{number}")).status == 503
        assert (await d.bearer("opaque-9")).status == 503
        assert len(d.service.asked) == 3
        d.service.status = 200
        async with asyncio.timeout(10):
            while (await d.bearer("opaque-1")).status != 200:  # noqa: ASYNC110 - the breaker tells nobody
                await asyncio.sleep(0.02)


async def test_token_remembered_before_the_service_failed_serves_on() -> None:
    async with desk() as d:
        assert (await d.bearer("opaque-1")).status == 200
        d.service.status = 500
        assert (await d.bearer("opaque-1")).status == 200
        assert (await d.bearer("opaque-2")).status == 503


async def test_slow_service_is_given_up_in_time() -> None:
    async with desk(seconds=0.1) as d:
        d.service.go = asyncio.Event()
        started = time.monotonic()
        assert (await d.bearer("opaque-1")).status == 503
        assert time.monotonic() - started < 5
        d.service.go.set()


async def test_flood_that_only_waits_for_its_turn_does_not_close_the_service_for_others() -> None:
    async with desk(seconds=1.5, max_calls=2) as d:
        d.service.go = asyncio.Event()
        flood = [asyncio.ensure_future(d.introspector.introspect(f"invented-{number}")) for number in range(12)]
        outcomes = await asyncio.gather(*flood, return_exceptions=True)
        assert all(isinstance(outcome, IntrospectionUnavailable) for outcome in outcomes)
        assert len(d.service.asked) < len(flood)
        d.service.go.set()
        assert (await d.bearer("opaque-1")).status == 200


async def test_policy_on_a_user_has_their_token_asked_about_again_even_while_an_answer_is_under_way() -> None:
    async with desk() as d:
        assert (await d.bearer("opaque-1")).status == 200
        d.introspector.forget_user("u-1")
        assert (await d.bearer("opaque-1")).status == 200
        assert len(d.service.asked) == 2
        d.introspector.forget_user("u-1")
        d.service.go = asyncio.Event()
        waiting = asyncio.ensure_future(d.bearer("opaque-1"))
        async with asyncio.timeout(10):
            while len(d.service.asked) < 3:  # noqa: ASYNC110 - the service tells nobody
                await asyncio.sleep(0.005)
        d.introspector.forget_user("u-1")
        d.service.go.set()
        assert (await waiting).status == 200
        assert (await d.bearer("opaque-1")).status == 200
        assert len(d.service.asked) == 4


async def test_token_is_in_no_log_and_no_error(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="haetae"):
        async with desk() as d:
            d.service.status = 500
            answer = await d.bearer("very-secret-token")
            assert b"very-secret-token" not in answer.body
    assert "very-secret-token" not in caplog.text
    assert "no introspection by" in caplog.text


async def test_answer_that_is_too_long_or_a_token_that_is_too_long_is_refused() -> None:
    service, clock = TokenService(), [float(NOW)]
    service.grants(filler="x" * 70_000)
    async with asking(service, clock) as introspector:
        with pytest.raises(IntrospectionUnavailable):
            await introspector.introspect("opaque")
        with pytest.raises(TokenInvalid):
            await introspector.introspect("x" * 8001)
        assert len(service.asked) == 1


async def test_endpoint_without_tls_is_refused_when_the_client_is_made() -> None:
    policy = IntrospectionPolicy(endpoint="http://login.example/introspect", issuer=ISSUER, audience=AUDIENCE)
    with pytest.raises(SettingsInvalid):
        Introspector(policy, IntrospectionClientSettings(client_id="g", client_secret="s"), clock=time.time)
