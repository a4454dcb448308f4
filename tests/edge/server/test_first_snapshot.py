"""A worker that starts waits for its policies as long as they are coming in."""

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from haetae_edge.config.gateway import RedisSettings
from haetae_edge.io.policies import EdgePolicies
from haetae_policy import Subject
from haetae_policy.io.connect import RedisSettings as Connection
from haetae_policy.io.connect import connect
from haetae_policy.io.store import PolicyStore, StoreSettings

from tests.policy.conftest import run_server, valkey_binary
from tests.simulator.stored_policies import block_of

MANY = 12_000
PIECE_S = 0.1
QUIET_S = 0.7


@pytest.fixture(scope="module")
def redis_uri() -> Iterator[str]:
    for server in run_server(valkey_binary()):
        yield server.settings.url


@asynccontextmanager
async def slow_link(redis_uri: str, folder: Path) -> AsyncIterator[str]:
    """The store behind a link that takes a moment for every large piece of an answer."""
    tasks: set[asyncio.Task[None]] = set()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while piece := await reader.read(1 << 20):
                await asyncio.sleep(PIECE_S if len(piece) > 10_000 else 0)
                writer.write(piece)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        here, there = await asyncio.open_unix_connection(urlsplit(redis_uri).path, limit=1 << 20)
        tasks.update(asyncio.create_task(pass_on(*ends)) for ends in ((reader, there), (here, writer)))

    server = await asyncio.start_unix_server(serve, folder / "s")
    try:
        yield f"unix://{folder / 's'}"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def fill(redis_uri: str, prefix: str) -> None:
    now_ms = int(time.time()) * 1000
    made = [block_of(Subject(user=f"u-{number}"), now_ms=now_ms) for number in range(MANY)]
    client = connect(Connection(url=redis_uri, reply_s=20.0, pool_wait_s=5.0))
    try:
        store = PolicyStore(client, StoreSettings(prefix=prefix, deadline_s=20.0))
        await store.add_many(made, now_ms=now_ms, epoch_randomness=os.urandom(8))
    finally:
        await client.aclose()


async def test_worker_waits_on_while_policies_come_in_and_tells_once_that_they_are_there(redis_uri: str) -> None:
    prefix = f"snap-{os.urandom(4).hex()}:"
    await fill(redis_uri, prefix)
    told: list[int] = []
    # A unix socket's path is limited to about 100 bytes, which pytest's own folders exceed.
    with tempfile.TemporaryDirectory(prefix="hs") as folder:
        async with (
            slow_link(redis_uri, Path(folder)) as uri,
            EdgePolicies(RedisSettings(uri=uri, prefix=prefix), worker="w") as policies,
        ):
            policies.on_change(lambda: told.append(1))
            subjects: list[Subject] = []
            policies.on_subject(subjects.append)
            began = asyncio.get_running_loop().time()
            assert await policies.first_snapshot(quiet_s=QUIET_S, most_s=50.0)
            took = asyncio.get_running_loop().time() - began
            assert took > QUIET_S, "without looking at what came in, the wait would have ended in vain"
            assert policies.loaded
            assert told == [1]
            assert subjects == []


async def test_worker_without_a_store_waits_only_the_short_time() -> None:
    nowhere = RedisSettings(uri="unix:///nonexistent/socket", prefix="haetae:")
    async with EdgePolicies(nowhere, worker="w") as policies:
        assert not await policies.first_snapshot(quiet_s=0.05, most_s=60.0)


async def test_worker_does_not_wait_longer_than_the_most_even_while_policies_come_in(redis_uri: str) -> None:
    async with EdgePolicies(
        RedisSettings(uri=redis_uri, prefix=f"none-{os.urandom(4).hex()}:"), worker="w"
    ) as policies:
        assert not await policies.first_snapshot(quiet_s=60.0, most_s=0.0)
