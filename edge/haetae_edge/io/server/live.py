"""What outlives the moment it was allowed in: upgraded connections, answers that stream, calls that wait for news.

When policies change, each is asked again whether it may stay; when sessions end, theirs are closed. A block or log-out
that is in force for new requests but not for an open stream would be half of one. Changes that come together are one
round, at most ten rounds a second, so that a flood of policies costs no more than a few.

Upgraded connections and event streams, which end by themselves never, also end with the token or certificate that
opened them. Other answers are let finish: what they hold was asked for in time.

A call that changes something and has no answer yet is let finish: it was allowed when it began, and nobody could tell
whether it was done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Protocol

from haetae_edge.exchange import Exchange, Fields
from haetae_edge.headers import is_event_stream

_ROUND_SECONDS: Final = 0.1
_LOOK_SECONDS: Final = 0.5
_MAY_BE_CUT: Final = frozenset({"GET", "HEAD"})
#: Close codes: RFC 6455 section 7.4.1 (policy violation), and one of the range for applications that browsers hand on.
POLICY_CLOSE: Final = 1008
SIGNED_OUT_CLOSE: Final = 4401

#: Ends an upgraded connection with this close code and reason.
End = Callable[[int, bytes], None]


class Serving(Protocol):
    """A client connection, as far as it concerns us."""

    exchange: Exchange | None
    streaming: bool

    def abort(self) -> None:
        """Close at once."""
        ...


class LiveStreams:
    """Those of one worker. `connections` lists the client connections; `clock` gives Unix seconds."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        connections: Callable[[], Iterable[Serving]] = lambda: (),
        *,
        clock: Callable[[], float],
    ) -> None:
        self._loop = loop
        self._connections = connections
        self._clock = clock
        self._open: dict[int, tuple[Exchange, End]] = {}
        self._expiring: dict[int, tuple[float, Exchange, End]] = {}
        self._round: asyncio.TimerHandle | None = None
        self._look: asyncio.TimerHandle | None = None
        self.ended = 0

    def __len__(self) -> int:
        """How many upgraded connections are open."""
        return len(self._open)

    def add(self, exchange: Exchange, end: End) -> None:
        """Watch an upgraded connection; `end` closes it."""
        self._open[id(exchange)] = (exchange, end)
        self._expire(exchange, end)

    def add_stream(self, exchange: Exchange, connection: Serving, fields: Fields) -> bool:
        """Watch an answer that streams, if it may outlive what its caller proved; returns whether it is watched."""
        if exchange.caller.good_until is None or not is_event_stream(fields):
            return False
        self._expire(exchange, _cut(connection))
        return True

    def discard(self, exchange: Exchange) -> None:
        """It has ended."""
        self._open.pop(id(exchange), None)
        self._expiring.pop(id(exchange), None)

    def sessions(self) -> frozenset[str]:
        """The sessions of everything that is open now."""
        return frozenset(exchange.caller.session for exchange, _ in self._all() if exchange.caller.session is not None)

    def check_soon(self) -> None:
        """Policies have changed."""
        if self._round is None:
            self._round = self._loop.call_later(_ROUND_SECONDS, self._check)

    def end_sessions(self, sessions: frozenset[str]) -> int:
        """These sessions have ended; returns how many streams were closed."""
        return self._end(lambda exchange: exchange.caller.session in sessions, SIGNED_OUT_CLOSE, "session-ended")

    def _check(self) -> None:
        self._round = None
        self._end(
            lambda exchange: exchange.still_allowed is not None and not exchange.still_allowed(exchange),
            POLICY_CLOSE,
            "policy-block",
        )

    def _end(self, concerned: Callable[[Exchange], bool], code: int, reason: str) -> int:
        before = self.ended
        for exchange, end in list(self._all()):
            if concerned(exchange):
                self._cut_off(exchange, end, code, reason)
        return self.ended - before

    def _expire(self, exchange: Exchange, end: End) -> None:
        moment = exchange.caller.good_until
        if moment is None:
            return
        self._expiring[id(exchange)] = (moment, exchange, end)
        if self._look is None:
            self._look = self._loop.call_later(_LOOK_SECONDS, self._end_expired)

    def _end_expired(self) -> None:
        now = self._clock()
        for key, (moment, exchange, end) in list(self._expiring.items()):
            if now >= moment:
                del self._expiring[key]
                self._cut_off(exchange, end, SIGNED_OUT_CLOSE, "credentials-expired")
        self._look = self._loop.call_later(_LOOK_SECONDS, self._end_expired) if self._expiring else None

    def _cut_off(self, exchange: Exchange, end: End, code: int, reason: str) -> None:
        exchange.facts.reason = reason
        self.ended += 1
        end(code, reason.encode("ascii"))

    def _all(self) -> Iterator[tuple[Exchange, End]]:
        yield from self._open.values()
        for connection in self._connections():
            exchange = connection.exchange
            if exchange is None or id(exchange) in self._open:
                continue
            if connection.streaming or exchange.request.method in _MAY_BE_CUT:
                yield exchange, _cut(connection)


def _cut(connection: Serving) -> End:
    return lambda code, reason: connection.abort()
