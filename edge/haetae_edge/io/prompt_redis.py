"""Single commands to the shared store that a request waits for: an answer within the deadline, or none.

Rules kept: one connection; all commands of one loop turn go out in one write; nothing is sent twice; a store that
misses the deadline is cut off and dialled again in the background, and until it answers, callers are told at once.
"""

from __future__ import annotations

import asyncio
from typing import Final

import hiredis

from haetae_edge.io.redis_link import LOST, OnReply, RedisLink
from haetae_edge.io.standing_link import StandingLink
from haetae_edge.services import StoreUnavailable

_PAUSE: Final = 0.1
_MAX_WAITING: Final = 10_000


class PromptRedis:
    """`start` before use, `close` after."""

    def __init__(self, url: str, *, deadline: float) -> None:
        """`deadline` is seconds for one round trip."""
        self._standing = StandingLink(url, pause=_PAUSE)
        self._deadline = deadline
        self._commands: list[bytes] = []
        self._replies: list[OnReply] = []

    async def start(self) -> None:
        """Open the connection; a store that is down is dialled again in the background."""
        await self._standing.start()

    async def ask(self, *words: bytes) -> object:
        """The reply to one command, as hiredis reads it; an error reply is returned, not raised.

        Raises StoreUnavailable when there is none within the deadline.
        """
        loop = asyncio.get_running_loop()
        link = self._standing.link
        if link is None:
            self._standing.dial()
            raise StoreUnavailable
        if link.waiting + len(self._replies) >= _MAX_WAITING:
            raise StoreUnavailable
        done: asyncio.Future[object] = loop.create_future()

        def on_reply(reply: object) -> None:
            if done.done():
                return
            if reply is LOST:
                done.set_exception(StoreUnavailable())
            else:
                done.set_result(reply)

        if not self._commands:
            loop.call_soon(self._flush)
        self._commands.append(_packed(words))
        self._replies.append(on_reply)
        timer = loop.call_later(self._deadline, self._late, link, done)
        try:
            return await done
        finally:
            timer.cancel()

    def _flush(self) -> None:
        commands, self._commands = self._commands, []
        replies, self._replies = self._replies, []
        link = self._standing.link
        if link is None:
            for on_reply in replies:
                on_reply(LOST)
            return
        link.send(b"".join(commands), replies)

    def _late(self, link: RedisLink, done: asyncio.Future[object]) -> None:
        """The loop may be the late one: a reply that waits in the socket gets one more turn to be read."""
        asyncio.get_running_loop().call_later(0.001, self._cut, link, done)

    def _cut(self, link: RedisLink, done: asyncio.Future[object]) -> None:
        if done.done():
            return
        # Replies belong to commands by order: without this one, the others mean nothing either.
        self._standing.drop(link)
        if not done.done():
            done.set_exception(StoreUnavailable())

    async def close(self) -> None:
        """Give up what is under way; whoever waits gets StoreUnavailable."""
        await self._standing.close()


def is_error(reply: object, *, code: str) -> bool:
    """Whether a reply is the store's error of this code, such as `NOSCRIPT`."""
    return isinstance(reply, hiredis.ReplyError) and str(reply).startswith(code)


def _packed(words: tuple[bytes, ...]) -> bytes:
    return b"*%d\r\n%b" % (len(words), b"".join([b"$%d\r\n%b\r\n" % (len(word), word) for word in words]))
