"""One pipelined connection to Redis for commands on the request path.

redis-py serves everything else. Here it costs more than the command itself: a task, a lock and a timeout a batch, and
packing in Python a command. This link writes prepared commands and reads replies by hiredis, in order, and knows
nothing else: no retries, no queue behind a dead connection. Addresses, databases and credentials are read from the
same URL by redis-py's own parser.

Rules kept: replies belong to commands by order, so a link that lost count, time or its peer is closed, never reused.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import hiredis
from redis.asyncio.connection import parse_url

#: Called once with a reply (an `hiredis.ReplyError` included), or with `LOST` when there will be none.
OnReply = Callable[[object], None]
LOST: Final = object()


class LinkError(Exception):
    """No usable connection: refused, hung, or wrong credentials."""


class RedisLink(asyncio.Protocol):
    """A connection; made by `connect`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._reader = hiredis.Reader()
        self._waiting: deque[OnReply] = deque()
        self._transport: asyncio.Transport | None = None

    @classmethod
    async def connect(cls, url: str, *, deadline: float) -> RedisLink:
        """Open and log in, within `deadline` seconds. Raises LinkError."""
        loop = asyncio.get_running_loop()
        where: dict[str, Any] = dict(parse_url(url))
        try:
            async with asyncio.timeout(deadline):
                link = await cls._open(loop, where)
                try:
                    await link._log_in(where)
                except BaseException:
                    link.close()
                    raise
        except (OSError, TimeoutError, hiredis.HiredisError) as error:
            raise LinkError(str(error)) from error
        return link

    @classmethod
    async def _open(cls, loop: asyncio.AbstractEventLoop, where: dict[str, Any]) -> RedisLink:
        path = where.get("path")
        if path is not None:
            _, link = await loop.create_unix_connection(lambda: cls(loop), path)
            return link
        tls = ssl.create_default_context() if "connection_class" in where else None
        host = str(where.get("host", "localhost"))
        _, link = await loop.create_connection(lambda: cls(loop), host, int(where.get("port", 6379)), ssl=tls)
        return link

    async def _log_in(self, where: dict[str, Any]) -> None:
        password, user, database = where.get("password"), where.get("username"), int(where.get("db") or 0)
        if password:
            await self.call(*(("AUTH", user, password) if user else ("AUTH", password)))
        await self.call("SELECT", str(database))

    async def call(self, *words: str) -> object:
        """Send one command and wait for its reply. Raises LinkError for an error or a lost connection."""
        done: asyncio.Future[object] = self._loop.create_future()
        self.send(_pack(words), (lambda reply: None if done.done() else done.set_result(reply),))
        reply = await done
        if reply is LOST or isinstance(reply, hiredis.ReplyError):
            raise LinkError(str(reply))
        return reply

    @property
    def usable(self) -> bool:
        """Whether commands can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    @property
    def waiting(self) -> int:
        """Commands without a reply."""
        return len(self._waiting)

    def send(self, commands: bytes, on_replies: tuple[OnReply, ...] | list[OnReply]) -> None:
        """Write packed commands, one reply function each, in order."""
        transport = self._transport
        if transport is None or transport.is_closing():
            for on_reply in on_replies:
                on_reply(LOST)
            return
        self._waiting.extend(on_replies)
        transport.write(commands)

    def close(self) -> None:
        """Close at once; what waits is told that its reply is lost."""
        if self._transport is not None:
            self._transport.abort()
        self._lose()

    def _lose(self) -> None:
        self._transport = None
        while self._waiting:
            self._waiting.popleft()(LOST)

    # -- called by the loop --------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ready to send."""
        self._transport = transport  # type: ignore[assignment] # uvloop's transports are not subclasses

    def data_received(self, data: bytes) -> None:
        """Replies, in the order of their commands."""
        self._reader.feed(data)
        waiting = self._waiting
        try:
            while (reply := self._reader.gets()) is not False:
                if not waiting:
                    self.close()
                    return
                waiting.popleft()(reply)
        except hiredis.ProtocolError:
            self.close()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Nothing that waits will be answered."""
        self._lose()


def _pack(words: tuple[str, ...]) -> bytes:
    """A command as RESP writes it: an array of bulk strings."""
    encoded = [word.encode() for word in words]
    return b"*%d\r\n%b" % (len(encoded), b"".join([b"$%d\r\n%b\r\n" % (len(word), word) for word in encoded]))
