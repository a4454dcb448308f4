"""An upstream that records what arrives, byte for byte, and answers as the test says.

It frames requests by the letter of RFC 9112 and nothing more: if the gateway sent a request that ends in a different
place than the gateway thinks, the bytes left over become the next "request" in `requests`, and the test sees them.
"""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

Answer = bytes | Callable[["Peer"], Awaitable[None]]


@dataclass(slots=True)
class Arrived:
    """One request as it came: the head with its empty line, the body with its framing."""

    connection: int
    head: bytes
    body: bytes = b""

    @property
    def line(self) -> bytes:
        """The request line."""
        return self.head.partition(b"\r\n")[0]

    @property
    def target(self) -> str:
        """The request target."""
        return self.line.split(b" ")[1].decode("ascii")

    @property
    def fields(self) -> list[tuple[bytes, bytes]]:
        """Header lines in order, names in lower case."""
        pairs = [line.partition(b": ") for line in self.head[:-4].split(b"\r\n")[1:]]
        return [(name.lower(), value) for name, _, value in pairs]

    def values(self, name: bytes) -> list[bytes]:
        """All values of a field."""
        return [value for found, value in self.fields if found == name]

    @property
    def content(self) -> bytes:
        """The body without its framing."""
        if self.values(b"transfer-encoding") != [b"chunked"]:
            return self.body
        rest, content = self.body, b""
        while True:
            size, _, rest = rest.partition(b"\r\n")
            if int(size, 16) == 0:
                return content
            content += rest[: int(size, 16)]
            rest = rest[int(size, 16) + 2 :]


class Peer:
    """The upstream's end of one connection, while it answers one request."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: Arrived) -> None:
        self._reader = reader
        self._writer = writer
        self.request = request

    async def read_body(self) -> bytes:
        """Read the body of this request as its framing says; returns it without the framing."""
        request = self.request
        if request.values(b"transfer-encoding"):
            while not request.body.endswith(b"0\r\n\r\n"):
                size = await self._reader.readuntil(b"\r\n")
                request.body += size + await self._reader.readexactly(int(size[:-2], 16) + 2)
        for length in request.values(b"content-length"):
            request.body += await self._reader.readexactly(int(length) - len(request.body))
        return request.content

    async def read_some(self) -> bytes:
        """Bytes that belong to no request; empty at the end."""
        return await self._reader.read(65_536)

    async def read_exactly(self, count: int) -> bytes:
        """The next `count` bytes."""
        return await self._reader.readexactly(count)

    async def gone(self) -> bytes:
        """Wait until the gateway closes this connection; returns what it still sent. A reset counts as closing."""
        received = b""
        try:
            while piece := await self._reader.read(65_536):
                received += piece
        except ConnectionError:
            pass
        return received

    async def send(self, *pieces: bytes) -> None:
        """Send, each piece in a segment of its own as far as a network allows that."""
        for piece in pieces:
            self._writer.write(piece)
            await self._writer.drain()
            await asyncio.sleep(0)

    def close(self) -> None:
        """Close politely."""
        self._writer.close()

    def reset(self) -> None:
        """Close with a TCP reset."""
        sock: socket.socket = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()


def when(go: asyncio.Event, answer: bytes) -> Callable[[Peer], Awaitable[None]]:
    """A script that answers when it is told to."""

    async def script(peer: Peer) -> None:
        await go.wait()
        await peer.send(answer)

    return script


def ok(body: bytes, *fields: bytes) -> bytes:
    """A plain 200 with these header lines (without CRLF)."""
    lines = b"".join(line + b"\r\n" for line in fields)
    return b"HTTP/1.1 200 OK\r\n%bcontent-length: %d\r\n\r\n%b" % (lines, len(body), body)


@dataclass(slots=True)
class RecordingUpstream:
    """`requests` in order of arrival; `connections` counts them. Answers are chosen by request target.

    Without one the answer says what was asked: `answer to GET /a`.
    """

    port: int = 0
    requests: list[Arrived] = field(default_factory=list)
    connections: int = 0
    open_connections: int = 0
    _answers: dict[str, Answer] = field(default_factory=dict)
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    _failures: list[BaseException] = field(default_factory=list)

    def on(self, target: str, answer: Answer) -> None:
        """Answer requests for this target with these bytes, or by this script (which reads the body itself)."""
        self._answers[target] = answer

    @property
    def only(self) -> Arrived:
        """The one request that arrived."""
        assert len(self.requests) == 1, [request.line for request in self.requests]
        return self.requests[0]

    @property
    def lines(self) -> list[bytes]:
        """The request lines in order of arrival."""
        return [request.line for request in self.requests]

    async def until(self, condition: Callable[["RecordingUpstream"], bool]) -> None:
        """Wait until something holds of this upstream."""
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(lambda: condition(self))

    async def _note(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = self.connections
        self.connections += 1
        self.open_connections += 1
        try:
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                request = Arrived(number, head)
                self.requests.append(request)
                await self._note()
                await self._reply(Peer(reader, writer, request), writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the gateway gave up: what it sent until then is recorded
        except (AssertionError, ValueError, asyncio.LimitOverrunError) as error:
            self._failures.append(error)
        finally:
            self.open_connections -= 1
            writer.close()
            await self._note()

    async def _reply(self, peer: Peer, writer: asyncio.StreamWriter) -> None:
        request = peer.request
        answer = self._answers.get(request.target)
        if answer is not None and not isinstance(answer, bytes):
            await answer(peer)
            return
        await peer.read_body()
        method = request.line.split(b" ")[0]
        await peer.send(answer if answer is not None else ok(b"answer to %b %b" % (method, request.target.encode())))


@asynccontextmanager
async def recording_upstream() -> AsyncIterator[RecordingUpstream]:
    """An upstream on a free port. At the end every script must have ended without an error."""
    upstream = RecordingUpstream()
    tasks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with suppress(asyncio.CancelledError):
            await upstream._serve(reader, writer)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, limit=2**20)
    upstream.port = server.sockets[0].getsockname()[1]
    try:
        yield upstream
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert not upstream._failures, upstream._failures
