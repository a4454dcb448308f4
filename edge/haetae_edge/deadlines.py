"""How long each part of a call to an upstream may take, in seconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Layered deadlines of one call.

    `connect`: until the connection (and TLS) stands. `first_byte`: from the last byte of the request to the head of
    the answer. `idle`: between two pieces of a body, either way. `total`: the whole call; None leaves it open, as
    streams need.
    """

    connect: float = 2.0
    first_byte: float = 30.0
    idle: float = 60.0
    total: float | None = None
