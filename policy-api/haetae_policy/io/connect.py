"""Redis clients with settings that fail fast and never repeat a command on their own.

redis-py's defaults wait seconds and retry: a hung server takes over seven seconds to fail, and a repeated
`SET NX` or script turns a lost reply into a false answer. Here a pool waits for a free connection instead of raising,
nothing is retried, and every wait is short. Callers still bound each operation as a whole (`asyncio.timeout`).

Create clients after forking and inside the event loop that uses them; close them with `await client.aclose()`.
"""

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

_SCHEMES: Final = frozenset({"redis", "rediss", "unix"})


@dataclass(frozen=True, slots=True)
class RedisSettings:
    """Where Redis is and how long to wait for it, in seconds.

    `url`: `redis://`, `rediss://` (TLS) or `unix://`. `pool`: connections per client; a caller waits at most
    `pool_wait_s` for one.
    """

    url: str
    pool: int = 32
    connect_s: float = 0.25
    reply_s: float = 0.25
    pool_wait_s: float = 0.25

    def __post_init__(self) -> None:
        if urlsplit(self.url).scheme not in _SCHEMES:
            raise ValueError("a Redis URL starts with redis://, rediss:// or unix://")
        if self.pool < 1 or min(self.connect_s, self.reply_s, self.pool_wait_s) <= 0:
            raise ValueError("pool size and waits must be positive")


def connect(settings: RedisSettings) -> Redis:
    """Return a client for commands that answer at once. Connects on first use; replies are bytes."""
    return _client(settings, reply_s=settings.reply_s, pool=settings.pool)


def connect_blocking(settings: RedisSettings, *, block_s: float) -> Redis:
    """Return a client for one reader of blocking commands that wait up to `block_s` seconds at the server."""
    return _client(settings, reply_s=block_s + settings.reply_s, pool=2)


def _client(settings: RedisSettings, *, reply_s: float, pool: int) -> Redis:
    connections = BlockingConnectionPool.from_url(
        settings.url,
        max_connections=pool,
        timeout=settings.pool_wait_s,
        socket_timeout=reply_s,
        socket_connect_timeout=settings.connect_s,
        retry=Retry(NoBackoff(), 0),
        retry_on_error=[],
        health_check_interval=0,
        protocol=2,
        decode_responses=False,
    )
    return Redis.from_pool(connections)
