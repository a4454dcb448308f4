"""One upstream in one worker: a pool of connections and the exchange over them.

Rules kept: connections are used last-in first-out, so that the surplus grows old and closes; how many are
open and how many callers wait is bounded, and the one too many is refused at once; a request is repeated at
most once and only if it cannot have been processed twice: nothing of it was sent, or its method is safe and
a reused connection ended before the first byte of an answer (RFC 9110 9.2.2, RFC 9112 9.3.1).

Not here: retry policies, breakers and limits of a route. They sit above and read ``retry_safe``.
"""

import asyncio
import ssl
from collections import deque

from haetae_edge.deadlines import Deadlines
from haetae_edge.io.upstream.connection import Connection, OnInformational
from haetae_edge.io.upstream.dial import Dialer, PeerCheck
from haetae_edge.io.upstream.errors import (
    ClosedBeforeResponse,
    ConnectFailed,
    PoolExhausted,
    TotalTimeout,
    UpstreamError,
)
from haetae_edge.io.upstream.head import HeadReader
from haetae_edge.io.upstream.request import SAFE_METHODS, UpstreamRequest
from haetae_edge.io.upstream.response import UpstreamResponse
from haetae_edge.io.upstream.settings import Origin, UpstreamSettings


class Upstream:
    """The connections of this worker to one origin. Make it and use it within one running event loop.

    ``ssl_context``: for https only; must check chain and host name; defaults to the system's authorities.
    ``peer_check``: called with the DER certificate of each new TLS connection; raises ValueError to refuse
    it (pins).
    """

    def __init__(
        self,
        origin: Origin,
        *,
        settings: UpstreamSettings,
        ssl_context: ssl.SSLContext | None = None,
        peer_check: PeerCheck | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._loop = loop or asyncio.get_running_loop()
        self._settings = settings
        self._dialer = Dialer(
            origin, settings=settings, loop=self._loop, ssl_context=ssl_context, peer_check=peer_check
        )
        self._reader = HeadReader(max_bytes=settings.max_head_bytes, max_count=settings.max_header_count)
        self._tls = origin.scheme == "https"
        self._idle: dict[Connection, None] = {}
        self._connections: set[Connection] = set()
        self._slots = settings.max_connections
        self._waiters: deque[asyncio.Future[Connection | None]] = deque()
        self._closed = False
        self._all_lost: asyncio.Future[None] | None = None
        self.origin = origin

    @property
    def open_connections(self) -> int:
        """Connections that are open or being opened."""
        return self._settings.max_connections - self._slots

    @property
    def idle_connections(self) -> int:
        """Connections that wait for a request."""
        return len(self._idle)

    async def exchange(
        self, request: UpstreamRequest, deadlines: Deadlines, on_informational: OnInformational | None = None
    ) -> UpstreamResponse:
        """Send ``request`` and return the final response (or 101) as soon as its head is here.

        ``on_informational`` gets status and headers of each 1xx but 100 and 101; it must not raise. Raises
        the subclasses of UpstreamError; ClientBodyError and whatever else the request's ``BodySource``
        raises. A caller cancelled here has closed the connection, and nothing is left running.
        """
        started = self._loop.time()
        connection = self._take_idle() or await self._acquire(deadlines, started)
        waiter = connection.start(request, deadlines, started, on_informational)
        try:
            response = await waiter
        except ClosedBeforeResponse as error:
            if not _repeatable(request, error):
                raise
        except asyncio.CancelledError:
            connection.give_up(waiter)
            raise
        else:
            if response.body is None:
                response.settle()
            return response
        connection = await self._acquire(deadlines, started, fresh=True)
        waiter = connection.start(request, deadlines, started, on_informational)
        try:
            response = await waiter
        except asyncio.CancelledError:
            connection.give_up(waiter)
            raise
        response.settle()
        return response

    async def close(self) -> None:
        """Refuse new exchanges, end the running ones, and return when every connection is closed."""
        self._closed = True
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_exception(ConnectFailed("the upstream is being closed"))
        self._idle.clear()
        for connection in list(self._connections):
            connection.discard()
        if self._connections:
            if self._all_lost is None:
                self._all_lost = self._loop.create_future()
            await asyncio.shield(self._all_lost)

    # -- the pool ----------------------------------------------------------------------------------

    def _take_idle(self) -> Connection | None:
        idle = self._idle
        while idle:
            connection, _ = idle.popitem()
            if connection.usable:
                return connection
        return None

    async def _acquire(self, deadlines: Deadlines, started: float, *, fresh: bool = False) -> Connection:
        """A connection to start on: idle, new, or the next that is given back."""
        due = self._loop.time() + deadlines.connect
        if deadlines.total is not None and started + deadlines.total < due:
            due = started + deadlines.total
            if due <= self._loop.time():
                raise TotalTimeout("no time left to connect", retry_safe=True)
        while not self._closed:
            connection = None if fresh and self._slots else self._take_idle()
            if connection is None and not self._slots:
                connection = await self._wait(due)
            elif connection is None:
                self._slots -= 1
            if connection is None:
                connection = await self._dial(due)
            if connection.usable:
                return connection
        raise ConnectFailed("the upstream is being closed")

    async def _dial(self, due: float) -> Connection:
        """Open a connection in a slot that is already ours.

        The slot is the connection's from the moment it works.
        """
        try:
            connection = await self._dialer.connect(self._new_connection, due)
            if self._closed or not connection.usable:
                connection.discard()
                raise ConnectFailed("the connection to the upstream closed at once")
            self._connections.add(connection)
        except (UpstreamError, asyncio.CancelledError):
            self._free_slot()
            raise
        return connection

    def _new_connection(self) -> Connection:
        return Connection(pool=self, loop=self._loop, settings=self._settings, reader=self._reader, tls=self._tls)

    async def _wait(self, due: float) -> Connection | None:
        """Wait for a connection, or for a free slot (``None``), which is ours then. Raises PoolExhausted."""
        if len(self._waiters) >= self._settings.max_waiters:
            raise PoolExhausted("too many requests wait for a connection")
        waiter: asyncio.Future[Connection | None] = self._loop.create_future()
        self._waiters.append(waiter)
        timer = self._loop.call_at(due, _expire, waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                granted = waiter.result()
                if granted is None:
                    self._free_slot()
                elif granted.usable:
                    self.give_back(granted)
            raise
        finally:
            timer.cancel()
            if not waiter.done() or waiter.cancelled() or waiter.exception() is not None:
                self._forget(waiter)

    def _forget(self, waiter: "asyncio.Future[Connection | None]") -> None:
        if waiter in self._waiters:
            self._waiters.remove(waiter)

    def _next_waiter(self) -> "asyncio.Future[Connection | None] | None":
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                return waiter
        return None

    def _free_slot(self) -> None:
        waiter = self._next_waiter() if self._waiters else None
        if waiter is None:
            self._slots += 1
        else:
            waiter.set_result(None)

    # -- called by connections ---------------------------------------------------------------------

    def give_back(self, connection: Connection) -> None:
        """A connection finished an exchange and may begin another."""
        if self._waiters:
            waiter = self._next_waiter()
            if waiter is not None:
                waiter.set_result(connection)
                return
        self._idle[connection] = None

    def idle_ended(self, connection: Connection) -> None:
        """A connection that waits for a request is about to close."""
        self._idle.pop(connection, None)

    def lost(self, connection: Connection) -> None:
        """A connection is gone."""
        if connection not in self._connections:
            return
        self._connections.remove(connection)
        self._free_slot()
        if self._all_lost is not None and not self._connections and not self._all_lost.done():
            self._all_lost.set_result(None)


def _expire(waiter: "asyncio.Future[Connection | None]") -> None:
    if not waiter.done():
        waiter.set_exception(PoolExhausted("no connection became free in time"))


def _repeatable(request: UpstreamRequest, error: ClosedBeforeResponse) -> bool:
    """Whether one silent repetition cannot make the upstream do anything twice."""
    if not (request.body is None or isinstance(request.body, bytes)):
        return False
    return error.bytes_sent == 0 or (error.reused and request.method in SAFE_METHODS)
