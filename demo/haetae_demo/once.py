"""Remembering one-time identifiers until they expire.

Rules kept: bounded; a full table refuses rather than forgets; a record is kept until the moment the statement
it belongs to could no longer be accepted. Holds one process's memory only: the demo services run as one
process each.
"""

import heapq

from haetae_demo.errors import AssertionInvalid, CapacityReached


class OnceTable:
    """Claims of (scope, identifier) pairs."""

    def __init__(self, *, most: int = 50_000) -> None:
        self._most = most
        self._claimed: set[tuple[str, str]] = set()
        self._expiries: list[tuple[float, tuple[str, str]]] = []

    def claim(self, scope: str, identifier: str, *, until: float, now: float) -> None:
        """Record the pair until ``until`` (Unix seconds).

        Raises:
            AssertionInvalid: it was claimed before and that claim has not run out.
            CapacityReached: the table is full of live claims.
        """
        while self._expiries and self._expiries[0][0] < now:
            self._claimed.discard(heapq.heappop(self._expiries)[1])
        pair = (scope, identifier)
        if pair in self._claimed:
            raise AssertionInvalid("this statement was used before")
        if len(self._claimed) >= self._most:
            raise CapacityReached("too many statements at once")
        self._claimed.add(pair)
        heapq.heappush(self._expiries, (until, pair))
