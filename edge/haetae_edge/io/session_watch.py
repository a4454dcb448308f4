"""Ends what sessions hold open: within a second of a log-out, an expiry or a block, on every worker.

Log-outs are told by the session store, on any worker. Expiry is nobody's message, so what is known of each session with
something open is looked at a few times a second, and the store is asked about those that are due: at once when a stream
is new (its session may have ended while it was being let in), at the idle end that is known here, and now and then. A
store that does not answer signs nobody out for a minute; after that what is past its idle end is closed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, Protocol

from haetae_edge.services import StoreUnavailable

_TICK_SECONDS: Final = 0.25
_ASK_EVERY: Final = 15.0
_ASK_AGAIN: Final = 1.0
_UNCONFIRMED_SECONDS: Final = 60.0

#: Which of these sessions live. Raises StoreUnavailable.
Alive = Callable[[Iterable[str]], Awaitable[frozenset[str]]]


class Streams(Protocol):
    """What is open."""

    def sessions(self) -> frozenset[str]:
        """The sessions of everything that is open."""
        ...

    def end_sessions(self, sessions: frozenset[str]) -> int:
        """Close everything of these sessions."""
        ...


class SessionWatch:
    """One per worker. `run` is its background work."""

    def __init__(self, alive: Alive, *, clock: Callable[[], float]) -> None:
        self._alive = alive
        self._clock = clock
        self._streams: Streams | None = None
        self._ends: dict[str, tuple[float, float]] = {}
        self._ask_at: dict[str, float] = {}

    def attach(self, streams: Streams) -> None:
        """Watch these from now on."""
        self._streams = streams

    def note(self, session: str, *, idle_end: float, absolute_end: float) -> None:
        """A request has just used this session: until then it lives, as far as is known."""
        self._ends[session] = (idle_end, absolute_end)

    def ended(self, sessions: frozenset[str]) -> None:
        """These have ended, by whatever hand."""
        if self._streams is not None and sessions:
            self._streams.end_sessions(sessions)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            await self.look()

    async def look(self) -> None:
        """One round."""
        if self._streams is None:
            return
        now = self._clock()
        held = self._streams.sessions()
        self._ends = {name: ends for name, ends in self._ends.items() if name in held}
        self._ask_at = {name: at for name, at in self._ask_at.items() if name in held}
        over = frozenset(name for name in held if self._ends.get(name, (now, now + 1))[1] <= now)
        self.ended(over)
        due = [name for name in held - over if self._ask_at.get(name, 0.0) <= now]
        if due:
            await self._ask(due, now)

    async def _ask(self, due: list[str], now: float) -> None:
        try:
            alive = await self._alive(due)
        except StoreUnavailable:
            for name in due:
                self._ask_at[name] = now + _ASK_AGAIN
            self.ended(frozenset(name for name in due if self._idle_end(name, now) + _UNCONFIRMED_SECONDS <= now))
            return
        self.ended(frozenset(due) - alive)
        for name in alive:
            idle_end = self._idle_end(name, now)
            self._ask_at[name] = min(now + _ASK_EVERY, idle_end) if idle_end > now else now + _ASK_AGAIN

    def _idle_end(self, name: str, now: float) -> float:
        return self._ends.get(name, (now, now))[0]
