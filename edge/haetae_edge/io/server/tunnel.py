"""An upgraded connection: bytes pass both ways untouched until one side closes (RFC 9110 section 7.8)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from haetae_edge.exchange import Response, Tunnel
from haetae_edge.io.upstream import UpstreamError

if TYPE_CHECKING:
    from haetae_edge.io.server.connection import ClientConnection


async def pump(connection: ClientConnection, response: Response, tunnel: Tunnel) -> int:
    """Answer 101 and join the two connections; returns the bytes sent to the client.

    Ends, closing both, when either side does.
    """
    lines = b"".join([b"%b: %b\r\n" % pair for pair in response.fields])
    connection.write(b"HTTP/1.1 101 Switching Protocols\r\n%bconnection: upgrade\r\n\r\n" % lines)
    inward = asyncio.ensure_future(_to_upstream(connection, tunnel))
    outward = asyncio.ensure_future(_to_client(connection, tunnel))
    try:
        await asyncio.wait({inward, outward}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        tunnel.close()
        for task in (inward, outward):
            task.cancel()
        results = await asyncio.gather(inward, outward, return_exceptions=True)
    return results[1] if isinstance(results[1], int) else 0


async def _to_upstream(connection: ClientConnection, tunnel: Tunnel) -> None:
    while data := await connection.tunnel_read():
        try:
            await tunnel.write(data)
        except UpstreamError:
            return


async def _to_client(connection: ClientConnection, tunnel: Tunnel) -> int:
    sent = 0
    try:
        while data := await tunnel.read():
            connection.write(data)
            sent += len(data)
            if connection.write_paused:
                await connection.drained()
    except (ConnectionError, UpstreamError):
        return sent
    return sent
