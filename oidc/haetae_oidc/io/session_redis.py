"""The connection to the session store: every call bounded in time, nothing repeated that may not be, errors translated.

Rules kept: no retries by redis-py, which would turn a lost reply to a one-time claim into a false answer. A read, which
changes nothing, is sent once more when its connection turns out to be dead, within the same deadline: that is how the
first request after a restart of the store is served.

Not done here: what the keys mean; see `session_store.py`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError

from haetae_oidc.errors import SessionStoreUnavailable
from haetae_oidc.io.session_scripts import Script

CONNECTIONS: Final = 32
Word = str | bytes | int


def connect(url: str, *, deadline: float, reply: float | None = None) -> Redis:
    """A client that fails within `deadline` seconds; `reply` is for connections that wait longer for messages."""
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=CONNECTIONS,
        timeout=deadline,
        socket_timeout=deadline if reply is None else reply,
        socket_connect_timeout=deadline,
        retry=Retry(NoBackoff(), 0),
        retry_on_error=[],
        health_check_interval=0,
        protocol=2,
        decode_responses=False,
    )
    return Redis.from_pool(pool)


class SessionRedis:
    """Commands and scripts, each within the deadline. Raises SessionStoreUnavailable."""

    __slots__ = ("_client", "_deadline")

    def __init__(self, url: str, *, deadline: float) -> None:
        self._client: Any = connect(url, deadline=deadline)  # its commands carry no types
        self._deadline = deadline

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def read(self, *words: Word) -> Any:
        """Send a command that changes nothing."""
        return await self._within(lambda: self._send_again(words))

    async def call(self, *words: Word) -> Any:
        """Send a command once."""
        return await self._within(lambda: self._client.execute_command(*words))

    async def run(self, script: Script, key: str, *args: Word) -> Any:
        """Run a script once; its text goes along when the server does not know it and so did nothing."""
        return await self._within(lambda: self._run(script, key, args))

    async def read_many(self, commands: list[tuple[Word, ...]]) -> list[Any]:
        """Send commands that change nothing in one round trip."""

        async def send() -> list[Any]:
            pipe = self._client.pipeline(transaction=False)
            for words in commands:
                pipe.execute_command(*words)
            replies: list[Any] = await pipe.execute()
            return replies

        replies: list[Any] = await self._within(send)
        return replies

    async def _send_again(self, words: tuple[Word, ...]) -> Any:
        try:
            return await self._client.execute_command(*words)
        except RedisConnectionError:
            await self._client.connection_pool.disconnect(inuse_connections=False)
            return await self._client.execute_command(*words)

    async def _run(self, script: Script, key: str, args: tuple[Word, ...]) -> Any:
        try:
            return await self._client.execute_command("EVALSHA", script.sha, 1, key, *args)
        except NoScriptError:
            return await self._client.execute_command("EVAL", script.source, 1, key, *args)

    async def _within(self, send: Callable[[], Awaitable[Any]]) -> Any:
        with translated():
            async with asyncio.timeout(self._deadline):
                reply = await send()
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            # redis-py sends with `wait_for`, which before Python 3.12 may swallow a cancellation (cpython#86296).
            raise asyncio.CancelledError
        return reply


@contextmanager
def translated() -> Iterator[None]:
    """Errors of the store in the terms of this package."""
    try:
        yield
    except TimeoutError as why:
        raise SessionStoreUnavailable("the session store did not answer in time") from why
    except (RedisError, OSError) as why:
        raise SessionStoreUnavailable(f"the session store refused or is away: {type(why).__name__}") from why
