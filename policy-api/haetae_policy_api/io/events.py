"""Follows the behaviour-event streams into the ring of recent traffic, from a quarter of an hour ago on.

Rules kept: reads only, without a consumer group, so nobody's delivery changes; a store that is away is tried again; an
entry that cannot be read is counted and passed by. Previews lose precision then, blocks lose nothing.
"""

import asyncio
import logging
import time
from typing import Any

from haetae_fds.blob import FIELD, decode_blob, stream_key
from haetae_fds.event import EventInvalid
from redis.asyncio import Redis
from redis.exceptions import RedisError

from haetae_policy_api.traffic import TrafficRing

_LOG = logging.getLogger("haetae.policy-api")
_BLOCK_MS = 1000
_COUNT = 50


class EventFollower:
    """`run` until cancelled. `client` must allow blocking reads of a second."""

    def __init__(self, client: Redis, ring: TrafficRing, *, prefix: str, shards: int, span_s: int) -> None:
        self._client = client
        self._ring = ring
        self._shards = [stream_key(prefix, shard) for shard in range(shards)]
        self._span_s = span_s
        self.unreadable = 0

    async def run(self) -> None:
        """Follow every shard; ends only by cancellation."""
        async with asyncio.TaskGroup() as group:
            for key in self._shards:
                group.create_task(self._follow(key))

    async def _follow(self, key: str) -> None:
        # Streams are read one by one: in a cluster they live on different nodes.
        at = f"{int((time.time() - self._span_s) * 1000)}-0".encode()
        told = False
        task = asyncio.current_task()
        # redis-py waits with `asyncio.wait_for`, which before Python 3.12 swallows a cancellation that comes together
        # with the answer (python/cpython#86296): the service would never end.
        while task is None or not task.cancelling():
            try:
                answer: Any = await self._client.xread({key: at}, count=_COUNT, block=_BLOCK_MS)
            except (RedisError, OSError) as error:
                if not told:
                    _LOG.warning("recent traffic cannot be read: %s", type(error).__name__)
                told = True
                await asyncio.sleep(1)
                continue
            told = False
            for _, entries in answer or ():
                for entry, fields in entries:
                    at = entry
                    self._take(fields.get(FIELD, b""))

    def _take(self, raw: bytes) -> None:
        try:
            blob = decode_blob(raw)
        except EventInvalid:
            self.unreadable += 1
            return
        self.unreadable += blob.refused.total()
        self._ring.add(blob.events)
