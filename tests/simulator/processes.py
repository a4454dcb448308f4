"""A whole gateway as its own processes: supervisor and workers, started as an operator starts them."""

import asyncio
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.simulator.client import BrokenOff, Client, connect

_SERVES = re.compile(rb"serves on 127\.0\.0\.1:(\d+) .*, pid (\d+)")

_GATEWAY = """\
name: processes
profile: plain
access-log:
  target: "off"
limits:
  drain-timeout: 4s
{more}
"""
_ROUTES = """\
routes:
- id: everything
  uri: http://127.0.0.1:{port}
  predicates:
  - Path=/**
"""


class Configuration:
    """A gateway's directory, in which a test changes what the next reload reads."""

    def __init__(self, folder: Path, *, upstream: int) -> None:
        self.folder = folder
        (folder / "routes").mkdir(parents=True)
        self.write()
        (folder / "routes" / "all.yaml").write_text(_ROUTES.format(port=upstream))

    def write(self, more: str = "") -> None:
        """Write `gateway.yaml` with these additional lines."""
        (self.folder / "gateway.yaml").write_text(_GATEWAY.format(more=more))


@dataclass(slots=True)
class GatewayProcesses:
    """A running supervisor. `log` is what it and its workers wrote to stderr so far."""

    process: Process
    port: int = 0
    log: bytearray = field(default_factory=bytearray)
    _written: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def pid(self) -> int:
        """The supervisor's process id."""
        return self.process.pid

    def workers(self) -> set[int]:
        """Process ids of the living workers; empty once the supervisor is gone."""
        try:
            children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        except OSError:
            return set()
        return {int(pid) for pid in children.split() if is_alive(int(pid))}

    def signal(self, signum: signal.Signals) -> None:
        """Send a signal to the supervisor."""
        os.kill(self.pid, signum)

    async def until_logged(self, pattern: bytes) -> re.Match[bytes]:
        """Wait until the log contains something."""
        async with asyncio.timeout(20):
            while (found := re.search(pattern, bytes(self.log))) is None:
                self._written.clear()
                await self._written.wait()
        return found

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        """A new connection to it."""
        async with connect(self.port) as client:
            yield client

    async def _read_log(self) -> None:
        assert self.process.stderr is not None
        while piece := await self.process.stderr.read(65_536):
            self.log += piece
            self._written.set()
        self._written.set()


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that waits for its parent to notice its end does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


async def until_ended(*pids: int) -> None:
    """Wait until processes are gone."""
    async with asyncio.timeout(20):
        while any(is_alive(pid) for pid in pids):  # noqa: ASYNC110 - they are not our children
            await asyncio.sleep(0.01)


@asynccontextmanager
async def gateway_processes(configuration: Configuration, *, workers: int) -> AsyncIterator[GatewayProcesses]:
    """Start the gateway on a free port and wait until every worker serves. At the end nothing of it is left."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "haetae_edge", "--config", str(configuration.folder)),
        *("--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--workers", str(workers)),
        stderr=PIPE,
    )
    running = GatewayProcesses(process)
    reading = asyncio.create_task(running._read_log())
    started: set[int] = set()
    try:
        running.port = int((await running.until_logged(_SERVES.pattern)).group(1))
        started = running.workers()
        yield running
    finally:
        started |= running.workers()
        for pid in (process.pid, *started):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await process.wait()
        await until_ended(*started)
        # With the last of them the pipe ends, and its transport; a loop must not be closed before.
        async with asyncio.timeout(10):
            await reading


@dataclass(slots=True)
class Load:
    """Clients that ask one unique target after another and obey `Connection: close`."""

    answered: int = 0
    failures: list[str] = field(default_factory=list)
    last_headers: dict[bytes, bytes] = field(default_factory=dict)

    async def until_answered(self, more: int) -> None:
        """Wait until so many further requests have been answered."""
        goal = self.answered + more
        async with asyncio.timeout(20):
            while self.answered < goal:  # noqa: ASYNC110 - counted in a dozen places
                await asyncio.sleep(0.005)


@asynccontextmanager
async def load(gateway: GatewayProcesses, *, clients: int) -> AsyncIterator[Load]:
    """Keep asking until the end of the block."""
    state = Load()
    tasks = [asyncio.create_task(_ask_on(gateway, state, number)) for number in range(clients)]
    try:
        yield state
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _ask_on(gateway: GatewayProcesses, state: Load, number: int) -> None:
    count = 0
    while True:
        try:
            async with gateway.client() as client:
                closes = False
                while not closes:
                    count += 1
                    target = b"/%d/%d" % (number, count)
                    answer = await client.ask(b"GET %b HTTP/1.1\r\nHost: api.test\r\n\r\n" % target)
                    if answer.body != b"answer to GET " + target:
                        state.failures.append(f"{answer.status} {answer.body!r}")
                    closes = answer.says_close
                    state.answered += 1
                    state.last_headers = dict(answer.fields)
        except (BrokenOff, OSError) as error:
            state.failures.append(repr(error))
