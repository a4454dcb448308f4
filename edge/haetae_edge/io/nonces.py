"""One-time claims in Redis: `SET key value NX PX ttl`, all claims of one loop turn in one write.

Rules kept (app channel section 3): one command, atomic; never a read before it (the one after "exists" only tells what
kind of repetition it was); never sent twice, because a lost reply would turn an honest request into a replay; an answer
within the deadline or `StoreUnavailable`. A store that misses the deadline is cut off and dialled again in the
background; until it answers, claims fail at once, so that a hung Redis costs neither memory nor time.
"""

from __future__ import annotations

import asyncio
from typing import Final

from haetae_edge.io.redis_link import LOST, OnReply, RedisLink
from haetae_edge.io.standing_link import StandingLink
from haetae_edge.services import NonceSeen, StoreUnavailable

#: Seconds for one round trip (app channel section 3).
DEADLINE: Final = 0.05
#: Seconds between two attempts to open a connection.
_PAUSE: Final = 0.1
#: Seconds by which a timer may be late before that says something about the loop.
_LATE: Final = 0.01
_MAX_WAITING: Final = 10_000
_UNANSWERED: Final = b"2"


def _ignore(reply: object) -> None:
    """Nobody waits for this answer."""


class _Turn:
    """The claims of one loop turn: answered once its last one is, because replies come in order."""

    __slots__ = ("answered", "last")

    def __init__(self, last: OnReply) -> None:
        self.last = last
        self.answered = False

    def on_last_reply(self, reply: object) -> None:
        self.answered = True
        self.last(reply)


class RedisNonces:
    """Claims nonces under `<prefix>nonce:<keyid>:<nonce>`; `start` before use, `close` after."""

    def __init__(self, url: str, *, prefix: str, deadline: float = DEADLINE) -> None:
        self._standing = StandingLink(url, pause=_PAUSE)
        self._prefix = f"{prefix}nonce:".encode()
        self._deadline = deadline
        self._commands: list[bytes] = []
        self._replies: list[OnReply] = []

    async def start(self) -> None:
        """Open the connection; a store that is down is dialled again in the background."""
        await self._standing.start()

    @property
    def failures(self) -> int:
        """How often the store could not be reached, or was cut off."""
        return self._standing.failures

    async def claim(self, keyid: str, nonce: str, *, ttl_ms: int) -> None:
        """Claim once. Raises NonceSeen, or StoreUnavailable within the deadline.

        `keyid` and `nonce` have no colon between them that could shift: a nonce is base64url.
        """
        loop = asyncio.get_running_loop()
        link = self._standing.link
        if link is None:
            self._standing.dial()
            raise StoreUnavailable
        if link.waiting + len(self._replies) >= _MAX_WAITING:
            raise StoreUnavailable
        done: asyncio.Future[None] = loop.create_future()

        key = self._key(keyid, nonce)

        def on_reply(reply: object) -> None:
            if done.done():
                return
            # Only the two documented answers count: OK, or nil for "exists". Anything else is not an answer.
            if reply == b"OK":
                done.set_result(None)
            elif reply is None:
                loop.call_later(self._deadline, on_first, LOST)
                link.send(b"*2\r\n$3\r\nGET\r\n$%d\r\n%b\r\n" % (len(key), key), (on_first,))
            else:
                done.set_exception(StoreUnavailable())

        def on_first(reply: object) -> None:
            if not done.done():
                done.set_exception(NonceSeen(unanswered=reply == _UNANSWERED))

        if not self._commands:
            loop.call_soon(self._flush)
        ttl = b"%d" % ttl_ms
        self._commands.append(
            b"*6\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$1\r\n1\r\n$2\r\nNX\r\n$2\r\nPX\r\n$%d\r\n%b\r\n"
            % (len(key), key, len(ttl), ttl)
        )
        self._replies.append(on_reply)
        await done

    def mark_unanswered(self, keyid: str, nonce: str) -> None:
        """Change the claim's value, not its life; a store that is away hears nothing of it."""
        link = self._standing.link
        if link is None or link.waiting >= _MAX_WAITING:
            return
        key = self._key(keyid, nonce)
        link.send(
            b"*5\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$1\r\n%b\r\n$2\r\nXX\r\n$7\r\nKEEPTTL\r\n" % (len(key), key, _UNANSWERED),
            (_ignore,),
        )

    def _key(self, keyid: str, nonce: str) -> bytes:
        return b"%b%b:%b" % (self._prefix, keyid.encode(), nonce.encode())

    def _flush(self) -> None:
        commands, self._commands = self._commands, []
        replies, self._replies = self._replies, []
        link = self._standing.link
        if link is None:
            for on_reply in replies:
                on_reply(LOST)
            return
        turn = _Turn(replies[-1])
        replies[-1] = turn.on_last_reply
        link.send(b"".join(commands), replies)
        loop = asyncio.get_running_loop()
        loop.call_later(self._deadline, self._check, link, turn, loop.time() + self._deadline)

    def _check(self, link: RedisLink, turn: _Turn, due: float) -> None:
        """The deadline is Redis's, not ours: when the loop itself came late to it, a reply may already wait in the
        socket, so the loop gets one more turn to read it.
        """
        if turn.answered:
            return
        loop = asyncio.get_running_loop()
        if loop.time() - due > _LATE:
            loop.call_later(_LATE, self._cut, link, turn)
        else:
            self._cut(link, turn)

    def _cut(self, link: RedisLink, turn: _Turn) -> None:
        if not turn.answered:
            self._standing.drop(link)

    async def close(self) -> None:
        """Give up what is under way; its claimants get StoreUnavailable."""
        await self._standing.close()
