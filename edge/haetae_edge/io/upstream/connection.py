"""One connection to an upstream: the asyncio protocol that sends requests and frames what comes back.

Rules kept: one exchange at a time; one future and at most one write per exchange when the body is in memory;
no byte is given to an exchange it does not belong to: whatever arrives unasked, after the end of a response
or on an idle connection, closes the connection (RFC 9112 9.2). After a response that came before the request
was sent, or that was not read to its end, the connection is never used again (9.3). One timer per
connection, armed no more often than deadlines get shorter; it looks at what is due when it fires, so it may
be late by a millisecond but costs nothing.

Not here: choosing and opening connections (pool, dial), and repeating requests (upstream).
"""

import asyncio
import math
from collections.abc import Callable
from typing import Final, Protocol, cast

from haetae_edge.deadlines import Deadlines
from haetae_edge.io.upstream.body import BodyStream
from haetae_edge.io.upstream.chunked import ChunkedBody
from haetae_edge.io.upstream.errors import (
    BadResponse,
    ClosedBeforeResponse,
    FirstByteTimeout,
    IdleTimeout,
    TotalTimeout,
    Truncated,
)
from haetae_edge.io.upstream.head import (
    CHUNKED,
    UNTIL_CLOSE,
    Headers,
    HeadReader,
    ResponseHead,
    check_partial_head,
)
from haetae_edge.io.upstream.request import BodyFramer, BodySource, UpstreamRequest, frame_head
from haetae_edge.io.upstream.response import UpstreamResponse
from haetae_edge.io.upstream.settings import UpstreamSettings

OnInformational = Callable[[int, Headers], None]

# What the connection is doing. SENDING: the request is not out yet. HEAD: it is, and the response head is
# awaited.
SENDING: Final = 0
HEAD: Final = 1
BODY: Final = 2
TUNNEL: Final = 3
IDLE: Final = 4
CLOSED: Final = 5

_CLOSE_GRACE: Final = 2.0  # seconds for a close to flush before it becomes an abort
_TIMER_SLACK: Final = 0.001  # seconds; the resolution of the loop's timers
_JOIN_BELOW: Final = 65_536  # bytes; bodies up to here are copied into the write of their head
_NO_BODY: Final = frozenset({204, 304})


class Pool(Protocol):
    """What a connection tells its owner."""

    def give_back(self, connection: "Connection") -> None: ...
    def idle_ended(self, connection: "Connection") -> None: ...
    def lost(self, connection: "Connection") -> None: ...


class Connection(asyncio.Protocol):
    """See the module.

    ``start`` begins an exchange; everything else is called by the loop, the pool or the response.
    """

    __slots__ = (
        "_armed_at",
        "_bytes_sent",
        "_chunked",
        "_deadlines",
        "_drained",
        "_due",
        "_half_closable",
        "_informational_count",
        "_keep_alive",
        "_last_activity",
        "_left",
        "_loop",
        "_on_informational",
        "_partial",
        "_phase",
        "_pool",
        "_pump",
        "_reader",
        "_request",
        "_retire_at",
        "_scanned",
        "_settings",
        "_stream",
        "_timer",
        "_total_due",
        "_transport",
        "_unsent",
        "_waiter",
        "_write_paused",
        "requests",
    )

    def __init__(
        self,
        *,
        pool: Pool,
        loop: asyncio.AbstractEventLoop,
        settings: UpstreamSettings,
        reader: HeadReader,
        tls: bool,
    ) -> None:
        self._pool = pool
        self._loop = loop
        self._settings = settings
        self._reader = reader
        self._half_closable = not tls
        self.requests = 0
        self._retire_at = loop.time() + settings.max_age
        self._phase = IDLE
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._armed_at = self._due = math.inf
        self._timer: asyncio.TimerHandle | None = None
        self._last_activity = 0.0
        self._total_due = math.inf
        self._write_paused = False
        self._drained: asyncio.Future[None] | None = None
        self._pump: asyncio.Task[None] | None = None
        self._unsent = 0
        self._bytes_sent = 0
        self._waiter: asyncio.Future[UpstreamResponse] | None = None
        self._stream: BodyStream | None = None
        self._chunked: ChunkedBody | None = None
        self._left = 0
        self._partial: bytearray | None = None
        self._scanned = 0
        self._informational_count = 0
        self._keep_alive = False

    # -- called by the pool and the response -------------------------------------------------------

    @property
    def usable(self) -> bool:
        """Whether an exchange may start here."""
        return self._phase == IDLE and not self._transport.is_closing()

    def start(
        self,
        request: UpstreamRequest,
        deadlines: Deadlines,
        started: float,
        on_informational: OnInformational | None,
    ) -> "asyncio.Future[UpstreamResponse]":
        """Send ``request``; the future brings the response or an UpstreamError.

        ``started`` is the loop's time.
        """
        loop = self._loop
        now = loop.time()
        self.requests += 1
        last = self.requests >= self._settings.max_requests or now >= self._retire_at
        self._keep_alive = not last
        self._request = request
        self._deadlines = deadlines
        self._on_informational = on_informational
        self._informational_count = 0
        self._total_due = math.inf if deadlines.total is None else started + deadlines.total
        self._phase = HEAD
        waiter: asyncio.Future[UpstreamResponse] = loop.create_future()
        self._waiter = waiter
        head = frame_head(request, last=last)
        body = request.body
        if not body:
            self._bytes_sent = len(head)
            self._transport.write(head)
        elif isinstance(body, bytes):
            self._bytes_sent = len(head) + len(body)
            if len(body) < _JOIN_BELOW:
                self._transport.write(head + body)
            else:
                self._transport.writelines((head, body))
        else:
            self._bytes_sent = len(head)
            self._transport.write(head)
            self._phase = SENDING
            self._pump = loop.create_task(self._send_body(body))
            self._pump.add_done_callback(self._pump_ended)
            self._arm(math.inf)
            return waiter
        if self._write_paused:
            self._phase = SENDING
            self._await_writable(now)
        else:
            self._arm(now + deadlines.first_byte)
        return waiter

    def give_up(self, waiter: "asyncio.Future[UpstreamResponse]") -> None:
        """The caller of ``start`` was cancelled.

        Close, unless the exchange is over or never was on this connection.
        """
        if waiter.done() and not waiter.cancelled():
            if waiter.exception() is None:
                waiter.result().abort()
        elif self._waiter is waiter:
            self.discard()

    def abandon(self, stream: BodyStream) -> None:
        """The reader of ``stream`` went away."""
        if self._stream is stream:
            self._fail(Truncated("the response was abandoned by its reader"))

    def discard(self) -> None:
        """Close at once, whatever is going on. Safe to call again."""
        self._shut(abort=True)

    def retire(self) -> None:
        """Close an idle connection politely."""
        self._shut(abort=False)

    # -- called by the loop ------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=self._settings.write_high_water)

    def data_received(self, data: bytes) -> None:
        phase = self._phase
        try:
            if phase <= HEAD:
                self._on_head_bytes(data)
            elif phase == BODY:
                self._last_activity = self._loop.time()
                self._on_body_bytes(data)
            elif phase == TUNNEL and self._stream is not None:
                self._last_activity = self._loop.time()
                self._stream.feed(data)
            elif phase == IDLE:
                self._pool.idle_ended(self)
                self.discard()
        except BadResponse as error:
            self._fail(error)

    def eof_received(self) -> bool:
        stream = self._stream
        if stream is not None and self._phase == TUNNEL:
            stream.finish()
            return self._half_closable
        if stream is not None and self._phase == BODY and self._chunked is None and self._left < 0:
            self._finish_stream(reusable=False)
        elif self._phase == IDLE:
            self._pool.idle_ended(self)
            self.retire()
        else:
            self._fail(self._ended_early())
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if self._phase == IDLE:
            self._pool.idle_ended(self)
        if self._phase == TUNNEL and exc is None and self._stream is not None:
            self._stream.finish()
        elif self._phase != CLOSED:
            self._fail(self._ended_early())
        self._phase = CLOSED
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._wake_drained()
        self._pool.lost(self)

    def pause_writing(self) -> None:
        self._write_paused = True
        if self._phase == HEAD:
            self._phase = SENDING
        self._await_writable(self._loop.time())

    def resume_writing(self) -> None:
        self._write_paused = False
        self._last_activity = self._loop.time()
        self._wake_drained()
        if self._phase == SENDING and self._pump is None:
            self._request_sent()

    # -- the request body --------------------------------------------------------------------------

    async def _send_body(self, source: BodySource) -> None:
        framer = BodyFramer(source.length)
        while data := await source.read():
            self._send(framer.piece(data))
            if self._write_paused:
                await self._wait_drained()
        if tail := framer.end():
            self._send(tail)
        self._pump = None
        if not self._write_paused:
            self._request_sent()

    def _send(self, data: bytes) -> None:
        self._bytes_sent += len(data)
        self._transport.write(data)

    def _request_sent(self) -> None:
        self._phase = HEAD
        self._arm(self._loop.time() + self._deadlines.first_byte)

    def _pump_ended(self, task: "asyncio.Task[None]") -> None:
        """A body that could not be had ends the exchange with the reason it could not be had."""
        if not task.cancelled():
            error = task.exception()
            if isinstance(error, Exception):
                self._fail(error)

    def _stop_pump(self) -> None:
        pump, self._pump = self._pump, None
        if pump is not None:
            pump.cancel()

    async def _wait_drained(self) -> None:
        if self._drained is None:
            self._drained = self._loop.create_future()
        await asyncio.shield(self._drained)

    def _wake_drained(self) -> None:
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)

    def _await_writable(self, now: float) -> None:
        self._unsent = self._transport.get_write_buffer_size()
        self._last_activity = now
        if self._phase in (SENDING, TUNNEL):
            self._arm(now + self._deadlines.idle)

    # -- the response head -------------------------------------------------------------------------

    def _on_head_bytes(self, data: bytes) -> None:
        if self._partial is not None:
            joined = self._join_partial(data)
            if joined is None:
                return
            data = joined
        while True:
            head = self._reader.read(data)
            if head is None:
                self._partial = bytearray(data)
                self._scanned = check_partial_head(self._partial, 0)
                return
            if head.status >= 200:
                self._on_final(head, data)
                return
            if head.status == 101:
                self._on_switch(head, data)
                return
            self._on_interim(head)
            data = data[head.end :]
            if not data:
                return

    def _join_partial(self, data: bytes) -> bytes | None:
        """Add to an unfinished head; the bytes from its start if it may be finished now."""
        partial = self._partial
        if partial is None:
            return data
        searched = max(0, len(partial) - 3)
        partial += data
        self._scanned = check_partial_head(partial, self._scanned)
        if partial.find(b"\r\n\r\n", searched) < 0 and len(partial) < self._settings.max_head_bytes:
            return None
        self._partial = None
        return bytes(partial)

    def _on_interim(self, head: ResponseHead) -> None:
        self._informational_count += 1
        if self._informational_count > self._settings.max_informational:
            raise BadResponse("too many informational responses")
        if self._phase == HEAD:
            self._due = min(self._loop.time() + self._deadlines.first_byte, self._total_due)
        if head.status != 100 and self._on_informational is not None:
            self._on_informational(head.status, head.headers[:])

    def _on_switch(self, head: ResponseHead, data: bytes) -> None:
        """101: from here on the bytes belong to the protocol that was asked for (RFC 9110 7.8, 15.2.2)."""
        names = {name for name, _ in head.headers}
        if not self._request.upgrade or b"upgrade" not in names or b"connection" not in names:
            raise BadResponse("101 that was not asked for")
        if self._phase == SENDING:
            raise BadResponse("101 before the request was sent")
        stream = self._new_stream()
        self._phase = TUNNEL
        self._total_due = math.inf
        if len(data) > head.end:
            stream.feed(data[head.end :])
        self._begin_idle()
        self._respond(
            UpstreamResponse(101, head.reason, head.headers[:], None, None, stream, self, self._loop)
        )

    def _on_final(self, head: ResponseHead, data: bytes) -> None:
        end, status, reason, headers, framing, keep_alive = head
        if not keep_alive or self._phase == SENDING or self._pump is not None:
            self._keep_alive = False
            self._stop_pump()
        length = framing if framing >= 0 else None
        if status in _NO_BODY or self._request.method == "HEAD":
            framing = 0
        if framing >= 0:
            surplus = len(data) - end - framing
            if surplus >= 0:
                body = data[end : end + framing]
                self._end_exchange(reusable=not surplus)
                self._respond(UpstreamResponse(status, reason, headers[:], length, body))
                return
            self._left = framing
        elif framing == CHUNKED:
            self._chunked = ChunkedBody()
        else:
            self._left = UNTIL_CLOSE
        stream = self._new_stream()
        self._phase = BODY
        self._begin_idle()
        response = UpstreamResponse(status, reason, headers[:], length, None, stream, self, self._loop)
        rest = data[end:]
        if rest:
            self._on_body_bytes(rest)
        self._respond(response)

    def _respond(self, response: UpstreamResponse) -> None:
        waiter = self._waiter
        self._waiter = None
        if waiter is not None and not waiter.done():
            waiter.set_result(response)
        else:
            response.abort()

    # -- the response body -------------------------------------------------------------------------

    def _new_stream(self) -> BodyStream:
        stream = BodyStream(self._loop, self._transport, high_water=self._settings.read_high_water)
        self._stream = stream
        return stream

    def _on_body_bytes(self, data: bytes) -> None:
        stream = self._stream
        if stream is None:
            return
        if self._chunked is not None:
            chunked = self._chunked
            for piece in chunked.feed(data):
                stream.feed(piece)
            if chunked.done:
                self._finish_stream(reusable=not chunked.surplus)
            return
        if self._left < 0:
            stream.feed(data)
            return
        surplus = len(data) - self._left
        if surplus < 0:
            self._left = -surplus
            stream.feed(data)
            return
        stream.feed(data[: self._left] if surplus else data)
        self._finish_stream(reusable=not surplus)

    def _finish_stream(self, *, reusable: bool) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.finish()
        self._chunked = None
        self._end_exchange(reusable=reusable)

    def _end_exchange(self, *, reusable: bool) -> None:
        """The response is complete: give the connection back, or close it."""
        transport = self._transport
        if (
            reusable
            and self._keep_alive
            and not transport.get_write_buffer_size()
            and not transport.is_closing()
        ):
            self._phase = IDLE
            self._arm_idle()
            self._pool.give_back(self)
        else:
            self._shut(abort=transport.get_write_buffer_size() > 0)

    # -- the end, good or bad ----------------------------------------------------------------------

    def _ended_early(self) -> Exception:
        """What it means that the upstream ended the connection now."""
        untouched = self._partial is None and not self._informational_count
        if self._phase in (SENDING, HEAD) and untouched:
            return ClosedBeforeResponse(
                "the upstream closed the connection without an answer",
                reused=self.requests > 1,
                bytes_sent=self._bytes_sent,
            )
        return Truncated("the upstream closed the connection inside a response")

    def _fail(self, error: Exception) -> None:
        """End the exchange with ``error``, wherever the caller is waiting, and close."""
        if self._phase == CLOSED:
            return
        waiter, stream = self._waiter, self._stream
        self._shut(abort=True)
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)
        if stream is not None:
            stream.fail(error)

    def _shut(self, *, abort: bool) -> None:
        if self._phase != CLOSED:
            self._phase = CLOSED
            self._stop_pump()
            self._stream = self._waiter = self._partial = None
        if abort:
            self._transport.abort()
        elif not self._transport.is_closing():
            self._total_due = math.inf
            self._arm(self._loop.time() + _CLOSE_GRACE)
            self._transport.close()

    # -- the tunnel --------------------------------------------------------------------------------

    def tunnel_write(self, data: bytes) -> None:
        """Send bytes of the other protocol."""
        if self._phase == TUNNEL:
            self._last_activity = self._loop.time()
            self._transport.write(data)

    async def tunnel_drain(self) -> None:
        """Wait while too much is unsent."""
        if self._write_paused and self._phase == TUNNEL:
            await self._wait_drained()

    def tunnel_close(self) -> None:
        """Close after sending what was written."""
        stream = self._stream
        self._shut(abort=False)
        self._wake_drained()
        if stream is not None:
            stream.finish()

    # -- deadlines ---------------------------------------------------------------------------------

    def _arm(self, due: float) -> None:
        """Make sure the timer fires by ``due`` or the total deadline.

        An earlier timer is left alone: see below.
        """
        self._due = due = min(due, self._total_due)
        if due < self._armed_at:
            if self._timer is not None:
                self._timer.cancel()
            self._armed_at = due
            self._timer = self._loop.call_at(due, self._on_timer)

    def _arm_idle(self) -> None:
        self._total_due = math.inf
        self._arm(self._loop.time() + self._settings.idle_timeout)

    def _begin_idle(self) -> None:
        """A transfer begins: from now on progress counts."""
        self._last_activity = now = self._loop.time()
        self._arm(now + self._deadlines.idle)

    def _on_timer(self) -> None:
        self._timer = None
        self._armed_at = math.inf
        now = self._loop.time()
        if self._phase in (SENDING, BODY, TUNNEL):
            self._due = self._progress_due(now)
        if now + _TIMER_SLACK < self._due:
            self._arm(self._due)
        elif self._phase == IDLE:
            self._pool.idle_ended(self)
            self.retire()
        elif self._phase == CLOSED:
            self._transport.abort()
        elif now + _TIMER_SLACK >= self._total_due:
            self._fail(TotalTimeout("the exchange took too long"))
        elif self._phase == HEAD:
            self._fail(FirstByteTimeout("no response head in time"))
        else:
            self._fail(IdleTimeout("no progress in time"))

    def _progress_due(self, now: float) -> float:
        """When a transfer is overdue.

        Counted from its last progress, and not while the other side is the slow one.
        """
        if self._phase == SENDING and not self._write_paused:
            return self._total_due
        if self._write_paused:
            unsent = self._transport.get_write_buffer_size()
            if unsent != self._unsent:
                self._unsent = unsent
                self._last_activity = now
        stream = self._stream
        if stream is not None and stream.held_back:
            stream.held_back = stream.paused
            self._last_activity = now
        return min(self._last_activity + self._deadlines.idle, self._total_due)
