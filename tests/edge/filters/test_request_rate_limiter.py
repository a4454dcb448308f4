"""Calls per caller, counted in a real store: who is held back, what they are told, what comes of it when it is down."""

import asyncio
from contextlib import AsyncExitStack, nullcontext
from typing import Any

import pytest
from haetae_edge.config.values import ArgumentError
from haetae_edge.errors import Refusal
from haetae_edge.filter import BuildContext
from haetae_edge.filters.request_rate_limiter import ClientRate, RequestRateLimiter
from haetae_edge.filters.verify_jwt import VerifyJwt
from haetae_edge.io.prompt_redis import PromptRedis
from haetae_edge.io.token_store import RedisRates
from haetae_edge.services import Services, StoreUnavailable
from hypothesis import given
from hypothesis import strategies as st

from tests.edge.gateway_files import exchange
from tests.edge.tokens.gate import at_once, gate
from tests.simulator.valkey import valkey

SLOW = RequestRateLimiter(replenish_rate=0.001, burst_capacity=3)


async def test_caller_beyond_the_burst_is_told_when_to_come_back() -> None:
    async with gate(VerifyJwt(), SLOW) as g:
        token = g.issuer.token()
        answers = [await g.bearer(token) for _ in range(3)]
        assert [answer.status for answer in answers] == [200, 200, 200]
        assert [answer.value(b"x-ratelimit-remaining") for answer in answers] == [b"2", b"1", b"0"]
        answer = answers[-1]
        assert answer.value(b"x-ratelimit-burst-capacity") == b"3"
        assert answer.value(b"x-ratelimit-replenish-rate") == b"0.001"
        assert answer.value(b"x-ratelimit-requested-tokens") == b"1"
        answer = await g.bearer(token)
        assert (answer.status, answer.problem()) == (429, "rate-limited")
        assert 990 <= int(answer.value(b"retry-after")) <= 1000
        assert len(g.edge.upstream.requests) == 3


async def test_each_client_has_a_bucket_of_its_own_and_named_ones_their_own_rate() -> None:
    limiter = RequestRateLimiter(
        replenish_rate=0.001, burst_capacity=1, clients={"big": ClientRate(replenish_rate=0.001, burst_capacity=2)}
    )
    async with gate(VerifyJwt(), limiter) as g:
        small, other, big = (g.issuer.token(client_id=name) for name in ("small", "other", "big"))
        assert [(await g.bearer(small)).status for _ in range(2)] == [200, 429]
        assert [(await g.bearer(other)).status for _ in range(2)] == [200, 429]
        assert [(await g.bearer(big)).status for _ in range(3)] == [200, 200, 429]


async def test_hundred_calls_at_once_take_exactly_the_burst() -> None:
    async with gate(VerifyJwt(), RequestRateLimiter(replenish_rate=0.001, burst_capacity=10)) as g:
        token = g.issuer.token()
        assert await at_once(50, lambda: g.bearer(token)) == [200] * 10 + [429] * 40


@pytest.mark.parametrize("resolver", ["client", "user", "device", "ip"])
async def test_caller_without_the_name_that_is_counted_is_refused(resolver: str) -> None:
    limiter = RequestRateLimiter(replenish_rate=1, burst_capacity=1, key_resolver=resolver)  # type: ignore[arg-type]
    async with gate(limiter) as g:
        answer = await g.ask()
        if resolver == "ip":
            assert answer.status == 200
        else:
            assert (answer.status, answer.problem()) == (403, "not-permitted")


async def test_user_and_client_are_counted_apart() -> None:
    limiter = RequestRateLimiter(replenish_rate=0.001, burst_capacity=1, key_resolver="user")
    async with gate(VerifyJwt(), limiter) as g:
        assert (await g.bearer(g.issuer.token(sub="u-1"))).status == 200
        assert (await g.bearer(g.issuer.token(sub="u-2"))).status == 200
        assert (await g.bearer(g.issuer.token(sub="u-1"))).status == 429


async def test_caller_with_a_certificate_is_counted_by_its_name_and_by_its_token_where_there_is_one() -> None:
    async with valkey() as server:
        redis = PromptRedis(f"unix://{server.socket}", deadline=2.0)
        await redis.start()
        services = Services(clock=lambda: 0.0, random_bytes=bytes, rates=RedisRates(redis, prefix="t:"))
        limiter = RequestRateLimiter(replenish_rate=0.001, burst_capacity=1)
        ((_, take),) = limiter.build(BuildContext(gateway="g", route_id="r", upstream="u", services=services)).request
        for service, client, fits in [("a", None, True), ("a", None, False), ("b", None, True), ("a", "c", True)]:
            on = exchange("/")
            on.caller.service, on.caller.client_id = service, client
            with nullcontext() if fits else pytest.raises(Refusal, match="rate-limited"):
                await take(on)  # type: ignore[misc]  # this filter's step is asynchronous
        await redis.close()


@pytest.mark.parametrize(("on_store_down", "status"), [("refuse", 503), ("allow", 200)])
async def test_lost_store_does_what_the_route_says(on_store_down: Any, status: int) -> None:
    limiter = RequestRateLimiter(replenish_rate=1, burst_capacity=1, on_store_down=on_store_down)
    async with gate(VerifyJwt(), limiter) as g:
        g.store.kill()
        answer = await g.bearer(g.issuer.token())
        assert answer.status == status
        if status == 503:
            assert answer.problem() == "limits-unavailable"
            assert g.edge.upstream.requests == []


async def test_two_gateways_share_buckets_and_a_restarted_store_is_taught_the_script_again() -> None:
    async with valkey() as server, AsyncExitStack() as stack:
        both = []
        for _ in range(2):
            redis = PromptRedis(f"unix://{server.socket}", deadline=2.0)
            stack.push_async_callback(redis.close)
            await redis.start()
            both.append(RedisRates(redis, prefix="t:"))
        taken = [await rates.take("b", rate=0.001, capacity=3, tokens=1) for rates in both * 2]
        assert [verdict.allowed for verdict in taken] == [True, True, True, False]
        client = server.client()
        await client.script_flush()
        assert not (await both[0].take("b", rate=0.001, capacity=3, tokens=1)).allowed
        assert await client.keys("*") != []
        assert all([await client.pttl(key) > 0 for key in await client.keys("*")])
        await client.aclose()


async def test_bucket_fills_by_the_stores_own_clock() -> None:
    async with valkey() as server:
        redis = PromptRedis(f"unix://{server.socket}", deadline=2.0)
        await redis.start()
        rates = RedisRates(redis, prefix="t:")
        assert (await rates.take("b", rate=50, capacity=1, tokens=1)).allowed
        async with asyncio.timeout(10):
            while not (verdict := await rates.take("b", rate=50, capacity=1, tokens=1)).allowed:
                assert 0 < verdict.retry_after <= 0.02
                await asyncio.sleep(verdict.retry_after)
        await redis.close()


async def test_hung_store_is_an_answer_within_the_deadline() -> None:
    async with valkey() as server:
        redis = PromptRedis(f"unix://{server.socket}", deadline=0.05)
        await redis.start()
        rates = RedisRates(redis, prefix="t:")
        server.hang()
        loop = asyncio.get_running_loop()
        started = loop.time()
        with pytest.raises(StoreUnavailable):
            await rates.take("b", rate=1, capacity=1, tokens=1)
        assert loop.time() - started < 1
        with pytest.raises(StoreUnavailable):
            await rates.take("b", rate=1, capacity=1, tokens=1)
        server.resume()
        await redis.close()


@pytest.mark.parametrize(
    "arguments",
    [
        {"replenish_rate": 0.0},
        {"replenish_rate": 1e9},
        {"burst_capacity": 0},
        {"requested_tokens": 0},
        {"requested_tokens": 11},
        {"clients": {"a": ClientRate(replenish_rate=1, burst_capacity=1)}, "requested_tokens": 2},
    ],
)
def test_limit_that_lets_nobody_or_everybody_pass_is_a_configuration_error(arguments: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError):
        RequestRateLimiter(**({"replenish_rate": 1, "burst_capacity": 10} | arguments))


@given(rate=st.floats(max_value=0.0009) | st.just(float("nan")), capacity=st.integers(max_value=0))
def test_no_rate_below_the_bounds_can_be_made(rate: float, capacity: int) -> None:
    with pytest.raises(ArgumentError):
        ClientRate(replenish_rate=rate, burst_capacity=1)
    with pytest.raises(ArgumentError):
        ClientRate(replenish_rate=1, burst_capacity=capacity)
