"""What can go wrong between the gateway and one upstream.

Rules kept: every error names its side, a stable code, and whether the request may be sent again without a
chance of being executed twice (RFC 9110 9.2.2, RFC 9112 9.3.1). Exceptions of asyncio, ssl and socket are
translated into these where they are met; none of them leaves this package.

Not here: HTTP statuses and problem documents. The gateway's one table maps codes to those.
"""

from typing import ClassVar, Literal


class UpstreamError(Exception):
    """The upstream, or the way to it, failed.

    ``retry_safe`` is true only if no byte can have been processed.
    """

    code: ClassVar[str] = "upstream_error"
    side: ClassVar[Literal["upstream"]] = "upstream"
    retry_safe: bool = False


class ConnectFailed(UpstreamError):
    """No connection: name not found, refused, unreachable, or the pool is closed. Nothing was sent."""

    code = "upstream_connect_failed"
    retry_safe = True


class TlsFailed(ConnectFailed):
    """The TLS handshake failed: certificate, host name, peer check or protocol. Nothing was sent."""

    code = "upstream_tls_failed"


class ConnectTimeout(UpstreamError):
    """Name lookup, TCP and TLS together took longer than ``Deadlines.connect``. Nothing was sent."""

    code = "upstream_connect_timeout"
    retry_safe = True


class PoolExhausted(UpstreamError):
    """All connections are busy and the queue for them is full or did not move in time. Nothing was sent."""

    code = "upstream_pool_exhausted"
    retry_safe = True


class FirstByteTimeout(UpstreamError):
    """The request was sent and no complete response head came within ``Deadlines.first_byte``."""

    code = "upstream_first_byte_timeout"


class IdleTimeout(UpstreamError):
    """A transfer that had begun made no progress for ``Deadlines.idle`` seconds."""

    code = "upstream_idle_timeout"


class TotalTimeout(UpstreamError):
    """The exchange took longer than ``Deadlines.total``.

    ``retry_safe`` if that happened before anything was sent.
    """

    code = "upstream_total_timeout"

    def __init__(self, message: str, *, retry_safe: bool = False) -> None:
        super().__init__(message)
        self.retry_safe = retry_safe


class BadResponse(UpstreamError):
    """The answer breaks RFC 9112: its grammar, its framing or a limit. The connection was closed."""

    code = "upstream_bad_response"


class Truncated(UpstreamError):
    """The connection ended inside a response."""

    code = "upstream_truncated"


class ClosedBeforeResponse(UpstreamError):
    """The connection ended before the first byte of a response.

    ``reused`` says whether it had served an exchange before (then an idle close that crossed our request is
    the likely cause), ``bytes_sent`` how many bytes were handed to the network. Only zero makes the request
    safe to repeat whatever its method.
    """

    code = "upstream_closed_before_response"

    def __init__(self, message: str, *, reused: bool, bytes_sent: int) -> None:
        super().__init__(message)
        self.reused = reused
        self.bytes_sent = bytes_sent
        self.retry_safe = bytes_sent == 0


class ClientBodyError(Exception):
    """The request body could not be had from the client, or was not as long as it said.

    Raised by a ``BodySource`` when the client broke off, and here when length and content disagree. The
    upstream connection was aborted, so the upstream never takes the part it saw for a whole request.
    """

    code: ClassVar[str] = "client_body_incomplete"
    side: ClassVar[Literal["client"]] = "client"
    retry_safe: ClassVar[bool] = False
