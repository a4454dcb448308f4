"""A console of its own for each test."""

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from tests.policy_api.console.desk import Console, console


@pytest.fixture
async def desk(client: Redis) -> AsyncIterator[Console]:
    async with console(client) as made:
        yield made
