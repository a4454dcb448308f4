"""What one client may take of us: bytes, seconds and connections. Every number has a unit and a default."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one worker's client side.

    Sizes in bytes, times in seconds. `body_timeout` plus one second per `body_rate` bytes received is how long a body
    may take, so that a slow phone with a large upload passes and a byte a second does not; it is also how long a client
    may send nothing while we wait for its body.
    """

    header_bytes: int = 32 * 1024
    header_count: int = 100
    body_bytes: int = 10 * 1024 * 1024
    header_timeout: float = 10.0
    body_timeout: float = 20.0
    body_rate: int = 1024
    keepalive_timeout: float = 75.0
    write_timeout: float = 30.0
    connections: int = 20_000
    drain_timeout: float = 30.0
