"""A model of the feed's writer for the follower's tests: the store's behaviour, and what its owner does, in memory."""

import dataclasses
from collections.abc import Sequence

from haetae_policy.digest import BUCKET_MS, MODULUS
from haetae_policy.entries import BeatEntry, DeleteEntry, Entry, Head, ManyEntry, PutEntry
from haetae_policy.facts import ApiFacts
from haetae_policy.feed import FeedFollower
from haetae_policy.model import Action, Api, Subject
from haetae_policy.record import Record, encode_record, record_digest
from haetae_policy.table import PolicyTable
from hypothesis import strategies as st

from tests.policy.policy_strategies import T0, pid, records

EPOCH = "00" * 8
API = ApiFacts("app", "r", "GET", "/")


class Writer:
    """The store's behaviour, in memory: unique versions, gapless numbers, digests by expiry bucket."""

    def __init__(self, epoch: str = EPOCH) -> None:
        self.epoch = epoch
        self.seq = 0
        self.tick = 0
        self.live: dict[int, tuple[Record, bytes]] = {}
        self.ended: set[int] = set()
        self.floor = T0 - T0 % BUCKET_MS
        self.log: list[Entry] = []

    def _next_id(self) -> tuple[int, int]:
        self.tick += 1
        return (T0, self.tick)

    def put(self, record: Record) -> None:
        if record.pid in self.ended:
            return
        held = self.live.get(record.pid)
        record = dataclasses.replace(record, ver=held[0].ver + 1 if held else 1)
        encoded = encode_record(record)
        self.live[record.pid] = (record, encoded)
        self.seq += 1
        self.log.append(PutEntry(self._next_id(), self.epoch, self.seq, T0, encoded))

    def put_many(self, records: Sequence[Record]) -> None:
        """One entry of all that are new: a transaction makes no others, and each once."""
        new: dict[int, tuple[Record, bytes]] = {}
        for record in records:
            if record.pid not in self.ended and record.pid not in self.live:
                first = dataclasses.replace(record, ver=1)
                new[record.pid] = (first, encode_record(first))
        if new:
            encoded = tuple(raw for _, raw in new.values())
            self.log.append(ManyEntry(self._next_id(), self.epoch, self.seq + 1, T0, encoded))
            self.live |= new
            self.seq += len(new)

    def delete(self, number: int) -> None:
        held = self.live.pop(number, None)
        if held is not None:
            self.ended.add(number)
            self.seq += 1
            self.log.append(DeleteEntry(self._next_id(), self.epoch, self.seq, T0, number, held[0].ver))

    def put_raw(self, record: Record, encoded: bytes) -> None:
        """Another release's writer: the record's bytes say more than this release can read."""
        self.live[record.pid] = (record, encoded)
        self.seq += 1
        self.log.append(PutEntry(self._next_id(), self.epoch, self.seq, T0, encoded))

    def counted(self) -> list[bytes]:
        return [raw for record, raw in self.live.values() if record.exp_ms - record.exp_ms % BUCKET_MS >= self.floor]

    def beat(self, floor: int | None = None) -> None:
        self.floor = max(self.floor, floor or 0)
        head = self.head(self._next_id())
        self.log.append(BeatEntry(head.entry_id, self.epoch, self.seq, T0, self.floor, head.count, head.digest))

    def head(self, entry_id: tuple[int, int] | None = None) -> Head:
        raws = self.counted()
        digest = sum(map(record_digest, raws)) % MODULUS
        return Head(self.epoch, self.seq, entry_id or (T0, self.tick), self.floor, len(raws), digest)


def snapshot(follower: FeedFollower, writer: Writer) -> None:
    follower.begin(writer.head())
    found = [encoded for _, encoded in writer.live.values()]
    for start in range(0, len(found), 3):
        follower.load(found[start : start + 3])
    follower.settle(writer.head())
    finish(follower)


def finish(follower: FeedFollower) -> None:
    """What the owner does once the snapshot agrees."""
    if follower.unfinished:
        for _ in follower.finish(step=3):
            pass


def follow(*feeds: Sequence[Entry]) -> tuple[PolicyTable, FeedFollower]:
    table = PolicyTable()
    follower = FeedFollower(table)
    follower.begin(Writer().head())
    follower.settle(Writer().head())
    for entries in feeds:
        for entry in entries:
            follower.feed(entry)
    return table, follower


def agrees(table: PolicyTable, writer: Writer) -> bool:
    held = {number: table.held(number) for number in writer.live}
    return len(table) == len(writer.live) and all(
        have is not None
        and (have.ver, have.digest) == (writer.live[number][0].ver, record_digest(writer.live[number][1]))
        for number, have in held.items()
    )


Step = Record | list[Record] | int | str
steps: st.SearchStrategy[Step] = st.one_of(
    *(records(), records(), records(), st.lists(records(), min_size=1, max_size=6)),
    *(st.integers(1, 12).map(pid), st.just("beat"), st.just("beat later")),
)


def perform(writer: Writer, step: Step) -> None:
    if isinstance(step, Record):
        writer.put(_spread(step))
    elif isinstance(step, list):
        writer.put_many([_spread(record) for record in step])
    elif isinstance(step, int):
        writer.delete(step)
    else:
        writer.beat(writer.floor + BUCKET_MS if step == "beat later" else None)


def _spread(record: Record) -> Record:
    return dataclasses.replace(record, exp_ms=record.exp_ms + (record.exp_ms // 1000 % 5) * BUCKET_MS)


def block(number: int = 1, **fields: object) -> Record:
    base = Record(pid=pid(number), ver=1, exp_ms=T0 + 90_000, action=Action.BLOCK, subject=Subject(user="u"), api=Api())
    return dataclasses.replace(base, **fields)  # type: ignore[arg-type]
