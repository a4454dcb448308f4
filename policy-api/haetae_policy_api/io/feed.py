"""The feed for consumers without access to the store: a snapshot, then changes as server-sent events.

Rules kept: the snapshot names the sequence number it is complete to; events carry the log's own identifiers, so that
`Last-Event-ID` continues without a gap; a consumer whose place was trimmed away gets `event: reset` and loads a
snapshot. The number of followers, and of snapshots at a time, is bounded; a follower is let go after some minutes, so
that whoever lost their right loses the feed, too (the client comes back with its place and is identified anew).
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import orjson
from haetae_policy.entries import BeatEntry, DeleteEntry, ManyEntry, PutEntry, decode_entry, each_put
from haetae_policy.errors import FeedCorrupt
from haetae_policy.identifiers import format_policy_id
from haetae_policy.io.commands import Commands
from haetae_policy.io.keys import Keys
from redis.asyncio import Redis

from haetae_policy_api.errors import RequestMalformed, TooMany

MOST_FOLLOWERS = 200
MOST_SNAPSHOTS = 2
LIFE_S = 900.0
_POLL_S = 0.05
_SCAN = 1000
_ENTRIES = 100


class Feed:
    """Reads what the edges read. `client` answers at once."""

    def __init__(self, client: Redis, *, prefix: str, deadline_s: float, life_s: float = LIFE_S) -> None:
        self._commands = Commands(client, deadline_s=deadline_s)
        self._keys = Keys(prefix)
        self._followers = 0
        self._snapshots = 0
        self._life_s = life_s

    async def snapshot(self) -> dict[str, Any]:
        """Return every record with the log's place before reading began; raises StoreUnavailable, TooMany.

        Records may be newer than that place: following from it applies the same changes again, which is harmless.
        """
        if self._snapshots >= MOST_SNAPSHOTS:
            raise TooMany("a snapshot is being made for others", headers={"Retry-After": "5"})
        self._snapshots += 1
        try:
            return await self._snapshot()
        finally:
            self._snapshots -= 1

    async def _snapshot(self) -> dict[str, Any]:
        rows = await self._commands.call("HMGET", self._keys.head, "epoch", "seq", "id")
        epoch, seq, entry = (row.decode() if row is not None else None for row in rows)
        records, cursor = [], b"0"
        seen: set[bytes] = set()
        while True:
            cursor, found = await self._commands.call("HSCAN", self._keys.live, cursor, "COUNT", _SCAN)
            pairs = found.items() if isinstance(found, dict) else zip(found[::2], found[1::2], strict=True)
            for name, record in pairs:
                if name not in seen:
                    seen.add(name)
                    records.append(orjson.Fragment(record))
            if int(cursor) == 0:
                return {"epoch": epoch, "seq": int(seq or 0), "id": entry or "0-0", "records": records}

    async def follow(self, after: str) -> AsyncIterator[bytes]:
        """Yield server-sent events after the log's entry `after`; raises RequestMalformed, TooMany."""
        number, dash, part = after.partition("-")
        if not dash or not all(text.isascii() and text.isdigit() and len(text) <= 18 for text in (number, part)):
            raise RequestMalformed("after (or Last-Event-ID) is an identifier of the log, such as 1777629600000-0")
        if self._followers >= MOST_FOLLOWERS:
            raise TooMany("too many follow the feed", headers={"Retry-After": "10"})
        return self._events(after)

    async def _events(self, after: str) -> AsyncIterator[bytes]:
        if self._followers >= MOST_FOLLOWERS:  # many may have been let in before the first of them began
            return
        self._followers += 1
        ends = asyncio.get_running_loop().time() + self._life_s
        try:
            first = await self._commands.call("XRANGE", self._keys.log, "-", "+", "COUNT", 1)
            if after != "0-0" and (not first or _place(first[0][0].decode()) > _place(after)):
                yield b"event: reset\ndata: {}\n\n"
                return
            while True:
                rows = await self._commands.call("XRANGE", self._keys.log, f"({after}", "+", "COUNT", _ENTRIES)
                for identifier, raw in rows:
                    after = identifier.decode()
                    fields = raw if isinstance(raw, dict) else dict(zip(raw[::2], raw[1::2], strict=True))
                    with suppress(FeedCorrupt):
                        yield _events_of(after, fields)
                if asyncio.get_running_loop().time() >= ends:
                    return
                if not rows:
                    await asyncio.sleep(_POLL_S)
        finally:
            self._followers -= 1


def _place(identifier: str) -> tuple[int, int]:
    number, _, part = identifier.partition("-")
    return int(number), int(part)


def _events_of(identifier: str, fields: dict[bytes, bytes]) -> bytes:
    """One event for each policy. Only an entry's last one has its identifier: who comes back after one of the others
    gets the whole entry again, which is harmless, and never a part of it only.
    """
    entry = decode_entry(identifier.encode(), fields)
    entries = each_put(entry) if isinstance(entry, ManyEntry) else (entry,)
    events = [_event(one) for one in entries]
    events[-1] = b"id: %b\n%b" % (identifier.encode(), events[-1])
    return b"\n\n".join(events) + b"\n\n"


def _event(entry: PutEntry | DeleteEntry | BeatEntry) -> bytes:
    data: dict[str, Any] = {"epoch": entry.epoch, "seq": entry.seq, "at_ms": entry.at_ms}
    if isinstance(entry, PutEntry):
        kind, data["record"] = "put", orjson.Fragment(entry.record)
    elif isinstance(entry, DeleteEntry):
        kind = "delete"
        data |= {"policy": format_policy_id(entry.pid), "version": entry.ver}
    else:
        kind = "heartbeat"
        data |= {"floor_ms": entry.floor_ms, "count": entry.count, "digest": entry.digest}
    return b"event: %b\ndata: %b" % (kind.encode(), orjson.dumps(data))
