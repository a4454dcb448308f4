"""The bytes of one response between the connection that receives them and the caller that reads them.

Rules kept: reading from the network stops while more than the high-water mark waits here; what arrived
before an error is delivered before the error; one reader at a time. It belongs to one exchange, so that a
connection that has moved on can never hand it foreign bytes.
"""

import asyncio
from collections import deque


class BodyStream:
    """A bounded queue of response bytes."""

    __slots__ = (
        "_chunks",
        "_error",
        "_high_water",
        "_loop",
        "_size",
        "_transport",
        "_waiter",
        "ended",
        "held_back",
        "paused",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport, *, high_water: int) -> None:
        self._loop = loop
        self._transport: asyncio.Transport | None = transport
        self._high_water = high_water
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._waiter: asyncio.Future[None] | None = None
        self._error: Exception | None = None
        self.ended = False
        self.paused = False
        self.held_back = False  # was paused since someone last cleared this

    def feed(self, data: bytes) -> None:
        """Add bytes from the network; pauses the transport above the mark."""
        self._chunks.append(data)
        self._size += len(data)
        if self._size > self._high_water and not self.paused and self._transport is not None:
            self.paused = self.held_back = True
            self._transport.pause_reading()
        self._wake()

    def finish(self) -> None:
        """No more bytes will come, and all is well. Leaves the transport reading, for its next exchange."""
        self._end(None)
        if self.paused and self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
        self.paused = False
        self._transport = None

    def fail(self, error: Exception) -> None:
        """No more bytes will come, because of ``error``."""
        if not self.ended:
            self._end(error)
            self._transport = None

    def take_whole(self) -> bytes | None:
        """The whole body, if it is here already and nobody has read from it; else ``None``."""
        if not self.ended or self._error is not None:
            return None
        return self._take()

    async def read(self) -> bytes:
        """Everything that is here, or else the next bytes; ``b""`` at the end.

        Raises the error it ended with.
        """
        while not self._chunks:
            if self._error is not None:
                raise self._error
            if self.ended:
                return b""
            if self._waiter is not None:
                raise RuntimeError("a response body has one reader")
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self._take()

    def _take(self) -> bytes:
        chunks = self._chunks
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        self._size = 0
        if self.paused and self._transport is not None:
            self.paused = False
            if not self._transport.is_closing():
                self._transport.resume_reading()
        return data

    def _end(self, error: Exception | None) -> None:
        self.ended = True
        self._error = error
        self._wake()

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
