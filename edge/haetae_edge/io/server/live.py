"""Connections that outlive their request: upgraded ones. When policies change, each is asked again whether it may stay.

A block that is in force for new requests but not for an open WebSocket would be half a block. Changes that come
together are one round, at most ten rounds a second, so that a flood of policies costs no more than a few.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from haetae_edge.exchange import Exchange

_ROUND_SECONDS: Final = 0.1


class LiveStreams:
    """The upgraded connections of one worker."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._open: dict[int, tuple[Exchange, Callable[[], None]]] = {}
        self._round: asyncio.TimerHandle | None = None
        self.ended = 0

    def __len__(self) -> int:
        """How many are open."""
        return len(self._open)

    def add(self, exchange: Exchange, end: Callable[[], None]) -> None:
        """Watch a connection; `end` closes it."""
        self._open[id(exchange)] = (exchange, end)

    def discard(self, exchange: Exchange) -> None:
        """It has ended."""
        self._open.pop(id(exchange), None)

    def check_soon(self) -> None:
        """Policies have changed."""
        if self._open and self._round is None:
            self._round = self._loop.call_later(_ROUND_SECONDS, self._check)

    def _check(self) -> None:
        self._round = None
        for exchange, end in list(self._open.values()):
            if exchange.still_allowed is not None and not exchange.still_allowed():
                self.ended += 1
                end()
