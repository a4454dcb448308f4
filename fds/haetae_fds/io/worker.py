"""A worker: reads the blobs of its shards, lets the engine see every event, brings decisions into effect.

One task per shard reads and decides in order; nothing else touches that shard's engine. The consumer group's position
is the durable one: it moves, and the stream is trimmed, only after a checkpoint that covers the entries is on disk. A
restart loads the newest checkpoint and reads on from where that stood, not from where the dead worker was; so the
group keeps no list of pending entries that could disagree with the state.

Rules kept: no event is decided twice with effect (`effects.py`), none is skipped while the stream holds it; a stream
that was cut by its ceiling before we read it is an alarm, not a silence. Redis away: wait and go on. Lease lost: this
shard ends here, for another worker has it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, fields
from typing import Any, Final, Protocol

from haetae_policy import StoreUnavailable
from haetae_policy.io.commands import Commands
from haetae_policy.io.ledger import Ledger
from haetae_policy.io.store import PolicyStore
from haetae_policy.rules import DEFAULT_RULES, Rules
from redis.exceptions import ResponseError

from haetae_fds.blob import FIELD, Blob, decode_blob, encode_blob, stream_key
from haetae_fds.decision import Decision, Mode, Subject
from haetae_fds.delivery.checkpoint import Checkpoint
from haetae_fds.delivery.effects import Effect, Live, effect_of
from haetae_fds.delivery.levels import decides, homes_of
from haetae_fds.errors import StateUnreadable
from haetae_fds.event import Event, EventInvalid, encode_event
from haetae_fds.io.checkpoints import CheckpointFolder
from haetae_fds.io.effects import Effects, Name, entry_number
from haetae_fds.io.feedback import DAMPED_MS, Labels, Word
from haetae_fds.io.keys import GROUP
from haetae_fds.io.leases import LIFE_MS, Lease, LeaseLost, Leases
from haetae_fds.io.modes import OVERALL, Modes

_log = logging.getLogger("haetae.fds")

_BLOCK_MS: Final = 200
_BATCH: Final = 64
_PAUSE: Final = 0.2
_LOOK_SECONDS: Final = 0.25
_CEILING: Final = 100_000


class Observer(Protocol):
    """The engine, as far as the worker knows it."""

    def observe(self, event: Event) -> list[Decision]:
        """See one event; say what follows."""
        ...

    def set_modes(self, overall: Mode | None, detectors: dict[str, Mode]) -> None:
        """Switch enforcement; where nothing is said, settings hold."""
        ...

    def damp(self, detector: str, subject: Subject, until: int) -> None:
        """Keep a detector from acting on a subject until then (ms)."""
        ...

    def confirm(self, detector: str, subject: Subject) -> None:
        """Learn that a decision was right."""
        ...

    def dump(self) -> bytes:
        """Return the whole state."""
        ...

    def load(self, saved: bytes) -> None:
        """Go on from a state. Raises StateUnreadable."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """`checkpoint_s`: seconds between two checkpoints. `shards`: as the gateways spread events; more when events are
    handed on by identity (`delivery/levels.py`). `rules`: of the installation, for the policies that are made.
    """

    checkpoint_s: float = 10.0
    lease_ms: int = LIFE_MS
    shards: int = 1
    rules: Rules = DEFAULT_RULES


@dataclass(slots=True)
class Counts:
    """What there is to see of one shard."""

    blobs: int = 0
    events: int = 0
    decisions: int = 0
    lost_anonymous: int = 0
    lost_other: int = 0
    gaps: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    decided: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)
    checkpoints: int = 0
    made: int = 0
    not_made: int = 0
    newest_ms: int = 0
    behind_ms: int = 0


def added(one: Counts, other: Counts) -> Counts:
    """Both counts together; times are the newer one's."""
    newer = max(one, other, key=lambda counts: counts.newest_ms)
    values = {item.name: getattr(one, item.name) + getattr(other, item.name) for item in fields(Counts)}
    return Counts(**(values | {"newest_ms": newer.newest_ms, "behind_ms": newer.behind_ms}))


def _nobody(_: object) -> None:
    """Nobody else looks."""


class ShardWorker:
    """Works on one leased shard until it is stopped or loses its lease."""

    def __init__(
        self,
        lease: Lease,
        *,
        commands: Commands,
        blocking: Commands,
        leases: Leases,
        store: PolicyStore,
        ledger: Ledger,
        modes: Modes,
        folder: CheckpointFolder,
        settings: WorkerSettings,
        new_engine: Callable[[], Observer],
        clock_ms: Callable[[], int],
        labels: Labels,
        also: Callable[[Event], None] = _nobody,
        tell: Callable[[Decision], None] = _nobody,
    ) -> None:
        """`also` sees every event of level 1, after the engine; `tell` every decision, once it has taken effect."""
        self._lease = lease
        self._commands = commands
        self._blocking = blocking
        self._leases = leases
        self._modes = modes
        self._folder = folder
        self._settings = settings
        self.engine = new_engine()
        self._live = Live()
        self._effects = Effects(commands, store, ledger, lease, modes=modes, rules=settings.rules, clock_ms=clock_ms)
        self._new_engine = new_engine
        self._clock_ms = clock_ms
        self._labels = labels
        self._also = also
        self._tell = tell
        self._label = f"{max(0, clock_ms() - DAMPED_MS)}-0"
        self._known: dict[str, Mode] | None = None
        self._changed = False
        self._position = "0-0"
        self._acknowledged = "0-0"
        self._due: deque[tuple[Name, Decision, Effect | None]] = deque()
        self._loaded = False
        self._troubled = False
        self.counts = Counts()

    async def run(self) -> None:
        """Work. Raises LeaseLost when somebody else has the shard; ends by cancellation."""
        keeping = asyncio.create_task(self._keep())
        following = asyncio.create_task(self._follow())
        working = asyncio.create_task(self._work())
        tasks = (keeping, following, working)
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if self._loaded:
                self._folder.close()
                self._checkpoint(wait=True)
                # In a task of its own: in one that was cancelled, no command ends well.
                await asyncio.create_task(self._hand_over())

    async def _hand_over(self) -> None:
        with suppress(StoreUnavailable, LeaseLost):
            await self._acknowledge()
            await self._leases.leave(self._lease)

    async def _work(self) -> None:
        await self._again(self._load)
        await self._bring_into_effect()
        loop = asyncio.get_running_loop()
        due = loop.time() + self._settings.checkpoint_s
        while True:
            entries = await self._again(self._read)
            if self._troubled:
                # It may have come back without what it had.
                await self._again(self._load)
                self._troubled = False
                continue
            for entry, blob in entries:
                await self._see(entry, blob)
                # A backlog must not keep the lease, the switch and the side port waiting.
                await asyncio.sleep(0)
            if not self._folder.busy and (self._changed or loop.time() >= due):
                self._changed = False
                due = loop.time() + self._settings.checkpoint_s
                self._checkpoint(wait=False)
                await self._again(self._acknowledge)

    async def _load(self) -> None:
        """The newest checkpoint, the store's word of what has taken effect, and our place in the stream; what a store
        that lost data must be told again.
        """
        if not self._loaded:
            self._load_checkpoint()
        await self._make_group()
        await self._effects.load()
        await self._look()
        if self._position != "0-0":
            await self._find_place()
        due = {effect.policy_id for _, _, effect in self._due if effect is not None and effect.kind == "put"}
        await self._effects.put_back(self._live, but=due)
        self.counts.made = self._effects.made

    async def _find_place(self) -> None:
        """See that the stream still goes on from our position: it may have been cut, lost its end or begun anew."""
        key, trimmed = self._lease.keys.events, await self._commands.call("HGET", self._lease.keys.done, "trimmed")
        newest: Any = await self._commands.call("XREVRANGE", key, "+", "-", "COUNT", 1)
        if not newest or _after(self._position, newest[0][0].decode()):
            # What still is in a stream that lost its end we have read; of one that begins anew, nothing.
            self._position = self._acknowledged = newest[0][0].decode() if newest and trimmed is not None else "0-0"
            self.counts.gaps += 1
            _log.error("the store lost events: what nobody had read of them is gone")
            return
        first: Any = await self._commands.call("XRANGE", key, "-", "+", "COUNT", 1)
        if not _after(first[0][0].decode(), self._position):
            return
        if trimmed is None or _after(self._position, trimmed.decode()):
            self.counts.gaps += 1
            _log.error("events were cut from the stream before they were read: the ceiling is too low")

    def _load_checkpoint(self) -> None:
        checkpoint, wrong = self._folder.load()
        for line in wrong:
            _log.error("checkpoint left aside: %s", line)
        shard = self._lease.keys.shard
        if checkpoint is not None and shard in checkpoint.positions:
            self._restore(checkpoint, shard)
        if self._position == "0-0":
            _log.warning("no checkpoint for shard %d: the engine starts cold, with narrow decisions", shard)
        self._loaded = True

    def _restore(self, checkpoint: Checkpoint, shard: int) -> None:
        try:
            self.engine.load(checkpoint.state["engine"])
        except StateUnreadable as error:
            _log.error("the checkpoint of shard %d is of no use: %s", shard, error)
            self.engine = self._new_engine()
            return
        self._live = Live(checkpoint.state["live"])
        self._due = deque(checkpoint.state["due"])
        self._modes.remember(checkpoint.state["modes"])
        self._position = self._acknowledged = checkpoint.positions[shard]
        self.counts.newest_ms = checkpoint.made_ms

    async def _make_group(self) -> None:
        try:
            await self._commands.call("XGROUP", "CREATE", self._lease.keys.events, GROUP, "0", "MKSTREAM")
        except StoreUnavailable as error:
            if not isinstance(error.__cause__, ResponseError):
                raise

    async def _read(self) -> list[tuple[str, bytes]]:
        """What comes after our position, waiting a moment for it."""
        answer = await self._blocking.call(
            *("XREAD", "COUNT", _BATCH, "BLOCK", _BLOCK_MS, "STREAMS", self._lease.keys.events, self._position),
            deadline_s=_BLOCK_MS / 1000 + 1.0,
        )
        if not answer:
            return []
        pairs = answer.items() if isinstance(answer, dict) else answer
        return [(entry.decode(), _field(fields)) for _, entries in pairs for entry, fields in entries]

    async def _see(self, entry: str, data: bytes) -> None:
        """Let the engine see a blob, then bring what it decided into effect.

        Between the first event and the new position nothing is waited for: whatever ends the worker later, a checkpoint
        has the engine, the position and what is still to be done in step.
        """
        counts = self.counts
        try:
            blob = decode_blob(data)
        except EventInvalid as error:
            counts.refused[error.field] += 1
            self._position = entry
            return
        self._count(blob)
        number, shard, shards = 0, self._lease.keys.shard, self._settings.shards
        first = shard < shards
        if first and shards > 1:
            await self._hand_on(blob)
        for event in blob.events:
            for decision in self.engine.observe(event):
                if not decides(decision, event, shard=shard, shards=shards):
                    continue
                self._due.append((entry_number(entry, number), decision, effect_of(decision, self._live)))
                number += 1
                counts.decided[(decision.detector, decision.action.value, decision.mode.value, decision.op.value)] += 1
            if first:
                self._also(event)
        self._position = entry
        if number:
            counts.decisions += number
            await self._bring_into_effect()

    async def _bring_into_effect(self) -> None:
        while self._due:
            name, decision, effect = self._due[0]
            if await self._again(self._effects.apply, name, decision, effect):
                self._tell(decision)
            self._due.popleft()
        self.counts.made, self.counts.not_made = self._effects.made, self._effects.refused

    async def _hand_on(self, blob: Blob) -> None:
        """Give events with an identity to where that is at home, before our position moves: again rather than never."""
        rows: dict[int, list[list[object]]] = {}
        for event in blob.events:
            for home in homes_of(event, self._settings.shards):
                rows.setdefault(home, []).append(encode_event(event))
        for home, chosen in rows.items():
            key = stream_key(self._lease.keys.prefix, home)
            data = encode_blob(chosen, source=blob.source)
            await self._again(self._commands.call, "XADD", key, "MAXLEN", "~", _CEILING, "*", FIELD, data)

    def _count(self, blob: Blob) -> None:
        counts = self.counts
        counts.blobs += 1
        counts.events += len(blob.events)
        counts.lost_anonymous += blob.lost_anonymous
        counts.lost_other += blob.lost_other
        counts.refused.update(blob.refused)
        if blob.events:
            counts.newest_ms = max(counts.newest_ms, blob.events[-1].ts)
            counts.behind_ms = max(0, self._clock_ms() - blob.events[-1].ts)

    def _checkpoint(self, *, wait: bool) -> None:
        position = self._position
        self._live.forget_ended(self.counts.newest_ms)

        def make() -> Checkpoint:
            return Checkpoint(
                positions={self._lease.keys.shard: position},
                made_ms=self.counts.newest_ms,
                state={
                    "engine": self.engine.dump(),
                    "live": self._live.held,
                    "due": tuple(self._due),
                    "modes": self._known or {},
                },
            )

        def written() -> None:
            self._acknowledged = position
            self.counts.checkpoints += 1

        self._folder.write(make, written=written, wait=wait)

    async def _acknowledge(self) -> None:
        """Move the group, and let go of what a durable checkpoint covers."""
        if self._acknowledged != "0-0":
            await self._leases.cover(self._lease, self._acknowledged)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(self._settings.lease_ms / 3000)
            with suppress(StoreUnavailable):
                await self._leases.keep(self._lease)

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            with suppress(StoreUnavailable):
                if self._loaded:
                    await self._look()

    async def _look(self) -> None:
        """Take over what people switched and said. A checkpoint follows soon, so that little is decided twice
        under different ones.
        """
        found = await self._modes.read()
        if found != self._known:
            self._known = dict(found)
            overall = found.pop(OVERALL, None)
            self.engine.set_modes(overall, found)
            self._changed = True
        for entry, label in await self._labels.after(self._label):
            self._label = entry
            if label is not None and label.word is Word.FALSE_ALARM:
                self.engine.damp(label.detector, label.subject, label.at_ms + DAMPED_MS)
                self._live.forget(label.decision)
                self._changed = True
            elif label is not None:
                self.engine.confirm(label.detector, label.subject)

    async def _again(self, step: Callable[..., Any], *arguments: Any) -> Any:
        """Do a step; while the store is away, wait and do it again: nothing may be skipped."""
        failed = False
        while True:
            try:
                return await step(*arguments)
            except StoreUnavailable as error:
                if not failed:
                    _log.warning("waiting for the store: %s", error)
                failed = self._troubled = True
                await asyncio.sleep(_PAUSE)


def _field(fields: Any) -> bytes:
    if isinstance(fields, dict):
        return bytes(fields.get(FIELD, b""))
    pairs = dict(zip(fields[::2], fields[1::2], strict=True))
    return bytes(pairs.get(FIELD, b""))


def _after(entry: str, other: str) -> bool:
    return entry_number(entry, 0) > entry_number(other, 0)


__all__ = ["Counts", "LeaseLost", "Observer", "ShardWorker", "WorkerSettings", "added"]
