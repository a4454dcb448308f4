"""One-time claims in Redis: `SET key value NX PX ttl`, all claims of one loop turn in one round trip.

Rules kept (app channel section 3): one command, atomic; never a read before it; never sent twice, because a lost reply
would turn an honest request into a replay; an answer within the deadline or `StoreUnavailable`. After a failure the
store is left alone for a moment, with one probe at a time, so that a hung Redis costs neither memory nor time.
"""

from __future__ import annotations

import asyncio
from typing import Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from haetae_edge.services import NonceSeen, StoreUnavailable

#: Seconds for one round trip (app channel section 3).
DEADLINE: Final = 0.05
#: Seconds without claims after a failure; then one batch goes through as a probe.
_PAUSE: Final = 0.2
_MAX_PENDING: Final = 10_000
_MAX_BATCH: Final = 512

_Claim = tuple[str, int, "asyncio.Future[None]"]


class RedisNonces:
    """Claims nonces under `<prefix>nonce:<keyid>:<nonce>`."""

    def __init__(self, redis: Redis, *, prefix: str, deadline: float = DEADLINE) -> None:
        self._redis = redis
        self._prefix = f"{prefix}nonce:"
        self._deadline = deadline
        self._pending: list[_Claim] = []
        self._scheduled = False
        self._flushes: set[asyncio.Task[None]] = set()
        self._paused_until = 0.0
        self.failures = 0

    async def claim(self, keyid: str, nonce: str, *, ttl_ms: int) -> None:
        """Claim once. Raises NonceSeen, or StoreUnavailable within the deadline.

        `keyid` and `nonce` have no colon between them that could shift: a nonce is base64url.
        """
        loop = asyncio.get_running_loop()
        if loop.time() < self._paused_until or len(self._pending) >= _MAX_PENDING:
            raise StoreUnavailable
        done: asyncio.Future[None] = loop.create_future()
        self._pending.append((f"{self._prefix}{keyid}:{nonce}", ttl_ms, done))
        if not self._scheduled:
            self._scheduled = True
            loop.call_soon(self._start_flush)
        await done

    def _start_flush(self) -> None:
        self._scheduled = False
        while self._pending:
            batch, self._pending = self._pending[:_MAX_BATCH], self._pending[_MAX_BATCH:]
            task = asyncio.ensure_future(self._flush(batch))
            self._flushes.add(task)
            task.add_done_callback(self._flushes.discard)

    async def _flush(self, batch: list[_Claim]) -> None:
        pipeline = self._redis.pipeline(transaction=False)
        for key, ttl, _ in batch:
            pipeline.set(key, b"1", nx=True, px=ttl)
        try:
            async with asyncio.timeout(self._deadline):
                results = await pipeline.execute(raise_on_error=False)
        except (RedisError, OSError, TimeoutError):
            self._pause()
            results = []
        for index, (_, _, done) in enumerate(batch):
            if done.done():
                continue
            # Only the two documented answers count: OK, or nil for "exists". Anything else is not an answer.
            result = results[index] if index < len(results) else StoreUnavailable()
            if result is True:
                done.set_result(None)
            elif result is None:
                done.set_exception(NonceSeen())
            else:
                done.set_exception(StoreUnavailable())

    def _pause(self) -> None:
        self.failures += 1
        self._paused_until = asyncio.get_running_loop().time() + _PAUSE

    async def close(self) -> None:
        """Give up what is under way; its claimants get StoreUnavailable."""
        for task in tuple(self._flushes):
            task.cancel()
        for _, _, done in self._pending:
            if not done.done():
                done.set_exception(StoreUnavailable())
        self._pending.clear()
