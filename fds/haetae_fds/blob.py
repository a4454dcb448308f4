"""A blob: many events in one entry of a stream, with an exact count of those that were lost before it.

An entry has one field, `b`, holding JSON: `[version, source, lost_anonymous, lost_other, [event, …]]`, each event an
array as `event.encode_event` makes it. `source` names the gateway worker; losses count what that worker dropped since
its previous blob, so that rates can be corrected. The stream of shard n is `<prefix>events:{n}`.

Rules kept: bounded in bytes and events; an event that cannot be read is counted by the field that is wrong and does
not cost its neighbours. Not here: transport, who reads which shard.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import orjson

from haetae_fds.event import Event, EventInvalid, decode_event

BLOB_VERSION: Final = 1
FIELD: Final = b"b"
MAX_BLOB_EVENTS: Final = 1000
MAX_BLOB_BYTES: Final = 4 * 1024 * 1024
_MAX_SOURCE: Final = 128
_MAX_LOST: Final = 2**53 - 1


def stream_key(prefix: str, shard: int) -> str:
    """The stream of one shard. The braces keep a shard in one slot of a cluster."""
    return f"{prefix}events:{{{shard}}}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """Events of one gateway worker. `refused` counts what could not be read, by the field that was wrong."""

    source: str
    lost_anonymous: int
    lost_other: int
    events: tuple[Event, ...]
    refused: Counter[str]


def encode_blob(
    events: Sequence[Sequence[object]], *, source: str, lost_anonymous: int = 0, lost_other: int = 0
) -> bytes:
    """Pack event arrays. Raises ValueError for more than `MAX_BLOB_EVENTS`."""
    if len(events) > MAX_BLOB_EVENTS:
        raise ValueError(f"a blob has at most {MAX_BLOB_EVENTS} events")
    return orjson.dumps([BLOB_VERSION, source, lost_anonymous, lost_other, events])


def decode_blob(data: bytes) -> Blob:
    """Read a blob. Raises EventInvalid("blob") for what is none; single bad events are counted in `refused`."""
    if len(data) > MAX_BLOB_BYTES:
        raise EventInvalid("blob")
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        raise EventInvalid("blob") from None
    if not isinstance(value, list) or len(value) < 5 or type(value[0]) is not int or value[0] != BLOB_VERSION:
        raise EventInvalid("blob")
    _, source, lost_anonymous, lost_other, given = value[:5]
    if not isinstance(source, str) or len(source) > _MAX_SOURCE:
        raise EventInvalid("blob")
    if not isinstance(given, list) or len(given) > MAX_BLOB_EVENTS:
        raise EventInvalid("blob")
    events: list[Event] = []
    refused: Counter[str] = Counter()
    for item in given:
        try:
            events.append(decode_event(item))
        except EventInvalid as error:
            refused[error.field] += 1
    return Blob(
        source=source,
        lost_anonymous=_count(lost_anonymous),
        lost_other=_count(lost_other),
        events=tuple(events),
        refused=refused,
    )


def _count(value: object) -> int:
    if type(value) is not int or not 0 <= value <= _MAX_LOST:
        raise EventInvalid("blob")
    return value
