"""What an exchange returns: a response that is whole or still arriving, and a tunnel after 101.

Rules kept: the fast path is a response whose ``body`` is already here and which no longer knows its
connection; otherwise the connection is given back at the last byte, or closed by ``abort``, exactly once.
"""

import asyncio
from typing import Protocol

from haetae_edge.io.upstream.body import BodyStream
from haetae_edge.io.upstream.head import Headers


class Link(Protocol):
    """The part of a connection that a response or a tunnel may use."""

    def abandon(self, stream: BodyStream) -> None: ...
    def tunnel_write(self, data: bytes) -> None: ...
    async def tunnel_drain(self) -> None: ...
    def tunnel_close(self) -> None: ...


class UpstreamResponse:
    """A response. ``headers`` are as received, names lower-cased; hop-by-hop fields are still among them.

    ``body`` is the whole body if it arrived together with the head, else ``None``: then call ``read`` until
    it returns ``b""``, or ``abort``. ``length`` is the Content-Length in bytes if there was one; on a
    response to HEAD and on 304 it describes a body that is not there.
    """

    __slots__ = ("_link", "_loop", "_stream", "_taken", "body", "headers", "length", "reason", "status")

    def __init__(
        self,
        status: int,
        reason: bytes,
        headers: Headers,
        length: int | None,
        body: bytes | None,
        stream: BodyStream | None = None,
        link: Link | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.status = status
        self.reason = reason
        self.headers = headers
        self.length = length
        self.body = body
        self._stream = stream
        self._link = link
        self._loop = loop
        self._taken = False

    async def read(self) -> bytes:
        """The next bytes of the body, ``b""`` at the end.

        Raises Truncated, BadResponse, IdleTimeout or TotalTimeout after the bytes that came before the
        trouble. A caller cancelled here has aborted the connection.
        """
        stream = self._stream
        if stream is None:
            if self._taken or self.body is None:
                return b""
            self._taken = True
            return self.body
        try:
            return await stream.read()
        except asyncio.CancelledError:
            self.abort()
            raise

    def release(self) -> None:
        """Say that no more will be read. An unread rest closes the connection (RFC 9112 9.3)."""
        self.abort()

    def abort(self) -> None:
        """Stop here.

        Closes the connection if the body has not ended; may be called at any time, any number of times.
        """
        link, stream = self._link, self._stream
        self._link = None
        if link is not None and stream is not None:
            link.abandon(stream)

    def settle(self) -> None:
        """Turn a stream that ended before anyone looked at it into a whole ``body``."""
        stream = self._stream
        if stream is not None and self.status != 101:
            body = stream.take_whole()
            if body is not None:
                self.body = body
                self._stream = self._link = None

    def tunnel(self) -> "Tunnel":
        """Take over the connection after 101.

        Raises RuntimeError for any other response, and the second time.
        """
        if self.status != 101 or self._link is None or self._stream is None:
            raise RuntimeError("only a 101 response becomes a tunnel, once")
        tunnel = Tunnel(self._link, self._stream)
        self._link = None
        return tunnel

    def __del__(self) -> None:
        """A response dropped half-read must not keep its connection. May run in any thread."""
        link, stream, loop = self._link, self._stream, self._loop
        if link is None or stream is None or loop is None:
            return
        if not stream.ended and not loop.is_closed():
            loop.call_soon_threadsafe(link.abandon, stream)


class Tunnel:
    """The connection after 101: bytes both ways, unread and unchanged. Close it in every case."""

    __slots__ = ("_link", "_stream")

    def __init__(self, link: Link, stream: BodyStream) -> None:
        self._link = link
        self._stream = stream

    async def read(self) -> bytes:
        """The next bytes from the upstream, ``b""`` after it has finished sending.

        Raises Truncated, IdleTimeout.
        """
        return await self._stream.read()

    async def write(self, data: bytes) -> None:
        """Send bytes, waiting while the upstream is slow. Raises Truncated when the connection is gone."""
        self._link.tunnel_write(data)
        await self._link.tunnel_drain()

    async def drain(self) -> None:
        """Wait until there is room to write. Returns at once when the connection is gone."""
        await self._link.tunnel_drain()

    def close(self) -> None:
        """Close after what was written has been sent."""
        self._link.tunnel_close()
