"""One-time claims in Redis: `SET key value NX PX ttl`, all claims of one loop turn in one round trip.

Rules kept (app channel section 3): one command, atomic; never a read before it; never sent twice, because a lost reply
would turn an honest request into a replay; an answer within the deadline or `StoreUnavailable`. After a failure the
store is left alone for a moment, with one probe at a time, so that a hung Redis costs neither memory nor time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Final, TypeVar

from redis.asyncio import Redis
from redis.exceptions import RedisError

from haetae_edge.services import NonceSeen, StoreUnavailable

#: Seconds for one round trip (app channel section 3).
DEADLINE: Final = 0.05
#: Seconds without claims after a failure; then one batch goes through as a probe.
_PAUSE: Final = 0.2
#: Seconds by which a timer may be late before that says something about the loop.
_LATE: Final = 0.01
_MAX_PENDING: Final = 10_000
_MAX_BATCH: Final = 512
_MAX_FLUSHES: Final = 2

T = TypeVar("T")
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
        while self._pending and len(self._flushes) < _MAX_FLUSHES:
            batch, self._pending = self._pending[:_MAX_BATCH], self._pending[_MAX_BATCH:]
            task = asyncio.ensure_future(self._flush(batch))
            self._flushes.add(task)
            task.add_done_callback(self._flushed)

    def _flushed(self, task: asyncio.Task[None]) -> None:
        """What came while two batches were on their way makes the next one: the busier, the larger."""
        self._flushes.discard(task)
        self._start_flush()

    async def warm(self) -> None:
        """Open the connections ahead of the first request; a store that is down is not waited for."""
        try:
            await asyncio.gather(*(self._in_time(self._redis.ping()) for _ in range(_MAX_FLUSHES)))
        except (RedisError, OSError, TimeoutError):
            self._pause()

    async def _flush(self, batch: list[_Claim]) -> None:
        pipeline = self._redis.pipeline(transaction=False)
        for key, ttl, _ in batch:
            pipeline.set(key, b"1", nx=True, px=ttl)
        results: list[object] = []
        try:
            results = await self._in_time(pipeline.execute(raise_on_error=False))
        except (RedisError, OSError, TimeoutError):
            self._pause()
        finally:
            self._settle(batch, results)

    @staticmethod
    def _settle(batch: list[_Claim], results: list[object]) -> None:
        """Tell every claimant of a batch, also when nothing came back or the flush was cancelled."""
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

    async def _in_time(self, answer: Awaitable[T]) -> T:
        """The answer within the deadline. Raises TimeoutError.

        The deadline is Redis's, not ours: when the loop itself came late to it, a reply may already wait in the
        socket, so the loop gets one more turn to read it.
        """
        loop = asyncio.get_running_loop()
        task = asyncio.ensure_future(answer)
        due = loop.time() + self._deadline
        try:
            await asyncio.wait((task,), timeout=self._deadline)
            if not task.done() and loop.time() - due > _LATE:
                await asyncio.wait((task,), timeout=_LATE)
            if task.done():
                return task.result()
        finally:
            task.cancel()
        raise TimeoutError

    def _pause(self) -> None:
        self.failures += 1
        self._paused_until = asyncio.get_running_loop().time() + _PAUSE
        self._give_up_pending()

    def _give_up_pending(self) -> None:
        """What waits behind a batch that failed would only fail later."""
        pending, self._pending = self._pending, []
        self._settle(pending, [])

    async def close(self) -> None:
        """Give up what is under way; its claimants get StoreUnavailable."""
        self._give_up_pending()
        for task in tuple(self._flushes):
            task.cancel()
        await asyncio.gather(*self._flushes, return_exceptions=True)
