"""Single commands to the shared store that a request waits for: an answer within the deadline, or none.

Rules kept: one connection; all commands of one loop turn go out in one write; nothing is sent twice; a store that
misses the deadline is cut off and dialled again in the background, and until it answers, callers are told at once.
"""

from __future__ import annotations

import asyncio
from typing import Final

import hiredis

from haetae_edge.io.redis_link import LOST, LinkError, OnReply, RedisLink
from haetae_edge.services import StoreUnavailable

_CONNECT: Final = 0.5
_PAUSE: Final = 0.1
_MAX_WAITING: Final = 10_000


class PromptRedis:
    """`start` before use, `close` after."""

    def __init__(self, url: str, *, deadline: float) -> None:
        """`deadline` is seconds for one round trip."""
        self._url = url
        self._deadline = deadline
        self._link: RedisLink | None = None
        self._dialling: asyncio.Task[None] | None = None
        self._commands: list[bytes] = []
        self._replies: list[OnReply] = []
        self._closed = False
        self.failures = 0

    async def start(self) -> None:
        """Open the connection; a store that is down is dialled again in the background."""
        self._dial()
        if self._dialling is not None:
            await asyncio.wait((self._dialling,), timeout=_CONNECT)

    async def ask(self, *words: bytes) -> object:
        """The reply to one command, as hiredis reads it; an error reply is returned, not raised.

        Raises StoreUnavailable when there is none within the deadline.
        """
        loop = asyncio.get_running_loop()
        link = self._link
        if link is None or not link.usable:
            self._dial()
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
        link = self._link
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
        self.failures += 1
        if link is self._link:
            self._link = None
            self._dial()
        # Replies belong to commands by order: without this one, the others mean nothing either.
        link.close()
        if not done.done():
            done.set_exception(StoreUnavailable())

    def _dial(self) -> None:
        if self._dialling is None and not self._closed:
            self._link = None
            self._dialling = asyncio.ensure_future(self._connect())

    async def _connect(self) -> None:
        try:
            while not self._closed:
                try:
                    self._link = await RedisLink.connect(self._url, deadline=_CONNECT)
                except LinkError:
                    self.failures += 1
                    await asyncio.sleep(_PAUSE)
                else:
                    return
        finally:
            self._dialling = None

    async def close(self) -> None:
        """Give up what is under way; whoever waits gets StoreUnavailable."""
        self._closed = True
        if self._dialling is not None:
            self._dialling.cancel()
            await asyncio.wait((self._dialling,))
        if self._link is not None:
            self._link.close()
            self._link = None


def is_error(reply: object, *, code: str) -> bool:
    """Whether a reply is the store's error of this code, such as `NOSCRIPT`."""
    return isinstance(reply, hiredis.ReplyError) and str(reply).startswith(code)


def _packed(words: tuple[bytes, ...]) -> bytes:
    return b"*%d\r\n%b" % (len(words), b"".join([b"$%d\r\n%b\r\n" % (len(word), word) for word in words]))
