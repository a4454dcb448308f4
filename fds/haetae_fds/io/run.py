"""A worker process: takes the shards that are free, works on them, and looks for more.

Every shard has its own engine, folder of checkpoints and lease. When a shard is lost the others go on. SIGTERM ends
with a last checkpoint, so that the next start has nothing to repeat.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from haetae_policy import StoreUnavailable
from haetae_policy.io.commands import Commands
from haetae_policy.io.connect import RedisSettings, connect, connect_blocking
from haetae_policy.io.ledger import Ledger
from haetae_policy.io.store import PolicyStore, StoreSettings
from haetae_policy.rules import DEFAULT_RULES, Rules
from redis.asyncio import Redis

from haetae_fds.decision import Decision
from haetae_fds.delivery.levels import all_shards
from haetae_fds.event import Event
from haetae_fds.io.checkpoints import CheckpointFolder
from haetae_fds.io.feedback import Labels
from haetae_fds.io.leases import Lease, LeaseLost, Leases
from haetae_fds.io.modes import Modes
from haetae_fds.io.worker import Counts, Observer, ShardWorker, WorkerSettings, added

_log = logging.getLogger("haetae.fds")
_SEARCH_SECONDS: Final = 1.0
_DEADLINE: Final = 2.0
_BLOCK_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """`shards`: as the gateways spread events. `most`: shards this process takes at most. `rules`: what the
    policies it makes must satisfy, as at the policy service.
    """

    redis_url: str
    prefix: str
    state: Path
    name: str
    shards: int = 1
    most: int = 64
    checkpoint_s: float = 10.0
    rules: Rules = DEFAULT_RULES


class FdsProcess:
    """Runs shard workers. `workers` are those at work now."""

    def __init__(
        self,
        settings: RunSettings,
        client: Redis,
        *,
        blocking: Callable[[], Redis],
        new_engine: Callable[[], Observer],
        also: Callable[[Event], None],
        tell: Callable[[Decision], None],
    ) -> None:
        self._settings = settings
        self._commands = Commands(client, deadline_s=_DEADLINE)
        self._blocking = blocking
        self._new_engine = new_engine
        self._also = also
        self._tell = tell
        self._labels = Labels(self._commands, prefix=settings.prefix)
        self._leases = Leases(self._commands, worker=settings.name, prefix=settings.prefix)
        self._modes = Modes(self._commands, prefix=settings.prefix)
        self._store = PolicyStore(client, StoreSettings(prefix=settings.prefix), rules=settings.rules)
        # One for all shards: they take their places in the audit trail one after another, not against each other.
        self._ledger = Ledger(client, StoreSettings(prefix=settings.prefix), rules=settings.rules)
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._past: dict[int, Counts] = {}
        self.workers: dict[int, ShardWorker] = {}
        self.ready = False

    @property
    def shards(self) -> int:
        """How many shards there are, those by identity among them."""
        return all_shards(self._settings.shards)

    def totals(self) -> dict[int, Counts]:
        """What was counted per shard since the process started, whoever had it in between."""
        found = dict(self._past)
        for shard, worker in self.workers.items():
            found[shard] = added(found[shard], worker.counts) if shard in found else worker.counts
        return found

    async def run(self) -> None:
        """Work until cancelled; then write the last checkpoints."""
        try:
            while True:
                self._clear()
                await self._take_free()
                await asyncio.sleep(_SEARCH_SECONDS)
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _take_free(self) -> None:
        for shard in range(self.shards):
            if shard in self._tasks or len(self._tasks) >= self._settings.most:
                continue
            self.ready = False
            with suppress(StoreUnavailable):
                lease = await self._leases.take(shard)
                self.ready = True
                if lease is not None:
                    _log.info("working on shard %d", shard)
                    self._tasks[shard] = asyncio.create_task(self._work(shard, lease), name=f"shard-{shard}")

    async def _work(self, shard: int, lease: Lease) -> None:
        # A connection of its own: while it waits for entries it can do nothing else.
        blocking = self._blocking()
        try:
            worker = self.workers[shard] = ShardWorker(
                lease,
                commands=self._commands,
                blocking=Commands(blocking, deadline_s=_DEADLINE),
                leases=self._leases,
                store=self._store,
                ledger=self._ledger,
                modes=self._modes,
                folder=CheckpointFolder(self._settings.state / f"shard-{shard}"),
                settings=WorkerSettings(
                    checkpoint_s=self._settings.checkpoint_s, shards=self._settings.shards, rules=self._settings.rules
                ),
                new_engine=self._new_engine,
                clock_ms=lambda: time.time_ns() // 1_000_000,
                labels=self._labels,
                also=self._also,
                tell=self._tell,
            )
            await worker.run()
        finally:
            await blocking.aclose()

    def _clear(self) -> None:
        for shard, task in list(self._tasks.items()):
            if not task.done():
                continue
            del self._tasks[shard]
            worker = self.workers.pop(shard, None)
            if worker is not None:
                self._past[shard] = added(self._past.get(shard, Counts()), worker.counts)
            error = task.exception()
            if isinstance(error, LeaseLost):
                _log.warning("shard %d is somebody else's now", shard)
            elif error is not None:
                _log.error("shard %d failed and is taken up again", shard, exc_info=error)


@asynccontextmanager
async def fds_process(
    settings: RunSettings,
    *,
    new_engine: Callable[[], Observer],
    also: Callable[[Event], None] = lambda event: None,
    tell: Callable[[Decision], None] = lambda decision: None,
) -> AsyncIterator[FdsProcess]:
    """Connect, and hand over a process that is ready to `run`. `also` sees every event, `tell` every decision."""
    redis = RedisSettings(settings.redis_url, connect_s=1.0, reply_s=_DEADLINE, pool_wait_s=1.0)
    client = connect(redis)
    try:
        yield FdsProcess(
            settings,
            client,
            blocking=lambda: connect_blocking(redis, block_s=_BLOCK_SECONDS),
            new_engine=new_engine,
            also=also,
            tell=tell,
        )
    finally:
        await client.aclose()
