"""One request as the pipeline hands it over, and the framing that only this file adds.

Rules kept: the length a body claims on the wire comes from the body we hold, never from a header that
someone wrote (RFC 9112 section 6); a head that brings its own framing, or a line end that could split it, is
a programming error and is refused before a byte is sent.
"""

from typing import Final, Protocol

from haetae_edge.io.upstream.errors import ClientBodyError

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})

_EXPECT_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
_RESERVED: Final = (b"\ncontent-length:", b"\ntransfer-encoding:", b"\nconnection:")


class BodySource(Protocol):
    """A request body that is still arriving.

    ``length`` is its announced size in bytes, if it was announced.
    """

    @property
    def length(self) -> int | None: ...

    async def read(self) -> bytes:
        """The next piece; ``b""`` at the end. Raises ClientBodyError when the client broke off.

        May be cancelled at any await, after an early answer for instance; is not called again then.
        """
        ...


class UpstreamRequest:
    """A request for one upstream.

    ``head``: request line and header lines, each ending in CRLF, without Content-Length, Transfer-Encoding,
    Connection and without the empty line at the end. ``upgrade``: the head carries an Upgrade field and 101
    is a valid answer. Raises ValueError for a head that is not of this form.
    """

    __slots__ = ("body", "head", "method", "upgrade")

    def __init__(
        self, method: str, head: bytes, body: "bytes | BodySource | None" = None, upgrade: bool = False
    ) -> None:
        lowered = head.lower()
        if (
            not head.endswith(b"\r\n")
            or head.count(b"\n") != head.count(b"\r\n")
            or b"\n\r\n" in head
            or _RESERVED[0] in lowered
            or _RESERVED[1] in lowered
            or _RESERVED[2] in lowered
        ):
            raise ValueError("a request head is whole CRLF lines without framing fields")
        if upgrade and body:
            raise ValueError("a request that asks for an upgrade has no body")
        self.method = method
        self.head = head
        self.body = body
        self.upgrade = upgrade


def frame_head(request: UpstreamRequest, *, last: bool) -> bytes:
    """The bytes up to the body. ``last`` announces that the connection ends with this exchange."""
    if request.upgrade:
        tail = b"Connection: Upgrade\r\n"
    elif last:
        tail = b"Connection: close\r\n"
    else:
        tail = b""
    body = request.body
    if not body:
        framing = b"Content-Length: 0\r\n" if request.method in _EXPECT_BODY else b""
    elif isinstance(body, bytes):
        framing = b"Content-Length: %d\r\n" % len(body)
    elif body.length is None:
        framing = b"Transfer-Encoding: chunked\r\n"
    else:
        framing = b"Content-Length: %d\r\n" % body.length
    return b"%b%b%b\r\n" % (request.head, framing, tail)


class BodyFramer:
    """Frames the pieces of a ``BodySource`` and holds it to its word about the length."""

    __slots__ = ("_left",)

    def __init__(self, length: int | None) -> None:
        self._left = length

    def piece(self, data: bytes) -> bytes:
        """Frame one piece, which is not empty. Raises ClientBodyError if there is more than was announced."""
        if self._left is None:
            return b"%x\r\n%b\r\n" % (len(data), data)
        self._left -= len(data)
        if self._left < 0:
            raise ClientBodyError("the request body is longer than announced")
        return data

    def end(self) -> bytes:
        """What closes the body. Raises ClientBodyError if there was less than announced."""
        if self._left is None:
            return b"0\r\n\r\n"
        if self._left:
            raise ClientBodyError("the request body is shorter than announced")
        return b""
