"""The gateway's own HTTP/1.1 client: one ``Upstream`` per origin and worker, one ``exchange`` per request."""

from haetae_edge.deadlines import Deadlines
from haetae_edge.io.upstream.errors import (
    BadResponse,
    ClientBodyError,
    ClosedBeforeResponse,
    ConnectFailed,
    ConnectTimeout,
    FirstByteTimeout,
    IdleTimeout,
    PoolExhausted,
    TlsFailed,
    TotalTimeout,
    Truncated,
    UpstreamError,
)
from haetae_edge.io.upstream.request import BodySource, UpstreamRequest
from haetae_edge.io.upstream.response import Tunnel, UpstreamResponse
from haetae_edge.io.upstream.settings import Origin, UpstreamSettings
from haetae_edge.io.upstream.upstream import Upstream

__all__ = [
    "BadResponse",
    "BodySource",
    "ClientBodyError",
    "ClosedBeforeResponse",
    "ConnectFailed",
    "ConnectTimeout",
    "Deadlines",
    "FirstByteTimeout",
    "IdleTimeout",
    "Origin",
    "PoolExhausted",
    "TlsFailed",
    "TotalTimeout",
    "Truncated",
    "Tunnel",
    "Upstream",
    "UpstreamError",
    "UpstreamRequest",
    "UpstreamResponse",
    "UpstreamSettings",
]
