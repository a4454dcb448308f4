"""The log's entries as they stand in the stream, and the head that a snapshot starts from.

An entry's fields: `e` epoch, `s` sequence number (per epoch, without gaps), `o` operation, `t` when it was issued
(Unix ms); a put (`p`) adds the record `r`; many new policies (`m`) add how many they are, `n`, and their records `r`,
one a line, which take the numbers from `s` on; a delete (`d`) adds `p` policy and `v` version; a heartbeat (`b`) takes
no number of its own and adds `f` floor, `c` count, `g` digest. Decoding is strict: anything else is FeedCorrupt.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from haetae_policy.errors import FeedCorrupt, PolicyInvalid
from haetae_policy.identifiers import parse_policy_id
from haetae_policy.wire import MAX_RECORD_BYTES

_ZERO: Final = ord("0")
MAX_TOGETHER: Final = 128
_EPOCH: Final = re.compile(rb"[0-9a-f]{16}")

EntryId = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Head:
    """The state of the log at one moment: everything up to `seq`, whose entry is `entry_id`, is in.

    `reset_id` is the heartbeat with which an operator declared this log the whole truth, (0, 0) if nobody did.
    """

    epoch: str
    seq: int
    entry_id: EntryId
    floor_ms: int
    count: int
    digest: int
    reset_id: EntryId = (0, 0)


@dataclass(frozen=True, slots=True)
class PutEntry:
    """A policy was made or changed; `record` is still encoded."""

    entry_id: EntryId
    epoch: str
    seq: int
    at_ms: int
    record: bytes


@dataclass(frozen=True, slots=True)
class ManyEntry:
    """Policies were made together; `seq` is the first one's number, each next one's is one more."""

    entry_id: EntryId
    epoch: str
    seq: int
    at_ms: int
    records: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class DeleteEntry:
    """A policy was taken back."""

    entry_id: EntryId
    epoch: str
    seq: int
    at_ms: int
    pid: int
    ver: int


@dataclass(frozen=True, slots=True)
class BeatEntry:
    """What a follower that has applied exactly `seq` must hold."""

    entry_id: EntryId
    epoch: str
    seq: int
    at_ms: int
    floor_ms: int
    count: int
    digest: int


Entry = PutEntry | ManyEntry | DeleteEntry | BeatEntry


def decode_head(fields: Mapping[bytes, bytes]) -> Head:
    """Return the head of the store's hash; raises FeedCorrupt."""
    return Head(
        epoch=_epoch(fields, b"epoch"),
        seq=_number(fields, b"seq"),
        entry_id=decode_entry_id(fields.get(b"id", b"0-0")),
        floor_ms=_number(fields, b"floor"),
        count=_number(fields, b"count"),
        digest=_number(fields, b"digest"),
        reset_id=decode_entry_id(fields.get(b"reset", b"0-0")),
    )


def decode_entry(entry_id: bytes, fields: Mapping[bytes, bytes]) -> Entry:
    """Return one entry of the stream; raises FeedCorrupt."""
    ident, epoch = decode_entry_id(entry_id), _epoch(fields, b"e")
    seq, at_ms, operation = _number(fields, b"s"), _number(fields, b"t"), fields.get(b"o")
    if operation == b"p" and b"r" in fields:
        return PutEntry(entry_id=ident, epoch=epoch, seq=seq, at_ms=at_ms, record=fields[b"r"])
    if operation == b"m":
        records = _records(fields.get(b"r", b""), _number(fields, b"n"))
        return ManyEntry(entry_id=ident, epoch=epoch, seq=seq, at_ms=at_ms, records=records)
    if operation == b"d":
        pid, ver = _policy(fields.get(b"p", b"")), _number(fields, b"v")
        return DeleteEntry(entry_id=ident, epoch=epoch, seq=seq, at_ms=at_ms, pid=pid, ver=ver)
    if operation == b"b":
        floor_ms, count, digest = (_number(fields, name) for name in (b"f", b"c", b"g"))
        return BeatEntry(
            entry_id=ident, epoch=epoch, seq=seq, at_ms=at_ms, floor_ms=floor_ms, count=count, digest=digest
        )
    raise FeedCorrupt("a log entry has an unknown operation")


def each_put(entry: ManyEntry) -> Iterator[PutEntry]:
    """Yield the policies of an entry as if each had come by itself; all have the identifier of the whole."""
    for place, record in enumerate(entry.records):
        yield PutEntry(entry.entry_id, entry.epoch, entry.seq + place, entry.at_ms, record)


def decode_entry_id(text: bytes) -> EntryId:
    """Return a stream identifier as a pair that compares in stream order; raises FeedCorrupt."""
    first, _, second = text.partition(b"-")
    if not (first.isdigit() and second.isdigit() and len(first) <= 18 and len(second) <= 18):
        raise FeedCorrupt("a log entry has no proper identifier")
    return int(first), int(second)


def _number(fields: Mapping[bytes, bytes], name: bytes) -> int:
    value = fields.get(name, b"")
    if not value.isdigit() or len(value) > 16 or (value[0] == _ZERO and len(value) > 1):
        raise FeedCorrupt(f"the field {name.decode()} is not a number")
    return int(value)


def _epoch(fields: Mapping[bytes, bytes], name: bytes) -> str:
    return _epoch_text(fields.get(name, b""))


@lru_cache(maxsize=16)
def _epoch_text(value: bytes) -> str:
    if _EPOCH.fullmatch(value) is None:
        raise FeedCorrupt("the epoch is not 16 hexadecimal digits")
    return value.decode()


def _records(value: bytes, count: int) -> tuple[bytes, ...]:
    if not 0 < count <= MAX_TOGETHER or len(value) > MAX_TOGETHER * (MAX_RECORD_BYTES + 1):
        raise FeedCorrupt("a log entry has too many policies, or none")
    records = tuple(value.split(b"\n", count))
    if len(records) != count:
        raise FeedCorrupt("a log entry has another number of policies than it says")
    return records


def _policy(value: bytes) -> int:
    try:
        return parse_policy_id(value.decode("ascii"))
    except (PolicyInvalid, UnicodeDecodeError) as error:
        raise FeedCorrupt("a log entry names no policy") from error
