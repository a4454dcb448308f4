"""Bounded tables of state, least recently touched first out, running attacks last.

Rules kept: O(1) per call; order depends on calls only. Not here: what the state is.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar


class Kept(Protocol):
    """State of one key: `seen` is its last event, evidence counts until `hot` (both Unix milliseconds)."""

    seen: int
    hot: int


K = TypeVar("K", bound=Kept)
_TRIES = 16


class Table(Generic[K]):
    """State by key, at most `size`; entries idle for `idle` milliseconds go as new ones come."""

    __slots__ = ("idle", "make", "rows", "size")

    def __init__(self, make: Callable[[], K], *, size: int, idle: int) -> None:
        self.make = make
        # Not a plain dict: taking entries from the front of one costs a scan over those taken before.
        self.rows: OrderedDict[str, K] = OrderedDict()
        self.size = size
        self.idle = idle

    def __len__(self) -> int:
        return len(self.rows)

    def get(self, key: str) -> K | None:
        """Look up without touching."""
        return self.rows.get(key)

    def touch(self, key: str, now: int) -> K:
        """Return the state of `key`, made if need be, as the last one to be dropped."""
        rows = self.rows
        row = rows.get(key)
        if row is None:
            self._make_room(now)
            row = rows[key] = self.make()
            row.seen = now
            return row
        rows.move_to_end(key)
        if now > row.seen:
            row.seen = now
        return row

    def _make_room(self, now: int) -> None:
        """Drop up to two idle entries (so that a shrinking population is cleared), and one if the table is full.

        Evidence of running attacks goes back to the end of the queue, unless there is little else.
        """
        rows = self.rows
        for _ in range(2):
            if not rows or now - next(iter(rows.values())).seen <= self.idle:
                break
            rows.popitem(last=False)
        if len(rows) < self.size:
            return
        for _ in range(_TRIES):
            key = next(iter(rows))
            if rows[key].hot <= now:
                break
            rows.move_to_end(key)
        rows.popitem(last=False)
