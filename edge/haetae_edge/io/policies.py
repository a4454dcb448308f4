"""Block policies of one worker: the table in memory, the feed that keeps it in step, throttles, records of refusals.

With Redis away the table stays and ages by itself. A change that names a user or device also drops what is remembered
of them elsewhere (device records, contexts, tokens) before the next request is looked at, and ends what they hold open.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Final, Self

from haetae_policy import ApiFacts, Facts, Record, Verdict
from haetae_policy.changes import Arrived, ArrivedTogether, News
from haetae_policy.errors import StoreUnavailable
from haetae_policy.feed import FeedState
from haetae_policy.io.connect import RedisSettings as Connection
from haetae_policy.io.connect import connect, connect_blocking
from haetae_policy.io.follower import FeedSettings, PolicyFeed
from haetae_policy.io.refusals import Refusal, RefusalStore
from haetae_policy.io.store import PolicyStore, StoreSettings
from haetae_policy.model import Subject
from haetae_policy.protected import ALWAYS_PROTECTED
from haetae_policy.table import PolicyTable
from haetae_policy.throttle import TokenBuckets
from redis.asyncio import Redis

from haetae_edge.blast_radius import BlastRadius
from haetae_edge.config.gateway import RedisSettings
from haetae_edge.metrics import Gauge

_log = logging.getLogger("haetae.policies")
_BEAT_SECONDS: Final = 5.0
_MAX_RECORDS_WAITING: Final = 10_000


class EdgePolicies:
    """An async context manager: entering starts the feed, without waiting for it."""

    def __init__(self, settings: RedisSettings, *, worker: str) -> None:
        self._settings = settings
        self._store_settings = StoreSettings(prefix=settings.prefix)
        self._worker = worker
        # A client or account that a machine refuses may be a health check's or a neighbour's, too.
        self._table = PolicyTable(machine_exempt=ALWAYS_PROTECTED)
        self._buckets = TokenBuckets()
        self.radius = BlastRadius(started_ms=int(time.time() * 1000))
        self._records: asyncio.Queue[tuple[str, Refusal]] = asyncio.Queue(_MAX_RECORDS_WAITING)
        self._listeners: list[Callable[[Subject], None]] = []
        self._changes: list[Callable[[], None]] = []
        self._puts: list[Callable[[Record], None]] = []
        self._stack = AsyncExitStack()
        self._feed: PolicyFeed | None = None
        self._clients: list[Redis] = []
        self._failed = False
        self._on_failure: list[Callable[[], None]] = []
        self.records_dropped = 0

    async def __aenter__(self) -> Self:
        client = self._client(pool=8, seconds=1.0)
        settings = FeedSettings()
        reader = connect_blocking(self._connection(pool=2, seconds=1.0), block_s=settings.block_s)
        self._clients.append(reader)
        self._feed = PolicyFeed(
            client=client,
            reader=reader,
            table=self._table,
            worker=self._worker,
            store=self._store_settings,
            settings=settings,
            on_change=self._changed,
            on_snapshot=self._tell_changed,
        )
        refusals = RefusalStore(client, prefix=self._settings.prefix)
        for work in (self._feed.run(), self._beat(PolicyStore(client, self._store_settings)), self._record(refusals)):
            task = asyncio.create_task(work)
            task.add_done_callback(self._ended)
            self._stack.push_async_callback(_end, task)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()
        for client in self._clients:
            await client.aclose()

    def _client(self, *, pool: int, seconds: float) -> Redis:
        client = connect(self._connection(pool=pool, seconds=seconds))
        self._clients.append(client)
        return client

    def _connection(self, *, pool: int, seconds: float) -> Connection:
        return Connection(url=self._settings.uri, pool=pool, connect_s=seconds, reply_s=seconds, pool_wait_s=seconds)

    # -- on the request path -----------------------------------------------------------------------------------------

    def check_early(self, ip: int, api: ApiFacts, now_ms: int) -> Verdict | None:
        """What address and API alone decide."""
        return self._table.check_early(ip, api, now_ms)

    def check(
        self,
        facts: Facts,
        api: ApiFacts,
        now_ms: int,
        *,
        observed: list[Verdict] | None = None,
        machines: bool = True,
    ) -> Verdict | None:
        """What everything known of the caller decides; without `machines`, what people alone decided."""
        return self._table.check(facts, api, now_ms, observed=observed, machines=machines)

    def within_rate(self, verdict: Verdict, now_ms: int) -> bool:
        """Take one token of a throttle's bucket; False when it is empty."""
        if verdict.rate is None or verdict.bucket is None:
            return False
        return self._buckets.take(verdict.bucket, verdict.rate, now_ms) == 0

    def note_refusal(self, reference: str, refusal: Refusal) -> None:
        """Keep what a reference stands for, written in the background; dropped and counted when Redis is slow."""
        try:
            self._records.put_nowait((reference, refusal))
        except asyncio.QueueFull:
            self.records_dropped += 1

    # -- beside it ---------------------------------------------------------------------------------------------------

    @property
    def loaded(self) -> bool:
        """Whether a whole snapshot has been applied; it stays loaded when Redis goes away later."""
        return self._feed is not None and self._feed.followed

    async def wait_loaded(self) -> None:
        """Return once a whole snapshot has been applied."""
        if self._feed is not None:
            await self._feed.wait_following()

    async def first_snapshot(self, *, quiet_s: float, most_s: float) -> bool:
        """Wait for a whole snapshot and return True; False after `quiet_s` without a policy coming in, or `most_s`."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + most_s
        while not self.loaded:
            before = len(self._table)
            try:
                async with asyncio.timeout(min(quiet_s, max(0.0, ends - loop.time()))):
                    await self.wait_loaded()
            except TimeoutError:
                if len(self._table) == before or loop.time() >= ends:
                    return self.loaded
        return True

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` after every change of the table. It must be quick and not raise."""
        self._changes.append(listener)

    def on_failure(self, listener: Callable[[], None]) -> None:
        """Call `listener` when the background work ended by a fault: blocks made from then on would not arrive here."""
        self._on_failure.append(listener)
        if self._failed:
            listener()

    def on_subject(self, listener: Callable[[Subject], None]) -> None:
        """Call `listener` with the subject of every policy that takes effect. It must be quick and not raise."""
        self._listeners.append(listener)

    def on_put(self, listener: Callable[[Record], None]) -> None:
        """Call `listener` with every policy that takes effect, as `on_subject` with its subject."""
        self._puts.append(listener)

    def gauges(self) -> tuple[Gauge, ...]:
        """What metrics say of the feed."""
        return (
            Gauge("haetae_policy_sequence", "Policy log entries applied.", lambda: self._status("seq")),
            Gauge("haetae_policies", "Policies held.", lambda: len(self._table)),
            Gauge(
                "haetae_policy_age_seconds", "Since the store last agreed; -1 before.", lambda: self._status("age_s")
            ),
            Gauge("haetae_policies_kept", "Policies in force that the store has lost.", lambda: self._status("kept")),
            Gauge("haetae_policy_following", "1 while the feed is in step.", self._following),
            Gauge(
                "haetae_policy_spared",
                "Refusals by machines' policies that were too many in five minutes, so that the request went on.",
                lambda: self.radius.spared,
                counter=True,
            ),
            Gauge(
                "haetae_refusal_records_dropped",
                "Refusals whose record was lost.",
                lambda: self.records_dropped,
                counter=True,
            ),
        )

    def _status(self, name: str) -> float:
        value = getattr(self._feed.status(), name) if self._feed is not None else None
        return -1.0 if value is None else float(value)

    def _following(self) -> float:
        return float(self._feed is not None and self._feed.status().state is FeedState.FOLLOWING)

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is None:
            return
        self._failed = True
        _log.critical("the work on block policies failed; this worker must end", exc_info=error)
        for listener in self._on_failure:
            listener()

    def _changed(self, change: News) -> None:
        if isinstance(change, Arrived):
            change = ArrivedTogether((change.encoded,), change.seq)
        if isinstance(change, ArrivedTogether):
            for subject in change.subjects():
                for listener in self._listeners:
                    listener(subject)
            for put in self._puts:
                for record in change.records():
                    put(record)
        self._tell_changed()

    def _tell_changed(self) -> None:
        for changed in self._changes:
            changed()

    async def _beat(self, store: PolicyStore) -> None:
        """Keep the log's heartbeat going; whoever comes first in an interval writes it."""
        while True:
            try:
                now_ms = int(time.time() * 1000)
                if not self.loaded:  # who has followed a log never makes another one
                    await store.establish(now_ms=now_ms, epoch_randomness=os.urandom(8))
                await store.beat(now_ms=now_ms)
                await store.purge()
            except StoreUnavailable:
                pass  # the feed says so in its own metrics; the next beat tries again
            await asyncio.sleep(_BEAT_SECONDS)

    async def _record(self, refusals: RefusalStore) -> None:
        while True:
            reference, refusal = await self._records.get()
            try:
                await refusals.record(reference, refusal)
            except StoreUnavailable:
                self.records_dropped += 1


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
