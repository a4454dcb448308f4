"""One connection to an upstream: the asyncio protocol that sends requests and frames what comes back.

Rules kept: one exchange at a time; one future and at most one write per exchange when the body is in memory;
no byte is given to an exchange it does not belong to: whatever arrives unasked, after the end of a response
or on an idle connection, closes the connection (RFC 9112 9.2). After a response that came before the request
was sent, or that was not read to its end, the connection is never used again (9.3).

Not here: choosing and opening connections (upstream, dial), and repeating requests (upstream).
"""

import asyncio
import math
from collections.abc import Callable
from typing import Final, Protocol, cast

from haetae_edge.deadlines import Deadlines
from haetae_edge.io.upstream.body import BodyStream
from haetae_edge.io.upstream.decoder import BodyDecoder, decoder_for
from haetae_edge.io.upstream.dial import Discardable, closing_alert_seen
from haetae_edge.io.upstream.errors import (
    BadResponse,
    ClosedBeforeResponse,
    FirstByteTimeout,
    IdleTimeout,
    TotalTimeout,
    Truncated,
)
from haetae_edge.io.upstream.head import Headers, HeadReader, PartialHead, ResponseHead
from haetae_edge.io.upstream.outgoing import Outgoing
from haetae_edge.io.upstream.request import UpstreamRequest, frame_head
from haetae_edge.io.upstream.response import UpstreamResponse
from haetae_edge.io.upstream.settings import UpstreamSettings
from haetae_edge.io.upstream.watch import SLACK, Watch

OnInformational = Callable[[int, Headers], None]

# What the connection is doing. SENDING: the request is not out yet. HEAD: it is, and the response head is
# awaited.
# Up to HEAD, what arrives is a head.
SENDING: Final = 0
HEAD: Final = 1
BODY: Final = 2
TUNNEL: Final = 3
IDLE: Final = 4
CLOSED: Final = 5

_CLOSE_GRACE: Final = 2.0  # seconds for a close to flush before it becomes an abort
_JOIN_BELOW: Final = 65_536  # bytes; a body shorter than this is copied into the write of its head
_NO_BODY: Final = frozenset({204, 304})


class Pool(Protocol):
    """What a connection tells its owner."""

    def give_back(self, connection: "Connection") -> None: ...
    def idle_ended(self, connection: "Connection") -> None: ...
    def lost(self, connection: "Connection") -> None: ...


class Connection(Discardable):
    """``start`` begins an exchange; everything else is called by the loop, the pool or the response."""

    _request: UpstreamRequest
    _deadlines: Deadlines
    _transport: asyncio.Transport
    _out: Outgoing

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
        self._exchanges = 0
        self._retire_at = loop.time() + settings.max_age
        self._phase = IDLE
        self._watch = Watch(loop, on_early=self._really_due, on_due=self._expire)
        self._last_activity = 0.0
        self._waiter: asyncio.Future[UpstreamResponse] | None = None
        self._on_informational: OnInformational | None = None
        self._informational_count = 0
        self._partial: PartialHead | None = None
        self._decoder: BodyDecoder | None = None
        self._stream: BodyStream | None = None
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
        """Send ``request``; the future brings the response or an error. ``started`` is a time of the loop."""
        now = self._loop.time()
        self._exchanges += 1
        last = self._exchanges >= self._settings.max_requests or now >= self._retire_at
        self._keep_alive = not last
        self._request = request
        self._deadlines = deadlines
        self._on_informational = on_informational
        self._informational_count = 0
        self._watch.limit = math.inf if deadlines.total is None else started + deadlines.total
        self._phase = HEAD
        self._waiter = waiter = self._loop.create_future()
        head = frame_head(request, last=last)
        body = request.body
        out = self._out
        out.bytes_sent = len(head)
        if not body:
            self._transport.write(head)
        elif isinstance(body, bytes):
            out.bytes_sent += len(body)
            if len(body) < _JOIN_BELOW:
                self._transport.write(head + body)
            else:
                self._transport.writelines((head, body))
        else:
            self._phase = SENDING
            self._transport.write(head)
            out.pump(body, on_sent=self._body_sent, on_error=self._fail)
        if self._phase == HEAD:
            self._watch.set(now + deadlines.first_byte)
        elif not out.paused:
            self._watch.set(math.inf)
        return waiter

    def give_up(self, waiter: "asyncio.Future[UpstreamResponse]") -> None:
        """The caller of ``start`` was cancelled: close, unless its exchange is over."""
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
        """Close at once, and end whatever is going on. May be called again."""
        self._fail(Truncated("the gateway closed the connection to the upstream"))

    # -- called by the loop ------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin idle, so that a connection nobody comes for is closed too."""
        stream_transport = cast(asyncio.Transport, transport)  # uvloop's are not subclasses
        stream_transport.set_write_buffer_limits(high=self._settings.write_high_water)
        self._transport = stream_transport
        self._out = Outgoing(self._loop, stream_transport)
        self._watch.set(self._loop.time() + self._settings.idle_timeout)

    def data_received(self, data: bytes) -> None:
        """Sort what arrives by what the connection is doing."""
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
                self.discard()
        except BadResponse as error:
            self._fail(error)

    def eof_received(self) -> bool:
        """The upstream will send no more.

        The end of an open body, or of a tunnel's one direction, or too early.
        """
        if self._phase == TUNNEL and self._stream is not None:
            self._stream.finish()
            return self._half_closable
        open_body = self._phase == BODY and self._decoder is not None and self._decoder.ends_at_close
        if open_body and (self._half_closable or closing_alert_seen(self._transport)):
            self._finish_stream(reusable=False)
        else:
            self._end_early()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone; the pool learns it exactly once, here."""
        if self._phase == TUNNEL and exc is None and self._stream is not None:
            self._stream.finish()
        self._end_early()
        self._watch.cancel()
        self._out.resume()
        self._pool.lost(self)

    def pause_writing(self) -> None:
        """The upstream is not taking what we send."""
        self._out.pause()
        self._last_activity = now = self._loop.time()
        if self._phase == HEAD:
            self._phase = SENDING
        if self._phase in (SENDING, TUNNEL):
            self._watch.set(now + self._deadlines.idle)

    def resume_writing(self) -> None:
        """The upstream takes more; a body that was in memory is out with this."""
        self._out.resume()
        self._last_activity = self._loop.time()
        if self._phase == SENDING and not self._out.pumping:
            self._request_sent()

    def _body_sent(self) -> None:
        if not self._out.paused:
            self._request_sent()

    def _request_sent(self) -> None:
        self._phase = HEAD
        self._watch.set(self._loop.time() + self._deadlines.first_byte)

    # -- the response head -------------------------------------------------------------------------

    def _on_head_bytes(self, data: bytes) -> None:
        if self._partial is not None:
            joined = self._partial.add(data)
            if joined is None:
                return
            data = joined
            self._partial = None
        while True:
            head = self._reader.read(data)
            if head is None:
                self._partial = PartialHead(data, max_bytes=self._settings.max_head_bytes)
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

    def _on_interim(self, head: ResponseHead) -> None:
        self._informational_count += 1
        if self._informational_count > self._settings.max_informational:
            raise BadResponse("too many informational responses")
        if self._phase == HEAD:
            self._watch.set(self._loop.time() + self._deadlines.first_byte)
        if head.status != 100 and self._on_informational is not None:
            self._on_informational(head.status, head.headers[:])

    def _on_switch(self, head: ResponseHead, data: bytes) -> None:
        """101: from here on the bytes belong to the protocol that was asked for (RFC 9110 7.8, 15.2.2)."""
        names = {name for name, _ in head.headers}
        if not self._request.upgrade or not names >= {b"upgrade", b"connection"}:
            raise BadResponse("101 that was not asked for")
        self._watch.limit = math.inf
        stream = self._begin_stream(TUNNEL)
        if len(data) > head.end:
            stream.feed(data[head.end :])
        headers = head.headers[:]
        self._respond(UpstreamResponse(101, head.reason, headers, None, None, stream, self, self._loop))

    def _on_final(self, head: ResponseHead, data: bytes) -> None:
        end, status, reason, headers, framing, keep_alive = head
        if not keep_alive or self._phase == SENDING:
            self._keep_alive = False
            self._out.stop()
        length = framing if framing >= 0 else None
        if status in _NO_BODY or self._request.method == "HEAD":
            framing = 0
        surplus = len(data) - end - framing
        if framing >= 0 and surplus >= 0:
            body = data[end : end + framing]
            self._respond(UpstreamResponse(status, reason, headers[:], length, body))
            self._end_exchange(reusable=not surplus)
            return
        self._decoder = decoder_for(framing)
        stream = self._begin_stream(BODY)
        self._respond(UpstreamResponse(status, reason, headers[:], length, None, stream, self, self._loop))
        if len(data) > end:
            self._on_body_bytes(data[end:])

    def _respond(self, response: UpstreamResponse) -> None:
        """Hand the response to the caller, unless it was cancelled meanwhile."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(response)
        else:
            response.abort()

    # -- the response body -------------------------------------------------------------------------

    def _begin_stream(self, phase: int) -> BodyStream:
        stream = BodyStream(self._loop, self._transport, high_water=self._settings.read_high_water)
        self._stream = stream
        self._phase = phase
        self._last_activity = now = self._loop.time()
        self._watch.set(now + self._deadlines.idle)
        return stream

    def _on_body_bytes(self, data: bytes) -> None:
        decoder, stream = self._decoder, self._stream
        if decoder is None or stream is None:
            return
        for piece in decoder.feed(data):
            stream.feed(piece)
        if decoder.done:
            self._finish_stream(reusable=not decoder.surplus)

    def _finish_stream(self, *, reusable: bool) -> None:
        if self._stream is not None:
            self._stream.finish()
        self._stream = self._decoder = None
        self._end_exchange(reusable=reusable)

    def _end_exchange(self, *, reusable: bool) -> None:
        """The response is complete: give the connection back, or close it."""
        transport = self._transport
        unsent = transport.get_write_buffer_size()
        if reusable and self._keep_alive and not unsent and not transport.is_closing():
            self._phase = IDLE
            self._watch.limit = math.inf
            self._watch.set(self._loop.time() + self._settings.idle_timeout)
            self._pool.give_back(self)
        else:
            self._shut(abort=unsent > 0)

    # -- the end, good or bad ----------------------------------------------------------------------

    def _end_early(self) -> None:
        """The upstream ended the connection: say what that means for whoever waits, if anyone does."""
        if self._phase == IDLE:
            self._shut(abort=False)
        elif self._phase <= HEAD and self._partial is None and not self._informational_count:
            self._fail(
                ClosedBeforeResponse(
                    "the upstream closed the connection without an answer",
                    reused=self._exchanges > 1,
                    bytes_sent=self._out.bytes_sent,
                )
            )
        else:
            self._fail(Truncated("the upstream closed the connection inside a response"))

    def _fail(self, error: Exception) -> None:
        """End the exchange with ``error``, wherever its caller is waiting, and close."""
        waiter, stream = self._waiter, self._stream
        self._waiter = None
        self._shut(abort=True)
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)
        if stream is not None:
            stream.fail(error)

    def _shut(self, *, abort: bool) -> None:
        if self._phase == IDLE:
            self._pool.idle_ended(self)
        self._phase = CLOSED
        self._out.stop()
        self._stream = self._decoder = self._partial = None
        if abort:
            self._transport.abort()
        elif not self._transport.is_closing():
            self._watch.limit = math.inf
            self._watch.set(self._loop.time() + _CLOSE_GRACE)
            self._transport.close()

    # -- the tunnel --------------------------------------------------------------------------------

    def tunnel_write(self, data: bytes) -> None:
        """Send bytes of the other protocol. Raises Truncated when the connection is gone."""
        if self._phase != TUNNEL or self._transport.is_closing():
            raise Truncated("the tunnel to the upstream is closed")
        self._last_activity = self._loop.time()
        self._transport.write(data)

    async def tunnel_drain(self) -> None:
        """Wait while too much is unsent."""
        if self._phase == TUNNEL:
            await self._out.wait_for_room()

    def tunnel_close(self) -> None:
        """Close after sending what was written."""
        stream = self._stream
        if self._phase == TUNNEL:
            self._shut(abort=False)
            self._out.resume()
        if stream is not None:
            stream.finish()

    # -- deadlines ---------------------------------------------------------------------------------

    def _really_due(self) -> float:
        """When something is overdue.

        A transfer counts from its last progress, and while it is ours to move.
        """
        out, stream = self._out, self._stream
        if self._phase == SENDING and not out.paused:
            return math.inf  # the body is awaited from the client, who has deadlines of his own
        if self._phase not in (SENDING, BODY, TUNNEL):
            return self._watch.due
        if out.paused and out.moved():
            self._last_activity = self._loop.time()
        if stream is not None and stream.held_back:
            stream.held_back = stream.paused
            self._last_activity = self._loop.time()
        return self._last_activity + self._deadlines.idle

    def _expire(self) -> None:
        if self._phase == IDLE:
            self._shut(abort=False)
        elif self._phase == CLOSED:
            self._transport.abort()
        elif self._watch.limit <= self._loop.time() + SLACK:
            self._fail(TotalTimeout("the exchange took too long"))
        elif self._phase == HEAD:
            self._fail(FirstByteTimeout("no response head in time"))
        else:
            self._fail(IdleTimeout("no progress in time"))
