"""The sending half of a connection: counting, waiting for room, and pumping a body that is still arriving.

Rules kept: nothing is read from the body's source while the upstream is not taking what it has; a body that
cannot be had, or is not as long as announced, ends the exchange with the reason; not one byte beyond the
announced length is sent. The pump is the only task of an exchange, and only requests that stream have it.
"""

import asyncio
from collections.abc import Callable

from haetae_edge.io.upstream.request import BodyFramer, BodySource


class Outgoing:
    """Writes to one transport. ``paused``: the transport's buffer is above its high-water mark."""

    __slots__ = ("_loop", "_pump", "_room", "_transport", "_unsent", "bytes_sent", "paused")

    def __init__(self, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport) -> None:
        self._loop = loop
        self._transport = transport
        self._room: asyncio.Future[None] | None = None
        self._pump: asyncio.Task[None] | None = None
        self._unsent = 0
        self.bytes_sent = 0
        self.paused = False

    @property
    def pumping(self) -> bool:
        """Whether a body is still being sent."""
        return self._pump is not None

    def pump(self, source: BodySource, *, on_sent: Callable[[], None], on_error: Callable[[Exception], None]) -> None:
        """Send a body as it arrives.

        One of the callbacks is called, once, unless ``stop`` is called before.
        """

        def ended(task: "asyncio.Task[None]") -> None:
            if task is self._pump:
                self._pump = None
            error = None if task.cancelled() else task.exception()
            if isinstance(error, Exception):
                on_error(error)

        self._pump = self._loop.create_task(self._send_all(source, on_sent))
        self._pump.add_done_callback(ended)

    def stop(self) -> None:
        """Send no more of the body, and wait for no room."""
        pump, self._pump = self._pump, None
        if pump is not None:
            pump.cancel()

    async def wait_for_room(self) -> None:
        """Return when the buffer has room again, or when there is nothing to wait for any more."""
        if self.paused:
            if self._room is None:
                self._room = self._loop.create_future()
            await asyncio.shield(self._room)

    def pause(self) -> None:
        """The transport's buffer is full."""
        self.paused = True
        self._unsent = self._transport.get_write_buffer_size()

    def resume(self) -> None:
        """The transport's buffer has room, or is gone."""
        self.paused = False
        room, self._room = self._room, None
        if room is not None:
            room.set_result(None)

    def moved(self) -> bool:
        """Whether the full buffer has become shorter since last asked."""
        before, self._unsent = self._unsent, self._transport.get_write_buffer_size()
        return self._unsent < before

    async def _send_all(self, source: BodySource, on_sent: Callable[[], None]) -> None:
        framer = BodyFramer(source.length)
        while data := await source.read():
            self._send(framer.piece(data))
            await self.wait_for_room()
        if tail := framer.end():
            self._send(tail)
        self._pump = None
        on_sent()

    def _send(self, data: bytes) -> None:
        if self._transport.is_closing():
            return  # what ended the connection ends this body too, in a moment
        self.bytes_sent += len(data)
        self._transport.write(data)
