"""The three ways a response body can be delimited (RFC 9112 section 6.3), behind one interface.

Bytes in, payload out; no I/O. Every decoder has ``feed``, ``done`` once it has seen its last byte,
``surplus`` for how many bytes came after that, and ``ends_at_close`` for whether the end of the connection
is its end.
"""

from typing import ClassVar, Protocol

from haetae_edge.io.upstream.chunked import ChunkedBody
from haetae_edge.io.upstream.head import CHUNKED


class BodyDecoder(Protocol):
    """What a connection needs to know of a body's framing."""

    ends_at_close: ClassVar[bool]
    done: bool
    surplus: int

    def feed(self, data: bytes) -> list[bytes]:
        """The payload in ``data``, in pieces. Raises BadResponse."""
        ...


class SizedBody:
    """A body of ``length`` bytes, more than zero."""

    __slots__ = ("_left", "done", "surplus")

    ends_at_close: ClassVar[bool] = False

    def __init__(self, length: int) -> None:
        self._left = length
        self.done = False
        self.surplus = 0

    def feed(self, data: bytes) -> list[bytes]:
        """All of ``data`` up to the end of the body."""
        left = self._left - len(data)
        if left > 0:
            self._left = left
            return [data]
        self.done = True
        if left == 0:
            return [data]
        self.surplus = -left
        return [data[: self._left]]


class OpenBody:
    """A body that lasts until the connection ends."""

    __slots__ = ("done", "surplus")

    ends_at_close: ClassVar[bool] = True

    def __init__(self) -> None:
        self.done = False
        self.surplus = 0

    def feed(self, data: bytes) -> list[bytes]:
        """All of ``data``."""
        return [data]


def decoder_for(framing: int) -> BodyDecoder:
    """The decoder for the ``framing`` of a head that is followed by a body."""
    if framing >= 0:
        return SizedBody(framing)
    return ChunkedBody() if framing == CHUNKED else OpenBody()
