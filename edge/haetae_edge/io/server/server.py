"""The gateway's listener: parsed messages become exchanges, run through the pipeline, and are answered in time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong
from aiohttp.http_parser import HttpRequestParser, RawRequestMessage
from aiohttp.streams import StreamReader

from haetae_edge.address import AddressReader
from haetae_edge.deadlines import Deadlines
from haetae_edge.errors import Refusal
from haetae_edge.exchange import Exchange, Response
from haetae_edge.io.server.body import RequestBody
from haetae_edge.io.server.connection import ClientConnection, OversizeHead
from haetae_edge.io.server.faults import FaultLog
from haetae_edge.io.server.live import LiveStreams
from haetae_edge.io.server.tunnel import TunnelPump
from haetae_edge.io.server.writer import write_response
from haetae_edge.io.upstream import UpstreamError
from haetae_edge.limits import Limits
from haetae_edge.pipeline import Pipeline
from haetae_edge.request import RawRequest, Request, normalise

#: (exchange or None, request facts or None, response, seconds, body bytes sent)
Observer = Callable[[Exchange | None, ClientConnection, Response, float, int], None]

#: Two limits that differ, because the parser's error names only the limit: the request line, a header line.
_TARGET_LIMIT: Final = 12 * 1024
_LINE_LIMIT: Final = 16 * 1024
#: The shortest header line: a letter, a colon, CRLF.
_MIN_LINE: Final = 4
_SWEEP_SECONDS: Final = 1.0
#: Never sent, only observed: the usual number for a client that did not wait.
_CLIENT_GONE: Final = 499


def assert_native_parser() -> None:
    """Refuse to start on aiohttp's pure-Python parser: it accepts and hangs on messages that the C one refuses."""
    if HttpRequestParser.__module__ != "aiohttp._http_parser":
        raise RuntimeError(
            "aiohttp runs without its C parser; install a wheel for this platform and unset AIOHTTP_NO_EXTENSIONS"
        )


class GatewayServer(web.Server):
    """Accepts client connections for one worker."""

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        addresses: AddressReader,
        limits: Limits,
        deadlines: Deadlines,
        observer: Observer,
        loop: asyncio.AbstractEventLoop,
        scheme: str = "http",
    ) -> None:
        assert_native_parser()
        super().__init__(self._unused, handler_cancellation=True, loop=loop)
        self._pipeline = pipeline
        self._addresses = addresses
        self.limits = limits
        self._deadlines = deadlines
        self._observe = observer
        self._faults = FaultLog()
        #: Connections that were refused and read on for a moment.
        self.leaving = 0
        #: Connections that were reset before they could be accepted.
        self.vanished = 0
        self._event_loop = loop
        self._scheme = scheme
        self._stopped = False
        self.live = LiveStreams(loop, self.client_connections, clock=pipeline.now)
        self._sweep_interval = min(_SWEEP_SECONDS, limits.header_timeout / 2, limits.body_timeout / 2)
        self._sweep_handle: asyncio.TimerHandle | None = loop.call_later(self._sweep_interval, self._sweep)

    async def _unused(self, request: web.BaseRequest) -> web.StreamResponse:
        raise AssertionError("ClientConnection serves requests itself")

    def __call__(self) -> ClientConnection:
        """A protocol for one new connection."""
        return ClientConnection(
            self,
            loop=self._event_loop,
            keepalive_timeout=0,
            access_log=None,
            auto_decompress=False,
            max_line_size=_TARGET_LIMIT,
            max_field_size=_LINE_LIMIT,
            max_headers=self.limits.header_bytes // _MIN_LINE,
        )

    # -- one request -------------------------------------------------------------------------------------------------

    async def serve(self, connection: ClientConnection, message: Any, payload: StreamReader) -> bool:
        """Serve one parsed message; returns whether the connection may go on."""
        started = time.perf_counter()
        exchange: Exchange | None = None
        http10 = False
        method = "GET"
        may_keep = False
        sent = 0
        watched = False
        response: Response | None = None
        try:
            try:
                if not isinstance(message, RawRequestMessage):
                    raise _parse_refusal(message)
                method = message.method
                http10 = message.version == (1, 0)
                may_keep = not message.should_close
                exchange = connection.exchange = self._exchange(connection, message, payload)
                response = await self._pipeline.serve(exchange)
            except Refusal as refusal:
                response = self._pipeline.refuse(refusal, exchange=None)
            except Exception as error:  # noqa: BLE001 - the one boundary: a fault of ours is logged, not leaked
                self._faults.report(error, now=connection.now())
                response = self._pipeline.fault(exchange)
            if response.tunnel is not None and exchange is not None:
                pump = TunnelPump(connection, response, response.tunnel)
                self.live.add(exchange, pump.end)
                watched = True
                sent = await pump.run()
                return False
            connection.streaming = not isinstance(response.body, bytes)
            if connection.streaming and exchange is not None:
                watched = self.live.add_stream(exchange, connection, response.fields)
            keep = may_keep and not response.close and not connection.is_last_request and payload.is_eof()
            keep, sent = await write_response(connection, response, method=method, keep_alive=keep, http10=http10)
            return keep
        except UpstreamError as error:
            # The head is out and the upstream broke off: the connection was aborted, which is all that may be said.
            if exchange is not None:
                exchange.facts.reason = error.code
            return False
        except ConnectionError:
            raise
        except Exception as error:  # noqa: BLE001 - the same boundary once a head is out: nothing more may be said
            self._faults.report(error, now=connection.now())
            connection.abort()
            return False
        except asyncio.CancelledError:
            if response is None and exchange is not None:
                response = self._unanswered(exchange)
            raise
        finally:
            connection.exchange, connection.streaming = None, False
            if watched and exchange is not None:
                self.live.discard(exchange)
            if response is not None:
                if exchange is not None and exchange.on_finished is not None:
                    exchange.on_finished(response.status)
                self._observe(exchange, connection, response, time.perf_counter() - started, sent)

    def _unanswered(self, exchange: Exchange) -> Response:
        """What is observed of a request that ended before it had an answer; the upstream may have acted on it."""
        exchange.facts.reason = exchange.facts.reason or ("gateway-stopped" if self._stopped else "client-gone")
        return Response(status=_CLIENT_GONE, fields=[], body=b"")

    def _exchange(self, connection: ClientConnection, message: RawRequestMessage, payload: StreamReader) -> Exchange:
        request = self._read(connection, message)
        expects_continue = b"expect" in request.values and _expects_continue(request, version=message.version)
        body = None
        if request.has_body:
            limit = self.limits.body_bytes
            if request.content_length is not None and request.content_length > limit:
                raise Refusal("body-too-large", reason="content-length")
            body = RequestBody(
                connection,
                payload,
                length=request.content_length,
                limit=limit,
                expects_continue=expects_continue,
            )
        inform = None if message.version == (1, 0) else connection.write_informational
        return Exchange(
            request=request,
            body=body,
            deadlines=self._deadlines,
            inform=inform,
            peer=connection.peer,
            unverified_peer_certificate=connection.peer_certificate,
        )

    def _read(self, connection: ClientConnection, message: RawRequestMessage) -> Request:
        fields = message.raw_headers
        limits = self.limits
        if len(fields) > limits.header_count:
            raise Refusal("headers-too-large", reason="header-count")
        raw = RawRequest(message.method, message.path, message.version, fields, message.chunked, limits.header_bytes)
        return normalise(
            raw, scheme=self._scheme, peer=connection.peer, addresses=self._addresses, received=time.time()
        )

    # -- connections that never became a request ---------------------------------------------------------------------

    def is_full(self) -> bool:
        """Whether this worker serves as many connections as it may."""
        return len(self._connections) - self.leaving > self.limits.connections

    def turn_away(self, connection: ClientConnection) -> None:
        """Answer 503 to a connection beyond the limit and close it."""
        self.refuse_unread(connection, "overloaded")

    def refuse_unread(self, connection: ClientConnection, code: str) -> None:
        """Answer before any request was read, and close."""
        response = self._pipeline.refuse(Refusal(code), exchange=None)
        transport = connection.transport
        if transport is not None and not transport.is_closing() and isinstance(response.body, bytes):
            head = b"HTTP/1.1 %d \r\n" % response.status
            lines = b"".join([b"%b: %b\r\n" % pair for pair in response.fields])
            transport.write(
                b"%b%bcontent-length: %d\r\nconnection: close\r\n\r\n%b"
                % (head, lines, len(response.body), response.body)
            )
        self._observe(None, connection, response, 0.0, len(response.body) if isinstance(response.body, bytes) else 0)
        connection.leave()

    # -- time --------------------------------------------------------------------------------------------------------

    def _sweep(self) -> None:
        now = self._event_loop.time()
        limits = self.limits
        for connection in self.client_connections():
            waited = now - connection.idle_since
            blocked = connection.write_blocked_since
            body = connection.reading_body
            if blocked is not None and now - blocked > limits.write_timeout:
                connection.abort()
            elif connection.is_idle():
                if connection.head_bytes and waited > limits.header_timeout:
                    self.refuse_unread(connection, "request-timeout")
                elif not connection.head_bytes and waited > self._idle_limit(connection):
                    connection.force_close()
            elif body is not None and body.is_late(now, limits):
                body.expire()
        self._sweep_handle = self._event_loop.call_later(self._sweep_interval, self._sweep)

    def _idle_limit(self, connection: ClientConnection) -> float:
        return self.limits.keepalive_timeout if connection.requests else self.limits.header_timeout

    def client_connections(self) -> list[ClientConnection]:
        """The open connections, as a list that may be iterated while they close."""
        return [connection for connection in self._connections if isinstance(connection, ClientConnection)]

    # -- the end -----------------------------------------------------------------------------------------------------

    async def drain(self) -> None:
        """Let every connection finish what it does and be told to close; after the drain timeout close the rest.

        The listening sockets must not be accepting any more. An idle keep-alive connection is not cut: its client may
        be sending at this moment. Its next answer says `Connection: close`; only the deadline ends it.
        """
        deadline = self._event_loop.time() + self.limits.drain_timeout
        for connection in self.client_connections():
            connection.drain()
        while self._connections and self._event_loop.time() < deadline:  # noqa: ASYNC110 - aiohttp has no event for it
            await asyncio.sleep(0.05)
        await self.stop()

    async def stop(self) -> None:
        """Close every connection now, cancelling what runs for it, and stop the watchdog."""
        self._stopped = True
        if self._sweep_handle is not None:
            self._sweep_handle.cancel()
            self._sweep_handle = None
        await self.shutdown(timeout=1.0)


def _expects_continue(request: Request, *, version: tuple[int, int]) -> bool:
    """Whether a 100 is waited for; in HTTP/1.0 there is none (RFC 9110 section 10.1.1)."""
    if version == (1, 0):
        return False
    expect = request.header(b"expect")
    if expect is None or expect.lower() != "100-continue":
        raise Refusal("expectation-failed", reason="expect")
    return True


def _parse_refusal(message: Any) -> Refusal:
    """What the parser could not read: too long a line, or not HTTP."""
    error = getattr(message, "exc", None)
    if isinstance(error, LineTooLong) and error.args[1] == _TARGET_LIMIT:
        return Refusal("uri-too-long", reason="target-length")
    if isinstance(error, LineTooLong) or isinstance(message, OversizeHead):
        return Refusal("headers-too-large", reason="line-length")
    return Refusal("request-malformed", reason="unparsable")
