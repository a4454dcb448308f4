"""A request body as it arrives: counted, timed, and asked for only when somebody wants it.

`Expect: 100-continue` is answered at the first read, so a request refused from its headers alone never uploads
(RFC 9110 section 10.1.1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestPayloadError

from haetae_edge.errors import Refusal
from haetae_edge.limits import Limits

if TYPE_CHECKING:
    from haetae_edge.io.server.connection import ClientConnection


class BodyTimeout(Exception):
    """The watchdog gave up on this body."""


class RequestBody:
    """The body of one request; `length` in bytes when it was announced."""

    __slots__ = (
        "_connection",
        "_expects_continue",
        "_limit",
        "_payload",
        "length",
        "received",
        "started",
        "waiting_since",
    )

    def __init__(
        self,
        connection: ClientConnection,
        payload: StreamReader,
        *,
        length: int | None,
        limit: int,
        expects_continue: bool,
    ) -> None:
        self._connection = connection
        self._payload = payload
        self._limit = limit
        self._expects_continue = expects_continue
        self.length = length
        self.received = 0
        self.started: float | None = None
        self.waiting_since: float | None = None

    async def read(self) -> bytes:
        """The next piece, empty at the end.

        Raises `Refusal`: `body-too-large`, `request-timeout`, or `request-malformed` when the framing breaks.
        """
        if self._expects_continue:
            self._expects_continue = False
            if not self._payload.is_eof():
                self._connection.write_continue()
        now = self._connection.now()
        if self.started is None:
            self.started = now
            self._connection.reading_body = self
        self.waiting_since = now
        try:
            piece = await self._payload.readany()
        except BodyTimeout:
            raise Refusal("request-timeout", reason="body-timeout") from None
        except (HttpProcessingError, RequestPayloadError):
            raise Refusal("request-malformed", reason="body-framing") from None
        finally:
            self.waiting_since = None
        if not piece:
            self._connection.reading_body = None
            return b""
        self.received += len(piece)
        if self.received > self._limit:
            raise Refusal("body-too-large", reason="body-bytes")
        return piece

    async def read_all(self, limit: int) -> bytes:
        """The whole body. Raises as `read`, and `body-too-large` past `limit` bytes."""
        if self.length is not None and self.length > limit:
            raise Refusal("body-too-large", reason="body-bytes")
        if self._payload.is_eof() and self.started is None and self._payload.exception() is None:
            # It arrived with its head, which is the usual case: no waiting, no watchdog.
            whole = self._payload.read_nowait()
            if len(whole) > limit:
                raise Refusal("body-too-large", reason="body-bytes")
            self.received = len(whole)
            return whole
        pieces = []
        size = 0
        while piece := await self.read():
            size += len(piece)
            if size > limit:
                raise Refusal("body-too-large", reason="body-bytes")
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def abort(self) -> None:
        """Stop waiting for more; the connection closes after the answer because the body is unread."""
        self._connection.reading_body = None

    def is_late(self, now: float, limits: Limits) -> bool:
        """Whether the client has had its time: for what it sent so far, or since we wait for the next piece.

        The second holds back who sends much at once and then nothing. A pause of ours, while the upstream is slow to
        take what is here, is not the client's.
        """
        if self.waiting_since is not None and now - self.waiting_since > limits.body_timeout:
            return True
        return self.started is not None and now - self.started > limits.body_timeout + self.received / limits.body_rate

    def expire(self) -> None:
        """Called by the watchdog: the pending or next read fails."""
        self._payload.set_exception(BodyTimeout())
