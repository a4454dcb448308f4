"""One way to send a command or a script: bounded in time, foreign exceptions translated, replies as plain values."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha1
from typing import Any, Protocol

from redis.exceptions import NoScriptError, RedisError

from haetae_policy.errors import StoreUnavailable

Argument = str | bytes | int


class Executor(Protocol):
    """What is needed of a redis-py client, single or cluster."""

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send one command and return the parsed reply."""

    def pipeline(self, transaction: Any = ...) -> Any:
        """Return an object that collects commands and sends them together."""


class Script:
    """A Lua script and its digest."""

    __slots__ = ("sha", "source")

    def __init__(self, source: str) -> None:
        self.source = source
        self.sha = sha1(source.encode(), usedforsecurity=False).hexdigest()


class Commands:
    """Sends commands through one client, each within `deadline_s` seconds; raises StoreUnavailable."""

    __slots__ = ("_client", "_deadline_s")

    def __init__(self, client: Executor, *, deadline_s: float) -> None:
        self._client = client
        self._deadline_s = deadline_s

    async def call(self, *args: Argument, deadline_s: float | None = None) -> Any:
        """Send one command."""
        with _cancellable(), _translated():
            async with asyncio.timeout(self._deadline_s if deadline_s is None else deadline_s):
                return await self._client.execute_command(*args)

    async def run(self, script: Script, keys: Sequence[str], args: Sequence[Argument]) -> Any:
        """Run a script by digest, sending its text when the server does not know it (it then did nothing)."""
        with _cancellable(), _translated():
            async with asyncio.timeout(self._deadline_s):
                try:
                    return await self._client.execute_command("EVALSHA", script.sha, len(keys), *keys, *args)
                except NoScriptError:
                    return await self._client.execute_command("EVAL", script.source, len(keys), *keys, *args)

    async def run_many(self, script: Script, runs: Sequence[tuple[Sequence[str], Sequence[Argument]]]) -> list[Any]:
        """Run a script once for each (keys, arguments), each for itself, in one round trip; return the replies."""
        with _cancellable(), _translated():
            async with asyncio.timeout(self._deadline_s):
                pipe = self._client.pipeline(transaction=False)
                for number, (keys, args) in enumerate(runs):
                    # The first run brings the script along, so that the server knows it for the others.
                    name, body = ("EVALSHA", script.sha) if number else ("EVAL", script.source)
                    pipe.execute_command(name, body, len(keys), *keys, *args)
                replies: list[Any] = await pipe.execute()
                return replies


@contextmanager
def _cancellable() -> Iterator[None]:
    """Raise CancelledError at the end if this task has been asked to stop, also where the command failed meanwhile.

    redis-py sends with `asyncio.wait_for`, which before Python 3.12 swallows a cancellation that arrives together
    with the result (python/cpython#86296); a task that loops over commands would then never end.
    """
    try:
        yield
    finally:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise asyncio.CancelledError


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise StoreUnavailable("Redis did not answer in time") from error
    except (RedisError, OSError) as error:
        raise StoreUnavailable(f"Redis refused or is away: {type(error).__name__}") from error
