"""A blob brings several decisions, each of them several writes; the store, the lease or the worker goes between two.

Workers run in this process on a real store, each under names of its own; what comes between is placed before or after
every single write.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from haetae_fds.blob import encode_blob, stream_key
from haetae_fds.event import Event, encode_event
from haetae_fds.io.keys import ShardKeys
from haetae_fds.io.run import FdsProcess, RunSettings
from haetae_policy.io.connect import RedisSettings, connect, connect_blocking
from haetae_policy.io.ledger import Ledger
from haetae_policy.io.store import PolicyStore, StoreSettings
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as LineCut

from tests.fds.delivery.test_same_decisions import now_ms
from tests.fds.delivery.worker_process import ENOUGH, CountingEngine
from tests.simulator.valkey import Valkey, valkey

USERS = ("u-1", "u-2", "u-3")
WRITES = 3 * len(USERS)  # a decision is logged, made a policy and noted as done


class Interrupted:
    """A client that lets something happen before or after one write."""

    def __init__(self, client: Redis, *, at: int, after: bool, what: Callable[[], Awaitable[None]]) -> None:
        self._client = client
        self._at = at
        self._after = after
        self._what = what
        self._over = False
        self.writes = 0

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        send: Callable[..., Awaitable[Any]] = self._client.execute_command
        self.writes += args[0] == "EVALSHA" and self._counts(args)
        if self.writes != self._at or self._over:
            return await send(*args, **options)
        self._over = True
        if self._after:
            await send(*args, **options)
            return await self._what()
        await self._what()
        return await send(*args, **options)

    @staticmethod
    def _counts(args: tuple[Any, ...]) -> bool:
        """Writes of decisions have a document or a name among their arguments; leases have neither."""
        return any(isinstance(one, str) and one.endswith((":done", ":live")) for one in args[3:])

    def pipeline(self, transaction: Any = True) -> Any:
        return self._client.pipeline(transaction)


class Place:
    """One worker's names in the store."""

    def __init__(self, server: Valkey, folder: Path, prefix: str) -> None:
        self.redis = RedisSettings(f"unix://{server.socket}", connect_s=10.0, reply_s=10.0, pool_wait_s=10.0)
        self.client = connect(self.redis)
        self.prefix = prefix
        settings = StoreSettings(prefix=prefix, deadline_s=10.0)
        self.store, self.ledger = PolicyStore(self.client, settings), Ledger(self.client, settings)
        self.run = RunSettings(
            redis_url=self.redis.url, prefix=prefix, state=folder / prefix, name="w", checkpoint_s=3600
        )  # fmt: skip

    @asynccontextmanager
    async def worker(self, client: Any) -> AsyncIterator[asyncio.Task[None]]:
        process = FdsProcess(
            self.run,
            client,
            blocking=lambda: connect_blocking(self.redis, block_s=1.0),
            new_engine=CountingEngine,
            also=lambda event: None,
            tell=lambda decision: None,
        )
        task = asyncio.create_task(process.run())
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def attack(self) -> None:
        await self.store.establish(now_ms=now_ms(), epoch_randomness=os.urandom(8))
        events = [
            encode_event(Event(id=f"{self.prefix}{user}{number}", ts=now_ms(), gw="app", user=user, user_v=True))
            for user in USERS
            for number in range(ENOUGH)
        ]
        await self.client.xadd(stream_key(self.prefix, 0), {b"b": encode_blob(events, source="test")})

    async def all_is_there_once(self) -> None:
        keys = ShardKeys(self.prefix, 0)
        async with asyncio.timeout(30):
            done: Any = None
            while done is None or not done.endswith(b"/2"):
                await asyncio.sleep(0.02)
                done = await self.client.hget(keys.done, "done")
        page = await self.store.list()
        logged: Any = await self.client.xrange(keys.log)
        audited = [entry.to_dict()["target"] for entry in await self.ledger.audit_page()]
        assert sorted(policy.subject.user or "" for policy in page.policies) == list(USERS), self.prefix
        assert [fields[b"n"].rpartition(b"/")[2] for _, fields in logged] == [b"0", b"1", b"2"], self.prefix
        assert sorted(audited) == sorted(policy.id for policy in page.policies), self.prefix


async def answer_lost(place: Place, at: int, after: bool) -> None:
    async def cut() -> None:
        raise LineCut("cut")

    async with place.worker(Interrupted(place.client, at=at, after=after, what=cut)):
        await place.all_is_there_once()


async def stopped(place: Place, at: int, after: bool) -> None:
    """As SIGTERM does, while the store does not answer."""
    here = asyncio.Event()

    async def hang() -> None:
        here.set()
        await asyncio.sleep(3600)

    async with place.worker(Interrupted(place.client, at=at, after=after, what=hang)):
        await asyncio.wait_for(here.wait(), 20)
    async with place.worker(place.client):
        await place.all_is_there_once()


async def lease_lost(place: Place, at: int, after: bool) -> None:
    """As after a line that was cut for longer than a lease lasts."""

    async def lose() -> None:
        await place.client.delete(ShardKeys(place.prefix, 0).lease)
        if after:
            raise LineCut("cut")

    async with place.worker(Interrupted(place.client, at=at, after=after, what=lose)):
        await place.all_is_there_once()


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("interruption", [answer_lost, stopped, lease_lost])
async def test_interruption_at_any_write_of_a_blob_loses_and_doubles_no_decision(
    tmp_path: Path, interruption: Callable[[Place, int, bool], Coroutine[Any, Any, None]], after: bool
) -> None:
    async with valkey() as server:
        places = [Place(server, tmp_path, f"p{at}:") for at in range(WRITES + 1)]
        try:
            await asyncio.gather(*(place.attack() for place in places))
            async with places[0].worker(places[0].client):  # the store knows every script from then on
                await places[0].all_is_there_once()
            async with asyncio.TaskGroup() as group:
                for at, place in enumerate(places[1:], 1):
                    group.create_task(interruption(place, at, after))
        finally:
            for place in places:
                await place.client.aclose()
