"""Sends behaviour events to Redis without ever holding up a request.

Events of a few milliseconds travel together, one blob per shard, over a pipelined connection of their own. What waits
is bounded: when the ring is full, successful anonymous reads go first, and exact counts of what was lost travel with
the next blob. With Redis gone a request costs what appending to the ring costs; nothing else changes, for blocks that
are known stay in force without events.

Rules kept: a stream is never trimmed to less than `ceiling` entries here, because the reader trims what it has
checkpointed; the ceiling only keeps a stream that nobody reads from filling the store that nonces live in.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import islice
from typing import Final
from zlib import crc32

from haetae_fds.blob import FIELD, MAX_BLOB_EVENTS, encode_blob, stream_key
from haetae_fds.event import PLACES

from haetae_edge.config.gateway import GatewayConfig
from haetae_edge.events import EventMaker
from haetae_edge.exchange import Exchange, Response
from haetae_edge.fingerprint import Fingerprints
from haetae_edge.io.redis_link import LOST, RedisLink
from haetae_edge.io.standing_link import CONNECT, StandingLink
from haetae_edge.metrics import Gauge
from haetae_edge.networks import NetworkTable

_FLUSH: Final = 0.01
_PAUSE: Final = 0.2
#: Seconds a store may leave blobs unanswered before it is cut off and dialled again.
_SILENCE: Final = 1.0
#: Blobs without an answer; more wait in the ring.
_IN_FLIGHT: Final = 64
_BLOB_EVENTS: Final = min(500, MAX_BLOB_EVENTS)
_NET, _STATUS, _API, _AUTH = (PLACES[name] for name in ("net", "status", "api", "auth"))
_IDENTITY = tuple(PLACES[name] for name in ("user", "dev", "sess", "san"))

_log = logging.getLogger("haetae.events")

Row = tuple[int, list[object]]


class EventSender:
    """The events of one worker. `start` before use, `close` after."""

    def __init__(
        self,
        url: str,
        *,
        source: str,
        prefix: str,
        shards: int,
        ring: int,
        ceiling: int,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._standing = StandingLink(url, pause=_PAUSE, on_open=self._resume)
        self._source = source
        self._shards = shards
        self._ring = ring
        self._loop = loop
        self._commands = [_command(stream_key(prefix, shard).encode(), ceiling) for shard in range(shards)]
        self._ordinary: deque[Row] = deque()
        self._important: deque[Row] = deque()
        self._count = 0
        self._timer: asyncio.TimerHandle | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._in_flight = 0
        self._unreported = [0, 0]
        self._idle: asyncio.Event | None = None
        self.sent = 0
        self.lost_anonymous = 0
        self.lost_other = 0

    async def start(self) -> None:
        """Open the connection; a store that is down is dialled again in the background."""
        self._standing.dial()

    def append(self, event: list[object]) -> None:
        """Queue one event array."""
        if len(self._ordinary) + len(self._important) >= self._ring and not self._make_room(event):
            return
        self._count += 1
        (self._ordinary if _may_go_first(event) else self._important).append((self._count, event))
        if self._timer is None:
            self._timer = self._loop.call_later(_FLUSH, self._flush)

    def _make_room(self, event: list[object]) -> bool:
        if _may_go_first(event):
            self._lose(0)
            return False
        if self._ordinary:
            self._ordinary.popleft()
            self._lose(0)
            return True
        self._lose(1)
        return False

    def _lose(self, kind: int) -> None:
        self._unreported[kind] += 1
        if kind == 0:
            self.lost_anonymous += 1
        else:
            self.lost_other += 1

    def _flush(self) -> None:
        self._timer = None
        link = self._standing.link
        if link is None:
            self._standing.dial()
            return
        while (self._ordinary or self._important) and self._in_flight < _IN_FLIGHT:
            self._send(link, self._take())
        if self._ordinary or self._important:
            self._timer = self._loop.call_later(_FLUSH, self._flush)

    def _take(self) -> list[Row]:
        """The oldest events, in the order they were made."""
        rows = [*islice(self._important, _BLOB_EVENTS), *islice(self._ordinary, _BLOB_EVENTS)]
        rows.sort(key=_sequence)
        del rows[_BLOB_EVENTS:]
        last = rows[-1][0]
        for waiting in (self._important, self._ordinary):
            while waiting and waiting[0][0] <= last:
                waiting.popleft()
        return rows

    def _send(self, link: RedisLink, rows: list[Row]) -> None:
        by_shard: dict[int, list[Row]] = {}
        for row in rows:
            by_shard.setdefault(self._shard(row[1]), []).append(row)
        for shard, chosen in by_shard.items():
            lost, self._unreported = self._unreported, [0, 0]
            blob = encode_blob(
                [event for _, event in chosen], source=self._source, lost_anonymous=lost[0], lost_other=lost[1]
            )
            self._in_flight += 1
            if self._watch is None:
                self._watch = self._loop.call_later(_SILENCE, self._check, link, self.sent)

            def on_reply(reply: object, chosen: list[Row] = chosen, lost: list[int] = lost) -> None:
                self._answered(reply, chosen, lost)

            link.send(b"%b$%d\r\n%b\r\n" % (self._commands[shard], len(blob), blob), (on_reply,))

    def _shard(self, event: list[object]) -> int:
        return crc32(str(event[_NET]).encode()) % self._shards if self._shards > 1 else 0

    def _answered(self, reply: object, rows: list[Row], lost: list[int]) -> None:
        self._in_flight -= 1
        if self._idle is not None and self._in_flight == 0:
            self._idle.set()
        if isinstance(reply, bytes):
            self.sent += len(rows)
            return
        # The entry may stand or not. Events carry ids, so that sending them again is counted once by the reader.
        self._unreported[0] += lost[0]
        self._unreported[1] += lost[1]
        if reply is not LOST:
            for _, event in rows:
                self._lose(0 if _may_go_first(event) else 1)
            return
        for number, event in reversed(rows):
            if len(self._ordinary) + len(self._important) >= self._ring:
                self._lose(0 if _may_go_first(event) else 1)
            else:
                (self._ordinary if _may_go_first(event) else self._important).appendleft((number, event))

    def _check(self, link: RedisLink, sent: int) -> None:
        self._watch = None
        if self._in_flight == 0 or link is not self._standing.link:
            return
        if self.sent == sent:
            self._standing.drop(link)
        else:
            self._watch = self._loop.call_later(_SILENCE, self._check, link, self.sent)

    def _resume(self) -> None:
        if self._ordinary or self._important:
            self._flush()

    async def close(self) -> None:
        """Send what waits, for at most half a second, and close."""
        if self._timer is not None:
            self._timer.cancel()
        await self._standing.end_dialling()
        if self._standing.link is not None:
            self._flush()
            self._idle = asyncio.Event()
            if self._in_flight:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._idle.wait(), CONNECT)
        for handle in (self._timer, self._watch):
            if handle is not None:
                handle.cancel()
        await self._standing.close()

    def gauges(self) -> tuple[Gauge, ...]:
        """What there is to see."""
        lost = "Behaviour events that found no room."
        return (
            Gauge("haetae_events_sent", "Behaviour events in the stream.", lambda: self.sent, counter=True),
            Gauge(
                "haetae_events_lost_anonymous", f"{lost} Anonymous reads.", lambda: self.lost_anonymous, counter=True
            ),
            Gauge("haetae_events_lost", f"{lost} All others.", lambda: self.lost_other, counter=True),
            Gauge(
                "haetae_events_waiting",
                "Behaviour events that wait to be sent.",
                lambda: len(self._ordinary) + len(self._important),
            ),
        )


class Events:
    """What a worker does with a finished request: make its event, and send it."""

    def __init__(self, maker: EventMaker, sender: EventSender) -> None:
        self._maker = maker
        self.sender = sender

    def observe(self, exchange: Exchange, response: Response, *, seconds: float, sent: int) -> None:
        """One finished request."""
        self.sender.append(
            self._maker.make(exchange, response, seconds=seconds, sent=sent, now_ms=time.time_ns() // 1_000_000)
        )


@asynccontextmanager
async def open_events(
    config: GatewayConfig, *, worker: str, prints: Fingerprints | None
) -> AsyncIterator[Events | None]:
    """The events of one worker, or None where they are switched off or cannot be sent.

    Raises NetworksInvalid for a table of networks that is none, OSError for one that cannot be read.
    """
    settings, redis = config.events, config.redis
    if not settings.enabled or redis is None or prints is None:
        if settings.enabled:
            _log.warning("no behaviour events: they need `redis` and `passport` in gateway.yaml")
        yield None
        return
    networks = None
    if settings.networks_file is not None:
        with settings.networks_file.open(encoding="ascii") as lines:
            networks = NetworkTable(lines)
    sender = EventSender(
        redis.uri,
        source=worker,
        prefix=redis.prefix,
        shards=settings.shards,
        ring=settings.ring,
        ceiling=settings.ceiling,
        loop=asyncio.get_running_loop(),
    )
    await sender.start()
    try:
        yield Events(EventMaker(gateway=config.name, prints=prints, random_bytes=os.urandom, networks=networks), sender)
    finally:
        await sender.close()


def _sequence(row: Row) -> int:
    return row[0]


def _may_go_first(event: list[object]) -> bool:
    """A successful read by nobody in particular: what detection misses least."""
    status, api = event[_STATUS], event[_API]
    return (
        all(event[place] is None for place in _IDENTITY)
        and event[_AUTH] is None
        and isinstance(status, int)
        and status < 400
        and isinstance(api, str)
        and api.startswith("GET ")
    )


def _command(key: bytes, ceiling: int) -> bytes:
    """`XADD key MAXLEN ~ ceiling * b <blob>` up to the blob's length."""
    limit = b"%d" % ceiling
    words = (b"XADD", key, b"MAXLEN", b"~", limit, b"*", FIELD)
    return b"*%d\r\n%b" % (len(words) + 1, b"".join([b"$%d\r\n%b\r\n" % (len(word), word) for word in words]))
