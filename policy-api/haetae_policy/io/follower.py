"""The task that keeps one edge worker's table in step with the store.

It loads a snapshot in small steps (the event loop never waits more than a few milliseconds), then reads the log with
a blocking read; on a gap or a disagreement it loads a new snapshot after a random pause, so that a fleet does not
stampede. With Redis away it keeps the table, which ages by itself, and comes back with jittered, growing pauses.
What it has applied goes to `WorkerReports` beside the reading, never in its way.

`on_change` is called for every change that took effect, after it did, in the event loop: it must be quick and must
not raise. Policies of the first snapshot are not announced one by one: `on_snapshot` is called once they are all in.
Policies dropped because a new snapshot lacks them are not announced: nothing is to be closed for them.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import random
from typing import Any, Final

from haetae_policy.changes import ArrivedTogether, News
from haetae_policy.entries import MAX_TOGETHER, Head, decode_entry, decode_head
from haetae_policy.errors import FeedCorrupt, StoreUnavailable
from haetae_policy.feed import FeedFollower, FeedState
from haetae_policy.io.commands import Commands, Executor
from haetae_policy.io.keys import Keys
from haetae_policy.io.store import StoreSettings
from haetae_policy.io.workers import RECENT, WorkerReport, WorkerReports
from haetae_policy.table import PolicyTable

_log = logging.getLogger("haetae.policy")
_LOAD_TOGETHER: Final = MAX_TOGETHER
_FEED_TOGETHER: Final = 1  # an entry may hold that many, too
_LONGEST_HERD: Final = 4  # doublings of the pause between snapshots that do not help


@dataclass(frozen=True, slots=True)
class FeedSettings:
    """Pace of the follower, in seconds except where said.

    `block_s`: how long one read waits at the server; also how soon a dead server is noticed. `step_ms`: longest
    piece of work between two turns of the event loop. `herd_s`: largest random pause before a repeated snapshot.
    `quiet_s`: how long the log may say nothing, not even a heartbeat, before it is asked whether it still exists.
    """

    block_s: float = 1.0
    answer_s: float = 1.0
    step_ms: float = 2.0
    scan_count: int = 1000
    read_count: int = 100
    herd_s: float = 2.0
    quiet_s: float = 6.0
    pause_s: float = 0.05
    longest_pause_s: float = 2.0
    report_gap_s: float = 0.05
    report_every_s: float = 5.0
    sweep_every_s: float = 0.5
    sweep_limit: int = 2000


@dataclass(frozen=True, slots=True)
class FeedStatus:
    """For metrics. `age_s`: since Redis last confirmed that nothing newer is known, None before the first time.
    `kept`: policies that the present log lacks. `latency_ms`: from issue to effect of the newest change applied."""

    state: FeedState
    reason: str
    epoch: str
    seq: int
    policies: int
    unreadable: int
    kept: int
    age_s: float | None
    latency_ms: int | None
    snapshots: int
    failures: int


class PolicyFeed:
    """Runs a follower. `client` serves ordinary commands, `reader` (see `connect_blocking`) the blocking reads."""

    def __init__(
        self,
        *,
        client: Executor,
        reader: Executor,
        table: PolicyTable,
        worker: str,
        store: StoreSettings,
        settings: FeedSettings | None = None,
        on_change: Callable[[News], None] | None = None,
        on_snapshot: Callable[[], None] | None = None,
        clock: Callable[[], float] = time.time,
        chance: Callable[[], float] = random,
    ) -> None:
        self._settings = settings = settings or FeedSettings()
        self._commands = Commands(client, deadline_s=settings.answer_s)
        self._reader = Commands(reader, deadline_s=settings.block_s + settings.answer_s)
        self._reports = WorkerReports(client, store)
        self._keys = Keys(store.prefix)
        self._table = table
        self._worker = worker
        self._on_change = on_change
        self._on_snapshot = on_snapshot
        self._clock = clock
        self._chance = chance
        self._follower = FeedFollower(table)
        self._recent: deque[tuple[int, int]] = deque(maxlen=RECENT)
        self._applied = asyncio.Event()
        self._following = asyncio.Event()
        self._heard = 0.0
        self._confirmed: float | None = None
        self._newest_ms = 0
        self._latency_ms: int | None = None
        self._snapshots = 0
        self._fruitless = 0
        self._failures = 0

    async def run(self) -> None:
        """Follow until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._report_forever())
            group.create_task(self._sweep_forever())
            group.create_task(self._follow_forever())

    async def wait_following(self) -> None:
        """Return once the table has agreed with the store's digest for the first time."""
        await self._following.wait()

    @property
    def followed(self) -> bool:
        """Whether `wait_following` would return at once."""
        return self._following.is_set()

    def status(self) -> FeedStatus:
        """Return the present state."""
        follower = self._follower
        age = None if self._confirmed is None else max(0.0, asyncio.get_running_loop().time() - self._confirmed)
        return FeedStatus(
            state=follower.state,
            reason=follower.reason,
            epoch=follower.epoch,
            seq=follower.seq,
            policies=len(self._table),
            unreadable=follower.unreadable,
            kept=follower.kept,
            age_s=age,
            latency_ms=self._latency_ms,
            snapshots=self._snapshots,
            failures=self._failures,
        )

    async def _follow_forever(self) -> None:
        pause = self._settings.pause_s
        while True:
            try:
                await self._confirm_log()
                while not self._follower.wants_snapshot:
                    await self._read()
                    pause = self._settings.pause_s
                await self._snapshot()
            except (StoreUnavailable, FeedCorrupt):
                self._failures += 1
                await asyncio.sleep(pause * (0.5 + self._chance()))
                pause = min(pause * 2, self._settings.longest_pause_s)

    async def _confirm_log(self) -> None:
        """After an interruption, see that the log is still the one we know: a restored Redis may have lost its end."""
        follower = self._follower
        if follower.wants_snapshot:
            return
        head = await self._head()
        self._heard = asyncio.get_running_loop().time()
        if head.epoch != follower.epoch or head.seq < follower.seq:
            follower.begin(head)
            await self._scan()

    async def _snapshot(self) -> None:
        await self._head()  # no log, no snapshot: that is not one which did not help
        if self._snapshots:
            await asyncio.sleep(self._settings.herd_s * self._chance() * 2**self._fruitless)
        self._fruitless = min(self._fruitless + 1, _LONGEST_HERD)
        self._follower.begin(await self._head())
        await self._scan()

    async def _scan(self) -> None:
        self._snapshots += 1
        following: asyncio.Task[Any] | None = None
        cursor, found = await self._scan_from(b"0")
        try:
            while True:
                # The store looks for the next ones while these are taken in.
                following = asyncio.create_task(self._scan_from(cursor)) if int(cursor) else None
                await self._in_steps(list(found.values()), self._load_some, together=_LOAD_TOGETHER)
                if following is None:
                    break
                cursor, found = await following
        finally:
            if following is not None:
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)
        self._follower.settle(await self._head())
        self._heard = asyncio.get_running_loop().time()
        await self._finish()
        self._note_progress()

    async def _scan_from(self, cursor: bytes) -> Any:
        return await self._commands.call("HSCAN", self._keys.live, cursor, "COUNT", self._settings.scan_count)

    async def _finish(self) -> None:
        """Once the snapshot agrees, part from what it lacked, unless that would lift blocks a store has lost."""
        follower = self._follower
        if not follower.unfinished:
            return
        before = follower.kept
        for _ in follower.finish():
            await asyncio.sleep(0)
        if follower.kept > before:
            _log.error("the policy log lost %d policies: they stay in force here until they expire", follower.kept)

    def _load_some(self, records: Sequence[bytes]) -> None:
        if not self._following.is_set():
            self._follower.load(records)
            return
        changed: list[bytes] = []
        try:
            self._follower.load(records, changed)
        finally:
            if changed:
                self._announce(ArrivedTogether(tuple(changed), self._follower.seq))

    async def _head(self) -> Head:
        fields = await self._commands.call("HGETALL", self._keys.head)
        if not fields:
            if not self._follower.wants_snapshot:
                _log.error("the policy log is gone from the store: %d policies stay in force", len(self._table))
            self._follower.lose("the log is gone from the store")
            raise StoreUnavailable("no policy log has been established yet")
        return decode_head(fields)

    async def _read(self) -> None:
        last = "{}-{}".format(*self._follower.entry_id)
        block_ms, count = int(self._settings.block_s * 1000), self._settings.read_count
        reply = await self._reader.call("XREAD", "COUNT", count, "BLOCK", block_ms, "STREAMS", self._keys.log, last)
        for _, entries in reply or ():
            self._heard = asyncio.get_running_loop().time()
            await self._in_steps(entries, self._feed_some, together=_FEED_TOGETHER)
            await self._finish()
        if asyncio.get_running_loop().time() - self._heard > self._settings.quiet_s:
            await self._confirm_log()
        self._note_progress()

    def _feed_some(self, entries: Sequence[tuple[bytes, dict[bytes, bytes]]]) -> None:
        follower = self._follower
        for identifier, fields in entries:
            try:
                entry = decode_entry(identifier, fields or {})
            except FeedCorrupt as error:
                follower.reject(str(error))
                raise
            before = follower.seq
            changed: list[bytes] = []
            try:
                news = follower.feed(entry, changed)
            except FeedCorrupt:
                if changed:  # they are enforced, and the snapshot will find them in their place
                    self._announce(ArrivedTogether(tuple(changed), follower.seq))
                raise
            self._announce(news)
            if follower.seq != before:
                self._newest_ms = entry.at_ms
        if self._newest_ms:
            self._latency_ms = max(0, self._now_ms() - self._newest_ms)
            self._newest_ms = 0

    async def _in_steps(self, items: Sequence[Any], work: Callable[[Sequence[Any]], None], *, together: int) -> None:
        """Do the work `together` items at a time, giving way to the loop when a step's time is used up."""
        limit = self._settings.step_ms / 1000
        started = time.perf_counter()
        for start in range(0, len(items), together):
            work(items[start : start + together])
            if time.perf_counter() - started > limit:
                await asyncio.sleep(0)
                started = time.perf_counter()

    def _announce(self, change: News | None) -> None:
        if change is not None and self._on_change is not None:
            self._on_change(change)

    def _note_progress(self) -> None:
        follower = self._follower
        if follower.state is FeedState.FOLLOWING:
            self._confirmed = asyncio.get_running_loop().time()
            if not self._following.is_set():
                self._following.set()
                if self._on_snapshot is not None:
                    self._on_snapshot()
            self._fruitless = 0
        if not self._recent or self._recent[-1][0] != follower.seq:
            if self._recent and self._recent[-1][0] > follower.seq:
                self._recent.clear()  # another log: its numbers start again
            self._recent.append((follower.seq, self._now_ms()))
            self._applied.set()

    async def _report_forever(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._settings.report_every_s):
                    await self._applied.wait()
            except TimeoutError:
                pass  # nothing new: the report then says that we are alive
            self._applied.clear()
            try:
                await self._reports.write(self._report())
            except StoreUnavailable:
                self._applied.set()
                await asyncio.sleep(self._settings.pause_s)
            await asyncio.sleep(self._settings.report_gap_s)

    def _report(self) -> WorkerReport:
        follower = self._follower
        return WorkerReport(
            worker=self._worker,
            state=follower.state.value,
            epoch=follower.epoch,
            seq=follower.seq,
            entry_id=follower.entry_id,
            policies=len(self._table),
            unreadable=follower.unreadable,
            seen_ms=self._now_ms(),
            recent=tuple(self._recent),
        )

    async def _sweep_forever(self) -> None:
        """Free what the digest has left behind. Expiry itself needs no sweep."""
        while True:
            await asyncio.sleep(self._settings.sweep_every_s)
            self._table.sweep(before_ms=self._follower.floor_ms, limit=self._settings.sweep_limit)

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)
