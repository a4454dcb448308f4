"""Writes a response to the client: one `write` for a whole answer, backpressure for a stream.

The head is written here and nowhere else, from bytes that were checked where they entered. Once a head is out, the
only way to report trouble is to close the connection without a proper end, never a second message.
"""

from __future__ import annotations

import time
from email.utils import formatdate
from typing import TYPE_CHECKING, Final

from haetae_edge.exchange import BodyStream, Response
from haetae_edge.problems import reason_phrase

if TYPE_CHECKING:
    from haetae_edge.io.server.connection import ClientConnection

_STATUS_LINES: Final = {status: b"HTTP/1.1 %d %b\r\n" % (status, reason_phrase(status)) for status in range(100, 600)}
_CLOSE: Final = b"connection: close\r\n"
_BODILESS: Final = frozenset({204, 304})


class DateCache:
    """The `Date` line, made once a second."""

    def __init__(self) -> None:
        self._second = 0
        self._line = b""

    def line(self) -> bytes:
        """`date: …` CRLF for now."""
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._line = b"date: %b\r\n" % formatdate(second, usegmt=True).encode("ascii")
        return self._line


_dates = DateCache()


def _head(response: Response, *, framing: bytes, keep_alive: bool, http10: bool) -> bytes:
    line = _STATUS_LINES.get(response.status) or b"HTTP/1.1 %d \r\n" % response.status
    head = b"".join([b"%b: %b\r\n" % pair for pair in response.fields])
    date = b"" if b"\ndate: " in head or head.startswith(b"date: ") else _dates.line()
    connection = b"" if keep_alive and not http10 else b"connection: keep-alive\r\n" if keep_alive else _CLOSE
    return b"%b%b%b%b%b\r\n" % (line, head, date, framing, connection)


async def write_response(
    connection: ClientConnection, response: Response, *, method: str, keep_alive: bool, http10: bool
) -> tuple[bool, int]:
    """Write `response`; returns whether the connection may serve another request, and the body bytes written.

    Raises ConnectionError when the client is gone. A stream that breaks off aborts the connection and raises the
    source's error after that.
    """
    body = response.body
    if method == "HEAD" or response.status in _BODILESS:
        # 304 and HEAD may carry the length the answer would have had (RFC 9110 section 8.6); 204 must not.
        framing = _announced(response) if response.status != 204 else b""
        connection.write(_head(response, framing=framing, keep_alive=keep_alive, http10=http10))
        if not isinstance(body, bytes):
            body.abort()
        return keep_alive, 0
    if isinstance(body, bytes):
        framing = b"content-length: %d\r\n" % len(body)
        connection.write(_head(response, framing=framing, keep_alive=keep_alive, http10=http10) + body)
        if connection.write_paused:
            await connection.drained()
        return keep_alive, len(body)
    return await _write_stream(connection, response, body, keep_alive=keep_alive, http10=http10)


def _announced(response: Response) -> bytes:
    body = response.body
    length = (
        response.announced_length
        if isinstance(body, bytes) and not body
        else len(body)
        if isinstance(body, bytes)
        else body.length
    )
    return b"" if length is None else b"content-length: %d\r\n" % length


async def _write_stream(
    connection: ClientConnection, response: Response, body: BodyStream, *, keep_alive: bool, http10: bool
) -> tuple[bool, int]:
    length = body.length
    chunked = length is None and not http10
    if length is not None:
        framing = b"content-length: %d\r\n" % length
    elif chunked:
        framing = b"transfer-encoding: chunked\r\n"
    else:
        framing, keep_alive = b"", False
    connection.write(_head(response, framing=framing, keep_alive=keep_alive, http10=http10))
    sent = 0
    finished = False
    try:
        while piece := await body.read():
            sent += len(piece)
            if length is not None and sent > length:
                break
            connection.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            if connection.write_paused:
                await connection.drained()
        else:
            finished = length is None or sent == length
    finally:
        if not finished:
            body.abort()
            connection.abort()
    if chunked:
        connection.write(b"0\r\n\r\n")
    return keep_alive, sent
