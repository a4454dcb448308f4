"""One thing under load: who it is, where it listens, what it is asked.

A `Supply` renders request bytes before the timed part. `Repeated` serves those that may be sent again; what
may be sent only once (signed requests) is rendered afresh for each run by `bench.app_requests`.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from bench.loader import Address
from bench.processes import Process

__all__ = ["Contender", "Repeated", "Supply", "get_request"]


class Supply(Protocol):
    """Where request bytes come from."""

    def prepare(self, count: int) -> Callable[[], bytes]:
        """Render what `count` requests need, now; the result is called once per request in the timed part."""
        ...


@dataclass(frozen=True, slots=True)
class Repeated:
    """A cycle of fixed requests."""

    requests: Sequence[bytes]

    def prepare(self, count: int) -> Callable[[], bytes]:
        """The cycle; `count` does not matter."""
        return itertools.cycle(self.requests).__next__


@dataclass(frozen=True, slots=True)
class Contender:
    """A target of one row of the table; `key` is `row/name`."""

    row: str
    name: str
    address: Address
    supply: Supply
    process: Process | None = field(default=None)
    first_guess: float = 10_000.0
    most_clients: int = 16_000

    @property
    def key(self) -> str:
        """The key of its throughput measure."""
        return f"{self.row}/{self.name}"

    def cpu_seconds(self) -> float:
        """CPU time of its process so far; 0 for one without a process of its own."""
        return self.process.cpu_seconds() if self.process is not None else 0.0


def get_request(path: str, host: str, **headers: str) -> bytes:
    """A GET as a browser would send it, without a body; header names with `_` for `-`."""
    lines = [f"GET {path} HTTP/1.1", f"Host: {host}", "User-Agent: bench/1", "Accept: application/json"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("ascii")
