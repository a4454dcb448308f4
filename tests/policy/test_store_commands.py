"""A command to the store ends when its task is told to end, however the client library takes the cancellation."""

import asyncio
from typing import Any

import pytest
from haetae_policy.errors import StoreUnavailable
from haetae_policy.io.commands import Commands
from redis.exceptions import ResponseError


class Swallowing:
    """A client that loses the first cancellation, as redis-py does before Python 3.12 (python/cpython#86296)."""

    def __init__(self, *, fails: bool) -> None:
        self.started = asyncio.Event()
        self._fails = fails
        self._lost = False

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        self.started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if self._lost:
                raise
            self._lost = True
            if self._fails:
                raise ResponseError("the stream is gone") from None
        return b"OK"

    def pipeline(self, transaction: bool = True) -> Any:
        raise AssertionError("not used here")


@pytest.mark.parametrize("fails", [False, True])
async def test_task_that_repeats_a_command_ends_when_told_although_the_client_lost_the_word(fails: bool) -> None:
    client = Swallowing(fails=fails)
    commands = Commands(client, deadline_s=5.0)

    async def forever() -> None:
        while True:
            try:
                await commands.call("PING")
            except StoreUnavailable:
                continue

    task = asyncio.create_task(forever())
    await client.started.wait()
    task.cancel()
    done, _ = await asyncio.wait((task,), timeout=3.0)
    assert done
    assert task.cancelled()


async def test_own_deadline_is_a_store_that_is_away_and_no_cancellation() -> None:
    commands = Commands(Swallowing(fails=True), deadline_s=0.01)
    with pytest.raises(StoreUnavailable):
        await commands.call("PING")
