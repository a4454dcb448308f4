"""What tokens and their senders share across workers: used token ids, used proofs, and how fast each client calls."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from contextlib import AsyncExitStack
from hashlib import sha1, sha256
from typing import Final

from haetae_edge.config.gateway import GatewayConfig
from haetae_edge.io.prompt_redis import PromptRedis, is_error
from haetae_edge.services import RateVerdict, Services, StoreUnavailable, TokenReused

#: Redis's own clock, one key per bucket: safe in a cluster, and the same for every worker on every machine.
_BUCKET: Final = b"""\
local rate, capacity, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local kept = redis.call('HMGET', KEYS[1], 't', 'm')
local tokens, last = tonumber(kept[1]), tonumber(kept[2])
if tokens == nil or last == nil then tokens, last = capacity, now end
if now > last then tokens = tokens + (now - last) * rate / 1000 else now = last end
if tokens > capacity then tokens = capacity end
local allowed, wait = 0, 0
if tokens >= wanted then
  allowed, tokens = 1, tokens - wanted
else
  wait = math.ceil((wanted - tokens) * 1000 / rate)
end
redis.call('HSET', KEYS[1], 't', string.format('%.6f', tokens), 'm', now)
redis.call('PEXPIRE', KEYS[1], math.ceil(capacity * 1000 / rate) + 1000)
return {allowed, math.floor(tokens), wait}
"""
_BUCKET_SHA: Final = sha1(_BUCKET, usedforsecurity=False).hexdigest().encode()


def named(*parts: str) -> bytes:
    """One short name of several texts, each with its length, so that no two lists of texts share one."""
    digest = sha256()
    for part in parts:
        encoded = part.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(4, "big") + encoded)
    return urlsafe_b64encode(digest.digest()).rstrip(b"=")


class RedisTokenClaims:
    """One-time claims of token ids and proofs, under `<prefix>token:…`."""

    def __init__(self, redis: PromptRedis, *, prefix: str) -> None:
        self._redis = redis
        self._prefix = f"{prefix}token:".encode()

    async def claim(self, kind: str, owner: str, identifier: str, *, holder: str, ttl_ms: int) -> None:
        """Claim `identifier` of `owner` (an issuer, a key) once, or again by the same non-empty `holder`.

        One atomic command. Raises TokenReused or StoreUnavailable.
        """
        key = self._prefix + named(kind, owner, identifier)
        value = named("holder", holder) if holder else b"-"
        reply = await self._redis.ask(b"SET", key, value, b"NX", b"GET", b"PX", b"%d" % max(ttl_ms, 1))
        if reply is None:
            return
        if not isinstance(reply, bytes):
            raise StoreUnavailable
        if not holder or reply != value:
            raise TokenReused


class RedisRates:
    """Token buckets under `<prefix>rate:…`, one key each."""

    def __init__(self, redis: PromptRedis, *, prefix: str) -> None:
        self._redis = redis
        self._prefix = f"{prefix}rate:".encode()

    async def take(self, *bucket: str, rate: float, capacity: int, tokens: int) -> RateVerdict:
        """Take `tokens` of a bucket that fills by `rate` a second up to `capacity`. Raises StoreUnavailable."""
        arguments = (b"1", self._prefix + named(*bucket), b"%.6f" % rate, b"%d" % capacity, b"%d" % tokens)
        reply = await self._redis.ask(b"EVALSHA", _BUCKET_SHA, *arguments)
        if is_error(reply, code="NOSCRIPT"):
            # It did not run, so this is not a second try.
            reply = await self._redis.ask(b"EVAL", _BUCKET, *arguments)
        if not isinstance(reply, list) or len(reply) != 3 or not all(isinstance(item, int) for item in reply):
            raise StoreUnavailable
        allowed, left, wait = reply
        return RateVerdict(allowed=allowed == 1, remaining=left, retry_after=wait / 1000)


async def add_token_store(config: GatewayConfig, services: Services, stack: AsyncExitStack) -> None:
    """Give `services` the shared store of tokens and rates, where gateway.yaml names one."""
    if config.redis is None:
        return
    redis = PromptRedis(config.redis.uri, deadline=config.redis.timeout)
    stack.push_async_callback(redis.close)
    await redis.start()
    services.token_claims = RedisTokenClaims(redis, prefix=config.redis.prefix)
    services.rates = RedisRates(redis, prefix=config.redis.prefix)
