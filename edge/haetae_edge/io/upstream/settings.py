"""Where an upstream is and what it may use of this worker.

Rules kept: parsed once and strictly; every limit has a unit and an upper end; nothing reads a clock or the
environment.
"""

import math
import re
from dataclasses import dataclass, fields
from typing import Literal, cast

_ORIGIN = re.compile(r"(https?)://(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?::([0-9]{1,5}))?/?")
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host (IPv6 without brackets, lower case) and port: what one pool of connections leads to."""

    scheme: Literal["http", "https"]
    host: str
    port: int

    @classmethod
    def parse(cls, uri: str) -> "Origin":
        """Read ``http://host[:port]``.

        Raises ValueError for anything else: user info, path, query, fragment.
        """
        match = _ORIGIN.fullmatch(uri)
        if match is None:
            raise ValueError("an upstream is written http[s]://host[:port], without path or user")
        scheme, host, port = match.groups()
        number = int(port) if port is not None else _DEFAULT_PORTS[scheme]
        if not 0 < number < 65536:
            raise ValueError("the port of an upstream is between 1 and 65535")
        return cls(cast(Literal["http", "https"], scheme), host.strip("[]").lower(), number)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamSettings:
    """Limits of one upstream in one worker. Sizes in bytes, times in seconds.

    ``idle_timeout`` is below the 5 s after which common application servers close an idle connection: the
    side that closes first should be the one that knows no request is on its way.
    """

    max_connections: int = 512
    max_waiters: int = 1024
    idle_timeout: float = 4.0
    max_requests: int = 100_000
    max_age: float = 600.0
    max_head_bytes: int = 65_536
    max_header_count: int = 128
    max_informational: int = 16
    read_high_water: int = 65_536
    write_high_water: int = 65_536
    dns_ttl: float = 10.0
    attempt_delay: float = 0.25

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name not in ("max_waiters", "dns_ttl") and not 0 < value < math.inf:
                raise ValueError(f"{field.name} must be positive and finite")
            if not 0 <= value < math.inf:
                raise ValueError(f"{field.name} must not be negative")
