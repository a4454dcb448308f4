"""A scripted upstream at a real socket: each connection plays one script, byte by byte."""

import asyncio
import os
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from haetae_edge.io.upstream import (
    Deadlines,
    Origin,
    Tunnel,
    Upstream,
    UpstreamRequest,
    UpstreamResponse,
    UpstreamSettings,
)

GET = b"GET / HTTP/1.1\r\nhost: service\r\n"
GET_WIRE = GET + b"\r\n"
POST = b"POST / HTTP/1.1\r\nhost: service\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
PATIENT = Deadlines(connect=5, first_byte=5, idle=5, total=None)


class Peer:
    """The upstream's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def expect(self, data: bytes) -> None:
        """The next bytes that arrive are exactly these."""
        received = b""
        while len(received) < len(data) and data.startswith(received):
            piece = await self._reader.read(len(data) - len(received))
            if not piece:
                break
            received += piece
        assert received == data

    async def read_head(self) -> bytes:
        """Everything up to the next empty line."""
        return await self._reader.readuntil(b"\r\n\r\n")

    async def read(self, count: int) -> bytes:
        """At most ``count`` bytes; empty at the end."""
        return await self._reader.read(count)

    async def read_rest(self) -> bytes:
        """Everything until the gateway closes; a reset counts as closing."""
        received = b""
        try:
            while piece := await self._reader.read(65_536):
                received += piece
        except ConnectionError:
            pass
        return received

    async def send(self, *pieces: bytes) -> None:
        """Send pieces, in segments of their own as far as a network allows that."""
        for piece in pieces:
            if self._writer.transport.is_closing():
                raise ConnectionResetError
            self._writer.write(piece)
            await self._writer.drain()
            await asyncio.sleep(0.002 if len(pieces) > 1 else 0)

    async def answer(self, response: bytes = OK) -> None:
        """Read one request without a body, send one response."""
        await self.read_head()
        await self.send(response)

    async def serve(self, response: bytes = OK) -> None:
        """Answer every request without a body until the gateway is gone."""
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await self.answer(response)

    def half_close(self) -> None:
        """Finish sending, go on reading."""
        self._writer.write_eof()

    def close(self) -> None:
        """Close politely."""
        self._writer.close()

    def reset(self) -> None:
        """Close with a TCP reset."""
        sock: socket.socket = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    def cut(self) -> None:
        """Close the TCP connection politely, without the closing alert of TLS above it."""
        sock: socket.socket = self._writer.get_extra_info("socket")
        with suppress(OSError), socket.socket(fileno=os.dup(sock.fileno())) as raw:
            raw.shutdown(socket.SHUT_WR)

    async def closed(self) -> None:
        """Wait until the gateway closes, and see that it sent nothing more."""
        assert await self.read_rest() == b""


Script = Callable[[Peer], Awaitable[None]]


class ScriptedUpstream:
    """Where it listens, and what has happened there."""

    def __init__(self, port: int, *, tls: bool) -> None:
        self.origin = Origin("https" if tls else "http", "localhost" if tls else "127.0.0.1", port)
        self.connections = 0


@asynccontextmanager
async def scripted(
    *scripts: Script,
    settings: UpstreamSettings | None = None,
    tls: ssl.SSLContext | None = None,
    client_tls: ssl.SSLContext | None = None,
) -> AsyncIterator[tuple[Upstream, ScriptedUpstream]]:
    """An upstream that plays one script per connection (the last one again for more), and a client for it.

    The client is closed first; then every script must have ended without an error.
    """
    played: list[asyncio.Task[None]] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        script = scripts[min(fake.connections, len(scripts) - 1)]
        fake.connections += 1
        task = asyncio.ensure_future(_play(script, Peer(reader, writer), writer))
        played.append(task)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    fake = ScriptedUpstream(server.sockets[0].getsockname()[1], tls=tls is not None)
    upstream = Upstream(fake.origin, settings=settings or UpstreamSettings(), ssl_context=client_tls)
    try:
        async with asyncio.timeout(20):
            yield upstream, fake
    finally:
        await upstream.close()
        server.close()
        await server.wait_closed()
    async with asyncio.timeout(5):
        await asyncio.gather(*played)
    assert upstream.open_connections == 0
    assert upstream.idle_connections == 0


async def _play(script: Script, peer: Peer, writer: asyncio.StreamWriter) -> None:
    try:
        await script(peer)
    finally:
        writer.close()


def get(head: bytes = GET) -> UpstreamRequest:
    """A request without a body."""
    return UpstreamRequest("GET", head)


async def read_all(response: UpstreamResponse | Tunnel) -> bytes:
    """The whole body of a response, piece by piece."""
    body = b""

    while piece := await response.read():
        body += piece
    return body


async def fetch(upstream: Upstream, request: UpstreamRequest | None = None) -> tuple[int, bytes]:
    """One whole exchange: status and body."""
    response = await upstream.exchange(request or get(), PATIENT)
    return response.status, await read_all(response)


async def all_closed(upstream: Upstream) -> None:
    """Wait until the client has noticed that every connection is gone."""
    while upstream.open_connections:  # noqa: ASYNC110 -- there is no event to wait for but the fact itself
        await asyncio.sleep(0.001)


class PieceSource:
    """A request body in pieces; an exception among them is raised in its turn, an event is waited for."""

    def __init__(self, *pieces: bytes | Exception | asyncio.Event, length: int | None = None) -> None:
        self._pieces = list(pieces)
        self.length = length
        self.cancelled = False

    async def read(self) -> bytes:
        """The next piece."""
        while self._pieces:
            piece = self._pieces.pop(0)
            if isinstance(piece, bytes):
                return piece
            if isinstance(piece, Exception):
                raise piece
            try:
                await piece.wait()
            except asyncio.CancelledError:
                self.cancelled = True
                raise
        return b""
