"""An upgraded connection: bytes pass both ways untouched until one side closes (RFC 9110 section 7.8).

Ended by the gateway, a WebSocket client gets a close frame (1008 for a policy, 4401 when the session ended) where one
may stand: at the end of a frame, with the client reading. Anywhere else, bytes of ours would become part of somebody's
message, so the connection just closes, which clients see as 1006.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from haetae_edge.exchange import Response, Tunnel
from haetae_edge.io.server.frames import FrameTracker, close_frame
from haetae_edge.io.upstream import UpstreamError

if TYPE_CHECKING:
    from haetae_edge.io.server.connection import ClientConnection

#: How long a close frame may take to leave.
_PARTING_SECONDS: Final = 0.5


class TunnelPump:
    """Joins one client connection and one upstream connection."""

    def __init__(self, connection: ClientConnection, response: Response, tunnel: Tunnel) -> None:
        self._connection = connection
        self._response = response
        self._tunnel = tunnel
        self._loop = asyncio.get_running_loop()
        self._frames = FrameTracker()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._sent = 0

    async def run(self) -> int:
        """Answer 101 and pass bytes; returns those sent to the client. Ends, closing both, when either side does."""
        lines = b"".join([b"%b: %b\r\n" % pair for pair in self._response.fields])
        self._connection.write(b"HTTP/1.1 101 Switching Protocols\r\n%bconnection: upgrade\r\n\r\n" % lines)
        inward = asyncio.ensure_future(self._to_upstream())
        outward = asyncio.ensure_future(self._to_client())
        try:
            await asyncio.wait({inward, outward, self._ended}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._tunnel.close()
            for task in (inward, outward):
                task.cancel()
            await asyncio.gather(inward, outward, return_exceptions=True)
        return self._sent

    def end(self, code: int, reason: bytes) -> None:
        """Close it from here, with a close frame where one may stand."""
        if self._ended.done():
            return
        self._ended.set_result(None)
        connection = self._connection
        transport = connection.transport
        if not self._frames.at_boundary or connection.write_paused or transport is None or transport.is_closing():
            connection.abort()
            return
        transport.write(close_frame(code, reason))
        transport.close()
        self._loop.call_later(_PARTING_SECONDS, transport.abort)

    async def _to_upstream(self) -> None:
        while data := await self._connection.tunnel_read():
            try:
                await self._tunnel.write(data)
            except UpstreamError:
                return

    async def _to_client(self) -> None:
        connection, frames = self._connection, self._frames
        try:
            while (data := await self._tunnel.read()) and not self._ended.done():
                connection.write(data)
                frames.feed(data)
                self._sent += len(data)
                if connection.write_paused:
                    await connection.drained()
        except (ConnectionError, UpstreamError):
            return
