"""A worker that starts waits for its policies as long as they are coming in."""

import os
import time
from collections.abc import Iterator

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


@pytest.fixture(scope="module")
def redis_uri() -> Iterator[str]:
    for server in run_server(valkey_binary()):
        yield server.settings.url


async def test_worker_waits_on_while_policies_come_in_and_tells_once_that_they_are_there(redis_uri: str) -> None:
    prefix, now_ms = f"snap-{os.urandom(4).hex()}:", int(time.time()) * 1000
    client = connect(Connection(url=redis_uri, reply_s=5.0, pool_wait_s=5.0))
    store = PolicyStore(client, StoreSettings(prefix=prefix, deadline_s=5.0))
    made = [block_of(Subject(user=f"u-{number}"), now_ms=now_ms) for number in range(MANY)]
    await store.add_many(made, now_ms=now_ms, epoch_randomness=os.urandom(8))
    told: list[int] = []
    async with EdgePolicies(RedisSettings(uri=redis_uri, prefix=prefix), worker="w") as policies:
        policies.on_change(lambda: told.append(1))
        subjects: list[Subject] = []
        policies.on_subject(subjects.append)
        # Far less than the snapshot takes: without looking at what came in, the wait would end in vain.
        assert await policies.first_snapshot(quiet_s=0.02, most_s=60.0)
        assert policies.loaded
        assert told == [1]
        assert subjects == []
    await client.aclose()


async def test_worker_without_a_store_waits_only_the_short_time() -> None:
    nowhere = RedisSettings(uri="unix:///nonexistent/socket", prefix="haetae:")
    async with EdgePolicies(nowhere, worker="w") as policies:
        assert not await policies.first_snapshot(quiet_s=0.05, most_s=60.0)


async def test_worker_does_not_wait_longer_than_the_most_even_while_policies_come_in(redis_uri: str) -> None:
    async with EdgePolicies(
        RedisSettings(uri=redis_uri, prefix=f"none-{os.urandom(4).hex()}:"), worker="w"
    ) as policies:
        assert not await policies.first_snapshot(quiet_s=60.0, most_s=0.0)
