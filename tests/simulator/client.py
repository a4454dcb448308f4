"""A client that writes bytes, not requests: what a test sends is what arrives, and what comes back is read strictly.

It does not help: no default headers, no retries, no reuse of anything. An answer that breaks off, carries two lengths
or bytes that belong to nothing fails the test that reads it.
"""

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

PATIENCE = 10.0  # seconds until a test that waits for bytes gives up


class BrokenOff(Exception):
    """The connection ended inside an answer. `received` is what there was of it."""

    def __init__(self, received: bytes) -> None:
        super().__init__(f"the answer broke off after {received!r}")
        self.received = received


@dataclass(frozen=True, slots=True)
class Answer:
    """One response. `fields` in order with lower-case names; `body` without its framing."""

    status: int
    reason: bytes
    fields: tuple[tuple[bytes, bytes], ...]
    body: bytes
    chunked: bool

    def values(self, name: bytes) -> list[bytes]:
        """All values of a field."""
        return [value for field, value in self.fields if field == name]

    def value(self, name: bytes) -> bytes:
        """The value of a field that occurs exactly once."""
        values = self.values(name)
        assert len(values) == 1, f"{name!r} occurs {len(values)} times in {self}"
        return values[0]

    @property
    def says_close(self) -> bool:
        """Whether the connection ends after this answer."""
        return self.values(b"connection") == [b"close"]

    def problem(self) -> str:
        """The code of a problem document, after checking that it is one and says nothing else (RFC 9457)."""
        assert self.value(b"content-type") == b"application/problem+json"
        assert self.value(b"cache-control") == b"no-store"
        document: dict[str, Any] = json.loads(self.body)
        assert set(document) == {"type", "title", "status", "code", "ref"}
        assert document["status"] == self.status
        assert document["ref"]
        code = document["code"]
        assert isinstance(code, str)
        return code


class Client:
    """One connection to the gateway."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, *pieces: bytes) -> None:
        """Send, each piece in a segment of its own as far as a network allows that."""
        for piece in pieces:
            self._writer.write(piece)
            await self._writer.drain()
            await asyncio.sleep(0)

    async def ask(self, request: bytes, *, method: str = "GET") -> Answer:
        """Send one request and read its answer."""
        await self.send(request)
        return await self.answer(method)

    async def answer(self, method: str = "GET") -> Answer:
        """The next response to a request of this method. Raises BrokenOff."""
        async with asyncio.timeout(PATIENCE):
            head = await self._until(b"\r\n\r\n", b"")
            status, reason, fields = _parse_head(head)
            lengths = [value for name, value in fields if name == b"content-length"]
            codings = [value for name, value in fields if name == b"transfer-encoding"]
            assert len(lengths) + len(codings) <= 1, f"more than one framing in {head!r}"
            chunked = codings == [b"chunked"]
            if method == "HEAD" or status < 200 or status in (204, 304):
                body = b""
            elif chunked:
                body = await self._chunks(head)
            elif lengths:
                body = await self._exactly(int(lengths[0]), head)
            else:
                assert (b"connection", b"close") in fields, f"no framing and no close in {head!r}"
                body = await self._reader.read()
            return Answer(status, reason, fields, body, chunked)

    async def rest(self) -> bytes:
        """Everything until the gateway closes; a reset counts as closing."""
        received = b""
        async with asyncio.timeout(PATIENCE):
            try:
                while piece := await self._reader.read(65_536):
                    received += piece
            except ConnectionError:
                pass
        return received

    async def closed(self) -> None:
        """The gateway closes and has sent nothing more."""
        assert await self.rest() == b""

    async def read_exactly(self, count: int) -> bytes:
        """The next `count` bytes of whatever protocol this is."""
        async with asyncio.timeout(PATIENCE):
            return await self._reader.readexactly(count)

    async def read_some(self) -> bytes:
        """At least one byte, or empty at the end."""
        async with asyncio.timeout(PATIENCE):
            return await self._reader.read(65_536)

    def half_close(self) -> None:
        """Finish sending and go on reading."""
        self._writer.write_eof()

    def close(self) -> None:
        """Close politely."""
        self._writer.close()

    def reset(self) -> None:
        """Close with a TCP reset."""
        sock: socket.socket = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def _until(self, mark: bytes, before: bytes) -> bytes:
        try:
            return await self._reader.readuntil(mark)
        except asyncio.IncompleteReadError as error:
            raise BrokenOff(before + error.partial) from None
        except ConnectionError:
            raise BrokenOff(before) from None

    async def _exactly(self, count: int, before: bytes) -> bytes:
        try:
            return await self._reader.readexactly(count)
        except asyncio.IncompleteReadError as error:
            raise BrokenOff(before + error.partial) from None
        except ConnectionError:
            raise BrokenOff(before) from None

    async def _chunks(self, before: bytes) -> bytes:
        body = b""
        while True:
            line = await self._until(b"\r\n", before + body)
            size = int(line[:-2], 16)
            piece = await self._exactly(size + 2, before + body)
            assert piece.endswith(b"\r\n"), f"a chunk does not end where it says: {piece!r}"
            if size == 0:
                return body
            body += piece[:-2]


def _parse_head(head: bytes) -> tuple[int, bytes, tuple[tuple[bytes, bytes], ...]]:
    first, *lines = head[:-4].split(b"\r\n")
    version, status, reason = first.split(b" ", 2)
    assert version == b"HTTP/1.1"
    assert head.isascii(), f"bytes above 0x7f in {head!r}"
    fields = []
    for line in lines:
        name, colon, value = line.partition(b": ")
        assert colon
        assert name == name.lower()
        assert b"\n" not in line
        assert b"\r" not in line
        fields.append((name, value))
    return int(status), reason, tuple(fields)


@asynccontextmanager
async def connect(port: int, *, receive_buffer: int | None = None) -> AsyncIterator[Client]:
    """A connection to a port of this machine; closed at the end. `receive_buffer` in bytes makes a slow reader."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setblocking(False)
    if receive_buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    limit = 2**16 if receive_buffer is None else receive_buffer
    reader, writer = await asyncio.open_connection(sock=sock, limit=limit)
    try:
        yield Client(reader, writer)
    finally:
        writer.transport.abort()
