"""One client connection: aiohttp's parser and flow control, our own dispatch loop.

aiohttp's `RequestHandler` reads and parses; this subclass replaces what it does between requests. Reasons: no task and
no response object per request (a fifth of the cost of a small request), every error answered as a problem document,
deadlines for heads, bodies and writes, a graceful drain. It leans on names of aiohttp that begin with an underscore;
`tests/edge/server` pins that behaviour and the dependency range is narrow.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, cast

from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import RequestHandler, RequestPayloadError

from haetae_edge.exchange import Exchange, Fields
from haetae_edge.io.server.body import BodyTimeout, RequestBody
from haetae_edge.problems import reason_phrase

if TYPE_CHECKING:
    from haetae_edge.io.server.server import GatewayServer

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_LINGER_BYTES = 256 * 1024
_LINGER_SECONDS = 2.0
#: So many connections may linger after a refusal; more are closed at once, for they cost what honest ones need.
_MAX_LEAVING = 1024
#: Framing of a chunked body (sizes, extensions, trailers) may take this many bytes, and so many for each byte of it.
_FRAMING_BYTES = 64 * 1024
_FRAMING_RATIO = 16


class OversizeHead:
    """Stands in the queue of messages for a head that is too large."""

    __slots__ = ()


class ClientConnection(RequestHandler):
    """A connection from a client, serving one request at a time."""

    __slots__ = (
        "_draining",
        "_head_bytes",
        "_incoming",
        "_incoming_wire",
        "_leaving",
        "_line",
        "_server",
        "_tunnel_waiter",
        "exchange",
        "idle_since",
        "peer",
        "peer_certificate",
        "reading_body",
        "requests",
        "streaming",
        "write_blocked_since",
    )

    def __init__(self, server: GatewayServer, *, loop: asyncio.AbstractEventLoop, **options: Any) -> None:
        super().__init__(server, loop=loop, **options)
        self._server = server
        self._draining = False
        self._head_bytes = 0
        self._incoming: StreamReader | None = None
        self._incoming_wire = 0
        self._leaving = False
        self._line: bytes | None = None
        self._tunnel_waiter: asyncio.Future[None] | None = None
        self.idle_since = loop.time()
        self.peer = ""
        self.peer_certificate: bytes | None = None
        self.reading_body: RequestBody | None = None
        self.exchange: Exchange | None = None
        self.requests = 0
        self.streaming = False
        self.write_blocked_since: float | None = None

    # -- what the transport calls ------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accept, or answer 503 and close when the worker is full.

        One that has no peer any more was reset while it waited to be accepted: nothing in it can be answered.
        """
        peer = transport.get_extra_info("peername")
        if not isinstance(peer, tuple):
            self._server.vanished += 1
            self._force_close = True
            cast("asyncio.Transport", transport).abort()
            return
        # A zone id belongs to the socket, not to the address.
        self.peer = peer[0].partition("%")[0]
        tls = transport.get_extra_info("ssl_object")
        if tls is not None:
            self.peer_certificate = tls.getpeercert(binary_form=True)
        super().connection_made(transport)
        if self._server.is_full():
            self._server.turn_away(self)

    def data_received(self, data: bytes) -> None:
        """Feed the parser, counting what belongs to a head or a body that is not complete yet."""
        if self._waiter is not None:
            if self._head_bytes == 0:
                self.idle_since = self._loop.time()
                self._line = b""
            if self._line is not None and not self._speaks_http(data):
                self._server.refuse_unread(self, "request-malformed")
                return
            self._head_bytes += len(data)
            super().data_received(data)
            if self._messages:
                if self._head_bytes > self._server.limits.header_bytes and is_too_many_lines(self._messages[0][0]):
                    self._messages[0] = (OversizeHead(), EMPTY_PAYLOAD)  # type: ignore[assignment]  # ours, see serve
                self._head_bytes = 0
                self._note_incoming()
            elif self._head_bytes > self._server.limits.header_bytes:
                self._server.refuse_unread(self, "headers-too-large")
            return
        incoming, queued = self._incoming, len(self._messages)
        super().data_received(data)
        if incoming is not None:
            self._follow_incoming(incoming, len(data))
        if len(self._messages) > queued:
            self._head_bytes = 0
            self._note_incoming()
        elif incoming is None and not self._upgraded:
            self._count_next_head(len(data))
        if self._tunnel_waiter is not None and not self._tunnel_waiter.done():
            self._tunnel_waiter.set_result(None)

    def _speaks_http(self, data: bytes) -> bool:
        """Look at the request line once it is here: the parser would take `GET / RTSP/1.0` for HTTP.

        Only of requests that the connection waited for; behind a pipelined one the difference does no harm.
        """
        line = (self._line + data if self._line else data).lstrip(b"\r\n")
        end = line.find(b"\r\n")
        self._line = line if end < 0 else None
        return end < 0 or line[max(end - 9, 0) : end - 3] == b" HTTP/"

    def _note_incoming(self) -> None:
        payload = self._messages[-1][1]
        if not payload.is_eof():
            self._incoming, self._incoming_wire = payload, 0

    def _follow_incoming(self, payload: StreamReader, size: int) -> None:
        """What just arrived belonged to a body: is it still one?

        The parser reports a broken body as one more message and forgets the body, whose reader would wait for ever.
        """
        self._incoming_wire += size
        if payload.is_eof():
            self._incoming = None
        elif (
            self._messages and not is_request(self._messages[-1][0])
        ) or self._incoming_wire > _FRAMING_BYTES + _FRAMING_RATIO * payload.total_bytes:
            self._incoming = None
            payload.set_exception(RequestPayloadError("the framing of the body is broken"))

    def _count_next_head(self, size: int) -> None:
        """A pipelined head that grows beyond its limit while an answer is under way: that answer is the last."""
        self._head_bytes += size
        if self._leaving:
            if self._head_bytes > _LINGER_BYTES:
                self.abort()
        elif self._head_bytes > self._server.limits.header_bytes:
            self._draining = self._close = True

    def connection_lost(self, exc: BaseException | None) -> None:
        """The client is gone: whatever is running for it is cancelled."""
        for waiter in (self._tunnel_waiter, self._drain_waiter):
            if waiter is not None and not waiter.done():
                waiter.set_exception(ConnectionResetError("the client closed the connection"))
        self._drain_waiter = None
        if self._leaving:
            self._server.leaving -= 1
            self._leaving = False
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The client reads more slowly than we write: note since when, for the watchdog."""
        super().pause_writing()
        self.write_blocked_since = self._loop.time()

    def resume_writing(self) -> None:
        """The client caught up."""
        super().resume_writing()
        self.write_blocked_since = None

    # -- what the writer and the body use ----------------------------------------------------------------------------

    def now(self) -> float:
        """The loop's clock, seconds."""
        return self._loop.time()

    @property
    def write_paused(self) -> bool:
        """Whether `drained` must be awaited before more is written."""
        return self._paused

    async def drained(self) -> None:
        """Wait until the client has read enough. Raises ConnectionError when it is gone."""
        if self.transport is None:
            raise ConnectionResetError("the client closed the connection")
        if self._paused:
            if self._drain_waiter is None:
                self._drain_waiter = self._loop.create_future()
            await asyncio.shield(self._drain_waiter)

    def write(self, data: bytes) -> None:
        """Write to the client. Raises ConnectionError when it is gone."""
        transport = self.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client closed the connection")
        transport.write(data)

    def write_continue(self) -> None:
        """Tell a client that waits for it to send its body."""
        self.write(_CONTINUE)

    def write_informational(self, status: int, fields: Fields) -> None:
        """Pass an interim answer on (RFC 9110 section 15.2); a client that is gone misses nothing by it."""
        transport = self.transport
        if transport is not None and not transport.is_closing():
            lines = b"".join([b"%b: %b\r\n" % pair for pair in fields])
            transport.write(b"HTTP/1.1 %d %b\r\n%b\r\n" % (status, reason_phrase(status), lines))

    def abort(self) -> None:
        """Close at once, without the appearance of a proper end."""
        self._force_close = True
        if self.transport is not None:
            self.transport.abort()

    def leave(self) -> None:
        """Close after an answer to something that may still be arriving.

        What arrives is dropped for a moment: to close on unread bytes would reset the connection, and the client could
        lose the answer (RFC 9112 section 9.6).
        """
        transport = self.transport
        if transport is None or self._leaving:
            return
        if not transport.can_write_eof() or self._server.leaving >= _MAX_LEAVING:
            self.force_close()
            return
        self._leaving = True
        self._server.leaving += 1
        self._incoming = None
        self._head_bytes = 0
        self.close()
        transport.write_eof()
        self._loop.call_later(_LINGER_SECONDS, self.abort)

    # -- tunnels after 101 -------------------------------------------------------------------------------------------

    async def tunnel_read(self) -> bytes:
        """The next bytes of an upgraded connection; empty when the client closed."""
        while not self._message_tail:
            if self.transport is None:
                return b""
            self._tunnel_waiter = self._loop.create_future()
            try:
                await self._tunnel_waiter
            except ConnectionResetError:
                return b""
            finally:
                self._tunnel_waiter = None
        data = bytes(self._message_tail)
        self._message_tail = b""
        if self._buffer_paused:
            self._resume_reading_for_buffer()
        return data

    # -- the loop ----------------------------------------------------------------------------------------------------

    def is_idle(self) -> bool:
        """Whether no request is being served or queued."""
        return self._waiter is not None and not self._messages

    @property
    def head_bytes(self) -> int:
        """Bytes of an incomplete request head received so far."""
        return self._head_bytes

    @property
    def is_last_request(self) -> bool:
        """Whether the next answer is this connection's last: it drains, or an upgrade was asked for and declined."""
        return self._draining or self._upgraded

    def drain(self) -> None:
        """Serve what is there and the next request, then close: the next answer says `Connection: close`."""
        self._draining = True

    async def start(self) -> None:
        """Serve requests one after the other until the connection ends."""
        serve: Callable[[ClientConnection, Any, StreamReader], Awaitable[bool]] = self._server.serve
        try:
            while not self._force_close:
                if not self._messages:
                    if self._close:
                        break
                    self.idle_since = self._loop.time()
                    self._waiter = self._loop.create_future()
                    try:
                        await self._waiter
                    finally:
                        self._waiter = None
                message, payload = self._messages.popleft()
                if self._parser is not None:
                    self._parser.message_consumed()
                if self._buffer_paused and len(self._messages) <= self._msg_queue_resume_size:
                    self._resume_reading_if_drained()
                self.requests += 1
                keep = await serve(self, message, payload)
                self.reading_body = None
                if not keep or self._upgraded:
                    if is_request(message):
                        await self._linger(payload)
                    else:
                        self.leave()
                    break
        except asyncio.CancelledError:
            if self.transport is not None and not self._force_close and not self._close:
                raise
        except ConnectionError:
            self.abort()
        finally:
            self._task_handler = None
            if self.transport is not None and not self._leaving:
                self.transport.close()

    async def _linger(self, payload: StreamReader) -> None:
        """Read on for a moment so that the answer is not lost to a reset (RFC 9112 section 9.6)."""
        if payload.is_eof() or self._force_close or self.transport is None:
            return
        read = 0
        try:
            async with asyncio.timeout(_LINGER_SECONDS):
                while read < _LINGER_BYTES and not payload.is_eof():
                    piece = await payload.readany()
                    if not piece:
                        return
                    read += len(piece)
        except (OSError, HttpProcessingError, RequestPayloadError, BodyTimeout):
            return


def is_too_many_lines(message: Any) -> bool:
    """Whether the parser gave up on a head, but not because one line of it was too long."""
    return not is_request(message) and not isinstance(message.exc, LineTooLong)


def is_request(message: Any) -> bool:
    """Whether the parser delivered a request rather than an error record."""
    return isinstance(message, RawRequestMessage)
