"""A real Valkey for the policy service's tests, one per test process; and one of a test's own, to be killed."""

from collections.abc import AsyncIterator, Iterator

import pytest
from haetae_policy.io.connect import connect
from redis.asyncio import Redis

from tests.policy.conftest import Server, run_server, valkey_binary


@pytest.fixture(scope="session")
def valkey() -> Iterator[Server]:
    yield from run_server(valkey_binary())


@pytest.fixture
def own_valkey() -> Iterator[Server]:
    yield from run_server(valkey_binary())


@pytest.fixture
async def client(valkey: Server) -> AsyncIterator[Redis]:
    made = connect(valkey.settings)
    await made.flushall()
    yield made
    await made.aclose()
